"""Handles that take a hook out of the dictionary it was put into."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import Any

from rushlight.autograd import graph


class RemovableHandle(graph.RemovableHandle):
    """A handle that modules can keep: a copied or unpickled one belongs to the copied dictionaries."""

    def __getstate__(self) -> tuple[Any, int, list[Any]]:
        return self.hooks_dict_ref(), self.id, self.extra

    def __setstate__(self, state: tuple[Any, int, list[Any]]) -> None:
        hooks, self.id, self.extra = state
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
