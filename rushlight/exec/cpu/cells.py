"""Elementwise operations as LLVM instructions: one cell per row of the table.

A cell gets the emitter ``e`` (builder ``e.b``, kind of numbers ``e.kind``: f, i, u or b) and its operands, scalars or
vectors of one type; comparisons give i1. Half precision arrives as float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from rushlight.exec import splitmix
from rushlight.exec.cpu import vector_math
from rushlight.exec.cpu.vector_math.trigonometric import LARGEST_EXACT

Cell = Callable[..., Any]


def _pick(**by_kind: Cell) -> Cell:
    """A cell with a case per kind of numbers; f, i, u, b."""
    return lambda e, *xs: by_kind[e.kind](e, *xs)


def _compare(operator: str, unordered: bool = False) -> Cell:
    def cell(e: Any, x: Any, y: Any) -> Any:
        if e.kind == "f":
            return (e.b.fcmp_unordered if unordered else e.b.fcmp_ordered)(operator, x, y)
        return (e.b.icmp_signed if e.kind == "i" else e.b.icmp_unsigned)(operator, x, y)
    return cell


def _call(name: str) -> Cell:
    """An LLVM intrinsic on the operands' type that becomes machine instructions."""
    def cell(e: Any, *xs: Any) -> Any:
        return e.intrinsic(name, *xs)
    return cell


def _math(name: str) -> Cell:
    return lambda e, *xs: vector_math.emit(e.b, name, *xs)


def _periodic(name: str) -> Cell:
    """sin, cos or tan: by vectors as far as their reduction is exact, by the C library for larger numbers in float64."""
    def cell(e: Any, x: Any) -> Any:
        y = vector_math.emit(e.b, name, x)
        if not isinstance(getattr(x.type, "element", x.type), ir.DoubleType):
            return y
        b = e.b
        with b.goto_entry_block():
            arguments, results = b.alloca(x.type), b.alloca(x.type)
        b.store(y, results)
        large = b.fcmp_ordered(">=", e.intrinsic("fabs", x), e.constant(x.type, LARGEST_EXACT))
        count = getattr(x.type, "count", 1)
        some = b.icmp_unsigned("!=", b.bitcast(large, ir.IntType(count)), ir.Constant(ir.IntType(count), 0)) if count > 1 else large
        with b.if_then(some, likely=False):
            b.store(x, arguments)
            for lane in range(count):
                at = [ir.Constant(ir.IntType(64), lane)]
                number = b.load(b.gep(arguments, at, source_etype=ir.DoubleType()), typ=ir.DoubleType())
                with b.if_then(b.fcmp_ordered(">=", e.intrinsic("fabs", number), e.constant(number.type, LARGEST_EXACT)), likely=False):
                    place = b.gep(results, at, source_etype=ir.DoubleType())
                    place.type = ir.PointerType()  # of a double; llvmlite takes over the vector's
                    b.store(e.intrinsic(name, number), place)
        return b.load(results, typ=x.type)
    return cell


def _select(e: Any, c: Any, x: Any, y: Any) -> Any:
    return e.b.select(c, x, y)


def _is_nan(e: Any, x: Any) -> Any:
    return e.b.fcmp_unordered("uno", x, x)


def _beyond(e: Any, sign: str, x: Any, y: Any) -> Any:
    """y where it lies beyond x or is NaN, else x: the first of zeros, as in PyTorch."""
    return e.b.select(_is_nan(e, y), y, e.b.select(e.b.fcmp_ordered(sign, x, y), y, x))


def _largest(e: Any, x: Any, y: Any) -> Any:
    return _beyond(e, "<", x, y) if e.kind == "f" else e.intrinsic("smax" if e.kind == "i" else "umax", x, y)


def _smallest(e: Any, x: Any, y: Any) -> Any:
    return _beyond(e, ">", x, y) if e.kind == "f" else e.intrinsic("smin" if e.kind == "i" else "umin", x, y)


def _relu(e: Any, x: Any) -> Any:
    zero = e.constant(x.type, 0)
    if e.kind == "f":
        return e.b.select(e.b.fcmp_ordered("<", x, zero), zero, x)  # NaN and -0 stay
    return _largest(e, x, zero) if e.kind == "i" else x


