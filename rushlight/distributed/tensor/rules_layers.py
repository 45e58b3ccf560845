"""Layers: normalisation, embedding, convolution, pooling, attention."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.tensor.dispatch import bound, rule
from rushlight.distributed.tensor.dtensor import DTensor
from rushlight.distributed.tensor.labels import Plan, execute
from rushlight.distributed.tensor.layout import box
from rushlight.distributed.tensor.rules_pointwise import caller


def _operands(given: dict[str, Any], *names: str) -> list[DTensor]:
    return [given[n] for n in names if isinstance(given.get(n), DTensor)]


@rule("layer_norm", "rms_norm")
def norm_of_last(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The normalised dimensions must be whole."""
    given = bound(func, args, kwargs)
    x, shape = given["input"], given["normalized_shape"]
    n = len(shape) if hasattr(shape, "__len__") else 1
    if not isinstance(x, DTensor) or n > x.ndim:
        return NotImplemented
    labels = (*range(x.ndim - n), *[None] * n)
    rest = _operands(given, "weight", "bias")
    return execute(
        Plan(
            [x, *rest],
            [labels, *[(None,) * n for _ in rest]],
            [labels],
            _by_name(func, given, "input", "weight", "bias"),
        )
    )


def _by_name(func: Any, given: dict[str, Any], *names: str) -> Any:
    """The function with local tensors for these arguments, where they are DTensors."""

    def call(local: list[Any], targets: Any) -> Any:
        rest = iter(local)
        return func(
            **{
                k: next(rest) if k in names and isinstance(v, DTensor) else v
                for k, v in sorted(given.items(), key=lambda p: names.index(p[0]) if p[0] in names else 99)
            }
        )

    return call


@rule("group_norm", "instance_norm", "batch_norm")
def norm_of_samples(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Samples are independent in group_norm, and in batch_norm outside training."""
    given = bound(func, args, kwargs)
    x = given["input"]
    if name == "instance_norm" or given.get("training") or not isinstance(x, DTensor):
        return NotImplemented
    rest = _operands(given, "running_mean", "running_var", "weight", "bias")
    labels = (0, *[None] * (x.ndim - 1))
    return execute(
        Plan(
            [x, *rest],
            [labels, *[(None,) for _ in rest]],
            [labels],
            _by_name(func, given, "input", "running_mean", "running_var", "weight", "bias"),
        )
    )


@rule("embedding")
def embedding(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Rows w[i]. Where w is cut along its rows, each rank looks up its own ones,
    and zeros for the others: terms of a sum."""
    given = bound(func, args, kwargs)
    index, w = given["input"], given["weight"]
    if (
        not isinstance(w, DTensor)
        or not isinstance(index, DTensor)
        or given["max_norm"] is not None
        or given["scale_grad_by_freq"]
        or given["sparse"]
    ):
        return NotImplemented
    padding = given["padding_idx"]
    padding = padding + int(w.shape[0]) if padding is not None and padding < 0 else padding
    mesh, labels = w.device_mesh, tuple(range(index.ndim))

    def call(local: list[Any], targets: Any) -> Any:
        i, rows = local
        (n, _), (low, _) = box(tuple(w.shape), mesh.shape, mesh.get_coordinate() or (), targets[1])
        if n == w.shape[0]:
            return func(i, rows, padding)
        here = (i >= low) & (i < low + n)
        if n == 0:
            return rows.new_zeros((*i.shape, rows.shape[1])) + rows.sum()
        inside = padding - low if padding is not None and low <= padding < low + n else None
        return func((i - low).clamp(0, n - 1), rows, inside) * here.unsqueeze(-1).to(rows.dtype)

    return execute(Plan([index, w], [labels, ("v", "e")], [(*labels, "e")], call, contract={"v": "sum"}))


@rule("conv1d", "conv2d", "conv3d")
def convolution(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Samples, and without groups channels, may be cut; places may not."""
    given = bound(func, args, kwargs)
    x, w, b = given["input"], given["weight"], given.pop("bias")
    spatial = int(name[4])
    if not isinstance(x, DTensor) or not isinstance(w, DTensor) or x.ndim != spatial + 2:
        return NotImplemented
    places, one = (None,) * spatial, given["groups"] == 1
    out = execute(
        Plan(
            [x, w],
            [(0, "i" if one else None, *places), ("o" if one else None, "i" if one else None, *places)],
            [(0, "o" if one else None, *places)],
            _by_name(func, given, "input", "weight"),
            contract={"i": "sum"} if one else {},
            linear=frozenset({0, 1}),
        )
    )
    return out if b is None else out + b.reshape(-1, *[1] * spatial).to(out.dtype)


@rule(
    *[f"{kind}_pool{n}d" for kind in ("max", "avg", "adaptive_avg", "adaptive_max") for n in (1, 2, 3)],
    "interpolate",
    "pixel_shuffle",
    "pixel_unshuffle",
)
def pooling(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Samples and channels are independent."""
    x = args[0] if args else kwargs.get("input")
    spatial = int(name[-2]) if name.endswith("d") else 0
    if not isinstance(x, DTensor) or spatial and x.ndim != spatial + 2 or x.ndim < 3:
        return NotImplemented
    labels = (0, 1 if spatial else None, *[None] * (x.ndim - 2))
    return execute(Plan([x], [labels], [labels, labels], caller(func, args, kwargs)))


@rule("scaled_dot_product_attention")
def attention(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Samples and heads are independent; without a mask so are queries."""
    given = bound(func, args, kwargs)
    q, k, v, mask = (given[n] for n in ("query", "key", "value", "attn_mask"))
    if given["dropout_p"] or not all(isinstance(t, DTensor) and t.ndim == q.ndim for t in (q, k, v)):
        return NotImplemented
    n = q.ndim - 2
    lead: list[Any] = list(range(n))
    if given["enable_gqa"] and n:
        lead[-1] = None
    free = mask is None and not given["is_causal"]
    query, other = (*lead, "q" if free else None, None), (*lead, None, None)
    operands, labels = [q, k, v], [query, other, other]
    if isinstance(mask, DTensor):
        operands.append(mask)
        labels.append((*lead[n - (mask.ndim - 2) :], None, None))
    return execute(Plan(operands, labels, [query], _by_name(func, given, "query", "key", "value", "attn_mask")))
