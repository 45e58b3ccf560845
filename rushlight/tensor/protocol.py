"""__torch_function__: classes that take over functions of torch for their instances,
and modes that take over all of them.

Functions are called directly until a program defines a Tensor subclass or imports torch.overrides; `switch_on` then
puts a dispatcher before each public function and method, once and for all. Programs that use neither pay nothing.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rushlight.tensor.core import Tensor

Function = Callable[..., Any]
NAMESPACES = ("rushlight", "rushlight.nn.functional", "rushlight.linalg", "rushlight.fft", "rushlight.special",
              "rushlight.masked", "rushlight.nn.recurrent")
PREFIXES = {f"rushlight.{n}": n + "_" for n in ("linalg", "fft", "special")}  # of the names that handlers see
HOMES = (*(f"rushlight.tensor.{n}"
           for n in ("functions", "coarse", "creation", "sequences", "drawing", "stft", "fourier", "special")),
         "rushlight.nn.functional", "rushlight.masked", "rushlight.signal.named_windows", "rushlight.nn.recurrent")
# dunder methods of Tensor that have a public name, which handlers compare with
NAMED = {f"__{n}__": n for n in ("add", "sub", "mul", "matmul", "pow", "eq", "ne",
                                 "lt", "le", "gt", "ge", "neg", "abs")}
NAMED.update({"__radd__": "add", "__rmul__": "mul", "__truediv__": "div", "__iadd__": "add_", "__isub__": "sub_",
              "__imul__": "mul_", "__itruediv__": "div_"})
OTHER_DUNDERS = tuple(f"__{n}__"
                      for n in """rsub rtruediv rmatmul rpow floordiv rfloordiv mod
    rmod and or xor rand ror rxor lshift rshift invert pos getitem setitem len contains bool int float complex index
    iter reversed format repr str deepcopy reduce_ex array""".split())
KEPT = frozenset(("as_subclass", "register_hook", "requires_grad_"))  # methods that never dispatch


class _Local(threading.local):
    off = 0  # depth of code in which subclasses do not take over
    all_off = 0

    def __init__(self) -> None:
        self.modes: list[Any] = []


local = _Local()
on = False


def disabled(func: Function, types: Iterable[type], args: tuple[Any, ...] = (),
             kwargs: dict[str, Any] | None = None) -> Any:
    """The __torch_function__ of classes that take nothing over: their operations give plain tensors."""
    with without_subclasses():
        return func(*args, **(kwargs or {}))


@contextmanager
def without_subclasses() -> Iterator[None]:
    """Subclasses take nothing over."""
    local.off += 1
    try:
        yield
    finally:
        local.off -= 1


@contextmanager
def without_any() -> Iterator[None]:
    """Neither subclasses nor modes take anything over."""
    local.all_off += 1
    try:
        with without_subclasses():
            yield
    finally:
        local.all_off -= 1


def _takes_over(value: Any) -> bool:
    kind = type(value)
    known = _kinds.get(kind)
    if known is None:
        handler = getattr(kind, "__torch_function__", None)
        own = getattr(handler, "__func__", None) is torch_function and kind.__module__.startswith("rushlight.")
        known = _kinds[kind] = handler is not None and handler is not disabled and not own
    return known


_kinds: dict[type, bool] = {Tensor: False}  # whether instances of a class take over


def overriding(values: Iterable[Any]) -> list[Any]:
    """The operands whose classes take over, one of each class, subclasses first; those in lists count too."""
    found: list[Any] = []
    for v in values:
        for o in v if isinstance(v, (list, tuple)) else (v,):
            if _takes_over(o) and all(type(o) is not type(f) for f in found):
                at = next((i for i, f in enumerate(found) if issubclass(type(o), type(f))), len(found))
                found.insert(at, o)
    return found


def handle(func: Function, relevant: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Ask the innermost mode, else the operands in order. TypeError where all return NotImplemented."""
    types = tuple(type(o) for o in relevant)
    if local.modes and not local.all_off:
        mode = local.modes.pop()
        try:
            out = mode.__torch_function__(func, types, args, kwargs)
        finally:
            local.modes.append(mode)
        if out is not NotImplemented:
            return out
    for o in relevant:
        out = type(o).__torch_function__(func, types, args, kwargs)
        if out is not NotImplemented:
            return out
    where = f"{getattr(func, '__module__', 'torch')}.{getattr(func, '__name__', func)}".replace("rushlight", "torch")
    raise TypeError(f"Multiple dispatch failed for '{where}'; all __torch_function__ handlers returned "
                    "NotImplemented:\n\n" + "\n".join(f"  - tensor subclass {t}" for t in types))