def _relu_grad(e: Any, g: Any, y: Any) -> Any:
    zero = e.constant(y.type, 0)
    cut = e.b.fcmp_ordered("<=", y, zero) if e.kind == "f" else e.b.icmp_signed("<=", y, zero)  # where y is NaN, g stays
    return e.b.select(cut, e.constant(g.type, 0), g)


def _sign(e: Any, x: Any) -> Any:
    zero, one = e.constant(x.type, 0), e.constant(x.type, 1)
    if e.kind == "f":
        signed = e.b.select(e.b.fcmp_ordered(">", x, zero), one, e.b.select(e.b.fcmp_ordered("<", x, zero), e.constant(x.type, -1), zero))
        return e.b.select(_is_nan(e, x), x, signed)
    positive = e.b.select(e.b.icmp_signed(">", x, zero), one, zero)
    return e.b.select(e.b.icmp_signed("<", x, zero), e.constant(x.type, -1), positive)


def _absolute(e: Any, x: Any) -> Any:
    if e.kind == "f":
        return e.intrinsic("fabs", x)
    return e.b.select(e.b.icmp_signed("<", x, e.constant(x.type, 0)), e.b.neg(x), x) if e.kind == "i" else x


def _not_zero(e: Any, x: Any) -> Any:
    if e.kind == "b":
        return x
    return e.b.fcmp_unordered("!=", x, e.constant(x.type, 0)) if e.kind == "f" else e.b.icmp_signed("!=", x, e.constant(x.type, 0))


def _logical(name: str) -> Cell:
    return lambda e, x, y: getattr(e.b, name)(_not_zero(e, x), _not_zero(e, y))


def _fmax(e: Any, x: Any, y: Any) -> Any:
    return e.intrinsic("maxnum", x, y) if e.kind == "f" else _largest(e, x, y)


def _fmin(e: Any, x: Any, y: Any) -> Any:
    return e.intrinsic("minnum", x, y) if e.kind == "f" else _smallest(e, x, y)


def _one_over(e: Any, x: Any) -> Any:
    return e.b.fdiv(e.constant(x.type, 1), x)


def _nan_to_num(e: Any, x: Any, nan: Any, above: Any, below: Any) -> Any:
    infinity = e.constant(x.type, float("inf"))
    x = e.b.select(e.b.fcmp_ordered("==", x, infinity), above, x)
    x = e.b.select(e.b.fcmp_ordered("==", x, e.constant(x.type, float("-inf"))), below, x)
    return e.b.select(_is_nan(e, x), nan, x)


def draw(e: Any, start: Any, column: Any) -> Any:
    """The number in [0, 1) of a column, from the first counter of its row (`rushlight.exec.splitmix`)."""
    z = e.b.add(e.b.mul(column, e.constant(column.type, splitmix.signed(splitmix.GOLDEN))), start)
    for shift, factor in ((30, splitmix.FIRST), (27, splitmix.SECOND)):
        z = e.b.mul(e.b.xor(z, e.b.lshr(z, e.constant(z.type, shift))), e.constant(z.type, splitmix.signed(factor)))
    bits = e.b.trunc(e.b.lshr(z, e.constant(z.type, 40)), e.like(z, ir.IntType(32)))
    unit = e.b.sitofp(bits, e.like(z, ir.FloatType()))
    return e.b.fmul(unit, e.constant(unit.type, 2.0 ** -24))


