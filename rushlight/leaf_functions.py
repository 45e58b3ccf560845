"""Functions that stay calls when a program is traced: known here so that modules
can name theirs without importing the tracer."""

from __future__ import annotations

import sys
from typing import Any

LEAVES: list[tuple[dict[str, Any], str]] = []  # (globals of the module, name)


def leaf_functions(*names: str) -> None:
    """At module scope: calls of these functions of the module, on proxies of `fx`, become one node each."""
    space = sys._getframe(1).f_globals
    LEAVES.extend((space, name) for name in names)
