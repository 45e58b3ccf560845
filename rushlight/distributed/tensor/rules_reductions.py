"""Reductions, and functions along some dimensions: those are contracted, or must be whole."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.tensor.dispatch import bound, rule
from rushlight.distributed.tensor.dtensor import DTensor
from rushlight.distributed.tensor.labels import Plan, execute
from rushlight.distributed.tensor.rules_pointwise import caller

CONTRACTED = {
    "sum": "sum",
    "amax": "max",
    "amin": "min",
    "prod": "product",
    "all": "min",
    "any": "max",
    "count_nonzero": "sum",
    "nansum": "sum",
}
REDUCED = """argmax argmin var std logsumexp median nanmedian mode norm vector_norm linalg_vector_norm kthvalue quantile
var_mean std_mean aminmax""".split()
ALONG = """softmax log_softmax softmin cumsum cumprod cummax cummin logcumsumexp sort argsort topk flip roll tril triu
normalize glu diff fft_fft fft_ifft special_softmax special_log_softmax""".split()
NO_INDEX_DIM = {"tril": (-2, -1), "triu": (-2, -1)}


def dims_of(value: Any, ndim: int) -> tuple[int, ...]:
    """Dimensions counted from 0; all of them for None and ()."""
    if value is None or value == ():
        return tuple(range(ndim))
    chosen = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for d in chosen:
        if not -max(ndim, 1) <= d < max(ndim, 1):
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-max(ndim, 1)}, "
                f"{max(ndim, 1) - 1}], but got {d})"
            )
    return tuple(d % max(ndim, 1) for d in chosen)


def kept(ndim: int, dims: tuple[int, ...], keepdim: bool) -> tuple[Any, ...]:
    """Labels of a reduction's result."""
    return tuple(None if d in dims else d for d in range(ndim) if keepdim or d not in dims)


@rule(*CONTRACTED)
def contracted(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Sums, extrema, products: pieces of a contracted dimension give terms."""
    given = bound(func, args, kwargs)
    x = given["input"]
    if not isinstance(x, DTensor):
        return NotImplemented
    dim = given.get("dim") if given.get("axis") is None else given["axis"]
    dims = dims_of(dim, x.ndim)
    labels = tuple(range(x.ndim))
    linear = frozenset({0}) if name == "sum" and given.get("dtype") is None else frozenset()
    out = kept(x.ndim, dims, bool(given.get("keepdim")))
    how = {d: CONTRACTED[name] for d in dims}
    if any(0 in (hi - lo for lo, hi in _bounds(x, d)) for d in dims if how[d] in ("max", "min")):
        return NotImplemented  # an empty piece has no extremum
    return execute(Plan([x], [labels], [out], caller(func, args, kwargs), contract=how, linear=linear))


def _bounds(x: DTensor, d: int) -> list[tuple[int, int]]:
    """The pieces of a dimension on the ranks."""
    from rushlight.distributed.tensor.layout import chunk

    return [
        chunk(int(x.shape[d]), n, i)
        for n, p in zip(x.device_mesh.shape, x.placements)
        if p.is_shard(d)
        for i in range(n)
    ]


@rule("mean", "nanmean")
def mean(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """sum / n: pieces may have different sizes."""
    if name == "nanmean":
        return NotImplemented
    given = bound(func, args, kwargs)
    x = given["input"]
    dim = given.get("dim") if given.get("axis") is None else given["axis"]
    if not (x.dtype.is_floating_point or x.dtype.is_complex) and given.get("dtype") is None:
        return NotImplemented  # PyTorch's own error
    n = 1
    for d in dims_of(dim, x.ndim):
        n *= int(x.shape[d])
    return x.sum(dim, bool(given.get("keepdim")), dtype=given.get("dtype")) / n if n else NotImplemented


@rule("max", "min")
def extremum(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """max(x), max(x, dim), max(x, y)."""
    import rushlight as rl

    given = bound(func, args, kwargs)
    x, dim = given["input"], given["dim"]
    if given.get("other") is not None or isinstance(dim, DTensor):
        return getattr(rl, name + "imum")(x, dim if isinstance(dim, DTensor) else given["other"])
    if dim is None:
        return getattr(rl, "a" + name)(x) if not _grad(x) else NotImplemented
    return reduced(name, func, args, kwargs)


def _grad(x: DTensor) -> bool:
    from rushlight.tensor.state import state

    return x.requires_grad and state.grad


@rule(*REDUCED)
def reduced(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Reductions of whole dimensions."""
    given = bound(func, args, kwargs)
    x: Any = given.get("input", given.get("self", given.get("x")))
    dim = given.get("dim")
    if name in ("norm", "vector_norm", "linalg_vector_norm") and not _grad(x):
        whole = _two_norm(given, x)
        if whole is not None:
            return whole
    if (
        dim is None
        or not isinstance(x, DTensor)
        or len([a for a in (*args, *kwargs.values()) if isinstance(a, DTensor)]) != 1
    ):
        return NotImplemented
    dims = dims_of(dim, x.ndim)
    out = kept(x.ndim, dims, bool(given.get("keepdim")))
    labels = tuple(None if d in dims else d for d in range(x.ndim))
    results = (
        2 if name in ("max", "min", "median", "nanmedian", "mode", "kthvalue", "var_mean", "std_mean", "aminmax") else 1
    )
    return execute(Plan([x], [labels], [out] * results, caller(func, args, kwargs)))


def _two_norm(given: dict[str, Any], x: DTensor) -> Any:
    """The common norms as sums and extrema, which pieces give terms of."""
    p = given.get("ord", given.get("p", 2))
    p = 2.0 if p in (None, "fro") else p
    if not isinstance(p, (int, float)) or p <= 0 or given.get("dtype") is not None:
        return None
    options = {"dim": given.get("dim"), "keepdim": bool(given.get("keepdim"))}
    if p == float("inf"):
        return x.abs().amax(**{**options, "dim": options["dim"] if options["dim"] is not None else ()})
    return (x * x).sum(**options).sqrt() if p == 2 else (x.abs() ** p).sum(**options) ** (1 / p)


@rule(*ALONG)
def along(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Functions along dimensions, which must be whole; the result has x's dimensions."""
    given = bound(func, args, kwargs)
    x = given.get("input", given.get("self"))
    if not isinstance(x, DTensor) or x.ndim == 0:
        return NotImplemented
    dim = given.get("dim", given.get("dims", NO_INDEX_DIM.get(name)))
    if dim is None and name in ("flip", "roll"):
        dim = given.get("args") or None
        dim = dim[0] if dim and isinstance(dim[0], (tuple, list)) else dim
    if dim is None:
        return NotImplemented
    dims = dims_of(tuple(dim) if isinstance(dim, list) else dim, x.ndim)
    labels = tuple(None if d in dims else d for d in range(x.ndim))
    return execute(Plan([x], [labels], [labels, labels], caller(func, args, kwargs)))
