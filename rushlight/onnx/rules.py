"""The table of rules: for the name of an operation, the function that writes its ONNX nodes.

A rule is called as the program called the operation, with the builder in front: tensors are `Value`s,
sizes that are known only at run time are scalar `Value`s, all else is as in Python. It returns a `Value`,
or a list of them. ``g.outs`` has the types of the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
FAMILIES = (
    "pointwise",
    "binary",
    "reduction",
    "shape",
    "indexing",
    "creation",
    "layers",
    "windows",
    "normalization",
    "products",
    "attention",
    "recurrent",
    "losses",
)


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a function for these operations."""

    def enter(f: Rule) -> Rule:
        for name in names:
            RULES[name] = f
        return f

    return enter


def table() -> dict[str, Rule]:
    """All rules."""
    if not _loaded:
        import importlib

        for family in FAMILIES:
            importlib.import_module(f"rushlight.onnx.rules_{family}")
        _loaded.append(True)
    return RULES


_loaded: list[bool] = []


class NoRule(Exception):
    """A rule does not cover these operands; the text says why."""
