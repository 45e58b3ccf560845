"""Gradients of gradients of the most used operators against finite differences, over PyTorch's own samples."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")


import operator_samples as db

import rushlight as rl
from rushlight.autograd import gradgradcheck

MOST = 3  # samples of an entry
# entry -> why differences say nothing about it
WITHOUT = {
    "linalg.norm.subgradients_at_zero": "the first derivative has a step there",
    **dict.fromkeys(("float", "half", "bfloat16", "cfloat"), "numbers too coarse for differences"),
    **dict.fromkeys(("normal", "normal.number_mean", "bernoulli"),
                    "PyTorch's gradient of random numbers is zero, whatever they depend on"),
    "nn.functional.one_hot": "integers",
    "bmm.triton_optimized": "bmm, in a kernel for GPUs",
}


@pytest.fixture(autouse=True)
def numpy_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about rules; executors are compared elsewhere."""
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy")


# operator -> which operand is a triangle, of which gradients say more than differences
TRIANGLES = {"cholesky_inverse": 0, "cholesky_solve": 1}


@pytest.mark.parametrize("name", [n for n, op in db.entries().items() if op.supports_autograd and n not in WITHOUT])
def test_second_derivatives(name: str) -> None:
    check_samples(db.entries()[name], MOST)


@pytest.mark.parametrize("name", [
    n for n, op in db.others().items() if op.supports_gradgrad and op.supports_autograd and n not in WITHOUT])
def test_second_derivatives_of_other_operators(name: str) -> None:
    check_samples(db.others()[name], 1)


def check_samples(op: Any, most: int) -> None:
    checked = 0
    for f, args, kwargs, process in db.samples(op, most):
        leaves = [t for t in db.tensors_in((args, kwargs)) if t.requires_grad]
        if not leaves:
            continue

        def of(*xs: Any, op: Any = op, f: Any = f, args: Any = args, kwargs: Any = kwargs,
               process: Any = process, leaves: Any = leaves) -> Any:
            rl.manual_seed(0)  # the same numbers are dropped
            new = {id(old): db.in_domain(op, x) for old, x in zip(leaves, xs)}
            if op.name in TRIANGLES:
                old = args[TRIANGLES[op.name]]
                new[id(old)] = new[id(old)].triu() if kwargs.get("upper") else new[id(old)].tril()
            out = f(*db.with_tensors(args, new), **db.with_tensors(kwargs, new))
            out = process(out) if process is not None else out
            return tuple(t for t in db.tensors_in(out) if t.requires_grad)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not of(*leaves):
                continue
            assert gradgradcheck(of, tuple(leaves), fast_mode=True, nondet_tol=1e-10, atol=1e-4)
        checked += 1
    assert checked, "no sample has a gradient"
