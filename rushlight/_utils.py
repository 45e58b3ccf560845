"""Helpers of PyTorch that programs import although they are private (torch._utils)."""

from __future__ import annotations

from typing import Any


def _flatten_dense_tensors(tensors: Any) -> Any:
    """All elements of several tensors of one dtype in one flat tensor.

    >>> import rushlight as rl
    >>> _flatten_dense_tensors([rl.ones(2), rl.zeros(1, 1)])
    tensor([1., 1., 0.])
    """
    from rushlight.tensor.functions.joining import cat
    return cat([t.contiguous().view(-1) for t in tensors])


def _unflatten_dense_tensors(flat: Any, tensors: Any) -> tuple[Any, ...]:
    """A flat tensor as views of the shapes of several tensors."""
    out, start = [], 0
    for t in tensors:
        out.append(flat[start:start + t.numel()].view(t.shape))
        start += t.numel()
    return tuple(out)


def _take_tensors(tensors: Any, size_limit: int) -> Any:
    """Lists of tensors of one dtype that together are no larger than a number of bytes, unless a single one is."""
    groups: dict[Any, list[Any]] = {}
    for t in tensors:
        size = t.numel() * t.element_size()
        group = groups.setdefault(t.dtype, [])
        if group and sum(x.numel() * x.element_size() for x in group) + size > size_limit:
            yield list(group)
            group.clear()
        group.append(t)
    for group in groups.values():
        if group:
            yield group
