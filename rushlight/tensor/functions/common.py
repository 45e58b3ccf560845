"""What the public functions share: dimensions, promotion, `out=`, casts."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import DType
from rushlight.ir.spec import Spec, dense_order, elementwise_strides
from rushlight.ops.domains import SCALAR_NAMES
from rushlight.ops.table import TABLE, Op
from rushlight.tensor.core import Tensor, apply, assign, check_in_place, check_overlap, relaid
from rushlight.tensor.inplace import give_back, old_values
from rushlight.tensor.promotion import can_cast, result_type
from rushlight.tensor.state import settings, state

NUMBERS = frozenset((bool, int, float, complex))


def cast(x: Tensor, dtype: DType) -> Tensor:
    """x in another dtype (itself where it has it)."""
    if x._spec.dtype is dtype:
        return x
    if dtype.kind in "biu" and x._base is not None:  # no gradient: the history of a view is not asked for
        x = x.detach()  # type: ignore[attr-defined]
    return apply(TABLE["cast"], (x,), (dtype,))


def as_number(value: Any) -> Any:
    """NumPy scalars, symbolic numbers and the like as Python numbers."""
    if hasattr(value, "item") and not isinstance(value, Tensor):
        return value.item()
    for kind in (bool, int, float, complex):
        if isinstance(value, kind):
            return kind(value)
    if hasattr(value, "__index__"):
        return int(value)
    if hasattr(value, "__float__") and not isinstance(value, str):
        return float(value)
    raise TypeError(f"expected a Tensor or a number, got {type(value).__name__}")


def operand(value: Any) -> Any:
    """A Tensor as it is, anything else as a Python number."""
    if isinstance(value, Tensor) or value.__class__ in NUMBERS or value.__class__.__name__ == "Symbol":
        return value
    return as_number(value)


def unify(x: Any, y: Any, floating: bool = False) -> tuple[Any, Any]:
    """Two operands with one dtype; at least one is a tensor."""
    tx, ty = isinstance(x, Tensor), isinstance(y, Tensor)
    if tx and ty:
        dx, dy = x._spec.dtype, y._spec.dtype
        if dx is dy and not (floating and dx.kind in "biu"):
            return x, y
        dtype = result_type(x, y)
    elif tx:
        y = operand(y)
        dtype = number_promotion(x, y)
    else:
        x = operand(x)
        dtype = number_promotion(y, x)
    if floating and dtype.kind in "biu":
        dtype = settings.default_dtype
    return (stand_in(x, dtype) if tx else fit(x, dtype)), (stand_in(y, dtype) if ty else fit(y, dtype))


def stand_in(x: Tensor, dtype: DType) -> Tensor:
    """An operand in the type that an operation computes in:
    writing x before the backward pass is an error as for x itself."""
    if x._spec.dtype is dtype:
        return x
    out = cast(x, dtype)
    out._vc = x._vc
    out.__dict__["_of"] = x, x._storage.cell  # what may be written without notice: a gradient reads it as it is then
    return out


def number_promotion(t: Tensor, value: Any) -> DType:
    kind = t._spec.dtype.kind
    c = value.__class__
    if kind == "c" or kind == "f" and c is not complex or kind in "iu" and (c is int or c is bool):
        return t._spec.dtype
    if kind == "b" and c is bool:
        return t._spec.dtype
    if c.__name__ == "Symbol":
        return t._spec.dtype
    return result_type(t, value)


def fit(value: Any, dtype: DType) -> Any:
    """A number as the Python type of a dtype; integers wrap around as C's do."""
    if value.__class__.__name__ == "Symbol":
        return value
    if dtype.kind in "iu":
        bits = dtype.itemsize * 8
        value = int(value) & ((1 << bits) - 1)
        return value - (1 << bits) if dtype.kind == "i" and value >> (bits - 1) else value
    if dtype.kind == "b":
        return bool(value)
    if dtype.kind == "f":
        return float(value) if value.__class__ is not float else value
    return complex(value)


def tensor_of(value: Any, dtype: DType | None = None) -> Tensor:
    """A Tensor, or a 0-d tensor of a number."""
    if isinstance(value, Tensor):
        return value
    from rushlight.tensor.promotion import number_dtype
    d = dtype or number_dtype(value)
    return apply(TABLE["full"], (fit(value, d),), ((), d))


def is_float(x: Tensor) -> bool:
    return x._spec.dtype.kind in "fc"


def to_float(x: Tensor) -> Tensor:
    """Integers and bools in the default float type."""
    return x if x._spec.dtype.kind in "fc" else cast(x, settings.default_dtype)


def wrap_dim(dim: int, ndim: int) -> int:
    """A dimension number counted from the front; IndexError where it is out of range."""
    n = ndim or 1
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return dim + n if dim < 0 else dim


