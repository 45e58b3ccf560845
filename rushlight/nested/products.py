"""Products, attention and reductions of nested tensors."""

from __future__ import annotations

from typing import Any

from rushlight.nested.operations import TABLE, entry, inner, rowwise, shown
from rushlight.nested.tensor import NestedTensor
from rushlight.tensor import formats


@entry("matmul", "bmm", "mm")
def matmul(input: Any, other: Any) -> Any:
    if isinstance(input, NestedTensor) and isinstance(other, NestedTensor):
        if len(input) != len(other):
            raise RuntimeError(
                "matmul: Expected size for the 1st dimension of 2nd input tensor to be: "
                f"{len(input)} but got: {len(other)}."
            )
        outs = [p @ q for p, q in zip(input.parts, other.parts)]
        free = [d for d in range(1, input.dim()) if len({o.shape[d - 1] for o in outs}) > 1]
        if input._layout is formats.jagged and len(free) > 1:
            raise RuntimeError(f"matmul(): not supported between inputs of shapes {shown(input)} and {shown(other)}")
        return NestedTensor.of(outs, input._layout, ragged=free[0] if free else 1)
    if not isinstance(input, NestedTensor) or input._layout is not formats.jagged:
        which = ("self", "other") if isinstance(input, NestedTensor) else ("other", "self")
        raise RuntimeError(f"Expected both to be nested, but got a nested {which[0]} and non-nested {which[1]}")
    if other.dim() > 2:
        return by_parts_with(input, other)
    return rowwise(lambda p, w: p @ w, "matmul", (input, other), {})


def by_parts_with(input: NestedTensor, other: Any) -> Any:
    """Each part times its matrix of a dense batch."""
    if other.shape[0] != len(input):
        raise RuntimeError(f"matmul(): not supported between inputs of shapes {shown(input)} and {shown(other)}")
    return input.like([p @ other[i] for i, p in enumerate(input.parts)], ragged=input._ragged)


@entry("scaled_dot_product_attention")
def attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Any:
    import rushlight.nn.functional as F

    if not all(isinstance(t, NestedTensor) for t in (query, key, value)):
        raise ValueError("scaled_dot_product_attention(): expected query, key, and value to all be nested tensors")
    if attn_mask is not None:
        raise RuntimeError(
            "scaled_dot_product_attention(): a mask is not supported for nested tensors; "
            "their sizes say what belongs together"
        )
    outs = [
        F.scaled_dot_product_attention(
            q[None], k[None], v[None], None, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )[0] for q, k, v in zip(query.parts, key.parts, value.parts)
    ]
    return query.like(outs, ragged=query._ragged)


# --- reductions ---------------------------------------------------------------------------------------------------
def _reduction(name: str) -> None:
    def write(input: NestedTensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
        options = {} if dtype is None else {"dtype": dtype}
        if dim is None:
            from rushlight.tensor.functions.joining import cat as join

            return getattr(join([p.reshape(-1) for p in input.parts]), name)(**options)
        dims = list(dim) if isinstance(dim, (tuple, list)) else [dim]
        if input._layout is not formats.jagged:
            if [d % input.dim() for d in dims] != [input.dim() - 1]:
                raise RuntimeError(
                    "NestedTensor can only be reduced across the last "
                    f"dimension for now got dimension {dims[0]} instead."
                )
            if not keepdim:
                raise RuntimeError("NestedTensor always requires keepdim=True for now.")
        at = [inner(input, d, f"{name}(): not supported across the batch dimension for NestedTensor") for d in dims]
        outs = [getattr(p, name)(at, keepdim=keepdim, **options) for p in input.parts]
        if input._symbol is not None and input._ragged - 1 in at:  # nothing ragged is left
            from rushlight.tensor.functions.joining import stack

            return stack(outs)
        return input.like(outs, ragged=input._ragged - (0 if keepdim else sum(a < input._ragged - 1 for a in at)))

    TABLE[name] = write


for _n in ("sum", "mean", "amax", "amin"):
    _reduction(_n)


def _extreme(name: str) -> None:
    def write(input: NestedTensor) -> Any:
        return TABLE[f"a{name}"](input)

    TABLE[name] = write


_extreme("max")
_extreme("min")
