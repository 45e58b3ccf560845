"""Files of the ``safetensors`` package: names and tensors, nothing else."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.serialization.atomic import replacing
from rushlight.serialization.errors import CheckpointError
from rushlight.tensor.core import Tensor, from_flat, unwrap

NAMES = {"BOOL": dtypes.bool_, "U8": dtypes.uint8, "I8": dtypes.int8, "I16": dtypes.int16, "I32": dtypes.int32,
         "I64": dtypes.int64, "U16": dtypes.uint16, "U32": dtypes.uint32, "U64": dtypes.uint64, "F16": dtypes.float16,
         "BF16": dtypes.bfloat16, "F32": dtypes.float32, "F64": dtypes.float64, "C64": dtypes.complex64}


def _package() -> Any:
    try:
        import safetensors
    except ImportError:
        raise ImportError("safetensors files need the safetensors package: "
                          "pip install 'rushlight[safetensors]'") from None
    return safetensors


def save_safetensors(tensors: dict[str, Tensor], filename: str | os.PathLike[str],
                     metadata: dict[str, str] | None = None) -> None:
    """Write a dict of tensors, replacing the file in one step.

    Errors: RuntimeError for tensors that share memory, which the format cannot say; TypeError for other values.
    """
    package = _package()
    seen: dict[int, str] = {}
    flat: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Key `{name}` is invalid, expected a tensor but received {type(tensor).__name__}")
        other = seen.setdefault(id(tensor._storage), name)
        if other != name:
            raise RuntimeError("Some tensors share memory, this will lead to duplicate memory on disk and potential "
                               f"differences when loading them again: {{{other!r}, {name!r}}}. Use .clone() on one.")
        array = unwrap(tensor)
        flat[name] = array if array.flags.c_contiguous else np.array(array, order="C")
    data = package.serialize({name: _described(package, array) for name, array in flat.items()}, metadata=metadata)
    with replacing(filename) as file:
        file.write(data)


def _described(package: Any, array: np.ndarray) -> Any:
    """One tensor in the package's words: by address from version 0.8 on, by bytes before."""
    name, shape = array.dtype.name, list(array.shape)
    if hasattr(package, "TensorSpec"):
        return package.TensorSpec(dtype=name, shape=shape, data_ptr=array.ctypes.data, data_len=array.nbytes)
    return {"dtype": name, "shape": shape, "data": array.tobytes()}


def load_safetensors(filename: str | os.PathLike[str], device: str = "cpu") -> dict[str, Tensor]:
    """The tensors of a file by name. CheckpointError for a malformed file, FileNotFoundError for a missing one."""
    package = _package()
    if str(device).partition(":")[0] != "cpu":
        raise NotImplementedError(f"load_safetensors(device={device!r}): load to the CPU and move the tensors")
    name = os.fspath(filename)
    with open(name, "rb") as file:
        data = file.read()
    try:
        rows = package.deserialize(data)
    except Exception as e:  # the package's own error type is not a stable name
        raise CheckpointError(f"{e}\nFile {name!r} is not a whole safetensors file.", str(name)) from None
    return {key: _tensor(key, row, str(name)) for key, row in rows}


def _tensor(key: str, row: dict[str, Any], file: str) -> Tensor:
    dtype = NAMES.get(row["dtype"])
    if dtype is None:
        raise CheckpointError(f"tensor {key!r} has dtype {row['dtype']}, "
                              f"which rushlight does not have\nFile {file!r}.", file, key)
    array = np.frombuffer(bytearray(row["data"]), dtype.numpy)
    return from_flat(array, tuple(row["shape"]))
