"""An ONNX graph under construction: values with Python's arithmetic, nodes, constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType
from rushlight.onnx.errors import SymbolicValueError

ELEMENT = {  # numbers of onnx.TensorProto.DataType
    dtypes.float32: 1,
    dtypes.uint8: 2,
    dtypes.int8: 3,
    dtypes.uint16: 4,
    dtypes.int16: 5,
    dtypes.int32: 6,
    dtypes.int64: 7,
    dtypes.bool_: 9,
    dtypes.float16: 10,
    dtypes.float64: 11,
    dtypes.uint32: 12,
    dtypes.uint64: 13,
    dtypes.complex64: 14,
    dtypes.complex128: 15,
    dtypes.bfloat16: 16,
}


def element(dtype: DType) -> int:
    """ONNX's number of a dtype; SymbolicValueError where it has none."""
    if dtype not in ELEMENT:
        raise SymbolicValueError(f"ONNX has no element type for {dtype}")
    return ELEMENT[dtype]


def _binary(kind: str, swapped: bool = False, boolean: bool = False) -> Any:
    """An operator of Python as a node of that kind; a number takes the value's dtype."""

    def method(self: Value, other: Any) -> Any:
        g = self.g
        other = other if isinstance(other, Value) else g.const(other, self.dtype)
        a, b = (other, self) if swapped else (self, other)
        return g.op(kind, a, b, dtype=dtypes.bool_ if boolean else self.dtype, shape=joined(a.shape, b.shape))

    return method


class Value:
    """An edge of the graph. ``shape`` has None where a size is known only at run time; ``array`` is set for constants.

    ``+ - * / ** < >`` and the like make nodes; numbers take the value's dtype.
    """

    __slots__ = ("g", "name", "dtype", "shape", "array")
    __array_ufunc__ = None

    def __init__(self, g: Builder, name: str, dtype: Any = None, shape: Any = None, array: Any = None):
        self.g, self.name, self.dtype, self.shape, self.array = g, name, dtype, shape, array

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def at(self, dim: int) -> int:
        """dim counted from the front."""
        return dim + max(self.rank, 1) if dim < 0 else dim

    def cast(self, dtype: DType) -> Value:
        """The value in another dtype."""
        return (
            self if self.dtype is dtype else self.g.op("Cast", self, to=element(dtype), dtype=dtype, shape=self.shape)
        )

    def __repr__(self) -> str:
        return f"%{self.name}: {self.dtype}{self.shape}"

    def __neg__(self) -> Value:
        return self.g.op("Neg", self, dtype=self.dtype, shape=self.shape)

    __add__, __radd__ = _binary("Add"), _binary("Add", True)
    __sub__, __rsub__ = _binary("Sub"), _binary("Sub", True)
    __mul__, __rmul__ = _binary("Mul"), _binary("Mul", True)
    __truediv__, __rtruediv__ = _binary("Div"), _binary("Div", True)
    __pow__, __rpow__ = _binary("Pow"), _binary("Pow", True)
    __matmul__ = _binary("MatMul")
    __lt__, __le__ = _binary("Less", boolean=True), _binary("LessOrEqual", boolean=True)
    __gt__, __ge__ = _binary("Greater", boolean=True), _binary("GreaterOrEqual", boolean=True)


def joined(a: Any, b: Any) -> Any:
    """The broadcast shape; None for a size that is not known, or for a shape that is not."""
    if a is None or b is None:
        return None
    n = max(len(a), len(b))
    pairs = zip((1,) * (n - len(a)) + tuple(a), (1,) * (n - len(b)) + tuple(b))
    return tuple(
        [q if p == 1 else p if q == 1 or p == q else p if q is None else q if p is None else p for p, q in pairs]
    )


