"""Gradients of gradients of the most used operators against finite differences, over PyTorch's own samples."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")


import operator_samples as db  # noqa: E402

from rushlight.autograd import gradgradcheck  # noqa: E402

MOST = 3  # samples of an entry
# Operators none of whose small samples requires gradients
NEVER = ("zero_", "fill", "mode")
# Points where the first derivative has a step, and numbers too coarse for differences
NOT_SMOOTH = ("linalg.norm.subgradients_at_zero", "float")


@pytest.fixture(autouse=True)
def numpy_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about rules; executors are compared elsewhere."""
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy")


@pytest.mark.parametrize("name", [n for n in db.names() if db.entries()[n].supports_gradgrad and n not in NOT_SMOOTH])
def test_second_derivatives(name: str) -> None:
    op = db.entries()[name]
    checked = 0
    for f, args, kwargs, process in db.samples(op, MOST):
        leaves = [t for t in db.tensors_in((args, kwargs)) if t.requires_grad]
        if not leaves or kwargs.get("dropout_p"):
            continue

        def of(*xs: Any, op: Any = op, f: Any = f, args: Any = args, kwargs: Any = kwargs, process: Any = process, leaves: Any = leaves) -> Any:
            new = {id(old): db.in_domain(op, x) for old, x in zip(leaves, xs)}
            out = f(*db.with_tensors(args, new), **db.with_tensors(kwargs, new))
            out = process(out) if process is not None else out
            return tuple(t for t in db.tensors_in(out) if t.requires_grad)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not of(*leaves):
                continue
            assert gradgradcheck(of, tuple(leaves), fast_mode=True, nondet_tol=1e-10, atol=1e-4)
        checked += 1
    assert checked or op.name in NEVER, "no sample has a gradient"
