"""vmap of the most used operators against a loop over the samples, values and gradients, over PyTorch's own inputs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import operator_samples as db

import rushlight as rl
from rushlight.func import batch_rules, vjp, vmap

MOST = 4  # samples of an entry
SIZE = 2  # of a batch
# What vmap refuses, as in PyTorch, and what it says: results whose shape depends on numbers
# that are batched; random numbers that samples
# should share although their probabilities differ; running statistics that are not batched, but written with what is
REFUSED = {
    **dict.fromkeys("masked_select repeat_interleave tensor_split nonzero unique unique_consecutive argwhere index_put".split(), "calling .item() on a Tensor"),
    "nn.functional.one_hot": "provide an explicit positive num_classes",
    **dict.fromkeys(("bernoulli", "multinomial"), "does not currently support same randomness with a batched tensor"),
    "nn.functional.gaussian_nll_loss": "data-dependent control flow",  # are variances negative?
    **dict.fromkeys(("nn.functional.batch_norm", "nn.functional.instance_norm", "native_batch_norm"), "inplace arithmetic"),
}
ALWAYS = ("nonzero", "unique", "unique_consecutive", "argwhere", "bernoulli", "multinomial")
# Defined up to a sign or a phase: compared by absolute value, and not by gradient
UP_TO_PHASE = ("linalg.svd", "linalg.eigh", "linalg.qr", "linalg.eig")


def batch(x: rl.Tensor) -> rl.Tensor:
    """Two samples: x, and other numbers of the same domain (mostly; NaN equals NaN here)."""
    x = x.detach()
    other = x * 0.75 if x.dtype.is_floating_point or x.dtype.is_complex else x.clone()
    return rl.stack([x, other])


def choices(n: int) -> list[tuple[bool, ...]]:
    """Which of n tensors are batched: all, only the first, all but the first."""
    found = [(True,) * n]
    if n > 1:
        found += [(True, *(False,) * (n - 1)), (False, *(True,) * (n - 1))]
    return found


def close(got: Any, want: Any, name: str) -> None:
    assert got.shape == want.shape and got.dtype is want.dtype, (got.shape, want.shape, got.dtype, want.dtype)
    a, b = (t.detach().float().numpy() if t.dtype is rl.bfloat16 else t.detach().numpy() for t in (got, want))
    if name in UP_TO_PHASE:
        a, b = np.abs(a), np.abs(b)
    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


@pytest.fixture(autouse=True)
def no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """No row may run sample by sample. Executors are compared elsewhere."""
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy")
    def refuse(call: Any) -> Any:
        raise AssertionError(f"the row {call.op.name} has no batching rule")
    monkeypatch.setattr(batch_rules, "one_by_one", refuse)


@pytest.mark.parametrize("name", db.names())
def test_vmap_is_a_loop(name: str) -> None:
    compare_samples(db.entries()[name], MOST)


@pytest.mark.parametrize("name", db.others())
def test_vmap_of_other_operators_is_a_loop(name: str) -> None:
    compare_samples(db.others()[name], 1)


def compare_samples(op: Any, most: int) -> None:
    checked = 0
    for f, args, kwargs, _ in db.samples(op, most):
        tensors = db.tensors_in((args, kwargs))
        for which in choices(len(tensors)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                checked += compare(op.name, f, args, kwargs, tensors, which)
    assert (checked == 0) == (op.name in ALWAYS), f"{checked} were compared"


def compare(name: str, f: Any, args: Any, kwargs: Any, tensors: list[rl.Tensor], which: tuple[bool, ...]) -> bool:
    mapped = [t for t, w in zip(tensors, which) if w]
    batches = [batch(t) for t in mapped]
    floats = [i for i, t in enumerate(mapped) if t.requires_grad]
    plain = {id(t): t.detach() for t in tensors}

    def one(*xs: rl.Tensor) -> Any:
        new = {**plain, **{id(t): x for t, x in zip(mapped, xs)}}
        outs = tuple(db.tensors_in(f(*db.with_tensors(args, new), **db.with_tensors(kwargs, new))))
        if name == "linalg.svd":  # any basis will do beyond the rank
            k = outs[1].shape[-1]
            outs = (outs[0][..., :k], outs[1], outs[2][..., :k, :])
        return outs

    def with_gradients(*xs: rl.Tensor) -> Any:
        """The results and the gradients of the sum of their cosines."""
        if not floats or name in UP_TO_PHASE:
            return one(*xs)

        def total(*some: rl.Tensor) -> Any:
            full = list(xs)
            for i, x in zip(floats, some):
                full[i] = x
            outs = one(*full)
            real = [(o.abs() if o.dtype.is_complex else o)
                    for o in outs if o.dtype.is_floating_point or o.dtype.is_complex]
            return sum((o.cos().sum() for o in real), start=rl.zeros((), dtype=rl.float64)), outs
        value, pull, outs = vjp(total, *[xs[i] for i in floats], has_aux=True)
        return (*outs, *pull(rl.ones((), dtype=rl.float64)))
    rows = []
    for i in range(SIZE):
        rl.manual_seed(0)
        rows.append(with_gradients(*[b[i].clone() for b in batches]))
    rl.manual_seed(0)
    try:
        found = vmap(with_gradients, randomness="same")(*batches)
    except RuntimeError as e:
        assert name in REFUSED and REFUSED[name] in str(e), e
        assert not (REFUSED[name] == "inplace arithmetic" and all(which))
        return False
    assert len(found) == len(rows[0])
    for got, *want in zip(found, *rows):
        close(got, rl.stack(want), name)
    return True
