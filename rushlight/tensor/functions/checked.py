"""Numbers as PyTorch's kernels take them: an error where the kernel's type cannot hold the value."""

from __future__ import annotations

import math
from typing import Any

from rushlight.ir.dtype import DType, float64
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.common import fit, operand

GREATEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38,
            "float64": math.inf}
NAMES = {"uint8": "uint8_t", "int16": "int16_t", "int8": "int8_t", "int32": "int", "int64": "int64_t",
         "float16": "c10::Half", "bfloat16": "c10::BFloat16",
         "float32": "float", "float64": "double", "complex64": "c10::complex<float>",
         "complex128": "c10::complex<double>"}


def overflows(value: Any, dtype: DType) -> bool:
    """Whether PyTorch refuses to convert a number: -1 to uint8 wraps around,
    256 and -1.5 are errors; infinity is no overflow."""
    if dtype.kind == "b":
        return False
    if value.__class__ is complex:
        if dtype.is_complex:
            return overflows(value.real, dtype) or overflows(value.imag, dtype)
        if value.imag:
            return True
        value = value.real
    if dtype.kind in "iu":
        bits = dtype.itemsize * 8
        least, most = (0, (1 << bits) - 1) if dtype.kind == "u" else (-1 << (bits - 1), (1 << (bits - 1)) - 1)
        if value.__class__ is float:
            return not least <= value <= most
        return value > most or value < (-most if dtype.kind == "u" else least)
    most = _greatest(dtype)
    return dtype is not float64 and abs(value) > most and not math.isinf(value)


def _greatest(dtype: DType) -> float:
    return GREATEST.get((dtype.to_real() if dtype.is_complex else dtype).name, math.inf)


def checked(value: Any, dtype: DType, rounded: bool = False) -> Any:
    """A number as the Python type of a dtype. RuntimeError where it overflows;
    `rounded`: half floats then hold infinity."""
    value = operand(value)
    held = float64 if rounded and dtype.kind == "f" and dtype.itemsize == 2 else dtype
    if value.__class__.__name__ != "Symbol" and overflows(value, held):
        raise RuntimeError(f"value cannot be converted to type {NAMES.get(held.name, held.name)} without overflow")
    if value.__class__ is complex and not dtype.is_complex and dtype.kind != "b":
        value = value.real
    return fit(value, dtype)


def check_value(value: Tensor, dtype: DType) -> None:
    """RuntimeError where the number in a tensor overflows; it is looked at only where its type allows that."""
    have = value._spec.dtype
    if have is dtype or "b" in (have.kind, dtype.kind) or _holds(dtype, have):
        return
    checked(value.reshape(()).item(), dtype)


def _holds(dtype: DType, have: DType) -> bool:
    """Whether no number of type ``have`` overflows ``dtype``."""
    if have.kind in "iu" and dtype.kind in "iu":
        if have.kind == dtype.kind:
            return have.itemsize <= dtype.itemsize
        return have.kind == "u" and have.itemsize < dtype.itemsize
    if have.kind in "iu":
        return dtype.kind in "fc" and dtype.name != "float16"
    if dtype.kind not in "fc" or have.kind not in "fc":
        return False
    return have.is_complex <= dtype.is_complex and _greatest(have) <= _greatest(dtype)
