"""Memory shared with other libraries through DLPack."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor
from rushlight.tensor.creation import from_numpy
from rushlight.tensor.device import check_device


class Capsule:
    """A bare capsule with the protocol's methods, for consumers that want them."""

    def __init__(self, capsule: Any):
        self.capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


class Writable:
    """An array's memory without the mark that it is only for reading."""

    def __init__(self, array: np.ndarray):
        self.array = array  # keeps the memory
        known = array.__array_interface__
        self.__array_interface__ = {**known, "data": (known["data"][0], False)}


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of an object with ``__dlpack__`` (NumPy, JAX, PyTorch …), or of a capsule of main memory;
    with copy=True on memory of its own.

    >>> import rushlight as rl
    >>> import numpy as np
    >>> rl.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    if device is not None:
        check_device(device)
    if copy:
        return from_dlpack(ext_tensor).clone()
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.detach()
    bare = not hasattr(ext_tensor, "__dlpack__")
    array = np.from_dlpack(Capsule(ext_tensor) if bare else ext_tensor)
    if bare and not array.flags.writeable:
        array = np.asarray(Writable(array))  # a capsule of the older kind cannot say that it may be written to
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about memory that is only for reading
        t = from_numpy(array)
    t._storage.forever = True
    return t
