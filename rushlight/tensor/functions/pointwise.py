"""Elementwise functions."""

from __future__ import annotations

import builtins
from typing import Any

from rushlight.autograd.graph import Undefined
from rushlight.ir.dtype import HALF, bfloat16, bool_
from rushlight.ir.spec import elementwise_strides, spec
from rushlight.ops.domains import check_domain
from rushlight.ops.table import TABLE, Op, load
from rushlight.tensor.core import Tensor, apply, keeps, lasting
from rushlight.tensor.functions.checked import checked
from rushlight.tensor.functions.common import (NUMBERS, cast, fit, give, is_float, lying, lying_as, lying_at,
                                               need_tensor, operand, result_type, rewrite, settings, tensor_of, unify)
from rushlight.tensor.functions.histories import history_first, say_first
from rushlight.tensor.functions.older_forms import in_order
from rushlight.tensor.functions.precision import (EXACT_NUMBERS, SHORT, by_scalar, half_of, history_of, in_place_of,
                                                  once, rounded_number, tracked, with_gradient)
from rushlight.tensor.functions.unary_docs import unary_doc
from rushlight.tensor.state import state

load()


def unary(name: str, row: str | None = None, floating: bool = False, integer: str = "same", doc: str = "") -> Any:
    """A public function of one operand for a row. `integer`: integers are computed (same),
    returned as they are (keep) or promoted."""
    op = TABLE[row or name]

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor):
            need_tensor(name, 1, "input", input)
        kind = input._spec.dtype.kind
        if kind in "biu":
            if floating:
                input = cast(input, settings.default_dtype)
            elif integer == "keep":
                check_domain(name, input._spec.dtype)
                return give(out, lying(input.clone(), input))
        result = apply(op, (input,))
        return result if out is None else give(out, result)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc or unary_doc(name)
    return function


