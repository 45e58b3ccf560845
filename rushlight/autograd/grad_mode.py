"""Switches of gradient recording, as context managers and decorators."""

from __future__ import annotations

import functools
import inspect
from typing import Any


_found: Any = None


def _state() -> Any:
    """The thread's state, which stands above this package."""
    global _found
    if _found is None:
        from rushlight.tensor.state import state
        _found = state
    return _found


class Switch:
    """Sets a field of the thread's state for a block, or around each call of a decorated function."""

    field = "grad"
    value: Any = None
    _before: list[Any] | None = None

    def __enter__(self) -> Any:
        s = _found or _state()
        self._keep(getattr(s, self.field))
        setattr(s, self.field, self.value)
        return self

    def _keep(self, before: Any) -> None:
        """Remember what the block replaces; one switch may be entered several times."""
        if self._before is None:
            self._before = [before]
        else:
            self._before.append(before)

    def __exit__(self, *_: Any) -> None:
        setattr(_found or _state(), self.field, self._before.pop())

    def __call__(self, function: Any) -> Any:
        if inspect.isgeneratorfunction(function):
            @functools.wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Any:
                with self.clone():
                    it = function(*args, **kwargs)
                    sent: Any = None
                while True:
                    with self.clone():
                        try:
                            got = it.send(sent)
                        except StopIteration as stop:
                            return stop.value
                    sent = yield got
            return generate

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)
        return call

    def clone(self) -> Any:
        """A fresh switch of the same setting."""
        other = object.__new__(type(self))
        other.__dict__.update({k: v for k, v in self.__dict__.items() if k != "_before"})
        return other


class no_grad(Switch):
    """Operations in the block are not recorded for backward.

    Usable as a context, as a decorator of functions and of generators.

    >>> import rushlight as rl
    >>> w = rl.ones(1, requires_grad=True)
    >>> with rl.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """

    value = False

    def __new__(cls, function: Any = None) -> Any:
        self = object.__new__(cls)
        return self if function is None else self(function)


class enable_grad(Switch):
    """Operations in the block are recorded for backward."""

    value = True

    def __new__(cls, function: Any = None) -> Any:
        self = object.__new__(cls)
        return self if function is None else self(function)


class set_grad_enabled(Switch):
    """Switch recording on or off: at once, and back at the end of the block."""

    def __init__(self, mode: bool):
        s = _state()
        self.value = bool(mode)
        self._first = s.grad
        s.grad = self.value

    def __enter__(self) -> Any:
        self._keep(self._first)
        _state().grad = self.value
        return self

    def __call__(self, function: Any) -> Any:
        _state().grad = self._first
        return super().__call__(function)

    def clone(self) -> Any:
        return set_grad_enabled(self.value)


class inference_mode(Switch):
    """no_grad whose results can never join a graph."""

    def __new__(cls, mode: Any = True) -> Any:
        self = object.__new__(cls)
        if callable(mode):
            self.mode = True
            return self(mode)
        return self

    def __init__(self, mode: Any = True):
        self.mode = bool(mode)

    def __enter__(self) -> Any:
        s = _state()
        self._keep((s.grad, s.inference))
        if self.mode:
            s.grad = False
        else:
            s.grad = True
        s.inference = self.mode
        return self

    def __exit__(self, *_: Any) -> None:
        s = _state()
        s.grad, s.inference = self._before.pop()


def _enter_grad_mode(enabled: bool) -> bool:
    """Switch recording on or off; what it was before, for `_exit_grad_mode`. Graphs of captured programs call both."""
    s = _state()
    before, s.grad = bool(s.grad), bool(enabled)
    return before


def _exit_grad_mode(before: bool) -> None:
    """Undo `_enter_grad_mode`."""
    _state().grad = bool(before)


def is_grad_enabled() -> bool:
    """Whether operations are recorded for backward."""
    return bool(_state().grad)


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on."""
    return bool(_state().inference)
