"""Dim, and which sizes of which arguments a specification of dynamic shapes lets change."""

from __future__ import annotations

import enum
from typing import Any

from rushlight.export.dynamic import Size, SizeError, Sizes
from rushlight.tensor.core import Tensor


class _DimHint(enum.Enum):
    """Sizes without a name: AUTO and DYNAMIC may change, STATIC stays."""

    AUTO = "AUTO"
    STATIC = "STATIC"
    DYNAMIC = "DYNAMIC"


class Dim:
    """A named size that may change between ``min`` and ``max``: ``Dim("batch", max=64)``. ``2 * dim + 1`` is a size
    that follows from it.

    >>> Dim("batch", min=2).min
    2
    """

    AUTO, STATIC, DYNAMIC = _DimHint.AUTO, _DimHint.STATIC, _DimHint.DYNAMIC

    def __init__(self, name: str, *, min: int | None = None, max: int | None = None):
        if not isinstance(name, str) or not name.isidentifier():
            raise AssertionError(f"Dim names must be valid identifiers, got {name}")
        low, high = 0 if min is None else min, max
        if high is not None and high <= low:
            raise AssertionError(f"Cannot create Dim with inconsistent min={low}, max={high}")
        self.__name__, self.min, self.max = name, low, high
        self.root, self.factor, self.offset = self, 1, 0

    def _derived(self, factor: int, offset: int, text: str) -> Dim:
        if not isinstance(factor, int) or not isinstance(offset, int):
            raise NotImplementedError("Attempted to derive a Dim with something that is not an integer")
        if factor <= 0:
            raise NotImplementedError(
                f"Attempted to multiply {self.__name__} by {factor}, where a positive integer was expected. "
                "(Only increasing linear operations with integer coefficients are supported.)"
            )
        out = Dim.__new__(Dim)
        out.__name__, out.root, out.factor, out.offset = (
            text,
            self.root,
            self.factor * factor,
            self.offset * factor + offset,
        )
        out.min, out.max = factor * self.min + offset, None if self.max is None else factor * self.max + offset
        return out

    def __add__(self, other: int) -> Dim:
        return self._derived(1, other, f"{self.__name__} + {other}")

    __radd__ = __add__

    def __sub__(self, other: int) -> Dim:
        return self._derived(1, -other, f"{self.__name__} - {other}")

    def __mul__(self, other: int) -> Dim:
        return self._derived(other, 0, f"{other}*{self.__name__}")

    __rmul__ = __mul__

    def size(self) -> Size:
        """This dimension as captures know it."""
        factor, offset = self.factor, self.offset
        return Size(self.__name__, self.root.__name__, lambda n: n * factor + offset, self.root.min, self.root.max)

    def __repr__(self) -> str:
        return f"Dim('{self.__name__}', min={self.min}" + (")" if self.max is None else f", max={self.max})")


def dims(*names: str, min: int | None = None, max: int | None = None) -> tuple[Dim, ...]:
    """Several sizes.

    >>> [d.__name__ for d in dims("batch", "length")]
    ['batch', 'length']
    """
    return tuple(Dim(n, min=min, max=max) for n in names)


def sizes_of(program: Any, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic_shapes: Any) -> Sizes:
    """The dynamic sizes of each leaf of the arguments.

    ``dynamic_shapes`` has the form of the arguments: a dictionary by the parameters' names,
    or a tuple in their order; in the place of a tensor stands None, a dictionary {dimension:
    Dim} or a sequence with a Dim (or None) for each dimension.
    """
    from rushlight.export.captured import bound, signature_of

    given = bound(signature_of(program), args, kwargs)
    if dynamic_shapes is None:
        return {}
    if isinstance(dynamic_shapes, (tuple, list)):
        if len(dynamic_shapes) != len(given):
            raise _user(
                f"`dynamic_shapes` has {len(dynamic_shapes)} elements, but the program is given {len(given)} "
                f"arguments: {list(given)}"
            )
        dynamic_shapes = dict(zip(given, dynamic_shapes))
    if set(dynamic_shapes) != set(given):
        raise _user(
            f"When `dynamic_shapes` is specified as a dict, its top-level keys must be the arg names {list(given)} of "
            "`inputs`, but here they are "
            f"{list(dynamic_shapes)}. Here is a fix: add None for arguments without dynamic sizes"
        )
    out: Sizes = {}
    counter = iter(range(1 << 30))
    _walk({k: given[k] for k in given}, dynamic_shapes, "", counter, out)
    return out


def _user(text: str) -> SizeError:
    return SizeError(text)


def _walk(value: Any, spec: Any, where: str, counter: Any, out: Sizes) -> None:
    from rushlight.utils._pytree import tree_flatten

    if isinstance(value, Tensor):
        _enter(value, spec, where, next(counter), out)
    elif isinstance(value, dict):
        for k, v in value.items():
            if spec is not None and k not in spec:
                raise _user(f"`dynamic_shapes` lacks {where}[{k!r}]")
            _walk(v, None if spec is None else spec[k], f"{where}[{k!r}]", counter, out)
    elif isinstance(value, (tuple, list)):
        if spec is not None and len(spec) != len(value):
            raise _user(f"`dynamic_shapes`{where} has {len(spec)} elements for {len(value)} values")
        for i, v in enumerate(value):
            _walk(v, None if spec is None else spec[i], f"{where}[{i}]", counter, out)
    else:
        for _ in tree_flatten(value)[0]:
            next(counter)


def _enter(t: Tensor, spec: Any, where: str, leaf: int, out: Sizes) -> None:
    if spec is None:
        return
    pairs = spec.items() if isinstance(spec, dict) else enumerate(spec)
    if not isinstance(spec, dict) and len(spec) != t.dim():
        raise _user(
            f"Expected dynamic shape spec {spec} specified at `dynamic_shapes{where}` to have the same length as the "
            "actual tensor shape "
            f"{list(t.shape)} (expected {t.dim()}, but got {len(spec)} instead)"
        )
    for d, dim in pairs:
        if dim is None or isinstance(dim, int) or dim is _DimHint.STATIC:
            if isinstance(dim, int) and dim != t.shape[d]:
                raise _user(
                    f"Static shape constraint of {dim} does not match input size of {t.shape[d]}, for "
                    f"`dynamic_shapes{where}`"
                )
            continue
        if not -t.dim() <= d < t.dim():
            raise _user(f"`dynamic_shapes{where}` names dimension {d} of a tensor with {t.dim()} dimensions")
        d %= t.dim()
        if isinstance(dim, _DimHint):
            out.setdefault(leaf, {})[d] = Size(f"s{len([1 for v in out.values() for _ in v])}")
        elif isinstance(dim, str):
            out.setdefault(leaf, {})[d] = Size(dim)
        elif isinstance(dim, Dim):
            n = t.shape[d]
            if n < dim.min or dim.max is not None and n > dim.max:
                raise _user(
                    f"Constraints violated ({dim.root.__name__})! Expected input at `{where}`.shape[{d}] to be in "
                    f"[{dim.min}, {dim.max}], but got {n}"
                )
            out.setdefault(leaf, {})[d] = dim.size()
        else:
            raise _user(
                f"Unexpected dimension {dim!r} in `dynamic_shapes{where}`: use a Dim, Dim.AUTO, Dim.DYNAMIC, "
                "Dim.STATIC, an int or None"
            )


__all__ = ["Dim", "dims", "sizes_of"]
