"""Values that arrive later (torch.futures)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Future:
    """A value that some thread sets; others wait for it, or chain functions to it.

    >>> f = Future()
    >>> g = f.then(lambda done: done.wait() + 1)
    >>> f.set_result(1)
    >>> g.wait()
    2
    """

    def __init__(self, *, devices: Any = None):
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future], Any]] = []

    def done(self) -> bool:
        """Whether the value is there (or an exception)."""
        return self._ready.is_set()

    def wait(self) -> Any:
        """The value, once it is there; raises the exception that was set."""
        self._ready.wait()
        return self.value()

    def value(self) -> Any:
        """The value of a future that is done."""
        if self._error is not None:
            raise self._error
        return self._value

    def _finish(self, value: Any, error: BaseException | None) -> None:
        with self._lock:
            if self._ready.is_set():
                raise RuntimeError("Future can only be set once; it is done already")
            self._value, self._error = value, error
            self._ready.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def set_result(self, result: Any) -> None:
        """Set the value; RuntimeError for the second time."""
        self._finish(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Set an exception, which wait() raises."""
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._finish(None, result)

    def add_done_callback(self, callback: Callable[[Future], None]) -> None:
        """Call callback(self) when done, at once if it is."""
        with self._lock:
            if not self._ready.is_set():
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """A future of callback(self)."""
        after = Future()

        def run(done: Future) -> None:
            try:
                after.set_result(callback(done))
            except Exception as e:
                after.set_exception(e)
        self.add_done_callback(run)
        return after


def collect_all(futures: list[Future]) -> Future:
    """A future of the list, done when all are."""
    out = Future()
    left = [len(futures)]
    lock = threading.Lock()

    def one(_: Future) -> None:
        with lock:
            left[0] -= 1
            last = left[0] == 0
        if last:
            out.set_result(list(futures))
    if not futures:
        out.set_result([])
    for f in futures:
        f.add_done_callback(one)
    return out


def wait_all(futures: list[Future]) -> list[Any]:
    """The values of all."""
    return [f.wait() for f in collect_all(futures).wait()]
