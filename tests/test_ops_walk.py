"""Every differentiable row of the table against finite differences in float64, through the NumPy executor."""

from __future__ import annotations

from typing import Any

import pytest
from ops_samples import REASONS, sample

import rushlight as rl
import rushlight.nn.functional
from rushlight.exec.realize import clear_plans
from rushlight.autograd.check import GradcheckError, gradcheck, gradgradcheck
from rushlight.ops import table
from rushlight.ops.table import Op
from rushlight.tensor.core import Tensor, apply

TABLE = table.load()


@pytest.fixture(autouse=True)
def on_numpy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The NumPy executor runs every plan."""
    clear_plans()
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy")
    yield
    clear_plans()


# Rows whose gradient has no gradient of its own, and why.
ONCE: dict[str, str] = {}


# Rows whose further results are for the way back only.
RESULTS = {"lstm_layer": 3, "gru_layer": 2, "sdpa": 1}


def differentiable(op: Op, position: int, value: Any) -> bool:
    """Whether the row promises a gradient for this operand."""
    if not isinstance(value, Tensor) or value.dtype not in (rl.float64, rl.complex128):
        return False
    return not op.rules or "*" in op.rules or op.inputs[min(position, len(op.inputs) - 1)] in op.rules


def prepare(op: Op) -> tuple[Any, tuple[Any, ...]]:
    """The row as a function of those operands that have gradients."""
    found = sample(op)
    assert found is not None, f"the differentiable row {op.name} ({op.kind}, {op.inputs}, {op.attrs}) has no sample: add one to ops_samples.py"
    args, attrs = found
    places = [i for i, a in enumerate(args) if differentiable(op, i, a)]
    assert places, f"the sample of {op.name} has no operand with a gradient"

    def function(*xs: Tensor) -> Any:
        operands = list(args)
        for i, x in zip(places, xs):
            operands[i] = symmetric(op, x)
        outs = apply(op, tuple(operands), attrs)
        return seen(op, outs)
    return function, tuple(args[i].detach().requires_grad_() for i in places)


def symmetric(op: Op, x: Tensor) -> Tensor:
    """Operations on symmetric matrices are functions of the symmetric part."""
    return (x + x.mT) / 2 if op.sample in ("symmetric", "positive definite") else x


def seen(op: Op, outs: Any) -> Any:
    """Results as far as they are determined: singular and eigenvectors only up to sign."""
    if op.name == "svd":
        u, s, vh = outs
        return s, (u * s[..., None, :]) @ vh, u @ u.mT
    if op.name in ("eigh", "eig"):
        w, v = outs
        return w, v.abs()
    if op.name in RESULTS:
        return tuple(outs[:RESULTS[op.name]])
    if op.name.endswith("_ex") or op.name == "lu_factor":  # the rest are integers
        return outs[0]
    return tuple(outs) if isinstance(outs, list) else outs


def walk(op: Op) -> None:
    """Check one row; GradcheckError where its rule and its kernel disagree."""
    function, inputs = prepare(op)
    gradcheck(function, inputs, atol=1e-5, rtol=1e-4)


ROWS = sorted(n for n, op in TABLE.items() if op.differentiable and not n.startswith(("fused", "region", "test_")))


@pytest.mark.parametrize("name", ROWS)
def test_the_gradient_of_every_row(name: str) -> None:
    if name in REASONS:
        assert sample(TABLE[name]) is None, f"{name} has a sample and a reason for having none"
        return
    walk(TABLE[name])


@pytest.mark.parametrize("name", ROWS)
def test_the_second_gradient_of_every_row(name: str) -> None:
    if name in REASONS or name in ONCE:
        return
    function, inputs = prepare(TABLE[name])
    gradgradcheck(function, inputs, atol=1e-4, rtol=1e-3, fast_mode=True)


COMPLEX = """neg abs sgn sqrt rsqrt reciprocal exp expm1 exp2 log log2 log10 log1p sin cos tan asin acos atan sinh cosh
    tanh asinh acosh atanh sigmoid conj add sub mul div pow where sum prod cumsum cumprod matmul copy cat unview flip
    roll gather scatter scatter_add index index_put constant_pad convolution convolution_input_grad
    convolution_weight_grad linear inv solve det matrix_exp cholesky""".split()


@pytest.mark.parametrize("name", COMPLEX)
def test_the_complex_gradient_of_rows(name: str) -> None:
    op = TABLE[name]
    args, attrs = sample(op)
    turn = rl.exp(0.3j * rl.arange(1, 2, dtype=rl.float64).to(rl.complex128))
    places = [i for i, a in enumerate(args) if differentiable(op, i, a)]
    inputs = tuple((args[i] * turn.reshape(()) + 0.1j).detach().requires_grad_() for i in places)

    def function(*xs: Tensor) -> Any:
        operands = list(args)
        for i, x in zip(places, xs):
            operands[i] = x @ x.mH + 3 * rl.eye(3, dtype=rl.complex128) if op.sample == "positive definite" else x
        return seen(op, apply(op, tuple(operands), attrs))
    gradcheck(function, inputs, atol=1e-5, rtol=1e-4)


def test_the_walk_is_not_empty() -> None:
    assert len(ROWS) > 100 and {"add", "matmul", "softmax", "convolution", "cat", "svd"} <= set(ROWS)


def row(vjp: Any, numpy: Any) -> Op:
    return Op("injected", "map", "x", TABLE["sin"].shape, numpy=numpy, vjp={"x": vjp})


def test_a_right_injected_row_passes() -> None:
    walk(row(lambda g, x: g * x.cos(), lambda np, x: np.sin(x)))


def test_a_wrong_gradient_fails_the_walk() -> None:
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        walk(row(lambda g, x: g * x.sin(), lambda np, x: np.sin(x)))


def test_a_wrong_kernel_fails_the_walk() -> None:
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        walk(row(lambda g, x: g * x.cos(), lambda np, x: np.sinh(x)))


def test_a_row_without_a_sample_fails_the_walk() -> None:
    strange = Op("strange", "move", "x", TABLE["copy"].shape, vjp={"x": lambda g: g})
    with pytest.raises(AssertionError, match="strange .* has no sample"):
        walk(strange)
