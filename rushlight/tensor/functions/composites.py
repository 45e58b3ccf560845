"""Elementwise functions composed of others."""

from __future__ import annotations

import builtins
from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.autograd.graph import GradFn
from rushlight.ops.domains import check_domain
from rushlight.ops.pointwise import joint
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, edges_of
from rushlight.tensor.functions.common import (cast, give, is_float, lying, lying_as, need_tensor, operand,
                                               result_type, stand_in, tensor_of, to_float)
from rushlight.tensor.functions.histories import history_first
from rushlight.tensor.functions.older_forms import in_order
from rushlight.tensor.functions.pointwise import (abs, clamp, digamma, exp2, isfinite, isinf, log, log2, maximum, mul,
                                                  pow, sin, trunc, where)
from rushlight.tensor.functions.precision import once, tracked
from rushlight.tensor.state import state


@history_first
def frac(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The part behind the point."""
    check_domain("frac", input._spec.dtype)
    return give(out, input - trunc(input))


def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """input + weight * (end - input)."""
    if input.dtype is not end.dtype:
        raise RuntimeError(f"expected dtype {input.dtype} for `end`, but got dtype {end.dtype}")
    joint(input._spec, end._spec)
    check_domain("lerp", input._spec.dtype)
    if isinstance(weight, Tensor):
        return give(out, apply(TABLE["lerp"], (input, end, cast(weight, input._spec.dtype))))
    return give(out, _lerp_by_number(input, end, weight))


class LerpBackward0(GradFn):
    """The node of interpolation by a number, which keeps no tensor."""

    __slots__ = ("weight",)

    def backward(self, grads: list[Any]) -> Any:
        from rushlight.tensor.functions.shape import sum_to
        w = self.weight.conjugate()
        shares = [sum_to(grads[0] * v, s.shape) for v, s in zip((1 - w, w), self.specs[1:])]
        return [None if e is None else g for e, g in zip(self.edges, shares)]


def _lerp_by_number(x: Tensor, y: Tensor, weight: Any) -> Tensor:
    near = builtins.abs(weight) < 0.5
    compute = lambda: lying(once(lambda x, y: x + (y - x) * weight if near else y - (y - x) * (1 - weight), x, y), x, y)
    if not (state.grad and any([tracked(x), tracked(y)])) or x._storage.batched or y._storage.batched:
        return compute()
    with no_grad():
        out = compute()
    out._grad_fn, out._rg = LerpBackward0(edges_of((x, y)), (out._spec, x._spec, y._spec)), True
    out._grad_fn.weight = weight
    return out


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *older: Tensor, value: Any = 1,
            out: Tensor | None = None) -> Tensor:
    """input + value * tensor1 * tensor2. ``addcmul(input, value, tensor1, tensor2)`` is an older form."""
    if older:
        (input, tensor1, tensor2), given = in_order("addcmul", input, tensor1, tensor2, *older)
        return addcmul(input, tensor1, tensor2, **given, out=out)
    dtype = result_type(input, tensor1, tensor2)
    joint(input._spec, tensor1._spec, tensor2._spec)
    check_domain("addcmul", dtype)
    return give(out, apply(TABLE["addcmul"],
                           (*[stand_in(t, dtype) for t in (input, tensor1, tensor2)], operand(value))))


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *older: Tensor, value: Any = 1,
            out: Tensor | None = None) -> Tensor:
    """input + value * tensor1 / tensor2. ``addcdiv(input, value, tensor1, tensor2)`` is an older form."""
    if older:
        (input, tensor1, tensor2), given = in_order("addcdiv", input, tensor1, tensor2, *older)
        return addcdiv(input, tensor1, tensor2, **given, out=out)
    if tensor1._spec.dtype.kind in "biu" and tensor2._spec.dtype.kind in "biu":
        raise RuntimeError("Integer division with addcdiv is no longer supported, "
                           "and in a future release addcdiv will perform a true division of tensor1 and tensor2.")
    dtype = result_type(input, tensor1, tensor2)
    check_domain("addcdiv", dtype)
    return give(out, apply(TABLE["addcdiv"],
                           (*[stand_in(t, dtype) for t in (input, tensor1, tensor2)], operand(value))))


def isposinf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Where the value is +inf."""
    check_domain("isposinf", input._spec.dtype)
    return give(out, input == float("inf"))


def isneginf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Where the value is -inf."""
    check_domain("isneginf", input._spec.dtype)
    return give(out, input == float("-inf"))


def nan_to_num(input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None, *,
               out: Tensor | None = None) -> Tensor:
    """NaN and infinities replaced: by 0 and the largest numbers of the dtype unless given."""
    if not is_float(input):
        return give(out, input.clone())
    import ml_dtypes
    info = ml_dtypes.finfo(input._spec.dtype.to_real().numpy)
    values = (0.0 if nan is None else float(nan), float(info.max) if posinf is None else float(posinf),
              float(info.min) if neginf is None else float(neginf))
    return give(out, apply(TABLE["nan_to_num"], (input, *values)))


def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """log(x / (1 - x)), x limited to [eps, 1 - eps] first where eps is given."""
    check_domain("logit", input._spec.dtype)
    x = to_float(input)
    if eps is not None:
        x = clamp(x, eps, 1 - eps)
    return give(out, lying(log(x / (1 - x)), x))


def deg2rad(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Degrees to radians."""
    check_domain("deg2rad", input._spec.dtype)
    return give(out, lying_as(to_float(input) * 0.017453292519943295, input._spec))


def rad2deg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Radians to degrees."""
    check_domain("rad2deg", input._spec.dtype)
    return give(out, lying_as(to_float(input) * 57.29577951308232, input._spec))


def sinc(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """sin(πx) / (πx), 1 at 0."""
    x = to_float(input) * 3.141592653589793
    safe = where(x == 0, 1, x)
    return give(out, lying(where(x == 0, 1 + x * 0, sin(safe) / safe), input))


def ldexp(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input * 2 ** other."""
    need_tensor("ldexp", 1, "input", input)
    need_tensor("ldexp", 2, "other", other)
    wide = input._spec.dtype.to_real().name == "float64" if is_float(input) else False
    return give(out, mul(input, pow(tensor_of(2.0, input._spec.dtype.to_real()) if wide else 2.0, other)))


def logaddexp2(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """log2(2 ** x + 2 ** y)."""
    need_tensor("logaddexp2", 2, "other", other)
    check_domain("logaddexp2", result_type(input, other))
    high = maximum(input, other)
    safe = where(isinf(high), 0, high)
    return give(out, lying(log2(exp2(input - safe) + exp2(other - safe)) + safe, input, other))


def polygamma(n: Any, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The n-th derivative of digamma."""
    x = to_float(input)
    if not isinstance(n, Tensor):
        if n < 0:
            raise RuntimeError("polygamma(n, x) does not support negative n.")
        if n == 0:
            return give(out, digamma(x))
        n = float(n)
    return give(out, apply(TABLE["polygamma"], (n, x)))


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """|input - other| <= atol + rtol * |other|, elementwise."""
    need_tensor("isclose", 1, "input", input)
    need_tensor("isclose", 2, "other", other)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype} did not match {other.dtype}")
    for name, bound in (("rtol", rtol), ("atol", atol)):
        if bound < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {bound}")
    close = input == other
    if equal_nan:
        close = close | ((input != input) & (other != other))
    if is_float(input) or rtol or atol:
        a, b = to_float(input), to_float(other)
        bound = abs(b) * rtol + atol
        close = close | (isfinite(b) & (abs(a - b) <= bound))
    return lying(close, input, other)


__all__ = ["frac", "lerp", "addcmul", "addcdiv", "isposinf", "isneginf", "nan_to_num", "logit", "deg2rad", "rad2deg",
           "sinc", "ldexp", "logaddexp2", "polygamma", "isclose"]
