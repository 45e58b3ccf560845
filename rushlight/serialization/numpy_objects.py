"""NumPy scalars and arrays in files: numbers only, sizes checked against their bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.serialization.errors import Fault

CODES = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"))
ORDERS = ("<", ">", "|", "=")


def make_dtype(w: Any, code: Any, align: Any = False, copy: Any = True) -> np.dtype[Any]:
    if type(code) is not str or code.lstrip("<>|=") not in CODES:
        raise Fault(f"NumPy dtype {code!r:.40} is not a number type")
    w.budget.spend(256)
    return np.dtype(code, copy=True)  # a copy, because BUILD sets its byte order


def build_dtype(dtype: np.dtype[Any], state: Any) -> None:
    plain = type(state) is tuple and len(state) == 8 and state[0] in (3, 4) and state[1] in ORDERS
    if not plain or state[2:] != (None, None, None, -1, -1, 0):
        raise Fault("the state of a NumPy dtype is not that of a number type")
    dtype.__setstate__((3, *state[1:]))  # type: ignore[attr-defined]


def make_scalar(w: Any, dtype: Any, data: Any) -> Any:
    _check(dtype, data, 1)
    w.budget.spend(64)
    return np.frombuffer(data, dtype, 1)[0]


def reconstruct(w: Any, kind: Any, shape: Any, code: Any) -> np.ndarray:
    if kind is not np.ndarray or shape != (0,) or code not in (b"b", "b"):
        raise Fault("a NumPy array is rebuilt from an empty one")
    w.budget.spend(256)
    return np.empty(0, np.int8)


def build_array(w: Any, array: np.ndarray, state: Any) -> None:
    if type(state) is not tuple or len(state) != 5 or state[0] != 1 or array.size or array.dtype != np.int8:
        raise Fault("the state of a NumPy array must be (1, shape, dtype, fortran, bytes)")
    _, shape, dtype, fortran, data = state
    count = _count(shape)
    if type(fortran) is not bool:
        raise Fault("the order of a NumPy array must be a bool")
    _check(dtype, data, count)
    w.budget.spend(len(data))
    array.__setstate__((1, shape, dtype, fortran, bytes(data)))  # type: ignore[arg-type]


def from_buffer(w: Any, data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if order not in ("C", "F"):
        raise Fault("the order of a NumPy array must be C or F")
    _check(dtype, data, _count(shape))
    w.budget.spend(len(data) + 256)
    return np.frombuffer(data, dtype).reshape(shape, order=order).copy(order)


def _count(shape: Any) -> int:
    if type(shape) is not tuple or len(shape) > 32 or any(type(n) is not int or not 0 <= n < 2**48 for n in shape):
        raise Fault("the shape of a NumPy array must be a tuple of at most 32 integers")
    count = 1
    for n in shape:
        count *= n
    return count


def _check(dtype: Any, data: Any, count: int) -> None:
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biufc":
        raise Fault("a NumPy value needs the dtype of a number")
    if type(data) not in (bytes, bytearray) or len(data) != count * dtype.itemsize:
        raise Fault(f"a NumPy value of {count} elements of {dtype} has data of another size")


# name -> (value on the stack, call)
TABLE: dict[str, tuple[Any, ...]] = {"numpy.dtype": (np.dtype, make_dtype), "numpy.ndarray": (np.ndarray,)}
for _module in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    TABLE[f"{_module}.multiarray.scalar"] = (make_scalar, make_scalar)
    TABLE[f"{_module}.multiarray._reconstruct"] = (reconstruct, reconstruct)
    TABLE[f"{_module}.numeric._frombuffer"] = (from_buffer, from_buffer)
