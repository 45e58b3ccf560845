"""NestedTensor: a batch of tensors of different sizes.

It is held as parts (one tensor for each sample) or, where they differ in their
first size only, packed: all rows in one tensor.
Either form is made from the other when it is first needed; views of the packed rows cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from rushlight.tensor import formats, protocol
from rushlight.tensor.core import Tensor
from rushlight.tensor.device import CPU
from rushlight.tensor.functions.shape import Size
from rushlight.tensor.symbolic import SymInt

protocol.switch_on()
_symbols = iter(range(1, 1 << 62))


class RaggedSize(SymInt):
    """The size of the ragged dimension: equal to itself, and to nothing else; prints as ``j1``."""

    def __new__(cls, lengths: Sequence[int]) -> Any:
        self = object.__new__(cls)
        self.lengths, self.name = tuple(lengths), f"j{next(_symbols)}"
        return self

    def __repr__(self) -> str:
        return str(self.name)

    __hash__ = object.__hash__


class NestedTensor(Tensor):
    """See the module. ``ragged`` is the nested dimension whose size differs
    (jagged layout), with its size `RaggedSize`."""

    is_nested = True
    _leaf = False  # whether gradients are kept for it
    _packed: Tensor | None
    _parts: tuple[Any, ...] | None

    @classmethod
    def of(
        cls,
        parts: Sequence[Tensor] | None,
        layout: Any,
        *,
        packed: Tensor | None = None,
        lengths: Sequence[int] | None = None,
        symbol: RaggedSize | None = None,
        ragged: int = 1,
    ) -> NestedTensor:
        """From parts, or from packed rows and the number of rows of each part."""
        self: NestedTensor = object.__new__(cls)
        self._parts = None if parts is None else tuple(parts)
        self._packed, self._layout, self._ragged = packed, layout, ragged
        counts = (
            tuple(lengths)
            if lengths is not None
            else tuple([p.shape[ragged - 1] if p.dim() >= ragged else 0 for p in self._parts or ()])
        )
        self._symbol = symbol if symbol is not None else RaggedSize(counts) if layout is formats.jagged else None
        self._lengths = counts
        return self

    def like(
        self, parts: Sequence[Tensor] | None = None, packed: Tensor | None = None, ragged: int | None = None
    ) -> NestedTensor:
        """Another one of the same layout and raggedness."""
        return NestedTensor.of(
            parts,
            self._layout,
            packed=packed,
            lengths=self._lengths if packed is not None or ragged is not None else None,
            symbol=self._symbol,
            ragged=self._ragged if ragged is None else ragged,
        )

    # --- forms ----------------------------------------------------------------------------------------------------
    @property
    def parts(self) -> tuple[Any, ...]:
        """One tensor for each sample."""
        if self._parts is None:
            assert self._packed is not None
            self._parts = tuple(self._packed.split(list(self._lengths), 0)) if self._lengths else ()
        return self._parts

    @property
    def packed(self) -> Tensor | None:
        """All rows in one tensor, None where the parts do not allow that."""
        from rushlight.tensor.functions.joining import cat

        if (
            self._packed is None
            and self._parts
            and self._ragged == 1
            and self._parts[0].dim() > 0
            and len({tuple(p.shape[1:]) for p in self._parts}) == 1
        ):
            self._packed = cat(list(self._parts))
            self._lengths = tuple([p.shape[0] for p in self._parts])
        return self._packed

    # --- facts ----------------------------------------------------------------------------------------------------
    @property
    def first(self) -> Tensor:
        """A tensor that knows dtype and history."""
        if self._packed is not None:
            return self._packed
        if self._parts:
            return self._parts[0]
        import rushlight as rl

        return rl.empty(0)

    @property
    def dtype(self) -> Any:
        return self.first.dtype

    @property
    def device(self) -> Any:
        return CPU

    @property
    def layout(self) -> Any:
        return self._layout

    @property
    def requires_grad(self) -> bool:
        return self.first.requires_grad if self._packed is not None else any(p.requires_grad for p in self._parts or ())

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        for t in [self._packed] if self._packed is not None else self.parts:
            t.requires_grad_(value)
        if self._packed is not None:
            self._parts = None

    def requires_grad_(self, requires_grad: bool = True) -> NestedTensor:
        """Let gradients be computed for it."""
        if not requires_grad and not self.is_leaf:
            raise RuntimeError("you can only change requires_grad flags of leaf variables.")
        self.requires_grad, self._leaf = requires_grad, True
        return self

    @property
    def grad_fn(self) -> Any:
        if self._leaf:
            return None
        return next(
            (
                t.grad_fn
                for t in ([self.packed] if self.packed is not None else self._parts or ())
                if t.grad_fn is not None
            ),
            None,
        )

    @property
    def is_leaf(self) -> bool:
        return self._leaf or not self.requires_grad

    @property
    def grad(self) -> Any:
        if self._packed is not None and self._packed.grad is not None:
            return self.like(packed=self._packed.grad)
        grads = [p.grad for p in self._parts or ()] if self._packed is None else []
        return self.like(grads) if grads and all(g is not None for g in grads) else None

    @grad.setter
    def grad(self, value: Any) -> None:
        for t, g in zip([self._packed] if self._packed is not None else self.parts, [None] * len(self._lengths)):
            t.grad = g
        if value is not None:
            raise RuntimeError("the gradient of a nested tensor can be set to None only")

    def dim(self) -> int:
        """The number of dimensions, the batch among them."""
        return 1 + self.first.dim() if self._parts or self._packed is not None else 1

    @property
    def ndim(self) -> int:
        return self.dim()

    def size(self, dim: int | None = None) -> Any:
        """All sizes (jagged layout only) or one of them. RuntimeError for sizes that differ, in the strided layout."""
        if dim is None:
            if self._layout is not formats.jagged:
                raise RuntimeError(
                    "Internal error: NestedTensorImpl doesn't support sizes. Please file an issue. A nested tensor of "
                    "the strided layout has no common "
                    "size: use size(dim), or layout=torch.jagged."
                )
            return Size([self.size(d) for d in range(self.dim())])
        n = self.dim()
        if not -n <= dim < n:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
        dim %= n
        if dim == 0:
            return len(self)
        if self._symbol is not None and dim == self._ragged:
            return self._symbol
        sizes = {p.shape[dim - 1] for p in self.parts}
        if len(sizes) > 1:
            raise RuntimeError(f"Given dimension {dim} is irregular and does not have a size.")
        return sizes.pop() if sizes else 0

    @property
    def shape(self) -> Any:
        return self.size()

    def numel(self) -> int:
        """The number of elements of all parts."""
        return sum(prod(p.shape) for p in self.parts)

    nelement = numel

    def __len__(self) -> int:
        return len(self._lengths) if self._parts is None else len(self._parts)

    def __iter__(self) -> Any:
        return iter(self.parts)

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the parts lie as new ones would."""
        return self._packed is not None and self._packed.is_contiguous() or all(p.is_contiguous() for p in self.parts)

    def values(self) -> Tensor:
        """The packed rows; of a strided one, all elements in one dimension."""
        from rushlight.tensor.functions.joining import cat

        if self._layout is formats.jagged:
            return _rows(self)
        return cat([p.reshape(-1) for p in self.parts])

    def offsets(self) -> Tensor:
        """Where each part begins among the rows, and the end (jagged layout)."""
        if self._layout is not formats.jagged:
            raise AttributeError("'Tensor' object has no attribute 'offsets'")
        import rushlight as rl

        at = [0]
        for n in self._lengths:
            at.append(at[-1] + n)
        return rl.tensor(at)

    def to_padded_tensor(self, padding: float, output_size: Any = None) -> Tensor:
        """`torch.nested.to_padded_tensor` of this."""
        from rushlight import nested

        return nested.to_padded_tensor(self, padding, output_size)

    def lengths(self) -> Any:
        """None: the parts leave no gaps."""
        return None

    def _nested_tensor_size(self) -> Tensor:
        import rushlight as rl

        return rl.tensor([list(p.shape) for p in self.parts])

    def backward(
        self, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """Gradients of the sum of the parts times ``gradient``, a nested tensor. RuntimeError without one."""
        from rushlight.autograd import backward

        if not isinstance(gradient, NestedTensor):
            raise RuntimeError(
                "grad can be implicitly created only for scalar outputs; give a nested tensor of the same sizes"
            )
        pairs = [(p, g) for p, g in zip(self.parts, gradient.parts) if p.requires_grad]
        backward([p for p, _ in pairs], [g for _, g in pairs], retain_graph, create_graph, inputs=inputs)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        if self.grad_fn is not None:
            extra = f", grad_fn=<{self.grad_fn.name()}>"
        else:
            extra = ", requires_grad=True" if self.requires_grad else ""
        if self._layout is formats.jagged:
            sizes = ", ".join(map(str, self.size()))
            return f"NestedTensor(size=({sizes}), offsets={self.offsets()!r}{extra}, contiguous={self.is_contiguous()})"
        inner = ",\n".join("  " + repr(p.detach()).replace("\n", "\n  ") for p in self.parts)
        return f"nested_tensor([\n{inner}\n]{extra})"

    __str__ = __repr__
    __hash__ = Tensor.__hash__

    def __bool__(self) -> bool:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")

    def __deepcopy__(self, memo: Any) -> NestedTensor:
        out = (
            self.like([p.detach().clone() for p in self.parts])
            if self._packed is None
            else self.like(packed=self._packed.detach().clone())
        )
        return out.requires_grad_(self.requires_grad)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        from rushlight.nested.operations import call

        return call(func, args, kwargs or {})


def _rows(t: NestedTensor) -> Tensor:
    """The packed rows of a jagged tensor, whose ragged dimension is brought to the front for it."""
    if t.packed is not None:
        return t.packed
    from rushlight.tensor.functions.joining import cat

    if not t.parts:
        import rushlight as rl

        return rl.empty(0)
    return cat(list(t.parts), t._ragged - 1)


__all__ = ["NestedTensor", "RaggedSize"]
