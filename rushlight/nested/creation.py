"""Nested tensors from lists, batches, and packed rows."""

from __future__ import annotations

from typing import Any

from rushlight.nested.tensor import NestedTensor
from rushlight.tensor import formats
from rushlight.tensor.core import Tensor

SEVERAL = (
    "Cannot represent given tensor list as a nested tensor with the jagged layout. Note that the jagged layout only "
    "allows for a single ragged dimension. For "
    "example: (B, *, D_0, D_1, ..., D_N), with ragged * dim."
)


def _layout(layout: Any) -> Any:
    if layout is None or layout is formats.strided:
        return formats.strided
    if layout is formats.jagged:
        return layout
    raise RuntimeError(f"Specified layout is unsupported for nested tensors: {layout}")


def _tensors(given: Any, dtype: Any) -> list[Any]:
    """The elements as tensors of one dtype and number of dimensions."""
    import rushlight as rl

    out = [x if isinstance(x, Tensor) else rl.tensor(x) for x in given]
    if not out:
        return out
    kind = dtype or out[0].dtype
    for i, t in enumerate(out):
        if t.dim() != out[0].dim():
            raise RuntimeError(
                f"All Tensors given to nested_tensor must have the same dimension. Found dimension {t.dim()} for "
                f"Tensor at index {i} and dimension "
                f"{out[0].dim()} for Tensor at index 0."
            )
    return [t.to(kind) for t in out]


def _made(parts: list[Any], layout: Any) -> NestedTensor:
    if layout is not formats.jagged:
        return NestedTensor.of(parts, layout)
    if not parts:
        raise RuntimeError("Cannot construct a nested tensor with the jagged layout from an empty list")
    rank = parts[0].dim()
    if rank == 0:
        raise RuntimeError(SEVERAL)
    ragged = [d for d in range(rank) if len({p.shape[d] for p in parts}) > 1]
    if len(ragged) > 1:
        raise RuntimeError(f"{SEVERAL} The sizes are {[list(p.shape) for p in parts]}.")
    return NestedTensor.of(parts, layout, ragged=ragged[0] + 1 if ragged else 1)


def nested_tensor(
    tensor_list: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Copies of the tensors (or numbers, lists of numbers) as one nested tensor, a leaf.

    ``layout`` is torch.strided (any sizes) or torch.jagged (one dimension differs). TypeError for what is no list,
    RuntimeError for tensors of different numbers of dimensions.

    >>> import rushlight as rl
    >>> nested_tensor([rl.ones(2), rl.ones(3)]).size(0)
    2
    """
    from rushlight.tensor.device import check_device

    if not isinstance(tensor_list, (list, tuple)):
        raise TypeError("Only lists (List[Tensor] and List[List...[Scalar]]) are accepted in nested_tensor")
    if device is not None:
        check_device(device)
    out = _made([t.detach().clone() for t in _tensors(tensor_list, dtype)], _layout(layout))
    if requires_grad:
        packed = out.packed
        if packed is not None:
            out._packed, out._parts = packed.detach().clone(), None
        out.requires_grad_()
    return out


def as_nested_tensor(ts: Any, dtype: Any = None, device: Any = None, layout: Any = None) -> Tensor:
    """The tensors as one nested tensor, with their history; a dense batch is taken apart along its first dimension.

    >>> import rushlight as rl
    >>> as_nested_tensor(rl.ones(2, 3), layout=rl.jagged).dim()
    2
    """
    from rushlight.tensor.device import check_device

    if device is not None:
        check_device(device)
    if isinstance(ts, NestedTensor):
        same = (layout is None or ts._layout is layout) and dtype in (None, ts.dtype)
        return (
            ts
            if same
            else _made(
                [p if dtype is None else p.to(dtype) for p in ts.parts],
                ts._layout if layout is None else _layout(layout),
            )
        )
    if isinstance(ts, Tensor):
        if ts.dim() == 0:
            raise RuntimeError("Expected tensor argument to have dim() > 0")
        ts = list(ts.unbind(0))
    if not isinstance(ts, (list, tuple)) or not all(isinstance(t, Tensor) for t in ts):
        raise TypeError("as_nested_tensor(): Expected first argument to be a tensor or a list / tuple of tensors ")
    return _made(_tensors(ts, dtype), _layout(layout))


def nested_tensor_from_jagged(
    values: Tensor,
    offsets: Tensor | None = None,
    lengths: Tensor | None = None,
    jagged_dim: int | None = None,
    min_seqlen: int | None = None,
    max_seqlen: int | None = None,
) -> Tensor:
    """Packed rows as a jagged nested tensor: ``offsets`` (B + 1) say where
    parts begin, ``lengths`` (B) how long they are.

    >>> import rushlight as rl
    >>> nested_tensor_from_jagged(rl.ones(5, 2), rl.tensor([0, 2, 5])).unbind()[1].shape
    torch.Size([3, 2])
    """
    if offsets is None and lengths is None:
        raise RuntimeError("nested_tensor_from_jagged(): At least one of offsets or lengths is required.")
    dim = 1 if jagged_dim is None else jagged_dim
    if offsets is None:
        counts = [int(n) for n in lengths.tolist()]
        starts = [sum(counts[:i]) for i in range(len(counts))]
    else:
        at = [int(n) for n in offsets.tolist()]
        starts = at[:-1]
        counts = [b - a for a, b in zip(at, at[1:])] if lengths is None else [int(n) for n in lengths.tolist()]
    packed = dim == 1 and starts == [sum(counts[:i]) for i in range(len(counts))] and sum(counts) == values.shape[0]
    if packed:
        return NestedTensor.of(None, formats.jagged, packed=values, lengths=counts)
    return NestedTensor.of([values.narrow(dim - 1, s, n) for s, n in zip(starts, counts)], formats.jagged, ragged=dim)


def narrow(tensor: Tensor, dim: int, start: Any, length: Any, layout: Any = None) -> Tensor:
    """Of each sample of a dense batch a part of dimension 1: ``start`` and ``length`` are numbers or (B,).

    >>> import rushlight as rl
    >>> narrow(rl.ones(2, 5), 1, 0, rl.tensor([2, 3]), layout=rl.jagged).unbind()[0].shape
    torch.Size([2])
    """
    if layout is not formats.jagged:
        raise RuntimeError(f"Specified layout is unsupported for nested narrow: {layout}")
    if dim != 1:
        raise RuntimeError("jagged layout only supports dim=1")
    n = tensor.shape[0]
    starts, counts = (
        [int(v)] * n if not isinstance(v, Tensor) else [int(k) for k in v.tolist()] for v in (start, length)
    )
    return NestedTensor.of([tensor[i].narrow(0, s, m) for i, (s, m) in enumerate(zip(starts, counts))], formats.jagged)


def masked_select(tensor: Tensor, mask: Tensor) -> Tensor:
    """Of each sample the elements where the mask (of a shape that broadcasts) is True, as a jagged nested tensor.

    >>> import rushlight as rl
    >>> masked_select(rl.ones(2, 2), rl.tensor([[True, False], [True, True]])).unbind()[0]
    tensor([1.])
    """
    if tensor._layout is formats.jagged if isinstance(tensor, NestedTensor) else False:
        raise RuntimeError("torch.nested.masked_select requires a strided tensor")
    wide = mask.expand(tensor.shape)
    return NestedTensor.of([t[m] for t, m in zip(tensor.unbind(0), wide.unbind(0))], formats.jagged)


__all__ = ["as_nested_tensor", "masked_select", "narrow", "nested_tensor", "nested_tensor_from_jagged"]
