"""Tensors that a module owns: parameters, buffers, and the shapeless ones of lazy modules."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import rushlight as rl
from rushlight.tensor.core import Tensor, TensorMeta
from rushlight.tensor.protocol import disabled

__all__ = [
    "Parameter",
    "UninitializedParameter",
    "is_lazy",
    "Buffer",
    "UninitializedBuffer",
    "UninitializedTensorMixin",
]

NO_SHAPE = (
    "Can't access the shape of an uninitialized parameter or buffer. This error usually happens "
    "in `load_state_dict` when trying to load an uninitialized parameter into an initialized one. "
    "Call `forward` to initialize the parameters before accessing their attributes."
)
NO_SHARING = (
    "Can't share memory on an uninitialized parameter or buffer. "
    "Call `forward` to initialize the parameters before calling `module.share_memory()`."
)


def _as_class(cls: type, data: Tensor, requires_grad: bool) -> Any:
    """A leaf of another class on the memory of ``data``."""
    if requires_grad and not (data.dtype.is_floating_point or data.dtype.is_complex):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    leaf = data.detach().requires_grad_(requires_grad)
    leaf.__class__ = cls
    return leaf


class _MarkedMeta(TensorMeta):
    """Lets a tensor of another class count as a Parameter or Buffer when it carries the class's mark."""

    def __instancecheck__(cls, instance: object) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        mark = cls.__dict__.get("_mark")
        return mark is not None and isinstance(instance, Tensor) and getattr(instance, mark, False)


class Parameter(Tensor, metaclass=_MarkedMeta):
    """A tensor that a module lists in ``parameters()`` as soon as it is assigned as an attribute.

    ``data`` is shared, not copied; None gives an empty tensor. Subclass instances keep their class and are marked.

    >>> Parameter(rl.ones(2)).requires_grad
    True
    """

    _mark = "_is_param"
    __torch_function__ = disabled

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = rl.empty(0)
        if type(data) is Tensor or type(data) is Parameter:
            return _as_class(cls, data, requires_grad)
        marked = data.detach().requires_grad_(requires_grad)
        if type(marked) is not type(data):
            raise RuntimeError(
                f"Creating a Parameter from an instance of type {type(data).__name__} requires that detach() "
                f"returns an instance of the same type, but return type {type(marked).__name__} was found instead."
            )
        marked._is_param = True
        return marked

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            data = self.data.clone(memory_format=rl.preserve_format)
            memo[id(self)] = type(self)(data, self.requires_grad)
        return memo[id(self)]

    def __repr__(self) -> str:
        plain = _as_class(Tensor, self, self.requires_grad)
        return f"Parameter containing:\n{plain!r}"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: object) -> Any:
        return _rebuild_parameter, (self.data, self.requires_grad, OrderedDict())


def _rebuild_parameter(data: Tensor, requires_grad: bool, backward_hooks: object) -> Parameter:
    """What a pickled Parameter calls; the third argument is part of PyTorch's file format and always empty."""
    return Parameter(data, requires_grad)


class UninitializedTensorMixin:
    """A tensor whose device and dtype are known and whose shape is not; ``materialize`` supplies it."""

    cls_to_become: type
    _held: Tensor  # an empty tensor with the dtype and device to be

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Becomes an ordinary tensor of this shape, with uninitialised values."""
        held = self.__dict__.pop("_held")
        self.__class__ = self.cls_to_become
        self.data = rl.empty(shape, device=device or held.device, dtype=dtype or held.dtype)

    @property
    def _spec(self) -> Any:
        """What every operation asks for first."""
        raise ValueError(
            "Attempted to use an uninitialized parameter. This error happens when you are using a `LazyModule` or "
            f"explicitly manipulating `torch.nn.parameter.{type(self).__name__}` objects. When using LazyModules Call "
            "`forward` with a dummy batch to initialize the parameters before calling torch functions"
        )

    @property
    def dtype(self) -> Any:
        return self._held.dtype

    @property
    def device(self) -> Any:
        return self._held.device

    def is_floating_point(self) -> bool:
        return self._held.is_floating_point()

    def is_complex(self) -> bool:
        return self._held.is_complex()

    @property
    def shape(self) -> Any:
        raise RuntimeError(NO_SHAPE)

    def size(self, dim: Any = None) -> Any:
        raise RuntimeError(NO_SHAPE)

    def share_memory_(self) -> Any:
        raise RuntimeError(NO_SHARING)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: object) -> Any:
        return type(self), (self.requires_grad, None, self._held.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self._held.device, self._held.dtype)
        return memo[id(self)]

    def to(self, *args: Any, **kwargs: Any) -> Any:
        held = self._held.to(*args, **kwargs)
        return type(self)(self.requires_grad, held.device, held.dtype)


def _uninitialized(cls: Any, requires_grad: Any, device: Any, dtype: Any) -> Any:
    held = rl.empty(0, device=device, dtype=dtype)
    tensor = _as_class(cls, held, requires_grad)
    tensor._held = held
    return tensor


def is_lazy(param: object) -> bool:
    """Whether a parameter or buffer still waits for its shape."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter of a lazy module before its first forward."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return _uninitialized(cls, requires_grad, device, dtype)


class Buffer(Tensor, metaclass=_MarkedMeta):
    """A tensor that becomes a module's buffer on assignment; ``persistent=False`` keeps it out of the state_dict."""

    _mark = "_is_buffer"

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = rl.empty(0)
        marked = data.detach().requires_grad_(data.requires_grad)
        marked.persistent = persistent
        marked._is_buffer = True
        return marked


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer of a lazy module before its first forward."""

    cls_to_become = Tensor

    def __new__(cls, requires_grad: bool = False, device: Any = None,
                dtype: Any = None, persistent: bool = True) -> Any:
        buffer = _uninitialized(cls, requires_grad, device, dtype)
        buffer.persistent = persistent
        buffer._is_buffer = True
        return buffer
