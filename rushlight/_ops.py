"""torch.ops: operators by their qualified names, ``torch.ops.aten.add.Tensor``,
as graph passes and pattern tables name them.

A packet (``aten.add``) holds the overloads of one name; both are made once, so that they can be compared and be keys of
dictionaries. Calling either calls rushlight's function of that name: its own checks tell the overloads apart.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

HOMES = ("rushlight", "rushlight.nn.functional", "rushlight.nn.functional.aten", "rushlight.nn.functional.aten_layers")
PREFIXES = {"special_": "rushlight.special", "linalg_": "rushlight.linalg", "fft_": "rushlight.fft"}
RENAMED = {"self": "input"}  # of PyTorch's schemas


class OpOverload:
    """One overload of an operator. Call it with the operator's arguments."""

    def __init__(self, packet: OpOverloadPacket, overload: str) -> None:
        self.overloadpacket, self._overloadname, self._opname = packet, overload, packet.__name__
        self.namespace = packet.namespace
        self.__name__ = f"{packet.__name__}.{overload}"
        self.__qualname__ = self.__name__
        self.__module__ = f"torch._ops.{packet.namespace}"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self.overloadpacket(*args, **kwargs)

    def name(self) -> str:
        """``aten::add.Tensor``; the default overload has no second part."""
        base = f"{self.namespace}::{self._opname}"
        return base if self._overloadname == "default" else f"{base}.{self._overloadname}"

    def __str__(self) -> str:
        return f"{self.overloadpacket}.{self._overloadname}"

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self.overloadpacket}', overload='{self._overloadname}')>"

    def __reduce__(self) -> Any:
        return getattr, (self.overloadpacket, self._overloadname)

    def __deepcopy__(self, memo: Any = None) -> OpOverload:
        return self


class OpOverloadPacket:
    """All overloads of one operator name. Call it as the function; its attributes are the overloads."""

    def __init__(self, namespace: str, name: str, function: Callable[..., Any], overloads: tuple[str, ...]) -> None:
        self.namespace, self.__name__, self._function, self._overloads = namespace, name, function, overloads
        self._qualified_op_name = f"{namespace}::{name}"

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def overloads(self) -> list[str]:
        """The names of the overloads."""
        return list(self._overloads)

    def __getattr__(self, name: str) -> OpOverload:
        if name.startswith("__") or name not in self._overloads:
            raise AttributeError(f"The underlying op of '{self}' has no overload name '{name}'" + (
                "" if name.startswith("__") else f"; it has {', '.join(self._overloads)}"))
        made = OpOverload(self, name)
        setattr(self, name, made)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._overloads)

    def __str__(self) -> str:
        return f"{self.namespace}.{self.__name__}"

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self}')>"

    def __reduce__(self) -> Any:
        return getattr, (namespace(self.namespace), self.__name__)

    def __deepcopy__(self, memo: Any = None) -> OpOverloadPacket:
        return self


class OpNamespace:
    """The operators of one namespace: attributes are packets, looked up at the first use."""

    def __init__(self, name: str, find: Callable[[str], tuple[Callable[..., Any], tuple[str, ...]] | None]) -> None:
        self.name = self.__name__ = name
        self._find = find

    def __getattr__(self, name: str) -> OpOverloadPacket:
        found = None if name.startswith("__") else self._find(name)
        if found is None:
            raise AttributeError(f"'_OpNamespace' '{self.name}' object has no attribute '{name}'")
        made = OpOverloadPacket(self.name, name, *found)
        setattr(self, name, made)
        return made

    def __reduce__(self) -> Any:
        return namespace, (self.name,)

    def __repr__(self) -> str:
        return f"<module 'torch.ops.{self.name}' from 'torch.ops'>"


def _aten(name: str) -> tuple[Callable[..., Any], tuple[str, ...]] | None:
    from rushlight.aten_overloads import OVERLOADS
    overloads = OVERLOADS.get(name)
    if overloads is None:
        return None
    function = _function(name)
    return None if function is None else (_from_schema(function), overloads)


def _function(name: str) -> Callable[..., Any] | None:
    """rushlight's function of an operator of aten."""
    from rushlight import aten_forms
    found: Any = aten_forms.FORMS.get(name)
    for home in () if found is not None else HOMES:
        found = found if found is not None else getattr(importlib.import_module(home), name, None)
    for prefix, home in PREFIXES.items():
        if found is None and name.startswith(prefix):
            found = getattr(importlib.import_module(home), name.removeprefix(prefix), None)
    if found is None:
        from rushlight.tensor.core import Tensor
        found = getattr(Tensor, name, None)
    return found if callable(found) else None


def _from_schema(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes the parameter names of PyTorch's schemas too."""
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "self" in kwargs:  # always the first
            args, kwargs = (kwargs["self"], *args), {k: v for k, v in kwargs.items() if k != "self"}
        return function(*args, **kwargs)
    return call


def _torchvision(name: str) -> tuple[Callable[..., Any], tuple[str, ...]] | None:
    found = getattr(importlib.import_module("rushlight.vision.ops"), name, None)
    return (found, ("default",)) if callable(found) and not isinstance(found, type) else None


def _custom(space: str, name: str) -> tuple[Callable[..., Any], tuple[str, ...]] | None:
    """An operator made by torch.library.custom_op."""
    from rushlight.library import _operators
    found = _operators.get(f"{space}::{name}")
    return None if found is None else (found, ("default",))


FINDERS: dict[str, Callable[[str], Any]] = {"aten": _aten, "torchvision": _torchvision}


@functools.cache
def namespace(name: str) -> OpNamespace:
    """``torch.ops.<name>``.

    >>> import rushlight as rl
    >>> aten = namespace("aten")
    >>> aten.add.Tensor, aten.add.Tensor(rl.ones(2), rl.ones(2), alpha=2)
    (<OpOverload(op='aten.add', overload='Tensor')>, tensor([3., 3.]))
    """
    return OpNamespace(name, FINDERS.get(name) or functools.partial(_custom, name))


def known(name: str) -> bool:
    """Whether a namespace has operators."""
    from rushlight.library import _operators
    return name in FINDERS or any(n.startswith(name + "::") for n in _operators)
