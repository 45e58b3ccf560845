"""Element types: one interned object per dtype, printed as PyTorch prints them."""

from __future__ import annotations

import ml_dtypes
import numpy as np


class DType:
    """An element type, for example ``float32``.

    ``str(float32) == "torch.float32"``, because programs compare that text. ``numpy`` is the NumPy dtype
    of the memory, ``kind`` one of ``b`` (bool), ``u``, ``i``, ``f``, ``c``, ``short`` the name in printed graphs.

    >>> float32.itemsize, float32.is_floating_point, str(float32)
    (4, True, 'torch.float32')
    """

    __slots__ = ("name", "numpy", "kind", "itemsize", "short", "is_floating_point", "is_complex", "is_signed", "rank")

    def __init__(self, name: str, numpy: np.dtype, kind: str, short: str, rank: int):
        self.name = name
        self.numpy = np.dtype(numpy)
        self.kind = kind
        self.itemsize = self.numpy.itemsize
        self.short = short
        self.is_floating_point = kind == "f"
        self.is_complex = kind == "c"
        self.is_signed = kind in "ifc"
        self.rank = rank

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[object, ...]:
        return by_name, (self.name,)

    def to_real(self) -> DType:
        """The real type of a complex one: complex64 -> float32."""
        return REAL_OF.get(self, self)

    def to_complex(self) -> DType:
        """The complex type that holds values of this one: float32 -> complex64."""
        return COMPLEX_OF.get(self, self)


bool_ = DType("bool", np.dtype(np.bool_), "b", "b8", 0)
uint8 = DType("uint8", np.dtype(np.uint8), "u", "u8", 1)
int8 = DType("int8", np.dtype(np.int8), "i", "i8", 2)
int16 = DType("int16", np.dtype(np.int16), "i", "i16", 3)
int32 = DType("int32", np.dtype(np.int32), "i", "i32", 4)
int64 = DType("int64", np.dtype(np.int64), "i", "i64", 5)
float16 = DType("float16", np.dtype(np.float16), "f", "f16", 6)
bfloat16 = DType("bfloat16", np.dtype(ml_dtypes.bfloat16), "f", "bf16", 7)
float32 = DType("float32", np.dtype(np.float32), "f", "f32", 8)
float64 = DType("float64", np.dtype(np.float64), "f", "f64", 9)
complex64 = DType("complex64", np.dtype(np.complex64), "c", "c64", 10)
complex128 = DType("complex128", np.dtype(np.complex128), "c", "c128", 11)
# Storage-only types: PyTorch has them for files and quantized weights; few operations take them.
uint16 = DType("uint16", np.dtype(np.uint16), "u", "u16", 12)
uint32 = DType("uint32", np.dtype(np.uint32), "u", "u32", 13)
uint64 = DType("uint64", np.dtype(np.uint64), "u", "u64", 14)
# One byte per number: stored and converted; computing needs a wider type, as in PyTorch.
float8_e4m3fn = DType("float8_e4m3fn", np.dtype(ml_dtypes.float8_e4m3fn), "f", "f8e4m3", 15)
float8_e5m2 = DType("float8_e5m2", np.dtype(ml_dtypes.float8_e5m2), "f", "f8e5m2", 16)
float8_e4m3fnuz = DType("float8_e4m3fnuz", np.dtype(ml_dtypes.float8_e4m3fnuz), "f", "f8e4m3z", 17)
float8_e5m2fnuz = DType("float8_e5m2fnuz", np.dtype(ml_dtypes.float8_e5m2fnuz), "f", "f8e5m2z", 18)
FLOAT8: tuple[DType, ...] = (float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz)

# Integers that stand for real numbers by a scale and a zero point: types of quantized tensors, whose memory has the
# plain type.
qint8 = DType("qint8", np.dtype(np.int8), "q", "q8", 19)
quint8 = DType("quint8", np.dtype(np.uint8), "q", "qu8", 20)
qint32 = DType("qint32", np.dtype(np.int32), "q", "q32", 21)
QUANTIZED: tuple[DType, ...] = (qint8, quint8, qint32)

ALL: tuple[DType, ...] = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64, complex64,
                          complex128, uint16, uint32, uint64, *FLOAT8)
BY_NAME: dict[str, DType] = {d.name: d for d in (*ALL, *QUANTIZED)}
BY_NUMPY: dict[np.dtype, DType] = {d.numpy: d for d in ALL}
REAL_OF: dict[DType, DType] = {complex64: float32, complex128: float64}
COMPLEX_OF: dict[DType, DType] = {float16: complex64, bfloat16: complex64, float32: complex64, float64: complex128}
HALF: frozenset[DType] = frozenset((float16, bfloat16))


def by_name(name: str) -> DType:
    """The dtype of that name (``"float32"``); KeyError when there is none."""
    return BY_NAME[name]


C_NAMES = {"float32": "float", "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16",
           "complex64": "c10::complex<float>", "complex128": "c10::complex<double>", "uint8": "unsigned char",
           "int8": "signed char", "int16": "short int", "int32": "int", "int64": "long int"}


def c_name(dtype: DType) -> str:
    """The type in C++, which stands in some of PyTorch's messages.

    >>> c_name(uint8), c_name(bool_)
    ('unsigned char', 'bool')
    """
    return C_NAMES.get(dtype.name, dtype.name)


def of_numpy(dtype: np.dtype) -> DType:
    """The dtype of NumPy memory; TypeError for types that tensors cannot hold (strings, objects, big-endian)."""
    found = BY_NUMPY.get(np.dtype(dtype))
    if found is None:
        names = ", ".join(d.name for d in ALL)
        raise TypeError(f"can't convert np.ndarray of type {np.dtype(dtype)}. The only supported types are: {names}.")
    return found
