"""Sparse tensors in files: a layout, the components, the size."""

from __future__ import annotations

from typing import Any

from rushlight.serialization.errors import Fault
from rushlight.tensor import formats
from rushlight.tensor.core import Tensor

COO = "torch.sparse_coo"
COMPRESSED = {"torch.sparse_csr": ("crow_indices", "col_indices"), "torch.sparse_csc": ("ccol_indices", "row_indices")}


def components(tensor: Any) -> tuple[Any, ...]:
    """What a file says of a sparse tensor beside its layout, in PyTorch's order."""
    values = tensor._values() if tensor.layout is formats.sparse_coo else tensor.values()
    if tensor.layout is formats.sparse_coo:
        return tensor._indices(), values.detach(), tensor.shape, tensor.is_coalesced()
    starts, others = (getattr(tensor, name)() for name in COMPRESSED[str(tensor.layout)])
    return starts, others, values.detach(), tensor.shape


def parted(layout: str, data: tuple[Any, ...]) -> tuple[list[Any], Any, bool]:
    """(the component tensors, the size, whether it is coalesced) of what a file says; Fault where it is of no layout that we have."""
    if layout == COO and len(data) in (3, 4):
        return list(data[:2]), data[2], bool(data[3]) if len(data) == 4 else False
    if layout in COMPRESSED and len(data) == 4:
        return list(data[:3]), data[3], False
    raise Fault(f"a sparse tensor of layout {layout!r:.40} with {len(data)} parts is not one that rushlight has "
                f"({', '.join([COO, *COMPRESSED])})")


def built(layout: str, parts: list[Tensor], size: tuple[int, ...], coalesced: bool) -> Any:
    """A sparse tensor of components whose values are not looked at yet."""
    from rushlight.sparse.compressed import CompressedTensor
    from rushlight.sparse.coo import CooTensor
    if layout == COO:
        return CooTensor.build(parts[0], parts[1], size, coalesced)
    return CompressedTensor.build(parts[0], parts[1], parts[2], size, getattr(formats, layout.removeprefix("torch.")))


def check(layout: str, parts: list[Tensor], size: tuple[int, ...]) -> None:
    """Fault for components that do not fit one another: indices outside the size would be places outside memory."""
    from rushlight.sparse.creation import sparse_compressed_tensor, sparse_coo_tensor
    try:
        if layout == COO:
            sparse_coo_tensor(parts[0], parts[1], size)
        else:
            sparse_compressed_tensor(parts[0], parts[1], parts[2], size, layout=getattr(formats, layout.removeprefix("torch.")))
    except (RuntimeError, IndexError) as e:
        raise Fault(f"the parts of a sparse tensor do not fit: {e}") from None
