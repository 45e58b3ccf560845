"""Calls of NumPy in several threads: its sorts and searches let other threads run."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np

from rushlight.exec import threads

Array = np.ndarray[Any, Any]


def at_once(calls: list[Callable[[], None]]) -> None:
    """Make the calls, the first in this thread; the error of one of them is raised when all have ended."""
    errors: list[BaseException] = []

    def make(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as e:  # raised below, in the thread that waits
            errors.append(e)
    helpers = [Thread(target=make, args=(call,)) for call in calls[1:]]
    for helper in helpers:
        helper.start()
    make(calls[0])
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]


def parts(x: Array, least: int) -> list[Array]:
    """x cut along its first dimension, a part for each thread; as it is where it has fewer elements than `least`."""
    count = min(threads.count(), len(x)) if x.size >= least else 1
    return np.array_split(x, count) if count > 1 else [x]
