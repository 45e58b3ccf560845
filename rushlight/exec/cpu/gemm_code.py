"""What the kernels of matrix products share: number types, how elements are read, multiplied and written, and functions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from rushlight.exec.cpu import host
from rushlight.exec.cpu.code import I64, POINTER
from rushlight.exec.cpu.scalars import F32, HALF, I16, I32, Scalars
from rushlight.exec.cpu.tiles import Form, Vectors, const

# what products of a type are summed in; integers wrap around, so 32 bits give the same low bits as fewer
SUMS = {"float32": "float32", "float64": "float64", "bfloat16": "float32", "float16": "float32", "int8": "int32", "uint8": "int32",
        "int16": "int32", "int32": "int32", "int64": "int64"}


def narrow(dtype: str) -> bool:
    """Whether elements are narrower than their sums."""
    return SUMS[dtype] != dtype


def paired(dtype: str) -> bool:
    """Whether packed elements are pairs, for k and k + 1: processors with bfloat16 multiply two at once and add them to a sum."""
    return dtype == "bfloat16" and Form(SUMS[dtype]).lanes == 16 and "avx512bf16" in host.features()


class BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's type of bfloat16, which llvmlite has no class for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat)

    def __hash__(self) -> int:
        return hash(BFloat)


class Product(Vectors):
    """A function on elements of a dtype, with vectors as long as those of sums."""

    def __init__(self, function: Any, dtype: str):
        super().__init__(function, Form(SUMS[dtype]))
        self.dtype = dtype
        self.paired = paired(dtype)

    def element(self, base: Any, offset: Any) -> Any:
        """The address of an element of an operand or of the result."""
        return self.at(base, offset, Scalars.memory(self.dtype))

    def read(self, place: Any, mask: Any = None) -> Any:
        """Adjacent elements, as wide as sums."""
        return self.wide(self.s.load(place, self.dtype, mask))

    def wide(self, value: Any) -> Any:
        if self.dtype in HALF:
            return self.s.widen(value, self.dtype)
        return self.s.cast(value, self.dtype, self.form.dtype)

    def write(self, value: Any, place: Any, mask: Any = None) -> None:
        """Sums as elements of the result."""
        value = self.s.narrow(value, self.dtype) if self.dtype in HALF else self.s.cast(value, self.form.dtype, self.dtype)
        self.s.store(value, place, mask)

    def pairs(self, low: Any, high: Any) -> Any:
        """Elements for k and for k + 1, as they are in memory, as packed ones."""
        wide = self.s.like(low, I32)
        high = self.b.shl(self.b.zext(high, wide), ir.Constant(wide, [16] * wide.count if isinstance(wide, ir.VectorType) else 16))
        return self.b.bitcast(self.b.or_(self.b.zext(low, wide), high), self.s.like(low, F32))

    def adjacent_pairs(self, place: Any, left: Any = None) -> Any:
        """A vector of packed elements that lie so in memory; zeros behind the elements that are left."""
        type_ = ir.VectorType(I16, 2 * self.form.lanes)
        if left is None:
            value = self.b.load(place, typ=type_, align=2)
        else:
            count = self.b.trunc(self.least(left, const(type_.count)), I16)
            counts = self.b.shuffle_vector(self.b.insert_element(ir.Constant(type_, ir.Undefined), count, ir.Constant(I32, 0)),
                                           ir.Constant(type_, ir.Undefined), ir.Constant(ir.VectorType(I32, type_.count), None))
            mask = self.b.icmp_signed("<", ir.Constant(type_, list(range(type_.count))), counts)
            value = self._intrinsic(f"llvm.masked.load.v{type_.count}i16.p0", type_, place, ir.Constant(I32, 2), mask, ir.Constant(type_, None))
        return self.b.bitcast(value, self.form.vector)

    def multiply(self, x: Any, y: Any, z: Any) -> Any:
        """z + x · y of packed elements."""
        if not self.paired:
            return self.fma(x, y, z)
        type_ = ir.VectorType(BFloat(), 2 * self.form.lanes)
        return self._intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", z.type, z, self.b.bitcast(x, type_), self.b.bitcast(y, type_))

    def _intrinsic(self, name: str, result: Any, *args: Any) -> Any:
        found = self.b.module.globals.get(name) or ir.Function(self.b.module, ir.FunctionType(result, [a.type for a in args]), name)
        return self.b.call(found, args)

    def add(self, x: Any, y: Any) -> Any:
        return self.b.fadd(x, y) if self.s.kind_of(self.dtype) == "f" else self.b.add(x, y)

    def positive(self, value: Any) -> Any:
        """max(value, 0); NaN and -0 stay, as in relu alone."""
        test = self.b.fcmp_ordered if self.s.kind_of(self.dtype) == "f" else self.b.icmp_signed
        zero = ir.Constant(value.type, None)
        return self.b.select(test("<", value, zero), zero, value)

    def is_set(self, flags: Any, bit: int) -> Any:
        return self.b.icmp_signed("!=", self.b.and_(flags, const(bit)), const(0))


def function(module: Any, name: str, dtype: str, arguments: str) -> tuple[Product, dict[str, Any]]:
    """A function of the module and its arguments by name; those that begin with * are addresses."""
    names = arguments.split()
    made = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER if n[0] == "*" else I64 for n in names]), name)
    made.linkage = "internal"
    made.attributes.add("noinline")
    return Product(made, dtype), dict(zip((n.lstrip("*") for n in names), made.args))