def wrap_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dimensions of a reduction, sorted; None and () mean all."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(ndim))
    dims = [wrap_dim(int(d), ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if len(set(dims)) != len(dims):
        twice = next(d for d in dims if dims.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return tuple(sorted(dims)) if ndim else ()


def shape_of(*size: Any) -> tuple[int, ...]:
    """Sizes given as numbers or as one sequence."""
    if len(size) == 1 and not isinstance(size[0], int) and hasattr(size[0], "__iter__"):
        size = tuple(size[0])
    return tuple([int(n) for n in size])


def give(out: Any, result: Any) -> Any:
    """Store a result in `out=` tensors where they are given."""
    if out is None:
        return result
    if isinstance(result, (tuple, list)):
        for o, r in zip(out, result):
            give(o, r)
        return out
    if not can_cast(result._spec.dtype, out._spec.dtype):
        raise RuntimeError(f"result type {scalar_name(result._spec.dtype)} can't be cast to the "
                           f"desired output type {scalar_name(out._spec.dtype)}")
    if result._rg or out._rg:
        raise RuntimeError("functions with out=... arguments don't support automatic differentiation, "
                           "but one of the arguments requires grad.")
    if out._spec.shape != result._spec.shape:
        out.resize_(result._spec.shape)
    assign(out, cast(result, out._spec.dtype))
    return out


def scalar_name(dtype: DType) -> str:
    """PyTorch's C++ name of a dtype, which stands in its messages: float32 -> Float."""
    return SCALAR_NAMES.get(dtype.name, dtype.name)


def rewrite(x: Tensor, f: Any, args: tuple[Any, ...], kwargs: Any = {}, expanded: bool = False,
            same: bool = False) -> Tensor:
    """`x.f_(…)`: x takes the values of f(x, …). What f keeps of x for its gradient are the values from before."""
    operands = (*args, *kwargs.values()) if kwargs else args
    check_in_place(x, *operands)
    if not state.grad or not (x._rg or any(o._rg for o in operands if isinstance(o, Tensor))):
        result = f(x, *args, **kwargs)
        check_overlap(x, operands, expanded, same)
        return in_place(x, result, operands, expanded)
    cell = x._storage.cell
    old = old_values(x)
    try:
        result = f(old, *args, **kwargs)
        check_overlap(x, operands, expanded, same)
        return in_place(x, result, (*operands, old), expanded)
    finally:
        give_back(x, cell)


def in_place(x: Tensor, result: Tensor, operands: Any = (), expanded: bool = False) -> Tensor:
    """What `x.f_(…)` does with the result of `f(x, …)`, given its other operands."""
    check_overlap(x, operands, expanded)
    if result._spec.shape != x._spec.shape:
        raise RuntimeError(f"output with shape {list(x._spec.shape)} doesn't match the "
                           f"broadcast shape {list(result._spec.shape)}")
    if not can_cast(result._spec.dtype, x._spec.dtype):
        raise RuntimeError(f"result type {scalar_name(result._spec.dtype)} can't be cast to the "
                           f"desired output type {scalar_name(x._spec.dtype)}")
    known = (x, *[o for o in operands if isinstance(o, Tensor)])
    return assign(x, result, take=not any(result._storage is k._storage for k in known))


def need_tensor(name: str, position: int, argument: str, value: Any) -> None:
    """TypeError in PyTorch's words where a tensor was expected."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}(): argument '{argument}' (position {position}) must "
                        f"be Tensor, not {type(value).__name__}")


def op(name: str) -> Op:
    return TABLE[name]


def lying(out: Tensor, *operands: Any) -> Tensor:
    """out, fresh and computed in several steps, lying in memory as one
    elementwise operation on these operands leaves it."""
    s = out._spec
    specs = tuple([o._spec for o in operands if isinstance(o, Tensor)])
    if s.ordinary and all([o.ordinary for o in specs]) or out._storage.batched:
        return out
    if len({o.dtype for o in specs}) > 1:  # they are cast first, and a copy is dense
        common = result_type(*operands)
        specs = tuple([o if o.dtype is common or dense_order(o.shape, o.strides) is not None else
                       o.at(o.shape, elementwise_strides(o.shape, (o,)), 0) for o in specs])
    return lying_at(out, elementwise_strides(s.shape, specs, len(specs) < len(operands)))


def lying_as(out: Tensor, s: Spec) -> Tensor:
    """out, fresh, lying in memory as a dense spec of its shape does; as it is where the spec is not dense."""
    return (out if out._spec.strides == s.strides or dense_order(s.shape, s.strides) is None else
            lying_at(out, s.strides))


def lying_at(out: Tensor, strides: tuple[int, ...]) -> Tensor:
    """out, fresh, with dense strides; where only those of single elements differ nothing moves.
    The samples of a vmap lie in the ordinary order."""
    s = out._spec
    if s.strides == strides or out._storage.batched:
        return out
    order = dense_order(s.shape, strides)
    if order is not None and not s.permute(order).contiguous:
        out = relaid(out, order)
    out._spec = s.at(s.shape, strides, 0)
    return out


def permuted_like(x: Tensor) -> tuple[int, ...] | None:
    """The memory order of a dense tensor that is not contiguous, else None."""
    s: Spec = x._spec
    return None if s.contiguous else dense_order(s.shape, s.strides)