def overridable(f: Function, known_as: Function | None = None, name: str | None = None) -> Function:
    """f behind a dispatcher, which handlers see as `known_as` (itself where it is None),
    with a name of its own if it is given."""
    if getattr(f, "_overridable", False):
        return f

    def dispatcher(*args: Any, **kwargs: Any) -> Any:
        if local.all_off or local.off and not local.modes:
            return f(*args, **kwargs)
        relevant = [] if local.off else overriding((*args, *kwargs.values()) if kwargs else args)
        if not relevant and not local.modes:
            return f(*args, **kwargs)
        return handle(shown, relevant, args, kwargs)
    for kept in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(dispatcher, kept, getattr(f, kept, None))
    dispatcher.__name__ = name or f.__name__
    dispatcher.__wrapped__ = f  # type: ignore[attr-defined]
    dispatcher._overridable = True  # type: ignore[attr-defined]
    shown = known_as or dispatcher
    return dispatcher


def public(name: str, value: Any) -> bool:
    """Whether a name of a namespace is a function that classes may take over."""
    return type(value) is type(public) and not name.startswith("__") and str(value.__module__).startswith(HOMES)


def dispatched(name: str, value: Any) -> Any:
    """A value that is about to become public, behind a dispatcher if the protocol is on."""
    return overridable(value) if on and public(name, value) else value


def switch_on() -> None:
    """Put dispatchers before all public functions and methods."""
    global on
    if on:
        return
    spaces = [vars(importlib.import_module(path)) for path in NAMESPACES]
    on = True
    done: dict[Function, Function] = {}  # aliases stay one function
    for path, space in zip(NAMESPACES, spaces):
        prefix = PREFIXES.get(path, "")
        for name, value in list(space.items()):
            if public(name, value):
                space[name] = done.setdefault(value, overridable(value, name=prefix + value.__name__))
    _wrap_methods(done)


def _wrap_methods(done: dict[Function, Function]) -> None:
    methods = {n: v for n, v in vars(Tensor).items() if type(v) is type(public) and n not in KEPT}
    mine: dict[Function, Function] = {}
    for name, f in methods.items():
        if not name.startswith("_"):
            setattr(Tensor, name, mine.setdefault(f, overridable(f)))
    for name in (*NAMED, *OTHER_DUNDERS):
        f = methods.get(name)
        if f is not None:
            setattr(Tensor, name, overridable(f, getattr(Tensor, NAMED[name], None) if name in NAMED else None, name))
    for name, p in list(vars(Tensor).items()):
        if isinstance(p, property) and not name.startswith("_") and p.fget is not None:
            getter = overridable(_named(p.fget))
            setattr(Tensor, name, property(getter, p.fset, p.fdel, p.__doc__))
            if name == "grad":
                NOT_WRAPPED.add(getter)


def _named(f: Function) -> Function:
    def get(self: Any) -> Any:
        return f(self)
    get.__name__ = get.__qualname__ = "__get__"
    return get


NOT_WRAPPED: set[Function] = set()  # getters whose results keep their class


def as_subclass(self: Tensor, cls: type) -> Any:
    """The tensor, with its memory and history, as an instance of a subclass. TypeError for what is none."""
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise TypeError(f"as_subclass(): argument 'cls' must be a subclass of Tensor, not {cls!r}")
    switch_on()
    with without_any():
        out = self.view(self._spec.shape)
    out.__class__ = cls
    return out


def make_subclass(cls: type, data: Tensor, require_grad: bool = False) -> Any:
    """A leaf of a subclass on the memory of `data`."""
    switch_on()
    with without_any():
        out = data.detach()
        out.__class__ = cls
        return out.requires_grad_(require_grad)


def convert(value: Any, cls: type, given: tuple[Any, ...]) -> Any:
    """Plain tensors among results as instances of a class; those that are operands themselves through an alias."""
    if isinstance(value, Tensor):
        if isinstance(value, cls) or type(value) is not Tensor:
            return value
        if any(value is g for g in given):
            return as_subclass(value, cls)
        value.__class__ = cls
        return value
    if isinstance(value, (tuple, list)):
        return type(value)([convert(v, cls, given) for v in value])
    return value


def torch_function(cls: type, func: Function, types: Iterable[type], args: tuple[Any, ...] = (),
                   kwargs: dict[str, Any] | None = None) -> Any:
    """What subclasses do unless they say otherwise: the function itself, its tensors as instances of the class."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with without_subclasses():
        out = func(*args, **(kwargs or {}))
    if cls is Tensor or func in NOT_WRAPPED:
        return out
    return convert(out, cls, args)


def _init_subclass(cls: type, **options: Any) -> None:
    super(Tensor, cls).__init_subclass__(**options)
    if not cls.__module__.startswith("rushlight.") and getattr(cls, "__torch_function__", None) is not disabled:
        switch_on()


def attach() -> None:
    """Give Tensor the protocol. Called once at import."""
    Tensor.__torch_function__ = classmethod(torch_function)  # type: ignore[attr-defined]
    Tensor.__init_subclass__ = classmethod(_init_subclass)  # type: ignore[assignment,method-assign]
    Tensor.as_subclass = as_subclass  # type: ignore[attr-defined]
    Tensor._make_subclass = staticmethod(make_subclass)  # type: ignore[attr-defined]
