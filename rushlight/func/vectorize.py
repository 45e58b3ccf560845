"""vmap: a function of one sample as a function of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rushlight.func.batching import Level, at_level, batched, physical
from rushlight.func.tree import flatten, spread, unflatten
from rushlight.tensor.core import Tensor
from rushlight.tensor.state import state


def vmap(func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *,
         chunk_size: int | None = None) -> Callable[..., Any]:
    """func of one sample as a function of a batch: every operation runs once for all samples.

    ``in_dims`` says which dimension of each argument counts the samples (None: the argument is the same for all),
    ``out_dims`` where that dimension goes in the results; both may be nested like the arguments and results.
    ``randomness`` is "error", "same" (the samples share random numbers) or "different". ``chunk_size`` limits how
    many samples run at once. Maps nest, and may contain and be contained in grad, vjp, jacrev and jvp. Keyword
    arguments are the same for all samples. RuntimeError where the function reads numbers (``item``, ``if tensor``) or
    writes batched values into a tensor from outside.

    >>> import rushlight as rl
    >>> vmap(rl.dot)(rl.ones(3, 2), rl.arange(6.).view(3, 2))
    tensor([1., 5., 9.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten(args)
        dims = input_dims(in_dims, leaves, structure, args, func)
        size = batch_size(dims, leaves)
        if chunk_size is None or chunk_size >= size:
            return run(func, size, dims, leaves, structure, out_dims, randomness, kwargs)
        parts = []
        for start in range(0, size, chunk_size):
            n = min(chunk_size, size - start)
            some = [x if d is None else x.narrow(d, start, n) for x, d in zip(leaves, dims)]
            parts.append(flatten(run(func, n, dims, some, structure, out_dims, randomness, kwargs)))
        return joined(parts, out_dims, func)
    return wrapper


def name_of(func: Any) -> str:
    return getattr(func, "__name__", None) or repr(func)


def input_dims(in_dims: Any, leaves: list[Any], structure: Any, args: Any, func: Any) -> list[int | None]:
    """The mapped dimension of each tensor, counted from the front."""
    name = name_of(func)
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a "
                         f"(potentially nested) tuple matching the structure of inputs, got: {type(in_dims)}.")
    if not leaves:
        raise ValueError(f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, "
                         "or you are trying to vmap over a function with no inputs. The latter is unsupported.")
    dims = spread(tuple(in_dims) if isinstance(in_dims, list) else in_dims, structure)
    if dims is None:
        raise ValueError(f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): "
                         "in_dims is not compatible with the structure of `inputs`. "
                         f"in_dims has structure {flatten(in_dims)[1]} but inputs has structure {structure}.")
    return [_checked(d, x, in_dims, name) for d, x in zip(dims, leaves)]


def _checked(dim: Any, x: Any, in_dims: Any, name: str) -> int | None:
    where = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={dim} for "
    if dim is not None and not isinstance(dim, int):
        raise ValueError(f"{where}an input but in_dim must be either an integer dimension or None.")
    if dim is None:
        return None
    if not isinstance(x, Tensor):
        raise ValueError(f"{where}an input but the input is of type {type(x)}. "
                         "We cannot vmap over non-Tensor arguments, please use None as the respective in_dim")
    n = len(x._spec.shape)
    if not -n <= dim < n:
        raise ValueError(f"{where}some input, but that input is a Tensor of dimensionality {n} "
                         f"so expected in_dim to satisfy -{n} <= in_dim < {n}.")
    return dim % n


def batch_size(dims: list[int | None], leaves: list[Any]) -> int:
    """The common size of the mapped dimensions."""
    sizes = [x._spec.shape[d] for d, x in zip(dims, leaves) if d is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one of the in_dims not to be None: there is nothing to map over")
    if any(n != sizes[0] for n in sizes):
        raise ValueError("vmap: Expected all tensors to have the same size in the mapped dimension, "
                         f"got sizes {sizes} for the mapped dimension")
    return int(sizes[0])


def run(func: Any, size: int, dims: list[int | None], leaves: list[Any], structure: Any, out_dims: Any, randomness: str,
        kwargs: dict[str, Any]) -> Any:
    """One map over all samples given."""
    with Level(size, randomness) as level:
        inner = [x if d is None else batched(x.movedim(d, 0), level) for x, d in zip(leaves, dims)]
        outs, out_structure = flatten(func(*unflatten(inner, structure), **kwargs))
        state.level = level.outer
        results = [result(o, d, level, func) for o, d in zip(outs, output_dims(out_dims, outs, out_structure, func))]
        inner.clear()
        outs.clear()
    return unflatten(results, out_structure)


def output_dims(out_dims: Any, outs: list[Any], structure: Any, func: Any) -> list[Any]:
    """Where the mapped dimension goes in each result."""
    name = name_of(func)
    found = spread(out_dims, structure)
    if found is None and structure.kind is None and isinstance(out_dims, tuple) and len(out_dims) == 1:
        found = [out_dims[0]]
    if found is None:
        raise ValueError(f"vmap({name}, ..., out_dims={out_dims})(<inputs>): "
                         "out_dims is not compatible with the structure of `outputs`. "
                         f"out_dims has structure {flatten(out_dims)[1]} but outputs has structure {structure}.")
    for d in found:
        if d is not None and not isinstance(d, int):
            raise ValueError(f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int, "
                             "None or a python collection of ints representing where in the "
                             "outputs the vmapped dimension should appear.")
    return found


def result(o: Any, dim: int | None, level: Level, func: Any) -> Any:
    """A result with its samples along dimension dim; where it is the same for all samples, repeated."""
    name = name_of(func)
    if dim is None:
        if isinstance(o, Tensor) and at_level(o, level):
            raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
        return o
    if not isinstance(o, Tensor):
        raise ValueError(f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(o)}. "
                         "Did you mean to set out_dims= to None for output?")
    whole = physical(o, level) if at_level(o, level) else o.expand(level.size, *o._spec.shape)
    n = len(whole._spec.shape)
    if not -n <= dim < n:
        raise IndexError(f"vmap({name}, ..., out_dims={dim}): "
                         f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return whole.movedim(0, dim) if dim % n else whole


def joined(parts: list[Any], out_dims: Any, func: Any) -> Any:
    """The results of the chunks one after the other."""
    from rushlight.tensor.functions.joining import cat
    structure = parts[0][1]
    dims = output_dims(out_dims, parts[0][0], structure, func)
    columns = zip(*[leaves for leaves, _ in parts])
    return unflatten([column[0] if d is None else cat(list(column), d) for column, d in zip(columns, dims)], structure)
