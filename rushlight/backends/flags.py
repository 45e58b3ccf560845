"""A module's switches set for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def flags_of(module: Any, **values: Any) -> Iterator[None]:
    """The module's switches with these values inside the context; None leaves a switch as it is.

    AttributeError for a switch that the module has not.
    """
    before = {name: getattr(module, name) for name, value in values.items() if value is not None}
    for name in before:
        setattr(module, name, values[name])
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
