"""Sparse tensors (torch.sparse): COO and compressed matrices over dense components on the graph.

Supported: making them and converting between layouts, elementwise operations that keep zeros, sums,
products with dense and sparse matrices, softmax, gradients, and the gradients of
`Embedding(sparse=True)` with the optimizers that take them.
Block layouts, batches of compressed matrices and what has no sparse form raise an error that says so.
"""

from __future__ import annotations

from rushlight.sparse.creation import spdiags
from rushlight.sparse.functions import addmm, as_sparse_gradcheck, log_softmax, mm, sampled_addmm, softmax, sum

__all__ = ["addmm", "check_sparse_tensor_invariants", "mm", "sum", "softmax", "solve", "log_softmax", "spdiags",
           "sampled_addmm", "as_sparse_gradcheck"]


class check_sparse_tensor_invariants:
    """A switch of PyTorch's for expensive checks of components; rushlight checks always, so that it changes nothing."""

    _enabled = False

    def __init__(self, enable: bool = True):
        self.state = enable
        self.saved = check_sparse_tensor_invariants._enabled

    @staticmethod
    def is_enabled() -> bool:
        """What was set."""
        return check_sparse_tensor_invariants._enabled

    @staticmethod
    def enable() -> None:
        """Set it."""
        check_sparse_tensor_invariants._enabled = True

    @staticmethod
    def disable() -> None:
        """Reset it."""
        check_sparse_tensor_invariants._enabled = False

    def __enter__(self) -> None:
        self.saved, check_sparse_tensor_invariants._enabled = check_sparse_tensor_invariants._enabled, self.state

    def __exit__(self, *_: object) -> None:
        check_sparse_tensor_invariants._enabled = self.saved


def _old(dtype_name: str):  # type: ignore[no-untyped-def]
    """An old constructor: torch.sparse.FloatTensor(indices, values, size)."""
    def make(*args, **kw):  # type: ignore[no-untyped-def]
        import rushlight
        from rushlight.sparse.creation import empty, sparse_coo_tensor
        dtype = getattr(rushlight, dtype_name)
        if args and hasattr(args[0], "_spec"):
            return sparse_coo_tensor(*args, dtype=dtype, **kw)
        sizes = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        return empty(sizes, dtype)
    make.__name__ = dtype_name
    return make


FloatTensor, DoubleTensor, HalfTensor, LongTensor, IntTensor = (
    _old(n) for n in ("float32", "float64", "float16", "int64", "int32"))


def solve(A, B, *, left: bool = True):  # type: ignore[no-untyped-def]
    """x with A x = B for a sparse square matrix, through its dense form; differentiable."""
    from rushlight.linalg import solve as dense_solve
    return dense_solve(A.to_dense() if hasattr(A, "_vals") else A, B, left=left)