FLOAT, INTEGER, NUMBER, ANY = "f", "iu", "fiu", "fiub"
# row -> (kinds of numbers that the cell handles, the cell)
CELLS: dict[str, tuple[str, Cell]] = {
    "add": (ANY, _pick(f=lambda e, x, y: e.b.fadd(x, y), i=lambda e, x, y: e.b.add(x, y), u=lambda e, x, y: e.b.add(x, y), b=lambda e, x, y: e.b.or_(x, y))),
    "sub": (NUMBER, _pick(f=lambda e, x, y: e.b.fsub(x, y), i=lambda e, x, y: e.b.sub(x, y), u=lambda e, x, y: e.b.sub(x, y))),
    "mul": (ANY, _pick(f=lambda e, x, y: e.b.fmul(x, y), i=lambda e, x, y: e.b.mul(x, y), u=lambda e, x, y: e.b.mul(x, y), b=lambda e, x, y: e.b.and_(x, y))),
    "div": (FLOAT, lambda e, x, y: e.b.fdiv(x, y)),
    "neg": (NUMBER, _pick(f=lambda e, x: e.b.fneg(x), i=lambda e, x: e.b.neg(x), u=lambda e, x: e.b.neg(x))),
    "reciprocal": (FLOAT, _one_over),
    "sqrt": (FLOAT, _call("sqrt")),
    "rsqrt": (FLOAT, lambda e, x: _one_over(e, e.intrinsic("sqrt", x))),
    "abs": (NUMBER, _absolute), "sign": ("fi", _sign), "sgn": ("fi", _sign),
    "floor": (FLOAT, _call("floor")), "ceil": (FLOAT, _call("ceil")), "trunc": (FLOAT, _call("trunc")), "round": (FLOAT, _call("rint")),
    "relu": (NUMBER, _relu), "relu_grad": ("fi", _relu_grad),
    "maximum": (ANY, _pick(f=_largest, i=_largest, u=_largest, b=lambda e, x, y: e.b.or_(x, y))),
    "minimum": (ANY, _pick(f=_smallest, i=_smallest, u=_smallest, b=lambda e, x, y: e.b.and_(x, y))),
    "clamp_min": (NUMBER, _largest), "clamp_max": (NUMBER, _smallest), "fmax": (NUMBER, _fmax), "fmin": (NUMBER, _fmin),
    "eq": (ANY, _compare("==")), "ne": (ANY, _compare("!=", unordered=True)), "lt": (ANY, _compare("<")), "le": (ANY, _compare("<=")),
    "gt": (ANY, _compare(">")), "ge": (ANY, _compare(">=")),
    "logical_and": (ANY, _logical("and_")), "logical_or": (ANY, _logical("or_")), "logical_xor": (ANY, _logical("xor")),
    "logical_not": (ANY, lambda e, x: e.b.not_(_not_zero(e, x))),
    "bitwise_and": ("iub", lambda e, x, y: e.b.and_(x, y)), "bitwise_or": ("iub", lambda e, x, y: e.b.or_(x, y)),
    "bitwise_xor": ("iub", lambda e, x, y: e.b.xor(x, y)), "bitwise_not": ("iub", lambda e, x: e.b.not_(x)),
    "where": (ANY, _select), "isnan": (FLOAT, _is_nan),
    "isinf": (FLOAT, lambda e, x: e.b.fcmp_ordered("==", e.intrinsic("fabs", x), e.constant(x.type, float("inf")))),
    "isfinite": (FLOAT, lambda e, x: e.b.fcmp_ordered("<", e.intrinsic("fabs", x), e.constant(x.type, float("inf")))),
    "copysign": (FLOAT, _call("copysign")), "fma": (FLOAT, _call("fma")), "nan_to_num": (FLOAT, _nan_to_num),
    "copy": (ANY, lambda e, x: x), "reversed": (ANY, lambda e, x: x), "full": (ANY, lambda e, x: x), "complex": (FLOAT, lambda e, x, y: (x, y)),
    **{name: (FLOAT, _math(name)) for name in sorted(vector_math.FUNCTIONS)},
    "quick_tanh": (FLOAT, _math("quick_tanh")),
    **{name: (FLOAT, _periodic(name)) for name in ("sin", "cos", "tan")},
}
EXPENSIVE = frozenset(vector_math.FUNCTIONS) | {"quick_tanh", "div", "sqrt", "rsqrt", "reciprocal"}
COUNTING = frozenset(("position", "splitmix"))  # what depends on an element's column
REDUCTIONS = {"sum": NUMBER, "amax": NUMBER, "amin": NUMBER, "prod": NUMBER, "any": ANY, "all": ANY}


def constant(type_: Any, value: float) -> ir.Constant:
    """A number as a scalar or in every lane."""
    scalar = getattr(type_, "element", type_)
    value = float(value) if isinstance(scalar, (ir.FloatType, ir.DoubleType)) else int(value)
    return ir.Constant(type_, [value] * type_.count if hasattr(type_, "element") else value)
