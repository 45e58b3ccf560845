"""Operators give the same for operands that lie in memory in any way: values and gradients, over PyTorch's own samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import operator_samples as db

import rushlight as rl

MOST = 3  # samples of an entry


def turned(x: np.ndarray) -> np.ndarray:
    """The first dimension innermost."""
    return np.asfortranarray(x) if x.ndim else x


def spread(x: np.ndarray) -> np.ndarray:
    """Every second number of memory that begins before it."""
    wide = np.full((*x.shape[:-1], 2 * x.shape[-1] + 1), 7, x.dtype) if x.ndim else x
    if x.ndim:
        wide[..., 1::2] = x
    return wide[..., 1::2] if x.ndim else x


def within(x: np.ndarray) -> np.ndarray:
    """The middle of something larger, rows three apart."""
    if x.ndim < 2:
        return spread(x)
    wide = np.full((3 * x.shape[0], *x.shape[1:-1], x.shape[-1] + 3), 5, x.dtype)
    wide[::3, ..., 2:-1] = x
    return wide[::3, ..., 2:-1]


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"turned": turned, "spread": spread, "within": within}
# entry -> why its result depends on how the operand lies
ITS_MEMORY = {
    **dict.fromkeys(("as_strided", "as_strided_copy", "as_strided_scatter"), "shows memory"),
    **dict.fromkeys(("stride", "is_contiguous", "view", "view_as", "view_copy", "view_as_complex", "resize_"), "not for all strides"),
}
RANDOM = {"bernoulli", "multinomial", "normal", "uniform", "randint", "nn.functional.dropout", "nn.functional.dropout2d",
          "nn.functional.multi_head_attention_forward"}
UP_TO_PHASE = {"svd", "linalg.svd", "linalg.eig", "linalg.eigh", "qr", "linalg.qr", "linalg.eigvals", "geqrf"}


def lying(x: rl.Tensor, layout: str, single: bool) -> rl.Tensor:
    """A leaf with the same numbers, in single precision perhaps, that lies so."""
    array = x.detach().numpy()
    if single and array.dtype.kind in "fc":
        array = array.astype({"f": np.float32, "c": np.complex64}[array.dtype.kind])
    return rl.from_numpy(LAYOUTS[layout](array) if layout else array).requires_grad_(x.requires_grad)


def results(f: Any, args: Any, kwargs: Any, process: Any, layout: str, single: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Values, and the gradients of the operands."""
    given = db.tensors_in((args, kwargs))
    new = {id(t): lying(t, layout, single) for t in given}
    rl.manual_seed(0)
    out = f(*db.with_tensors(args, new), **db.with_tensors(kwargs, new))
    values = [t.detach().numpy() for t in db.tensors_in(out)]
    ends = [t for t in db.tensors_in(process(out) if process is not None else out) if t.requires_grad]
    leaves = [new[id(t)] for t in given if t.requires_grad]
    if not ends or not leaves:
        return values, []
    weights = [rl.cos(rl.arange(t.numel(), dtype=t.real.dtype if t.is_complex() else t.dtype)).reshape(t.shape) for t in ends]
    total = sum((t * w).sum().abs() if t.is_complex() else (t * w).sum() for t, w in zip(ends, weights))
    grads = rl.autograd.grad(total, leaves, allow_unused=True)
    return values, [g.numpy() for g in grads if g is not None]


def check(op: Any, layout: str, single: bool, most: int) -> None:
    for f, args, kwargs, process in db.samples(op, most):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                wanted = results(f, args, kwargs, process, "", single)
            except (NotImplementedError, RuntimeError, TypeError):
                continue  # of single precision, or of a number that is not a tensor
            found = results(f, args, kwargs, process, layout, single)
        for want, have in zip(wanted, found):
            assert len(want) == len(have)
            for w, h in zip(want, have):
                assert w.shape == h.shape and w.dtype == h.dtype
                if w.dtype.kind in "fc":
                    w, h = (np.abs(w), np.abs(h)) if op.name in UP_TO_PHASE else (w, h)
                    scale = max(1.0, float(np.abs(w[np.isfinite(w)]).max(initial=0)))
                    tolerance = 2e-4 if single else 1e-8
                    np.testing.assert_allclose(h, w, rtol=tolerance, atol=tolerance * scale, err_msg=op.name)
                else:
                    np.testing.assert_array_equal(h, w, err_msg=op.name)


NAMES = sorted(n for n, op in {**db.entries(), **db.others()}.items() if op.name not in ITS_MEMORY.keys() | RANDOM)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_operators(name: str, layout: str) -> None:
    op = {**db.entries(), **db.others()}[name]
    check(op, layout, False, MOST)
    check(op, layout, True, MOST)
