"""torch.overrides: helpers of the __torch_function__ protocol. Importing it switches the protocol on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from rushlight.tensor import protocol
from rushlight.tensor.core import Tensor

protocol.switch_on()
__all__ = ["TorchFunctionMode", "get_default_nowrap_functions", "get_ignored_functions", "get_overridable_functions",
           "get_testing_overrides", "handle_torch_function", "has_torch_function",
           "has_torch_function_unary", "has_torch_function_variadic", "is_tensor_like",
           "is_tensor_method_or_property", "resolve_name", "wrap_torch_function"]


class TorchFunctionMode:
    """A context in which every function of torch goes to `__torch_function__` of this object first.

    >>> import rushlight as rl
    >>> class Named(TorchFunctionMode):
    ...     def __torch_function__(self, func, types, args=(), kwargs=None):
    ...         print(func.__name__)
    ...         return func(*args, **(kwargs or {}))
    >>> with Named():
    ...     x = rl.ones(2)
    ones
    """

    def __torch_function__(self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __torch_function__")

    def __enter__(self) -> TorchFunctionMode:
        protocol.local.modes.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        protocol.local.modes.remove(self)

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> TorchFunctionMode:
        """An instance; `with` enters it."""
        return cls(*args, **kwargs)


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether a mode is active or one of the values takes functions over.

    >>> import rushlight as rl
    >>> has_torch_function((rl.ones(1),))
    False
    """
    return bool(protocol.local.modes) or not protocol.local.off and bool(protocol.overriding(relevant_args))


def has_torch_function_unary(tensor: Any) -> bool:
    """`has_torch_function` of one value.

    >>> import rushlight as rl
    >>> has_torch_function_unary(rl.ones(1))
    False
    """
    return has_torch_function((tensor,))


def has_torch_function_variadic(*tensors: Any) -> bool:
    """`has_torch_function` of several values.

    >>> has_torch_function_variadic(1, 2)
    False
    """
    return has_torch_function(tensors)


def handle_torch_function(public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any,
                          **kwargs: Any) -> Any:
    """Ask modes and the given operands for the function's result. TypeError where all return NotImplemented.

    >>> class Answer:
    ...     @classmethod
    ...     def __torch_function__(cls, func, types, args=(), kwargs=None):
    ...         return 42
    >>> handle_torch_function(len, (Answer(),), Answer())
    42
    """
    return protocol.handle(public_api, protocol.overriding(relevant_args), args, kwargs)


def is_tensor_like(inp: Any) -> bool:
    """Whether a value is a tensor or takes functions of torch over.

    >>> is_tensor_like(3)
    False
    """
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def get_default_nowrap_functions() -> set[Callable[..., Any]]:
    """Functions whose results the default protocol leaves plain.

    >>> isinstance(get_default_nowrap_functions(), set)
    True
    """
    return set(protocol.NOT_WRAPPED)


def get_overridable_functions() -> dict[Any, list[Callable[..., Any]]]:
    """The functions that classes may take over, by namespace.

    >>> import rushlight as rl
    >>> rl.add in get_overridable_functions()[rl]
    True
    """
    out: dict[Any, list[Callable[..., Any]]] = {}
    for path in protocol.NAMESPACES:
        space = importlib.import_module(path)
        out[space] = [v for v in {id(v): v for v in vars(space).values()}.values() if getattr(v, "_overridable", False)]
    out[Tensor] = [v for v in {id(v): v for v in vars(Tensor).values()}.values() if getattr(v, "_overridable", False)]
    return out


def get_ignored_functions() -> set[Callable[..., Any]]:
    """Public functions that never dispatch.

    >>> import rushlight as rl
    >>> rl.is_tensor in get_ignored_functions()
    True
    """
    root = importlib.import_module("rushlight")
    return {getattr(root, n) for n in ("is_tensor", "is_storage", "set_default_dtype", "get_default_dtype",
                                       "manual_seed", "save", "load", "typename", "set_num_threads", "get_num_threads",
                                       "promote_types", "can_cast", "compile", "set_printoptions")}


def get_testing_overrides() -> dict[Callable[..., Any], Callable[..., Any]]:
    """For each function that classes may take over, one with the same parameters that does nothing.

    >>> import rushlight as rl
    >>> get_testing_overrides()[rl.add](1, 2)
    -1
    """
    def nothing(f: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*args: Any, **kwargs: Any) -> int:
            return -1
        answer.__wrapped__ = f  # type: ignore[attr-defined]
        return answer
    return {f: nothing(f) for functions in get_overridable_functions().values() for f in functions}


def is_tensor_method_or_property(func: Callable[..., Any]) -> bool:
    """Whether a function is a method of Tensor or the getter of a property.

    >>> import rushlight as rl
    >>> is_tensor_method_or_property(rl.Tensor.add)
    True
    """
    return func in set(get_overridable_functions()[Tensor]) or getattr(func, "__name__", "") == "__get__"


def resolve_name(f: Callable[..., Any]) -> str | None:
    """The public name of a function, or None.

    >>> import rushlight as rl
    >>> resolve_name(rl.add), resolve_name(rl.Tensor.add)
    ('torch.add', 'torch.Tensor.add')
    """
    for space, functions in get_overridable_functions().items():
        if f in functions:
            home = "torch.Tensor" if space is Tensor else space.__name__.replace("rushlight", "torch")
            return f"{home}.{f.__name__}"
    return None


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that lets classes take over a function of one's own; `dispatcher` names the operands that may do so.

    >>> @wrap_torch_function(lambda x: (x,))
    ... def twice(x):
    ...     return 2 * x
    >>> twice(3)
    6
    """
    def decorate(func: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            relevant = tuple(dispatcher(*args, **kwargs))
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return func(*args, **kwargs)
        wrapped.__name__, wrapped.__doc__ = func.__name__, func.__doc__
        wrapped.__wrapped__ = func  # type: ignore[attr-defined]
        return wrapped
    return decorate
