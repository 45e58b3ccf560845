"""The memory of a PIL image, without a copy, through the Arrow interface of Pillow 11.3 and later."""

from __future__ import annotations

import ctypes
from typing import Any


class ArrowArray(ctypes.Structure):
    """Arrow's C data interface, version 1."""


ArrowArray._fields_ = [
    ("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64), ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(ArrowArray))),
    ("dictionary", ctypes.c_void_p), ("release", ctypes.c_void_p), ("private_data", ctypes.c_void_p)]

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def address(image: Any) -> tuple[int, Any] | None:
    """(address of four bytes per pixel, row after row; what keeps it alive) of an RGB image, None where Pillow does not
    give it."""
    if image.mode != "RGB":
        return None
    image.load()
    core, count = image.im, image.width * image.height
    if not hasattr(core, "__arrow_c_array__"):
        return None
    try:
        schema, capsule = core.__arrow_c_schema__(), core.__arrow_c_array__()
    except (ValueError, MemoryError):  # spread over several blocks of memory
        return None
    array = ctypes.cast(_pointer(capsule, b"arrow_array"), ctypes.POINTER(ArrowArray)).contents
    if array.n_children != 1 or array.length != count or array.offset:
        return None
    pixels = array.children[0].contents
    if pixels.length != 4 * array.length or pixels.n_buffers != 2 or pixels.offset:
        return None
    return int(pixels.buffers[1]), (core, schema, capsule)
