"""torch._foreach_*: one function over lists of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

UNARY = ("abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1", "floor", "frac", "lgamma",
         "log", "log10", "log1p", "log2",
         "neg", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "tan", "tanh", "trunc")
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "clamp_min", "clamp_max", "pow")
TERNARY = ("addcmul", "addcdiv", "lerp")


def _rows(name: str, tensors: Any, others: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The operands of each call: lists go element by element, anything else goes to all."""
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("Tensor list must have at least one tensor.")
    columns = []
    for other in others:
        if isinstance(other, (list, tuple)):
            if len(other) != len(tensors):
                raise RuntimeError("Tensor lists must have the same number of tensors, "
                                   f"got {len(tensors)} and {len(other)}")
            columns.append(list(other))
        else:
            columns.append([other] * len(tensors))
    return list(zip(tensors, *columns))


def _call(name: str, row: tuple[Any, ...], options: dict[str, Any]) -> Any:
    first, *rest = row
    if name in ("maximum", "minimum") and not hasattr(rest[0], "dtype"):
        name = "clamp_min" if name == "maximum" else "clamp_max"
    if name.startswith("addc") and len(rest) == 3:
        return getattr(first, name)(rest[0], rest[1], value=rest[2])
    return getattr(first, name)(*rest, **options)


def _make(name: str) -> tuple[Callable[..., list[Any]], Callable[..., None]]:
    def fresh(self: Any, *others: Any, **options: Any) -> list[Any]:
        return [_call(name, row, options) for row in _rows(name, self, others)]

    def in_place(self: Any, *others: Any, **options: Any) -> None:
        for row, new in zip(_rows(name, self, others), fresh(self, *others, **options)):
            row[0].copy_(new)
    fresh.__name__, in_place.__name__ = f"_foreach_{name}", f"_foreach_{name}_"
    fresh.__doc__ = (f"``{name}`` of each tensor of a list, "
                     "with the operands of the other lists at its place; a list of new tensors.")
    in_place.__doc__ = f"``{name}`` of each tensor of a list, in place."
    return fresh, in_place


for _name in (*UNARY, *BINARY, *TERNARY):
    globals()[f"_foreach_{_name}"], globals()[f"_foreach_{_name}_"] = _make(_name)


def _foreach_zero_(self: Any) -> None:
    """Zeros into each tensor of a list."""
    for t in self:
        t.zero_()


def _foreach_copy_(self: Any, src: Any, non_blocking: bool = False) -> None:
    """Each tensor of the second list into the one of the first."""
    for t, s in _rows("copy_", self, (src,)):
        t.copy_(s)


def _foreach_norm(self: Any, ord: Any = 2, dtype: Any = None) -> list[Any]:
    """The vector norm of each tensor of a list."""
    from rushlight.tensor.functions.linalg import vector_norm
    return [vector_norm(t, ord, dtype=dtype) for t in self]
