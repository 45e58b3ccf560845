"""Primitives that move values without computing: copies, writes through views, joins, gathers, scatters, fills."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import int64
from rushlight.ir.spec import channels_last_order, dense_strides, iteration_order
from rushlight.ops.table import Types, row


def cat_shape(*xs_dim: Any) -> Types:
    *xs, dim = xs_dim
    first = xs[0]
    size = sum(x.shape[dim] for x in xs)
    return ((first.dtype, first.shape[:dim] + (size,) + first.shape[dim + 1:]),)


def common_channels_last(xs: Any, attrs: Any = ()) -> Any:
    """Channels-last order where all operands lie so."""
    orders = {channels_last_order(x) for x in xs if x.dtype is not None}
    return orders.pop() if len(orders) == 1 else None


def as_rolled(xs: Any, attrs: Any) -> Any:
    """The order of the last roll: each one joins the two parts of a dimension, which may suggest an order apart.

    >>> from rushlight.ir.dtype import float32
    >>> from rushlight.ir.spec import spec
    >>> as_rolled([spec(float32, (2, 2, 1, 2), (4, 1, 2, 2))], ((1,), (3,)))
    (0, 2, 3, 1)
    """
    x, order = xs[0], None
    for shift, dim in zip(*attrs):
        size = x.shape[dim]
        start = -shift % size
        order = common_channels_last((x.narrow(dim, start, size - start), x.narrow(dim, 0, start)))
        x = x.at(x.shape, dense_strides(x.shape, order or tuple(range(len(x.shape)))))
    return order


def as_it_lies(xs: Any, attrs: Any = ()) -> Any:
    """The memory order of the operand."""
    return None if xs[0].contiguous else iteration_order(xs[0].shape, [xs[0]])


def turn_dim(attrs: Any, place: Any) -> Any:
    """The dimension is the first attribute."""
    return (place[attrs[0]], *attrs[1:])


def turn_dims(attrs: Any, place: Any) -> Any:
    """The dimensions are the last attribute."""
    return (*attrs[:-1], tuple([place[d] for d in attrs[-1]]))


def turn_pads(attrs: Any, place: Any) -> Any:
    """A pair of widths per dimension."""
    order = sorted(range(len(place)), key=place.__getitem__)
    return (tuple([attrs[0][d] for d in order]),)


FULL = row("full", "move", "value", lambda value, shape, dtype: ((dtype, shape),), attrs="shape dtype",
           numpy=lambda np, value, shape, dtype: np.full(shape, np.float32(value) if dtype.name == "float16" else value, dtype.numpy),
           differentiable=False)  # float16 by way of float32, as in PyTorch
COPY = row("copy", "move", "x", lambda x: ((x.dtype, x.shape),), numpy=lambda np, x: np.array(x, order="C"),
           vjp={"x": lambda g: g}, grad_name="CloneBackward0")
# a copy whose dimensions lie in the order `order` in memory, outermost first; executors see it as a copy
REORDER = row("reorder", "move", "x", lambda x, order: ((x.dtype, x.shape),), attrs="order", elementwise=True,
              vjp={"x": lambda g: g}, grad_name="CloneBackward0")
# base is a whole storage as one dimension; `view` is a spec over it. The old base's memory is reused when nobody else
# reads it.
WRITE = row("write", "move", "base value", lambda base, value, view: ((base.dtype, base.shape),), attrs="view",
            overwrites=0, differentiable=False)
# the same through a view of another dtype
WRITE_BYTES = row("write_bytes", "move", "base value", lambda base, value, view: ((base.dtype, base.shape),),
                  attrs="view", differentiable=False)
# x written, or added where the view overlaps itself, into zeros of `size` elements through `view`: the gradient of a
# view
UNVIEW = row("unview", "move", "x", lambda x, size, view: ((x.dtype, (size,)),), attrs="size view",
             vjp={"x": lambda F, g, view: F.as_spec(g, view)})
CONCATENATE = row("cat", "move", "*xs", cat_shape, attrs="dim", numpy=lambda np, *a: np.concatenate(a[:-1], axis=a[-1]),
                  vjp={"xs": lambda F, g, i, xs_spec, dim: F.cat_part(g, i, xs_spec, dim)},
                  lies=common_channels_last, turn=turn_dim)
PAD = row("constant_pad", "move", "x value",
          lambda x, value, pads: ((x.dtype, tuple(n + a + b for n, (a, b) in zip(x.shape, pads))),), attrs="pads",
          vjp={"x": lambda F, g, pads: F.unpad(g, pads)}, grad_name="ConstantPadNdBackward0", lies=common_channels_last,
          turn=turn_pads)
FLIP = row("flip", "move", "x", lambda x, dims: ((x.dtype, x.shape),), attrs="dims",
           numpy=lambda np, x, dims: np.flip(x, dims).copy(), vjp={"x": lambda F, g, dims: F.flip(g, dims)},
           lies=as_it_lies, turn=turn_dims)
ROLL = row("roll", "move", "x", lambda x, shifts, dims: ((x.dtype, x.shape),), attrs="shifts dims",
           numpy=lambda np, x, shifts, dims: np.roll(x, shifts, dims),
           vjp={"x": lambda F, g, shifts, dims: F.roll(g, tuple([-s for s in shifts[::-1]]), dims[::-1])}, lies=as_rolled,
           turn=turn_dims)
ARANGE = row("arange", "index", "start step", lambda start, step, size, dtype: ((dtype, (size,)),), attrs="size dtype",
             differentiable=False)

GATHER = row("gather", "index", "x index", lambda x, index, dim: ((x.dtype, index.shape),), attrs="dim",
             vjp={"x": lambda F, g, x_spec, index, dim: F.zeros_of(x_spec, g).scatter_add(dim, index, g)})
SCATTER = row("scatter", "index", "x index src", lambda x, index, src, dim: ((x.dtype, x.shape),), attrs="dim",
              overwrites=0, vjp={"x": lambda g, index, dim: g.scatter(dim, index, 0),
                   "src": lambda F, g, index, dim, src_spec: F.scatter_source_grad(g, index, dim, src_spec)})
SCATTER_ADD = row("scatter_add", "index", "x index src", lambda x, index, src, dim: ((x.dtype, x.shape),), attrs="dim",
                  overwrites=0, vjp={"x": lambda g: g,
                       "src": lambda F, g, index, dim, src_spec: F.scatter_source_grad(g, index, dim, src_spec)})
SCATTER_REDUCE = row("scatter_reduce", "index", "x index src",
                     lambda x, index, src, dim, reduce, include_self: ((x.dtype, x.shape),),
                     attrs="dim reduce include_self", overwrites=0,
                     vjp={"x": lambda F, g, x, index, src, out, dim, reduce, include_self: F.scatter_reduce_grad(g, x, index, src, out, dim, reduce, include_self)[0],
                          "src": lambda F, g, x, index, src, out, dim, reduce, include_self: F.scatter_reduce_grad(g, x, index, src, out, dim, reduce, include_self)[1]})


def index_shape(x: Any, *rest: Any) -> Types:
    *indices, dims = rest
    from rushlight.ir.spec import broadcast
    common: tuple[int, ...] = ()
    for i in indices:
        joined = broadcast(common, i.shape)
        if joined is None:
            shapes = ", ".join(str(list(i.shape)) for i in indices)
            raise IndexError(f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}")
        common = joined
    adjacent = dims == tuple(range(dims[0], dims[0] + len(dims)))
    kept = [n for d, n in enumerate(x.shape) if d not in dims]
    at = dims[0] if adjacent else 0
    return ((x.dtype, (*kept[:at], *common, *kept[at:])),)


# advanced indexing: integer index tensors for the dimensions `dims`; NumPy's rule places the result dimensions
INDEX = row("index", "index", "x *indices", index_shape, attrs="dims",
            vjp={"x": lambda F, g, x_spec, indices, dims: F.index_grad(g, x_spec, indices, dims)})
INDEX_PUT = row("index_put", "index", "x value *indices", lambda x, value, *rest: ((x.dtype, x.shape),),
                attrs="dims accumulate", overwrites=0,
                vjp={"x": lambda F, g, value_spec, indices, dims, accumulate: g if accumulate
                     else F.index_zero(g, value_spec, indices, dims),
                     "value": lambda F, g, value_spec, indices, dims: F.index_source_grad(g, value_spec, indices, dims)})
NONZERO = row("nonzero", "library", "x", lambda x: ((int64, (0, len(x.shape))),), differentiable=False)
