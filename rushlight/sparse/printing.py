"""How sparse tensors print."""

from __future__ import annotations

from typing import Any

from rushlight.tensor import formats
from rushlight.tensor.core import unwrap
from rushlight.tensor.printing import format_tensor


def _component(name: str, t: Any) -> str:
    """A component with its name before it and its lines under each other, without its dtype."""
    prefix = f"       {name}=tensor("
    if not t.numel():
        return f"{name}=tensor([], size={tuple(t.shape)})"
    return format_tensor(unwrap(t.detach()), t.dtype, prefix=prefix, default_dtype=t.dtype).lstrip()


def describe(t: Any) -> str:
    """The text of a sparse tensor: components, size, number of values, layout and history."""
    from rushlight.ir import dtype as dtypes
    from rushlight.tensor.state import settings
    coo = t.layout is formats.sparse_coo
    size = f"size={tuple(t._spec.shape)}, nnz={t._nnz()}"
    kind, tail = t.dtype, []
    default_complex = dtypes.complex128 if settings.default_dtype is dtypes.float64 else dtypes.complex64
    if kind not in (settings.default_dtype, default_complex, dtypes.int64, dtypes.bool_):
        tail.append(f"dtype={kind}")
    tail.append(f"layout={t.layout}")
    if coo:
        parts = [_component("indices", t._at), _component("values", t._vals)]
        text = "tensor(" + ",\n       ".join(parts) + ",\n       " + ", ".join([size, *tail])
    else:
        names = ("crow_indices", "col_indices") if t.layout is formats.sparse_csr else ("ccol_indices", "row_indices")
        parts = [_component(names[0], t._starts), _component(names[1], t._others), _component("values", t._vals)]
        text = "tensor(" + ",\n       ".join(parts) + f", {size},\n       " + ", ".join(tail)
    fn = t.grad_fn
    if fn is not None:
        text += f", grad_fn=<{fn.name()}>"
    elif t.requires_grad:
        text += ", requires_grad=True"
    return text + ")"
