"""gradcheck and gradgradcheck: right rules pass, wrong ones are caught."""

from __future__ import annotations

import importlib
import warnings

import pytest

import rushlight as rl
from rushlight.autograd import gradcheck, gradgradcheck
from rushlight.autograd.check import GradcheckError


class WrongSquare(rl.autograd.Function):
    """x * x whose gradient is 3 x instead of 2 x."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 3 * g * ctx.saved_tensors[0]


class WrongSecond(rl.autograd.Function):
    """x ** 3 whose gradient is right, but wrong to differentiate again."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x ** 3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * g * x * x.detach()


class Forgetful(rl.autograd.Function):
    """A backward pass that answers differently every time."""

    calls = 0

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        Forgetful.calls += 1
        return 2 * g + 1e-6 * Forgetful.calls


def real(*shape: int) -> rl.Tensor:
    generator = rl.Generator().manual_seed(1)
    return rl.randn(*shape, dtype=rl.float64, generator=generator).requires_grad_()


def cplx(*shape: int) -> rl.Tensor:
    generator = rl.Generator().manual_seed(2)
    return rl.randn(*shape, dtype=rl.complex128, generator=generator).requires_grad_()


FUNCTIONS = {
    "sin": (rl.sin, (real(3),)),
    "matmul": (rl.matmul, (real(2, 3), real(3, 2))),
    "two outputs": (lambda x: (x.exp(), x.sum()), (real(2, 2),)),
    "views and writes": (lambda x: (x * 1).t()[1:].mul_(2).cumsum(0), (real(3, 3),)),
    "softmax": (lambda x: x.softmax(-1), (real(2, 4),)),
    "complex product": (lambda z: z * z.conj() * (1 + 2j), (cplx(3),)),
    "complex abs": (lambda z: z.abs(), (cplx(3),)),
    "fft": (lambda z: rl.fft.fft(z), (cplx(4),)),
    "real to complex": (lambda x: rl.complex(x, x * x), (real(3),)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("fast", [False, True])
def test_right_gradients_pass(name: str, fast: bool) -> None:
    f, inputs = FUNCTIONS[name]
    assert gradcheck(f, inputs, fast_mode=fast)
    assert gradgradcheck(f, inputs, fast_mode=fast)


@pytest.mark.parametrize("name", ["sin", "matmul", "softmax", "complex product"])
def test_forward_mode_and_batches_pass(name: str) -> None:
    f, inputs = FUNCTIONS[name]
    assert gradcheck(f, inputs, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True)


@pytest.mark.parametrize("fast", [False, True])
def test_a_wrong_rule_is_caught(fast: bool) -> None:
    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to input 0"):
        gradcheck(WrongSquare.apply, (real(3),), fast_mode=fast)
    assert gradcheck(WrongSquare.apply, (real(3),), fast_mode=fast, raise_exception=False) is False


def test_a_wrong_second_derivative_is_caught_by_gradgradcheck_only() -> None:
    assert gradcheck(WrongSecond.apply, (real(3),))
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradgradcheck(WrongSecond.apply, (real(3),))


def test_a_backward_pass_that_changes_is_caught() -> None:
    with pytest.raises(GradcheckError, match="Backward is not reentrant"):
        gradcheck(Forgetful.apply, (real(2),))
    assert gradcheck(Forgetful.apply, (real(2),), nondet_tol=1e-3)


def test_tolerances_are_used() -> None:
    x = real(3)
    assert not gradcheck(WrongSquare.apply, (x,), raise_exception=False)
    assert gradcheck(WrongSquare.apply, (x,), atol=100)
    assert gradcheck(WrongSquare.apply, (x,), rtol=10)
    assert gradcheck(rl.exp, (x,), eps=1e-4) and not gradcheck(rl.exp, (x,), eps=1.0, raise_exception=False)


def test_inputs_are_restored_and_closures_are_seen() -> None:
    x = real(3)
    before = x.detach().clone()
    assert gradcheck(lambda *_: x.sin(), (x,))
    assert rl.equal(x.detach(), before) and x.grad is None


def test_what_cannot_be_checked_says_so() -> None:
    with pytest.raises(ValueError, match="gradcheck expects at least one input tensor to require gradient"):
        gradcheck(rl.sin, (rl.ones(2, dtype=rl.float64),))
    with pytest.warns(UserWarning, match="is not a double precision floating point or complex"):
        gradcheck(rl.sin, (rl.ones(2, requires_grad=True),), raise_exception=False)
    with pytest.raises(RuntimeError, match="stride 0"):
        gradcheck(rl.sin, (rl.ones(1, dtype=rl.float64).expand(3).requires_grad_(),))
    with pytest.raises(AssertionError, match="check_forward_ad or check_backward_ad"):
        gradcheck(rl.sin, (real(2),), check_backward_ad=False)


def test_a_function_cut_off_from_its_input_is_caught() -> None:
    with pytest.raises(GradcheckError, match="expected to be zero"):
        gradcheck(lambda x: x.detach().sin(), (real(3),))


def test_module_and_function_share_pytorchs_name() -> None:
    module = importlib.import_module("rushlight.autograd.gradcheck")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert module.gradcheck(rl.sin, (real(2),)) and module(rl.sin, (real(2),))
    assert module.GradcheckError is GradcheckError
