"""Tensors on the memory of files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor
from rushlight.tensor.creation import from_numpy, ready
from rushlight.tensor.settings import settings


def from_file(filename: Any, shared: bool | None = None, size: int = 0, *, dtype: DType | None = None, layout: Any = None,
              device: Any = None, pin_memory: bool = False, requires_grad: bool = False) -> Tensor:
    """The first ``size`` elements of a file as a tensor, read as they are touched.

    With shared=True writes to the tensor are writes to the file, which is made, or made longer, as it has to be; else they
    stay in this process. RuntimeError for a file that is missing or too short.

    >>> import rushlight as rl
    >>> import numpy as np, pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp(), "numbers.bin")
    >>> np.arange(4, dtype=np.float32).tofile(file)
    >>> rl.from_file(file, size=3)
    tensor([0., 1., 2.])
    """
    name = os.fspath(filename)
    kind = (dtype or settings.default_dtype).numpy
    needed = int(size) * kind.itemsize
    if shared:
        with open(name, "ab") as file:
            if file.tell() < needed:
                file.truncate(needed)
    else:
        try:
            have = os.path.getsize(name)
        except OSError as e:
            raise RuntimeError(f"unable to open file <{name}> in read-only mode: {e.strerror} ({e.errno})") from None
        if have < needed:
            raise RuntimeError(f"file <{name}> size <{have}> is smaller than the required mapping size <{needed}>")
    memory = np.memmap(name, kind, "r+" if shared else "c", shape=(int(size),)) if size else np.empty(0, kind)
    t = from_numpy(np.asarray(memory))
    t._storage.forever = bool(shared)  # the file may be read at any time
    return ready(t, requires_grad, device, layout, pin_memory)