class Builder:
    """Collects nodes and initializers. ``out`` are the facts of the operation that is
    being written: dtype and shape of its results."""

    def __init__(self, opset: int):
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}  # name -> array
        self.outs: list[Value] = []
        self.label = ""
        self._used: dict[str, int] = {}
        self._constants: dict[Any, Value] = {}
        self.domains: set[str] = set()

    # --- names and constants --------------------------------------------------------------------------------------
    def unique(self, name: str) -> str:
        """A name that no edge has yet."""
        n = self._used.get(name)
        self._used[name] = 0 if n is None else n + 1
        return name if n is None else self.unique(f"{name}_{n + 1}")

    def initializer(self, name: str, array: np.ndarray[Any, Any], dtype: DType) -> Value:
        """A named constant."""
        name = self.unique(name)
        self.initializers[name] = array
        return Value(self, name, dtype, array.shape, array)

    def const(self, value: Any, dtype: DType = dtypes.int64) -> Value:
        """A number, list or array as a constant of a dtype; equal small constants are one."""
        if isinstance(value, Value):
            return value.cast(dtype)
        array = np.asarray(value).astype(dtype.numpy)
        key = (array.tobytes(), array.shape, dtype) if array.size <= 64 else None
        if key is None or key not in self._constants:
            made = self.initializer("constant", np.array(array, order="C"), dtype)
            if key is None:
                return made
            self._constants[key] = made
        return self._constants[key]

    # --- nodes ----------------------------------------------------------------------------------------------------
    def op(
        self, kind: str, *inputs: Any, dtype: Any = None, shape: Any = None, domain: str = "", **attributes: Any
    ) -> Value:
        """A node and its result. Lists and numbers among the inputs become int64 constants, None an absent one."""
        return self.ops(kind, 1, *inputs, dtype=dtype, shape=shape, domain=domain, **attributes)[0]

    def ops(
        self,
        kind: str,
        count: int,
        *inputs: Any,
        dtype: Any = None,
        shape: Any = None,
        domain: str = "",
        **attributes: Any,
    ) -> list[Value]:
        """A node with several results."""
        given = [x if x is None or isinstance(x, Value) else self.const(x) for x in inputs]
        while given and given[-1] is None:
            given.pop()
        if domain:
            self.domains.add(domain)
        names = [self.unique(self.label or kind.lower()) for _ in range(count)]
        # dtype_ and shape_ are attributes too
        attributes = {k.rstrip("_"): v for k, v in attributes.items() if v is not None}
        self.nodes.append(
            (kind, [x.name if x is not None else "" for x in given], names, domain, attributes, self.label)
        )
        return [Value(self, n, dtype, shape) for n in names]

    # --- often used -----------------------------------------------------------------------------------------------
    def where(self, condition: Value, x: Any, y: Any, dtype: DType) -> Value:
        """x where the condition holds, else y."""
        x, y = self.const(x, dtype), self.const(y, dtype)
        return self.op("Where", condition, x, y, dtype=dtype, shape=joined(condition.shape, joined(x.shape, y.shape)))

    def size(self, x: Value, dim: int) -> Any:
        """A size: a number where it is known, else a scalar value."""
        dim = x.at(dim)
        if x.shape[dim] is not None:
            return x.shape[dim]
        part = (
            self.op("Shape", x, start=dim, end=dim + 1)
            if self.opset >= 15
            else self.op("Slice", self.op("Shape", x), [dim], [dim + 1], [0])
        )
        part.dtype, part.shape = dtypes.int64, (1,)
        return self.reshape(part, [])

    def vector(self, parts: Sequence[Any]) -> Value:
        """Integers, known or not, as one int64 vector."""
        if not any(isinstance(p, Value) for p in parts):
            return self.const([int(p) for p in parts])
        joined_parts: list[Value] = []
        known: list[int] = []
        for p in parts:
            if isinstance(p, Value):
                if known:
                    joined_parts.append(self.const(known))
                    known = []
                joined_parts.append(self.reshape(p.cast(dtypes.int64), [1]))
            else:
                known.append(int(p))
        if known:
            joined_parts.append(self.const(known))
        if len(joined_parts) == 1:
            return joined_parts[0]
        return self.op("Concat", *joined_parts, axis=0, dtype=dtypes.int64, shape=(len(parts),))

    def reshape(self, x: Value, shape: Sequence[Any]) -> Value:
        """x in another shape; one size may be -1 or a value."""
        parts = list(shape)
        unknown = [i for i, p in enumerate(parts) if isinstance(p, Value)]
        if len(unknown) == 1 and -1 not in [p for p in parts if not isinstance(p, Value)]:
            parts[unknown[0]] = -1
        known = tuple([None if isinstance(p, Value) or p == -1 else int(p) for p in parts])
        if x.shape is not None and None not in x.shape and known.count(None) == 1 and 0 not in known:
            rest = int(np.prod([n for n in known if n is not None], dtype=np.int64))
            known = tuple([int(np.prod(x.shape, dtype=np.int64)) // rest if n is None else n for n in known])
        return self.op(
            "Reshape", x, self.vector(parts), dtype=x.dtype, shape=known, allowzero=1 if 0 in known else None
        )

    def transpose(self, x: Value, order: Sequence[int]) -> Value:
        """Dimensions in another order."""
        order = [x.at(d) for d in order]
        if order == list(range(x.rank)):
            return x
        return self.op("Transpose", x, perm=order, dtype=x.dtype, shape=tuple([x.shape[d] for d in order]))

    def swap(self, x: Value, a: int = -2, b: int = -1) -> Value:
        """Two dimensions exchanged."""
        order = list(range(x.rank))
        order[a], order[b] = order[b], order[a]
        return self.transpose(x, order)

    def unsqueeze(self, x: Value, dims: Sequence[int]) -> Value:
        """Dimensions of size 1 at places of the result."""
        rank = x.rank + len(dims)
        dims = sorted(d % rank for d in dims)
        shape = list(x.shape)
        for d in dims:
            shape.insert(d, 1)
        return self.op("Unsqueeze", x, dims, dtype=x.dtype, shape=tuple(shape))

    def squeeze(self, x: Value, dims: Sequence[int]) -> Value:
        """Dimensions of size 1 taken away."""
        dims = sorted(x.at(d) for d in dims)
        if not dims:
            return x
        return self.op(
            "Squeeze", x, dims, dtype=x.dtype, shape=tuple([n for d, n in enumerate(x.shape) if d not in dims])
        )

    def slice(self, x: Value, dim: int, start: Any, stop: Any, step: int = 1) -> Value:
        """A range of one dimension; bounds may be values."""
        dim = x.at(dim)
        n, shape = x.shape[dim], list(x.shape)
        known = n is not None and not isinstance(start, Value) and not isinstance(stop, Value)
        shape[dim] = len(range(*slice(start, stop, step).indices(n))) if known else None
        return self.op(
            "Slice", x, self.vector([start]), self.vector([stop]), [dim], [step], dtype=x.dtype, shape=tuple(shape)
        )

    def split(self, x: Value, dim: int, sizes: Sequence[int]) -> list[Value]:
        """Parts of known sizes."""
        dim = x.at(dim)
        if len(sizes) == 1:
            return [x]
        parts = self.ops("Split", len(sizes), x, list(sizes), axis=dim, dtype=x.dtype)
        for p, n in zip(parts, sizes):
            p.shape = (*x.shape[:dim], n, *x.shape[dim + 1 :])
        return parts

    def concat(self, xs: Sequence[Value], dim: int) -> Value:
        """Values joined along a dimension."""
        dim = xs[0].at(dim)
        sizes = [x.shape[dim] for x in xs]
        shape = (*xs[0].shape[:dim], None if None in sizes else sum(sizes), *xs[0].shape[dim + 1 :])
        return xs[0] if len(xs) == 1 else self.op("Concat", *xs, axis=dim, dtype=xs[0].dtype, shape=shape)

    def reduce(self, kind: str, x: Value, dims: Sequence[int] | None, keepdim: bool = False) -> Value:
        """A reduction over dimensions, all of them for None."""
        dims = list(range(x.rank)) if dims is None else sorted(x.at(d) for d in dims)
        if x.rank == 0:
            dims = []
        shape = tuple([1 if d in dims else n for d, n in enumerate(x.shape) if keepdim or d not in dims])
        if self.opset >= (13 if kind == "Sum" else 18):
            return self.op(
                f"Reduce{kind}",
                x,
                dims or None,
                keepdims=int(keepdim),
                noop_with_empty_axes=None if dims else 1,
                dtype=x.dtype,
                shape=shape,
            )
        return self.op(f"Reduce{kind}", x, axes=dims or None, keepdims=int(keepdim), dtype=x.dtype, shape=shape)
