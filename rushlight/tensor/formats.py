"""Memory formats and layouts: names that PyTorch programs pass around."""

from __future__ import annotations


class memory_format:
    """The order of dimensions in memory; ``order`` lists them from outermost to innermost, None for row-major."""

    def __init__(self, name: str, order: tuple[int, ...] | None = None):
        self.name = name
        self.order = order
        self.ndim = len(order) if order else 0

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class layout:
    """How a tensor is stored."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last", (0, 2, 3, 1))
channels_last_3d = memory_format("channels_last_3d", (0, 2, 3, 4, 1))
strided, sparse_coo, sparse_csr, sparse_csc, sparse_bsr, sparse_bsc, jagged = (
    layout(n) for n in ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged"))
