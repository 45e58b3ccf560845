"""Types and numbers in LLVM IR: memory and register forms of the dtypes, loads, stores, casts, reductions of vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from rushlight.exec.cpu.cells import constant

I1, I8, I16, I32, I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()
POINTER = ir.PointerType()
# dtype -> (type in memory, type in registers, kind, bytes)
FORMS: dict[str, tuple[Any, Any, str, int]] = {
    "float32": (F32, F32, "f", 4), "float64": (F64, F64, "f", 8), "float16": (F16, F32, "f", 2), "bfloat16": (I16, F32, "f", 2),
    "int8": (I8, I8, "i", 1), "int16": (I16, I16, "i", 2), "int32": (I32, I32, "i", 4), "int64": (I64, I64, "i", 8),
    "uint8": (I8, I8, "u", 1), "bool": (I8, I1, "b", 1),
}
HALF = ("float16", "bfloat16")


class Scalars:
    """Instructions on numbers, one or ``lanes`` at a time, at the end of a builder's block."""

    def __init__(self, b: Any, lanes: int):
        self.b = b
        self.lanes = lanes
        self.kind = "f"  # of the operands of the statement that is being written

    # --- types ----------------------------------------------------------------------------------------------------
    @staticmethod
    def memory(dtype: str) -> Any:
        return FORMS[dtype][0]

    @staticmethod
    def register(dtype: str) -> Any:
        return FORMS[dtype][1]

    @staticmethod
    def kind_of(dtype: str) -> str:
        return FORMS[dtype][2]

    def vector(self, dtype: str) -> Any:
        return ir.VectorType(FORMS[dtype][1], self.lanes)

    def constant(self, type_: Any, value: float) -> Any:
        return constant(type_, value)

    def like(self, value: Any, scalar: Any) -> Any:
        """A scalar type, or the vector of it when the value is a vector."""
        return ir.VectorType(scalar, value.type.count) if isinstance(value.type, ir.VectorType) else scalar

    def splat(self, scalar: Any) -> Any:
        type_ = ir.VectorType(scalar.type, self.lanes)
        one = self.b.insert_element(ir.Constant(type_, ir.Undefined), scalar, ir.Constant(I32, 0))
        return self.b.shuffle_vector(one, ir.Constant(type_, ir.Undefined), ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes))

    def intrinsic(self, name: str, *xs: Any) -> Any:
        """llvm.name on operands of one type."""
        type_ = xs[0].type
        return self._intrinsic(f"llvm.{name}.{_suffix(type_)}", type_, xs)

    def _intrinsic(self, name: str, result: Any, xs: tuple[Any, ...]) -> Any:
        module = self.b.module
        found = module.globals.get(name)
        if found is None:
            found = ir.Function(module, ir.FunctionType(result, [x.type for x in xs]), name)
        return self.b.call(found, xs)

    # --- memory ---------------------------------------------------------------------------------------------------
    def load(self, place: Any, dtype: str, mask: Any) -> Any:
        """Adjacent elements, as they are in memory; zeros outside the mask."""
        memory, _, _, size = FORMS[dtype]
        type_ = ir.VectorType(memory, self.lanes)
        if mask is None:
            value = self.b.load(place, typ=type_)
            value.align = size
            return value
        return self._intrinsic(f"llvm.masked.load.{_suffix(type_)}.p0", type_, (place, ir.Constant(I32, size), mask, ir.Constant(type_, None)))

    def load_paired(self, place: Any, dtype: str, mask: Any) -> Any:
        """Every second element; those between are not touched."""
        memory, _, _, size = FORMS[dtype]
        type_ = ir.VectorType(memory, 2 * self.lanes)
        none = ir.Constant(ir.VectorType(I1, self.lanes), [0] * self.lanes)
        mask = ir.Constant(ir.VectorType(I1, self.lanes), [1] * self.lanes) if mask is None else mask
        between = self._lanes(mask, none, [lane for i in range(self.lanes) for lane in (i, self.lanes)])
        both = self._intrinsic(f"llvm.masked.load.{_suffix(type_)}.p0", type_, (place, ir.Constant(I32, size), between, ir.Constant(type_, None)))
        return self._lanes(both, both, [2 * i for i in range(self.lanes)])

    def store_twice(self, value: Any, place: Any, mask: Any) -> None:
        """Each element to two adjacent places."""
        twice = [i // 2 for i in range(2 * self.lanes)]
        self.store(self._lanes(value, value, twice), place, None if mask is None else self._lanes(mask, mask, twice))

    def store_joined(self, x: Any, y: Any, place: Any, mask: Any) -> None:
        """The elements of two vectors, or two numbers, in turn."""
        if not isinstance(x.type, ir.VectorType):
            for at, value in enumerate((x, y)):
                self.store(value, self.b.gep(place, [ir.Constant(I32, at)], source_etype=value.type), None)
            return
        turns = [lane for i in range(self.lanes) for lane in (i, i + self.lanes)]
        self.store(self._lanes(x, y, turns), place, None if mask is None else self._lanes(mask, mask, [i // 2 for i in range(2 * self.lanes)]))

    def _lanes(self, x: Any, y: Any, places: list[int]) -> Any:
        """The lanes of two vectors, counted through both."""
        return self.b.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(places)), places))

    def gather(self, place: Any, dtype: str, stride: Any, iota: Any, mask: Any) -> Any:
        """Elements a stride apart."""
        memory, _, _, size = FORMS[dtype]
        type_ = ir.VectorType(memory, self.lanes)
        places = self.b.gep(place, [self.b.mul(iota, self.splat(stride))], source_etype=memory)
        if not isinstance(places.type, ir.VectorType):
            places.type = ir.VectorType(POINTER, self.lanes)  # llvmlite infers a single pointer
        if mask is None:
            mask = ir.Constant(ir.VectorType(I1, self.lanes), [1] * self.lanes)
        return self._intrinsic(f"llvm.masked.gather.{_suffix(type_)}.v{self.lanes}p0", type_,
                               (places, ir.Constant(I32, size), mask, ir.Constant(type_, None)))

    def store(self, value: Any, place: Any, mask: Any) -> None:
        """Write adjacent elements in their memory form."""
        scalar = value.type.element if isinstance(value.type, ir.VectorType) else value.type
        size = 2 if isinstance(scalar, ir.HalfType) else 4 if isinstance(scalar, ir.FloatType) else 8 if isinstance(scalar, ir.DoubleType) \
            else scalar.width // 8
        if mask is None:
            self.b.store(value, place).align = size
        else:
            self._intrinsic(f"llvm.masked.store.{_suffix(value.type)}.p0", ir.VoidType(), (value, place, ir.Constant(I32, size), mask))

    def scatter(self, value: Any, place: Any, dtype: str, stride: Any, iota: Any, mask: Any) -> None:
        """Write elements a stride apart, in their memory form."""
        memory, _, _, size = FORMS[dtype]
        places = self.b.gep(place, [self.b.mul(iota, self.splat(stride))], source_etype=memory)
        if not isinstance(places.type, ir.VectorType):
            places.type = ir.VectorType(POINTER, self.lanes)
        if mask is None:
            mask = ir.Constant(ir.VectorType(I1, self.lanes), [1] * self.lanes)
        self._intrinsic(f"llvm.masked.scatter.{_suffix(value.type)}.v{self.lanes}p0", ir.VoidType(), (value, places, ir.Constant(I32, size), mask))

    def widen(self, value: Any, dtype: str) -> Any:
        """From the memory form to the register form."""
        if dtype == "float16":
            return self.b.fpext(value, self.like(value, F32))
        if dtype == "bfloat16":
            wide = self.b.zext(value, self.like(value, I32))
            return self.b.bitcast(self.b.shl(wide, constant(wide.type, 16)), self.like(value, F32))
        if dtype == "bool":
            return self.b.icmp_unsigned("!=", value, constant(value.type, 0))
        return value

    def narrow(self, value: Any, dtype: str) -> Any:
        """From the register form to the memory form; halves round to nearest, ties to even."""
        if dtype == "float16":
            return self.b.fptrunc(value, self.like(value, F16))
        if dtype == "bool":
            return self.b.zext(value, self.like(value, I8))
        if dtype != "bfloat16":
            return value
        bits = self.b.bitcast(value, self.like(value, I32))
        odd = self.b.and_(self.b.lshr(bits, constant(bits.type, 16)), constant(bits.type, 1))
        rounded = self.b.add(bits, self.b.add(odd, constant(bits.type, 0x7FFF)))
        nan = self.b.fcmp_unordered("uno", value, value)
        quiet = self.b.or_(bits, constant(bits.type, 0x400000))
        kept = self.b.lshr(self.b.select(nan, quiet, rounded), constant(bits.type, 16))
        return self.b.trunc(kept, self.like(value, I16))

    def round(self, value: Any, dtype: str) -> Any:
        """A computed value as precise as its dtype."""
        return self.widen(self.narrow(value, dtype), dtype) if dtype in HALF else value

    # --- numbers and casts ----------------------------------------------------------------------------------------
    def number(self, kind: str, value: Any, dtype: str) -> Any:
        """A Python number, double or 64-bit integer, as a scalar of a dtype; beside halves as float32."""
        return self.cast(value, "float64" if kind == "float" else "int64", dtype)

    def cast(self, value: Any, source: str, target: str) -> Any:
        """Conversion as in C: towards zero for integers, nonzero for bool."""
        have, want = FORMS[source], FORMS[target]
        type_ = self.like(value, want[1])
        rules = {
            "ff": self._float_to_float, "fi": self._float_to_integer, "fu": self._float_to_integer,
            "fb": lambda v, t: self.b.fcmp_unordered("!=", v, constant(v.type, 0)),
            "if": self.b.sitofp, "uf": self.b.uitofp, "bf": self.b.uitofp,
            "ib": lambda v, t: self.b.icmp_signed("!=", v, constant(v.type, 0)), "ub": lambda v, t: self.b.icmp_signed("!=", v, constant(v.type, 0)),
            "bi": self.b.zext, "bu": self.b.zext, "bb": lambda v, t: v,
        }
        rule = rules.get(have[2] + want[2])
        if rule is not None:
            return rule(value, type_)
        if have[3] == want[3]:
            return value
        return self.b.trunc(value, type_) if have[3] > want[3] else (self.b.sext if have[2] == "i" else self.b.zext)(value, type_)

    def _float_to_float(self, value: Any, type_: Any) -> Any:
        have, want = _scalar(value.type), _scalar(type_)
        if isinstance(have, type(want)):
            return value
        return self.b.fpext(value, type_) if isinstance(want, ir.DoubleType) else self.b.fptrunc(value, type_)

    def _float_to_integer(self, value: Any, type_: Any) -> Any:
        wide = self.b.fptosi(value, self.like(value, I64))
        return wide if _scalar(type_).width == 64 else self.b.trunc(wide, type_)

    # --- reductions -----------------------------------------------------------------------------------------------
    def neutral(self, name: str, dtype: str) -> Any:
        """The vector that changes nothing under a reduction."""
        _, register, kind, size = FORMS[dtype]
        least = {"f": float("-inf"), "i": -(1 << (8 * size - 1)), "u": 0, "b": 0}[kind]
        most = {"f": float("inf"), "i": (1 << (8 * size - 1)) - 1, "u": (1 << (8 * size)) - 1, "b": 1}[kind]
        return constant(ir.VectorType(register, self.lanes), {"sum": 0, "prod": 1, "amax": least, "amin": most, "any": 0, "all": 1}[name])

    def combine(self, name: str, x: Any, y: Any, dtype: str) -> Any:
        """One step of a reduction."""
        kind = FORMS[dtype][2]
        if name in ("sum", "prod"):
            f, i = (self.b.fadd, self.b.add) if name == "sum" else (self.b.fmul, self.b.mul)
            return f(x, y) if kind == "f" else i(x, y)
        if name in ("any", "all"):
            return self.b.or_(x, y) if name == "any" else self.b.and_(x, y)
        if kind == "f":
            return self.b.select(self.b.fcmp_unordered("uno", y, y), y, self.extreme(name, x, y))
        return self.intrinsic(("s" if kind == "i" else "u") + ("max" if name == "amax" else "min"), x, y)

    def extreme(self, name: str, x: Any, y: Any) -> Any:
        """The larger (or smaller) of floating-point numbers, x where y is NaN: one instruction. Zeros of two signs are equal."""
        return self.b.select(self.b.fcmp_ordered(">" if name == "amax" else "<", y, x), y, x)

    def fold(self, name: str, vector: Any, dtype: str, combine: Callable[[Any, Any], Any] | None = None) -> Any:
        """All lanes into one scalar, pairwise: halves as vectors of their own.

        Shuffles within a vector of one length are read wrongly by LLVM 22's x86 backend: beside a second reduction of
        the same loop the last step took lane 0 where lane 1 was meant.
        """
        width = self.lanes
        while width > 1:
            width //= 2
            low, high = [self.b.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(I32, width), [*range(at, at + width)]))
                         for at in (0, width)]
            vector = self.combine(name, low, high, dtype) if combine is None else combine(low, high)
        return self.b.extract_element(vector, ir.Constant(I32, 0))


def _scalar(type_: Any) -> Any:
    return type_.element if isinstance(type_, ir.VectorType) else type_


def _suffix(type_: Any) -> str:
    """The name of a type within an intrinsic's name."""
    scalar = _scalar(type_)
    names = {ir.FloatType: "f32", ir.DoubleType: "f64", ir.HalfType: "f16"}
    name = names.get(type(scalar)) or f"i{scalar.width}"
    return f"v{type_.count}{name}" if isinstance(type_, ir.VectorType) else name
