"""Arithmetic on LLVM values written as arithmetic: lanes of reals, of integers and of truth values.

A `Real` wraps one value of type float, double, or a vector of them; `+ - * /` and the methods append instructions at
the builder's position. Python numbers become splatted constants. No fast-math flag is ever set: error-free
transformations such as `t - magic` mean what they say.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Union

import numpy as np
from llvmlite import ir

Number = Union[int, float]


@dataclass(frozen=True)
class Format:
    """What the algorithms need to know of binary32 or binary64."""

    bits: int  # of the whole word
    fraction: int  # bits of the stored significand
    bias: int  # of the exponent

    @cached_property
    def real(self) -> ir.Type:
        return ir.FloatType() if self.bits == 32 else ir.DoubleType()

    @cached_property
    def integer(self) -> ir.Type:
        return ir.IntType(self.bits)

    @cached_property
    def magic(self) -> float:
        """1.5 * 2**fraction: adding it rounds a small number to an integer, which then fills the lowest bits."""
        return 1.5 * 2.0 ** self.fraction

    @cached_property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    def pattern(self, value: float) -> int:
        """The bits of a number."""
        number, pattern = ("<f", "<I") if self.bits == 32 else ("<d", "<Q")
        return int(struct.unpack(pattern, struct.pack(number, value))[0])


SINGLE = Format(32, 23, 127)
DOUBLE = Format(64, 52, 1023)


def _like(shape: ir.Type, element: ir.Type) -> ir.Type:
    """`element` in as many lanes as `shape` has."""
    return ir.VectorType(element, shape.count) if isinstance(shape, ir.VectorType) else element


def _splat(shape: ir.Type, constant: ir.Constant) -> ir.Constant:
    if not isinstance(shape, ir.VectorType):
        return constant
    splat = ir.FormattedConstant(shape.element, f"splat ({constant.type} {constant.get_reference()})")
    splat.type = shape
    return splat


def _suffix(shape: ir.Type) -> str:
    element = shape.element if isinstance(shape, ir.VectorType) else shape
    name = "f32" if isinstance(element, ir.FloatType) else "f64"
    return f"v{shape.count}{name}" if isinstance(shape, ir.VectorType) else name


def _intrinsic(b: ir.IRBuilder, name: str, *args: ir.Value) -> ir.Value:
    """A call of `llvm.<name>`, one that the code generators expand in place (never exp, log, sin …)."""
    shape = args[0].type
    full = f"llvm.{name}.{_suffix(shape)}"
    callee = b.module.globals.get(full) or ir.Function(b.module, ir.FunctionType(shape, [shape] * len(args)), full)
    return b.call(callee, args)


@dataclass(frozen=True)
class Lanes:
    b: ir.IRBuilder
    v: ir.Value

    @property
    def shape(self) -> ir.Type:
        return self.v.type


class Mask(Lanes):
    """Truth values."""

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.b, self.b.and_(self.v, other.v))

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.b, self.b.or_(self.v, other.v))

    def __xor__(self, other: Mask) -> Mask:
        return Mask(self.b, self.b.xor(self.v, other.v))

    def __invert__(self) -> Mask:
        return Mask(self.b, self.b.not_(self.v))

    def pick(self, yes: Real | Number, no: Real | Number) -> Real:
        """yes where true, no elsewhere; one of the two must be a Real, or use `Real.choose`."""
        known = yes if isinstance(yes, Real) else no
        assert isinstance(known, Real)
        return Real(self.b, self.b.select(self.v, known.lift(yes).v, known.lift(no).v))


class Whole(Lanes):
    """Integers as wide as the reals they come from; shifts right are logical."""

    def _lift(self, other: Whole | int) -> ir.Value:
        if isinstance(other, Whole):
            return other.v
        element = self.shape.element if isinstance(self.shape, ir.VectorType) else self.shape
        other &= (1 << element.width) - 1
        signed = other - (1 << element.width) if other >> (element.width - 1) else other
        return _splat(self.shape, ir.Constant(element, signed))

    def __add__(self, other: Whole | int) -> Whole:
        return Whole(self.b, self.b.add(self.v, self._lift(other)))

    def __sub__(self, other: Whole | int) -> Whole:
        return Whole(self.b, self.b.sub(self.v, self._lift(other)))

    def __rsub__(self, other: int) -> Whole:
        return Whole(self.b, self.b.sub(self._lift(other), self.v))

    def __and__(self, other: Whole | int) -> Whole:
        return Whole(self.b, self.b.and_(self.v, self._lift(other)))

    def __or__(self, other: Whole | int) -> Whole:
        return Whole(self.b, self.b.or_(self.v, self._lift(other)))

    def __xor__(self, other: Whole | int) -> Whole:
        return Whole(self.b, self.b.xor(self.v, self._lift(other)))

    def __lshift__(self, by: int) -> Whole:
        return Whole(self.b, self.b.shl(self.v, self._lift(by)))

    def __rshift__(self, by: int) -> Whole:
        return Whole(self.b, self.b.lshr(self.v, self._lift(by)))

    def differs(self, other: Whole | int) -> Mask:
        return Mask(self.b, self.b.icmp_unsigned("!=", self.v, self._lift(other)))

    @property
    def real(self) -> Real:
        """The reals with these bits."""
        element = self.shape.element if isinstance(self.shape, ir.VectorType) else self.shape
        return Real(self.b, self.b.bitcast(self.v, _like(self.shape, (SINGLE if element.width == 32 else DOUBLE).real)))

    def narrowed(self) -> Whole:
        """The low 32 bits of each."""
        return Whole(self.b, self.b.trunc(self.v, _like(self.shape, SINGLE.integer)))


class Real(Lanes):
    """Floating-point numbers."""

    @property
    def format(self) -> Format:
        element = self.shape.element if isinstance(self.shape, ir.VectorType) else self.shape
        return SINGLE if isinstance(element, ir.FloatType) else DOUBLE

    @property
    def single(self) -> bool:
        return self.format is SINGLE

    def lift(self, other: Real | Number) -> Real:
        """A constant of my type (rounded to it); a Real passes unchanged."""
        if isinstance(other, Real):
            return other
        with np.errstate(over="ignore"):
            value = float(np.float32(other)) if self.single else float(other)
        return Real(self.b, _splat(self.shape, ir.Constant(self.format.real, value)))

    def __add__(self, other: Real | Number) -> Real:
        return Real(self.b, self.b.fadd(self.v, self.lift(other).v))

    __radd__ = __add__

    def __sub__(self, other: Real | Number) -> Real:
        return Real(self.b, self.b.fsub(self.v, self.lift(other).v))

    def __rsub__(self, other: Number) -> Real:
        return self.lift(other) - self

    def __mul__(self, other: Real | Number) -> Real:
        return Real(self.b, self.b.fmul(self.v, self.lift(other).v))

    __rmul__ = __mul__

    def __truediv__(self, other: Real | Number) -> Real:
        return Real(self.b, self.b.fdiv(self.v, self.lift(other).v))

    def __rtruediv__(self, other: Number) -> Real:
        return self.lift(other) / self

    def __neg__(self) -> Real:
        return Real(self.b, self.b.fneg(self.v))

    def __abs__(self) -> Real:
        return Real(self.b, _intrinsic(self.b, "fabs", self.v))

    def compare(self, relation: str, other: Real | Number) -> Mask:
        """An ordered comparison, false where either side is NaN."""
        return Mask(self.b, self.b.fcmp_ordered(relation, self.v, self.lift(other).v))

    def __lt__(self, other: Real | Number) -> Mask:
        return self.compare("<", other)

    def __gt__(self, other: Real | Number) -> Mask:
        return self.compare(">", other)

    def __le__(self, other: Real | Number) -> Mask:
        return self.compare("<=", other)

    def __ge__(self, other: Real | Number) -> Mask:
        return self.compare(">=", other)

    def equals(self, other: Real | Number) -> Mask:
        return self.compare("==", other)

    def is_nan(self) -> Mask:
        return Mask(self.b, self.b.fcmp_unordered("uno", self.v, self.v))

    def at_most(self, bound: Number) -> Real:
        """min(self, bound); NaN stays."""
        return (self > bound).pick(bound, self)

    def at_least(self, bound: Number) -> Real:
        """max(self, bound); NaN stays."""
        return (self < bound).pick(bound, self)

    def choose(self, where: Mask, yes: Number, no: Number) -> Real:
        """One of two constants of my type."""
        return where.pick(self.lift(yes), no)

    def with_sign_of(self, other: Real) -> Real:
        return Real(self.b, _intrinsic(self.b, "copysign", self.v, other.v))

    def sqrt(self) -> Real:
        return Real(self.b, _intrinsic(self.b, "sqrt", self.v))

    def nearest(self) -> Real:
        """Rounded to an integer, ties to even."""
        return Real(self.b, _intrinsic(self.b, "roundeven", self.v))

    @property
    def pattern(self) -> Whole:
        """The bits."""
        return Whole(self.b, self.b.bitcast(self.v, _like(self.shape, self.format.integer)))

    def widened(self) -> Real:
        """float as double."""
        return Real(self.b, self.b.fpext(self.v, _like(self.shape, DOUBLE.real)))

    def narrowed(self) -> Real:
        """double rounded to float."""
        return Real(self.b, self.b.fptrunc(self.v, _like(self.shape, SINGLE.real)))


def fma(x: Real, y: Real | Number, z: Real | Number) -> Real:
    """x*y + z, rounded once."""
    return Real(x.b, _intrinsic(x.b, "fma", x.v, x.lift(y).v, x.lift(z).v))


def polynomial(x: Real, coefficients: tuple[float, ...]) -> Real:
    """c0 + c1 x + c2 x^2 + … by Horner's rule."""
    *lower, top = coefficients
    total: Real | float = top
    for c in reversed(lower):
        total = fma(x, total, c)
    return x.lift(total)


def two_parts(form: Format, value: float, rest: float) -> tuple[float, float]:
    """A constant known as value + rest, as leading part and remainder in the given format."""
    if form is DOUBLE:
        return value, rest
    leading = float(np.float32(value))
    return leading, value - leading + rest
