"""Files as tensors of bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.tensor.core import Tensor, unwrap, wrap


def read_file(path: str | Path) -> Tensor:
    """The bytes of a file, uint8 (N,); RuntimeError where there is none or it is empty."""
    try:
        raw = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise RuntimeError(f"[Errno 2] No such file or directory: '{path}'") from None
    if not raw.size:
        raise RuntimeError(f"Expected a non empty file: {path}")
    return wrap(raw)


def write_file(filename: str | Path, data: Tensor) -> None:
    """Write bytes, uint8 (N,), to a file."""
    Path(filename).write_bytes(checked_bytes(data).tobytes())


def checked_bytes(data: Tensor) -> np.ndarray:
    """The array of a tensor of bytes; RuntimeError for other types and shapes."""
    if not isinstance(data, Tensor):
        raise TypeError(f"Expected a Tensor of bytes, got {type(data)}; read_file gives one of a file")
    if data.dtype is not dtypes.uint8:
        raise RuntimeError(f"Expected a torch.uint8 tensor, got {data.dtype}")
    pixels = unwrap(data)
    if pixels.ndim != 1 or not pixels.size:
        raise RuntimeError(f"Expected a non empty 1-dimensional tensor, got one of shape {tuple(pixels.shape)}")
    return pixels