def binary(name: str, row: str | None = None, floating: bool = False, doc: str = "", tensors: str = "one") -> Any:
    """A public function of two operands for a row, with promotion and broadcasting. `tensors`: which must be no numbers
    (one, first, both)."""
    op = TABLE[row or name]

    def function(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        if not isinstance(input, Tensor) and (tensors != "one" or not isinstance(other, Tensor)):
            need_tensor(name, 1, "input", input)
        if tensors == "both" and not isinstance(other, Tensor):
            need_tensor(name, 2, "other", other)
        result = join(op, input, other, floating)
        return result if out is None else give(out, result)
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc or f"{name} of the elements of ``input`` and ``other``, broadcast to one shape."
    return function


def join(op: Op, x: Any, y: Any, floating: bool = False) -> Tensor:
    """Record an elementwise operation of two operands, of which one may be a number."""
    left, right = isinstance(x, Tensor), isinstance(y, Tensor)
    if left and right:
        have, other = x._spec.dtype, y._spec.dtype
        if have is other and not (floating and have.kind in "biu"):
            return keep_layout(op, x, y)
        if not op.differentiable:  # conversions are none of its history either, nor is what became of a view's base
            x, y = (t.detach() if t._base is not None else t for t in (x, y))
        if (have in HALF or other in HALF) and (found := by_scalar(op, x, y)) is not None:
            return found
    elif not left and not right:
        x = tensor_of(operand(x))
    x, y = unify(x, y, floating)
    if y.__class__ is builtins.float:
        if x._spec.dtype in HALF and op.name not in EXACT_NUMBERS:
            y = rounded_number(y, x._spec.dtype)
    elif x.__class__ is builtins.float and y._spec.dtype in HALF and op.name != "mul":
        x = rounded_number(x, y._spec.dtype)
    return keep_layout(op, x, y)


def keep_layout(op: Op, x: Any, y: Any) -> Tensor:
    """Record it; dense operands in another memory order give a result in that order, as in PyTorch."""
    return apply(op, (x, y))


exp, exp2, expm1 = unary("exp", floating=True), unary("exp2", floating=True), unary("expm1", floating=True)
log, log2, log10, log1p = (unary(n, floating=True) for n in ("log", "log2", "log10", "log1p"))
sin, cos, tan, sinh, cosh, tanh = (unary(n, floating=True) for n in ("sin", "cos", "tan", "sinh", "cosh", "tanh"))
asin, acos, atan, asinh, acosh, atanh = (unary(n, floating=True)
                                         for n in ("asin", "acos", "atan", "asinh", "acosh", "atanh"))
arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh
sqrt, _rsqrt, reciprocal, sigmoid = (unary(n, floating=True) for n in ("sqrt", "rsqrt", "reciprocal", "sigmoid"))
erf, erfc, erfinv, lgamma, digamma = (unary(n, floating=True) for n in ("erf", "erfc", "erfinv", "lgamma", "digamma"))
i0 = unary("i0", floating=True)
floor, ceil, trunc = (unary(n, integer="keep") for n in ("floor", "ceil", "trunc"))
fix = trunc
sign, sgn, relu = unary("sign"), unary("sgn"), unary("relu")
isnan, signbit, _isinf, _isfinite = (unary(n) for n in ("isnan", "signbit", "isinf", "isfinite"))
logical_not, bitwise_not = unary("logical_not"), unary("bitwise_not")
_abs, _neg = unary("abs"), unary("neg")
atan2, hypot = binary("atan2", floating=True, tensors="both"), binary("hypot", tensors="both")
copysign = binary("copysign", floating=True, tensors="first")
arctan2 = atan2
maximum, minimum, fmax, fmin = (binary(n, tensors="both") for n in ("maximum", "minimum", "fmax", "fmin"))
eq, ne, lt, le, gt, ge = (binary(n, tensors="first") for n in ("eq", "ne", "lt", "le", "gt", "ge"))
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
logical_and, logical_or, logical_xor = (binary(n, tensors="both") for n in ("logical_and", "logical_or", "logical_xor"))
bitwise_and, bitwise_or, bitwise_xor = (binary(n) for n in ("bitwise_and", "bitwise_or", "bitwise_xor"))
bitwise_left_shift, bitwise_right_shift = binary("bitwise_left_shift"), binary("bitwise_right_shift")
nextafter, gcd, lcm, logaddexp, _heaviside = (binary(n, tensors="both")
                                              for n in ("nextafter", "gcd", "lcm", "logaddexp", "heaviside"))
fmod, _remainder, _floor_divide = binary("fmod", tensors="first"), binary("remainder"), binary("floor_divide")
_xlogy = binary("xlogy", floating=True)
igamma, igammac = (binary(n, tensors="both") for n in ("igamma", "igammac"))


def abs_(self: Tensor) -> Tensor:
    """In-place absolute value. RuntimeError for complex tensors."""
    if self._spec.dtype.is_complex:
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    return rewrite(self, abs, ())


def abs(input: Tensor, *, out: Tensor | None = None) -> Tensor:  # noqa: A001
    """The absolute value of each element; of complex numbers the modulus, in the real type.

    Any shape; the same shape out.

    >>> import rushlight as rl
    >>> rl.abs(rl.tensor([-1.5, 2.0]))
    tensor([1.5000, 2.0000])
    >>> rl.abs(rl.tensor([3 + 4j]))
    tensor([5.])
    """
    return _abs(input, out=out)


absolute = abs


def neg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-input. RuntimeError for bool tensors."""
    if input._spec.dtype is bool_:
        raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. "
                           "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.")
    return _neg(input, out=out)


negative = neg


def rsqrt(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """1 / sqrt(input)."""
    if isinstance(input, Tensor) and input._spec.numel < SHORT and half_of(input):
        return give(out, history_of(TABLE["rsqrt"], (input,), lambda: reciprocal(sqrt(input))))
    return _rsqrt(input, out=out)


def xlogy(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input * log(other), 0 where input is 0."""
    both = isinstance(input, Tensor) and isinstance(other, Tensor) and input._spec.dtype is other._spec.dtype
    if both and half_of(input, other):
        return give(out, history_of(TABLE["xlogy"], (input, other),
                                    lambda: where(other != other, other, where(input == 0, 0, input * log(other)))))
    return _xlogy(input, other, out=out)


def isinf(input: Tensor) -> Tensor:
    """Where the value is infinite."""
    out = _isinf(input)
    return lying(out, out, 0) if is_float(input) else lying_as(out, input._spec)  # compared with a number


def isfinite(input: Tensor) -> Tensor:
    """Where the value is neither infinite nor NaN."""
    say_first((input,))  # its absolute value has one
    out = _isfinite(input)
    if not is_float(input):
        return lying_as(out, input._spec)
    s = out._spec  # compared with itself, and its absolute value with a number
    return out if s.ordinary or out._storage.batched else lying_at(
        out, elementwise_strides(s.shape, (s, s.at(s.shape, elementwise_strides(s.shape, (s,), True)))))


def floor_divide(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """floor(input / other), without a gradient as in PyTorch; ``div(…, rounding_mode="floor")`` has one (zero)."""
    result = _floor_divide(input, other, out=out)
    if result._rg and result is not out:
        result._grad_fn = Undefined("floor_divide", result._grad_fn)
    return result


def remainder(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The remainder of floor division, with the sign of `other`. As in PyTorch a number on the left has no gradient."""
    result = _remainder(input, other, out=out)
    if result._rg and result is not out and not isinstance(input, Tensor):
        result._grad_fn = Undefined("remainder", result._grad_fn)
    return result


def positive(input: Tensor) -> Tensor:
    """input itself. RuntimeError for bool tensors."""
    if input._spec.dtype is bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def add(input: Any, other: Any, *older: Any, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input + alpha * other. ``add(input, alpha, other)`` is an older form.

    >>> import rushlight as rl
    >>> rl.add(rl.tensor([1., 2.]), 3, alpha=2)
    tensor([7., 8.])
    """
    if older:
        (input, other), given = in_order("add", input, other, *older)
        return add(input, other, **given, out=out)
    return give(out, scaled(TABLE["add"], input, other, alpha))


def sub(input: Any, other: Any, *older: Any, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input - alpha * other. RuntimeError for bool tensors. ``sub(input, alpha, other)`` is an older form."""
    if older:
        (input, other), given = in_order("sub", input, other, *older)
        return sub(input, other, **given, out=out)
    for o in (input, other):
        if o.__class__ is bool or isinstance(o, Tensor) and o._spec.dtype is bool_:
            raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. "
                               "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead.")
    return give(out, scaled(TABLE["sub"], input, other, alpha))


subtract = sub


def scaled(op: Op, input: Any, other: Any, alpha: Any) -> Tensor:
    """The sum or difference of input and alpha * other, alpha checked as PyTorch checks it."""
    if alpha.__class__ is int and alpha == 1:
        return join(op, input, other)
    tensors = isinstance(input, Tensor) or isinstance(other, Tensor)
    dtype = result_type(input, other) if tensors else settings.default_dtype
    if isinstance(alpha, bool) and dtype is not bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and dtype.kind in "biu":
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if isinstance(alpha, builtins.complex) and not dtype.is_complex:
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    if dtype in HALF and half_of(input, other):
        return _scaled_half(op, input, other, alpha, dtype)
    if dtype.kind == "f" and (isinstance(input, Tensor) or isinstance(other, Tensor)):
        x, y, factor = (cast(o, dtype) if isinstance(o, Tensor) else operand(o) for o in (input, other, alpha))
        return lying(lasting(apply(TABLE[f"{op.name}_scaled"], (x, y, factor))), input, other)
    if isinstance(other, Tensor):
        share = lasting(mul(cast(other, dtype), builtins.bool(alpha) if dtype is bool_ else alpha))
        return lying(join(op, input, share), input, other)
    return join(op, input, builtins.bool(other * alpha) if dtype is bool_ else other * alpha)


def _scaled_half(op: Op, input: Any, other: Any, alpha: Any, dtype: Any) -> Tensor:
    """The same in half precision, where alpha is rounded too, but not in the gradient."""
    from rushlight.tensor.functions.shape import sum_to
    x, y = (cast(o, dtype) if isinstance(o, Tensor) else tensor_of(operand(o), dtype) for o in (input, other))
    factor = rounded_number(builtins.float(alpha), dtype)

    def compute() -> Tensor:
        joined = lambda a, b: apply(op, (a, apply(TABLE["mul"], (b, factor))))
        return lying(joined(x, y) if x._spec.numel < SHORT else once(joined, x, y), input, other)

    def rule(g: Tensor) -> tuple[Any, ...]:
        return sum_to(g, x._spec.shape), sum_to((g if op.name == "add" else -g) * alpha, y._spec.shape)
    return with_gradient(op.grad_name, (x, y), compute, rule)


def rsub(input: Tensor, other: Any, alpha: Any = 1) -> Tensor:
    """other - alpha * input."""
    need_tensor("rsub", 1, "input", input)
    return sub(other, input, alpha=alpha)


def mul(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input * other."""
    result = join(TABLE["mul"], input, other)
    return result if out is None else give(out, result)


multiply = mul


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None) -> Tensor:
    """input / other; rounding_mode "floor" or "trunc" rounds the quotient."""
    if rounding_mode is None:
        return give(out, join(TABLE["div"], input, other, True))
    if rounding_mode not in ("floor", "trunc"):
        raise RuntimeError("div expected rounding_mode to be one of None, 'trunc', "
                           f"or 'floor' but found '{rounding_mode}'")
    return give(out, join(TABLE["trunc_divide" if rounding_mode == "trunc" else "floor_divide"], input, other))


divide = div


def true_divide(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input / other in floating point."""
    return div(input, other, out=out)


def heaviside(input: Tensor, values: Tensor, *, out: Tensor | None = None) -> Tensor:
    """0 below 0, 1 above, `values` at 0.

    >>> import rushlight as rl
    >>> rl.heaviside(rl.tensor([-1., 0., 2.]), rl.tensor(0.5))
    tensor([0.0000, 0.5000, 1.0000])
    """
    if isinstance(input, Tensor) and isinstance(values, Tensor) and input._spec.dtype is not values._spec.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes. "
                           f"They are {input.dtype} and {values.dtype}.")
    return _heaviside(input, values, out=out)


def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:  # noqa: A001
    """input to the power exponent; one of the two may be a number.

    The shapes broadcast and the dtypes promote. RuntimeError for integers to negative integer powers.

    >>> import rushlight as rl
    >>> rl.pow(rl.tensor([1.0, 2.0]), 3)
    tensor([1., 8.])
    """
    if not isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        need_tensor("pow", 1, "input", input)
    if exponent.__class__ in NUMBERS and isinstance(input, Tensor):
        if exponent in (0, 1, 2) and (input._spec.dtype.kind != "b" or exponent.__class__ is builtins.bool):
            return give(out, small_power(cast(input, result_type(input, exponent)), exponent))
        if exponent in IN_STEPS and input._spec.dtype is bfloat16 and half_of(input):
            return give(out, history_of(TABLE["pow"], (input, exponent), lambda: IN_STEPS[exponent](input)))
        if exponent == 0.5 and input._spec.dtype.kind == "f" and not input._storage.batched:
            return give(out, history_of(TABLE["pow"], (input, exponent), lambda: sqrt(input)))
        if input._spec.dtype.kind in "biu" and isinstance(exponent, int) and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
    # the gradient takes the number as it is
    if (input.__class__ is builtins.float or exponent.__class__ is builtins.float) and half_of(input, exponent):
        result = history_of(TABLE["pow"], (input, exponent), lambda: join(TABLE["pow"], input, exponent))
    else:
        result = join(TABLE["pow"], input, exponent)
        if result._rg and isinstance(input, Tensor) and isinstance(exponent, Tensor):
            keeps(result, result=True)  # whichever gradient is wanted
    return give(out, result if isinstance(input, Tensor) or result._storage.batched
                else lying_as(result, spec(result._spec.dtype, result._spec.shape)))


# powers that PyTorch computes in bfloat16 by steps, each rounded
IN_STEPS = {3: lambda x: (x * x) * x, -2: lambda x: reciprocal(x * x), -0.5: lambda x: rsqrt(x)}


def small_power(x: Tensor, n: Any) -> Tensor:
    """x ** n for n = 0, 1, 2, computed without a power; its history is that
    of the power, whose derivatives never end."""
    if not (state.grad and tracked(x)) or x._storage.batched:
        if x._spec.dtype is bool_:
            return x.clone() if n else apply(TABLE["bitwise_or"], (x, True))
        return apply(TABLE["mul"], (x, x)) if n == 2 else join(TABLE["pow"], x, n)
    op, args = TABLE["pow"], (x, n)

    def value() -> Tensor:
        if n == 0:
            return apply(op, args)
        return apply(TABLE["mul"], (x, x if n == 2 else fit(n, x._spec.dtype)))

    return history_of(op, args, value)


def float_power(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """input ** exponent in float64 (complex128 where one is complex)."""
    from rushlight.ir.dtype import complex128, float64
    if not isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        need_tensor("float_power", 1, "input", input)
    given = (input, exponent)
    complexes = [o._spec.dtype.is_complex if isinstance(o, Tensor) else o.__class__ is complex for o in given]
    wide = complex128 if any(complexes) else float64
    up = [cast(o, wide) if isinstance(o, Tensor) else fit(o, wide) for o in given]
    return give(out, join(TABLE["pow"], *up))


def square(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input * input."""
    return pow(input, 2, out=out)


@history_first
def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:  # noqa: A002
    """input limited to [min, max]; limits are numbers or tensors, one may be None.

    The same shape out, broadcast with tensor limits. RuntimeError where both limits are None.

    >>> import rushlight as rl
    >>> rl.clamp(rl.tensor([-2.0, 0.5, 3.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    need_tensor("clamp", 1, "input", input)
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if input._storage.batched and input.is_quantized:
        return input.clamp(min, max)
    dtype = result_type(*[o for o in (input, min, max) if o is not None])
    check_domain("clamp", dtype)
    x = cast(input, dtype)
    if min is not None:
        x = join(TABLE["clamp_min"], x, cast(min, dtype) if isinstance(min, Tensor) else checked(min, dtype))
    if max is not None:
        low = x
        x = join(TABLE["clamp_max"], x, cast(max, dtype) if isinstance(max, Tensor) else checked(max, dtype))
        if low is not input and input._spec.dtype is dtype and not (isinstance(min, Tensor) or isinstance(max, Tensor)):
            in_place_of(x, "x", input)  # the same places are cut, and PyTorch keeps nothing else
    return give(out, lying(x, *[o for o in (input, min, max) if isinstance(o, Tensor)]))


clip = clamp


def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:  # noqa: A002
    """input, at least min."""
    return clamp(input, min, None, out=out)


def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:  # noqa: A002
    """input, at most max."""
    return clamp(input, None, max, out=out)


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Tensor | None = None) -> Any:
    """input where condition is true, else other; with the condition alone the positions of its true elements.

    All three broadcast to one shape; the dtype is what input and other promote to.

    >>> import rushlight as rl
    >>> x = rl.tensor([-1.0, 2.0])
    >>> rl.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if not isinstance(condition, Tensor):
        need_tensor("where", 1, "condition", condition)
    if condition._spec.dtype is not bool_:
        if condition._spec.dtype.name != "uint8":
            raise RuntimeError("expected condition to be a boolean tensor, "
                               f"but got a tensor with dtype {condition.dtype}")
        condition = cast(condition, bool_)
    dtype = result_type(input, other)
    x, y = (cast(o, dtype) if isinstance(o, Tensor) else checked(o, dtype, rounded=True) for o in (input, other))
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = tensor_of(x, dtype)
    return give(out, apply(TABLE["where"], (condition, x, y)))


def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:  # noqa: A001
    """To the nearest integer, halves to even; `decimals` digits after the point."""
    if not is_float(input):
        check_domain("round", input._spec.dtype)
        return give(out, lying(input.clone(), input))
    if decimals == 0:
        return give(out, apply(TABLE["round"], (input,)))
    scale = 10.0 ** builtin_abs(decimals)
    moved = input * scale if decimals > 0 else input / scale
    rounded = apply(TABLE["round"], (moved,))
    return give(out, rounded / scale if decimals > 0 else rounded * scale)


builtin_abs = __builtins__["abs"] if isinstance(__builtins__, dict) else __builtins__.abs


__all__ = ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh",
           "asin", "acos", "atan", "asinh", "acosh", "atanh", "arcsin", "arccos", "arctan", "arcsinh", "arccosh",
           "arctanh", "sqrt", "reciprocal", "sigmoid", "erf", "erfc", "erfinv", "lgamma", "digamma", "i0", "floor",
           "ceil", "trunc", "fix", "sign", "sgn", "relu", "isnan", "signbit", "logical_not", "bitwise_not", "atan2",
           "hypot", "copysign", "arctan2", "maximum", "minimum", "fmax", "fmin", "eq", "ne", "lt", "le", "gt", "ge",
           "greater", "greater_equal", "less", "less_equal", "not_equal", "logical_and", "logical_or", "logical_xor",
           "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift", "nextafter", "gcd",
           "lcm", "logaddexp", "fmod", "igamma", "igammac", "abs", "absolute", "neg", "negative", "rsqrt", "xlogy",
           "isinf", "isfinite", "floor_divide", "remainder", "positive", "add", "sub", "subtract", "rsub", "mul",
           "multiply", "div", "divide", "true_divide", "heaviside", "pow", "float_power", "square", "clamp", "clip",
           "clamp_min", "clamp_max", "where", "round"]
