"""Functions of torch that take Dims as arguments: reductions and scans along them, split, stack, subscripts."""

from __future__ import annotations

from typing import Any, NamedTuple

from rushlight.functorch.dim.tensors import Named, Tensor, aligned, mapped, parts, union, wrapped
from rushlight.tensor.core import Tensor as Plain


class Form(NamedTuple):
    """Where a function takes its dimension and `keepdim` (positions after the tensor),
    and whether the dimension goes away."""

    dim: int = 0
    keepdim: int | None = 1
    reduces: bool = True


KEEPS = Form(0, None, False)
ALONG: dict[str, Form] = {
    **dict.fromkeys(("mean", "sum", "all", "amax", "amin", "any", "count_nonzero", "logsumexp", "nanmean", "nansum",
                     "prod", "max", "min", "argmax", "argmin",
                     "median", "nanmedian", "mode"), Form()),
    **dict.fromkeys(("std", "var"), Form(0, 2)), "kthvalue": Form(1, 2), "aminmax": Form(0, 1), "unbind": Form(0, None),
    **dict.fromkeys(("sort", "argsort", "cummax", "cummin", "cumprod", "cumprod_", "cumsum", "cumsum_", "logcumsumexp",
                     "softmax", "log_softmax"), KEEPS),
    **dict.fromkeys(("chunk", "renorm"), Form(1, None, False)),
}
SUBSCRIPTS = frozenset(("__getitem__", "__setitem__", "getitem", "setitem"))


def special(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a function that treats Dims in its own way; NotImplemented for any other."""
    name = getattr(func, "__name__", "")
    if name in SUBSCRIPTS:
        from rushlight.functorch.dim import indexing
        return indexing.getitem(*args) if name.strip("_") == "getitem" else indexing.setitem(*args)
    if name == "index":
        from rushlight.functorch.dim import indexing
        return indexing.index(*args, **kwargs)
    if name in ("split", "split_with_sizes") or name == "stack" and _stacks_along_dim(args, kwargs):
        from rushlight.functorch.dim import rearrange
        return getattr(rearrange, "split" if name != "stack" else name)(*args, **kwargs)
    if name in ALONG and args and isinstance(args[0], Named):
        return _along(func, name, args, kwargs)
    if name in ("mul", "__mul__") and len(args) == 2 and not kwargs:
        return _product(func, args)
    return NotImplemented


def _stacks_along_dim(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    from rushlight.functorch.dim.names import Dim
    return any(isinstance(a, Dim) for a in (*args[1:], *kwargs.values()))


def _along(func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function along dimensions that Dims or numbers name; NotImplemented where it is given none."""
    form, rest = ALONG[name], list(args[1:])
    given = kwargs.get("dim", rest[form.dim] if form.dim < len(rest) else None)
    if given is None:
        return NotImplemented
    keepdim = form.keepdim is not None and kwargs.get("keepdim",
                                                      rest[form.keepdim] if form.keepdim < len(rest) else False)
    x = args[0]
    data, own = parts(x)
    several = isinstance(given, (tuple, list)) and not isinstance(given, Plain)
    places = [_place(x, d, own, bool(keepdim)) for d in (given if several else (given,))]
    plain = len(rest) < 2 and not kwargs.keys() - {"dim"} and not keepdim
    if name == "sum" and plain and isinstance(x, Tensor) and x.factors:
        return _contraction(x, [own[p] for p in places])
    where = tuple(places) if several else places[0]
    if "dim" in kwargs:
        kwargs = {**kwargs, "dim": where}
    else:
        rest[form.dim] = where
    result = func(data, *rest, **kwargs)
    left = [d for k, d in enumerate(own) if not (form.reduces and k in places)]
    if result is data:  # in place
        return x
    return mapped(lambda r: wrapped(r, left) if isinstance(r, Plain) else r, result)


def _place(x: Any, d: Any, own: tuple[Any, ...], keepdim: bool) -> int:
    """The dimension of the data that a Dim or a number names."""
    n = x.data.ndim - len(own)
    if isinstance(d, Named):
        if keepdim:
            raise ValueError("cannot preserve first-class dimensions with keepdim=True")
        for k, o in enumerate(own):
            if o is d:
                return k
        raise ValueError(f"Tensor with dimensions {[*map(str, (*own, *range(-n, 0)))]} does not contain {d!r}")
    if not -n <= d < n:
        raise ValueError(f"Tensor with dimensions {[*map(str, (*own, *range(-n, 0)))]} does not contain {d}")
    return len(own) + d % n


def _product(func: Any, args: tuple[Any, ...]) -> Any:
    """A product, which remembers its factors where all its dimensions have names: summed, it is a contraction."""
    from rushlight.functorch.dim.tensors import run
    out = run(func, args, {})
    if isinstance(out, Tensor) and not out.ndim and all(isinstance(a, Named) and not a.ndim
                                                        and a.data.is_floating_point() for a in args) \
            and args[0].data.dtype is args[1].data.dtype:
        out.factors = args
    return out


def _contraction(x: Tensor, gone: list[Any]) -> Any:
    """The sum of a product over Dims, without the product."""
    from rushlight.tensor.functions.products import einsum
    dims = union(x.factors)
    letter = {id(d): chr(ord("a") + k) for k, d in enumerate(dims)}
    left = [d for d in dims if all(d is not g for g in gone)]
    terms = [aligned(f, dims) for f in x.factors]
    words = ["".join(letter[id(d)] for d in dims if any(d is o for o in f.dims)) for f in x.factors]
    return wrapped(einsum(f"{words[0]},{words[1]}->{''.join(letter[id(d)] for d in left)}", *terms), left)
