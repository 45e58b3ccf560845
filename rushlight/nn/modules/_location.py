"""Tells in which submodule an error arose: ``model.features.3 (Linear(784→10))``."""

from __future__ import annotations

import re
from typing import Any

# Attribute pairs that say what goes into a layer and what comes out.
_IN_OUT = (
    ("in_features", "out_features"),
    ("in_channels", "out_channels"),
    ("input_size", "hidden_size"),
    ("num_embeddings", "embedding_dim"),
)
_ONE = ("normalized_shape", "num_features", "num_channels", "embed_dim")


def brief(module: Any) -> str:
    """A module in a few characters: its class and its sizes."""
    state = module.__dict__
    for source, target in _IN_OUT:
        if source in state and target in state:
            return f"{module._get_name()}({state[source]}→{state[target]})"
    for name in _ONE:
        if name in state:
            return f"{module._get_name()}({state[name]})"
    return module._get_name()


def _path_below(parent: Any, child: Any) -> str | None:
    """Where in ``parent`` the module ``child`` hangs; also through containers that were not called themselves."""
    for name, module in parent.named_modules():
        if module is child and name:
            return name
    return None


def locate(error: Exception, module: Any) -> None:
    """Adds ``module`` to the path that ``error`` carries, and rewrites the error's note.

    Called once per module level on the way out, innermost first. A level that is not below the next one (a module
    held in a plain list, a closure) starts the path with its own class name.
    """
    trail = error.__dict__.get("_module_trail")
    if trail is None:
        trail = error.__dict__["_module_trail"] = {"inner": module, "top": module, "path": "", "note": None}
    elif trail["top"] is module:
        return  # super().__call__ or a wrapper that calls itself
    else:
        step = _path_below(module, trail["top"])
        step = step if step is not None else re.sub(r"\W", "", trail["top"]._get_name())
        trail["path"] = f".{step}{trail['path']}"
        trail["top"] = module
    note = f"raised in model{trail['path']} ({brief(trail['inner'])})"
    if trail["path"]:
        note += f", where model is {module._get_name()}"
    notes = getattr(error, "__notes__", None)
    if notes and trail["note"] in notes:
        notes[notes.index(trail["note"])] = note
    else:
        error.add_note(note)
    trail["note"] = note
