"""What the recorder does with operations on sparse tensors:
a rule by the name of the row, composed of dense operations.

A rule gets the operands and attributes of the row. Compressed tensors go through coordinates and back. An operation
without a rule is PyTorch's error for a backend that has no kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.ops.table import TABLE, Op
from rushlight.sparse import products
from rushlight.sparse.patterns import added, dense, index_tensor, intersection, merge, taken
from rushlight.sparse.storage import FOR_DENSE, SparseStorage, backend
from rushlight.sparse.compressed import CompressedTensor
from rushlight.sparse.coo import CooTensor
from rushlight.sparse.tensor import SparseTensor
from rushlight.tensor import core, formats
from rushlight.tensor.core import Tensor

# f(0) = 0, so that only stored values change
KEEPS_ZERO = """neg scalar_neg abs sign sgn floor ceil trunc round sqrt expm1 log1p sin tan asin atan sinh tanh asinh
    atanh relu erf erfinv isnan isinf signbit real imag conj cast""".split()
# f(a + b) = f(a) + f(b): repeated coordinates may stay
LINEAR = frozenset(("neg", "scalar_neg", "cast", "conj", "real", "imag"))


def apply(op: Op, args: tuple[Any, ...], attrs: tuple[Any, ...]) -> Any:
    """Record an operation with a sparse operand."""
    layout = None
    operands = []
    for a in args:
        if isinstance(a, Tensor) and isinstance(a._storage, SparseStorage):
            if not isinstance(a, SparseTensor):
                raise no_view()
            layout = layout or a.layout
            a = a.to_sparse_coo() if isinstance(a, CompressedTensor) else a
        operands.append(a)
    rule = RULES.get(op.name)
    if rule is None:
        raise NotImplementedError(FOR_DENSE.format(op.name, backend(layout)))
    out = rule(*operands, *attrs)
    if isinstance(out, CooTensor) and layout is not formats.sparse_coo and len(out._spec.shape) == 2:
        from rushlight.sparse.conversion import compress
        return compress(out, layout)
    return out


def no_view() -> NotImplementedError:
    """The error where a view of a sparse tensor, which is none, is used."""
    return NotImplementedError(FOR_DENSE.format("as_strided", "SparseCPU"))


def _unary(name: str) -> Callable[..., Any]:
    def rule(s: CooTensor, *attrs: Any) -> CooTensor:
        own = s if name in LINEAR else s.coalesce()
        return own.with_values(core.apply(TABLE[name], (own._vals,), attrs))
    return rule


def _same_size(title: str, a: Any, b: Any) -> None:
    if a._spec.shape != b._spec.shape:
        raise RuntimeError(f"{title}: expected 'self' and 'other' to have same size, "
                           f"but self has size {list(a._spec.shape)} while other has size {list(b._spec.shape)} (FYI: "
                           "op2-sparse addition does not currently support broadcasting)")


def add(a: Any, b: Any) -> Any:
    """sparse + sparse is sparse, dense + sparse dense. RuntimeError for sparse + dense, as in PyTorch."""
    if isinstance(a, CooTensor) and isinstance(b, CooTensor):
        _same_size("add", a, b)
        return _together(a, b)
    if isinstance(b, CooTensor) and isinstance(a, Tensor):
        if a._spec.shape != b._spec.shape:
            raise RuntimeError("add: expected 'self' and 'other' to have same size, but self has size "
                               f"{list(a._spec.shape)} while other has size {list(b._spec.shape)} (FYI: "
                               "dense-sparse addition does not currently support broadcasting)")
        return a + dense(b)
    raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")


def _together(a: CooTensor, b: CooTensor) -> CooTensor:
    """The sum: values added where the coordinates are the same ones, else all coordinates."""
    if a.sparse_dim() != b.sparse_dim():
        raise RuntimeError("cannot add sparse tensors with different numbers of sparse dimensions")
    if a._at is b._at:
        return a.with_values(a._vals + b._vals)
    at, values = np.concatenate([a.places(), b.places()], 1), core.functions().cat(_promoted(a._vals, b._vals))
    if a._coalesced and b._coalesced:
        return merge(at, values, a._spec.shape)
    return CooTensor.build(index_tensor(at), values, a._spec.shape)


def _promoted(a: Any, b: Any) -> tuple[Any, Any]:
    from rushlight.tensor.promotion import promote_types
    dtype = promote_types(a.dtype, b.dtype)
    return a.to(dtype), b.to(dtype)


def sub(a: Any, b: Any) -> Any:
    """a + (-b)."""
    return add(a, -b)


def mul(a: Any, b: Any) -> Any:
    """Times a number, a dense tensor or, where both have values, a sparse one."""
    if not isinstance(a, CooTensor):
        a, b = b, a
    if not isinstance(b, Tensor) or not b._spec.shape and not isinstance(b, CooTensor):
        return a.with_values(a._vals * b)
    if not isinstance(b, CooTensor):
        return a.with_values(a._vals * taken(b, a))
    _same_size("mul", a, b)
    if a._at is b._at and a._coalesced:
        return a.with_values(a._vals * b._vals)
    at, x, y = intersection(a.coalesce(), b.coalesce())
    return CooTensor.build(index_tensor(at), x * y, a._spec.shape, True)


def div(a: Any, b: Any) -> Any:
    """Divided by a number or a dense tensor. RuntimeError for a sparse divisor, as in PyTorch."""
    if isinstance(b, CooTensor):
        raise RuntimeError("Sparse division requires a scalar or zero-dim dense tensor divisor (got a sparse divisor): "
                           "zeros divided by zeros are no zeros")
    return a.with_values(a._vals / (b if not isinstance(b, Tensor) or not b._spec.shape else taken(b, a)))


def power(a: Any, b: Any) -> Any:
    """To the power of a positive number. NotImplementedError otherwise: zeros would not stay zeros."""
    if not isinstance(a, CooTensor) or isinstance(b, Tensor) or not b > 0:
        raise NotImplementedError(FOR_DENSE.format("pow", "SparseCPU"))
    own = a.coalesce()
    return own.with_values(own._vals ** b)


def total(s: CooTensor, dims: tuple[int, ...], keepdim: bool) -> Any:
    """The sum over dimensions: dense over all of them or all sparse ones, else sparse."""
    shape, k = s._spec.shape, s.sparse_dim()
    if len(dims) == len(shape):
        return s._vals.sum().reshape([1] * len(shape) if keepdim else [])
    values = s._vals
    inner = tuple(d - k + 1 for d in dims if d >= k)
    if inner:
        values = values.sum(inner, keepdim)
    outer = [d for d in dims if d < k]
    shape = tuple(1 if d in dims else n for d, n in enumerate(shape) if keepdim or d not in dims)
    if not outer:
        return CooTensor.build(s._at, values, shape, s._coalesced)
    if len(outer) == k and not keepdim:
        return added(values, np.zeros(values._spec.shape[0], np.int64), 1)[0]
    at = s.places().copy()
    if keepdim:
        at[outer] = 0
    else:
        at = np.delete(at, outer, 0)
    return merge(at, values, shape)


def _anywhere(s: CooTensor, dims: tuple[int, ...]) -> Any:
    """Whether any element is True. NotImplementedError over some dimensions only."""
    if len(dims) != len(s._spec.shape):
        raise NotImplementedError(FOR_DENSE.format("any.dim", "SparseCPU"))
    return s.coalesce()._vals.any()


def concatenate(*rest: Any) -> Any:
    """Sparse tensors one after the other. TypeError where dense ones are among them."""
    *parts, dim = rest
    if not all(isinstance(p, CooTensor) for p in parts):
        raise TypeError("all inputs to cat must be sparse where one is: convert them with .to_sparse() or .to_dense()")
    k, offset, places = parts[0].sparse_dim(), 0, []
    shape = list(parts[0]._spec.shape)
    if dim >= k:
        raise NotImplementedError(FOR_DENSE.format("cat along a dense dimension", "SparseCPU"))
    for p in parts:
        at = p.places().copy()
        at[dim] += offset
        offset += p._spec.shape[dim]
        places.append(at)
    shape[dim] = offset
    values = core.functions().cat([p._vals for p in parts])
    return CooTensor.build(index_tensor(np.concatenate(places, 1)), values, shape,
                           dim == 0 and all(p._coalesced for p in parts))


RULES: dict[str, Callable[..., Any]] = {
    **{name: _unary(name) for name in KEEPS_ZERO},
    "copy": lambda s: s.with_values(core.apply(TABLE["copy"], (s._vals,))),
    "add": add, "add_scaled": lambda a, b, alpha: add(a, b * alpha),
    "sub_scaled": lambda a, b, alpha: add(a, b * -alpha),
    "sub": sub, "mul": mul, "div": div, "pow": power, "sum": total, "cat": concatenate,
    "matmul": products.matmul, "linear_no_bias": lambda x, w: products.matmul(x, w.t()),
    "linear": lambda x, w, b: products.matmul(x, w.t()) + b, "any": lambda s, dims, keepdim: _anywhere(s, dims),
}
