"""Type promotion: PyTorch's table, with Python numbers and 0-d tensors weaker than tensors with dimensions."""

from __future__ import annotations

from typing import Any

from rushlight.ir import dtype as d
from rushlight.ir.dtype import DType
from rushlight.tensor.state import settings

CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}
NUMBER_CATEGORY = {bool: 0, int: 1, float: 2, complex: 3}


def promote_types(type1: DType, type2: DType) -> DType:
    """The smallest type that holds both, by PyTorch's table.

    >>> promote_types(d.uint8, d.int8), promote_types(d.int64, d.float16)
    (torch.int16, torch.float16)
    """
    a, b = type1, type2
    if a is b:
        return a
    if a in d.FLOAT8 or b in d.FLOAT8:
        from rushlight.ops.domains import SCALAR_NAMES
        raise RuntimeError("Promotion for Float8 Types is not supported, "
                           f"attempted to promote {SCALAR_NAMES[a.name]} and {SCALAR_NAMES[b.name]}")
    ca, cb = CATEGORY[a.kind], CATEGORY[b.kind]
    if ca != cb:
        low, high = (a, b) if ca < cb else (b, a)
        if high.is_complex and low in (d.float64,):
            return d.complex128
        return high
    if a.is_complex:
        return d.complex128
    if a.is_floating_point:
        if {a, b} == {d.float16, d.bfloat16}:
            return d.float32
        return a if a.rank > b.rank else b
    if "u" in (a.kind, b.kind) and a.kind != b.kind:
        unsigned, signed = (a, b) if a.kind == "u" else (b, a)
        if signed.itemsize > unsigned.itemsize:
            return signed
        return {1: d.int16, 2: d.int32, 4: d.int64, 8: d.float32}[unsigned.itemsize]
    return a if a.itemsize > b.itemsize else b


def number_dtype(value: Any) -> DType:
    """The type that a Python number has where no tensor says otherwise."""
    kind = type(value)
    if kind is bool:
        return d.bool_
    if kind is int:
        return d.int64
    return settings.default_dtype.to_complex() if kind is complex else settings.default_dtype


def result_type(*operands: Any) -> DType:
    """The type of an operation's result: tensors with dimensions decide,
    0-d tensors and then numbers only raise its category."""
    ranks: list[DType | None] = [None, None, None]  # tensors with dimensions, 0-d tensors, numbers
    for o in operands:
        s = getattr(o, "_spec", None)
        level, dtype = (2, number_dtype(o)) if s is None else (0 if s.shape else 1, s.dtype)
        have = ranks[level]
        ranks[level] = dtype if have is None else promote_types(have, dtype)
    out: DType | None = None
    for dtype in ranks:
        if dtype is None:
            continue
        if out is None:
            out = dtype
        elif CATEGORY[dtype.kind] > CATEGORY[out.kind]:
            if dtype.is_complex and dtype is ranks[2] and out.is_floating_point:
                dtype = out.to_complex()
            joins = out.is_floating_point and dtype.is_complex and dtype is not ranks[2]
            out = promote_types(out, dtype) if joins else dtype
    assert out is not None
    return out


def can_cast(from_: DType, to: DType) -> bool:
    """Whether results of one type may be stored in place in another (no loss of category)."""
    if from_.is_complex and not to.is_complex:
        return False
    if from_.is_floating_point and to.kind in "iub":
        return False
    return not (from_.kind in "iu" and to.kind == "b")
