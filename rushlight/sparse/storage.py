"""What stands where a dense tensor has its memory: nothing to read, and the way to the rules for sparse tensors."""

from __future__ import annotations

from typing import Any, NoReturn

FOR_DENSE = ("Could not run 'aten::{}' with arguments from the '{}' backend. "
             "rushlight has no sparse form of this operation: use .to_dense() first, or apply it to .values().")


def backend(layout: Any) -> str:
    """PyTorch's name of the backend of a layout, as its errors show it."""
    return "SparseCPU" if str(layout) == "torch.sparse_coo" else "SparseCsrCPU"


class NoCell:
    """The value of a sparse tensor's storage: there is none, and no `vmap` level either."""

    level = None
    buffer = None
    node = None


class SparseStorage:
    """The storage of a sparse tensor, which has no memory.

    ``batched`` and ``home`` are set, so that recording an operation leaves the path of dense tensors and comes, through
    `rushlight.func.batching`, to `rushlight.sparse.rules`.
    """

    __slots__ = ("size", "dtype", "version", "__weakref__")
    batched = True
    home = ()
    rules, views = "rushlight.sparse.rules", "rushlight.sparse.views"  # what operations and views come to
    cell = NoCell()
    forever = False
    owner = None

    def __init__(self, size: int, dtype: Any):
        self.size, self.dtype, self.version = size, dtype, 0

    def _nothing(self, *_: Any) -> NoReturn:
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage: "
                           "it is sparse. Use .to_dense() first.")

    memory = share = read = replace = exposed = _nothing
