"""Processes that a program starts through multiprocessing see PyTorch's names as the program itself does.

A forked child inherits them. A spawned child, and the fork server, are new interpreters that run one line of code:
as_torch() is put in front of it. The hooks wait until multiprocessing is used.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

PREPARE = "import rushlight; rushlight.as_torch(); "


def _patch_spawn(spawn: Any) -> None:
    plain = spawn.get_command_line

    def get_command_line(**arguments: Any) -> list[str]:
        command: list[str] = plain(**arguments)
        if "-c" in command:
            command[command.index("-c") + 1] = PREPARE + command[command.index("-c") + 1]
        return command

    spawn.get_command_line = get_command_line


def _patch_forkserver(forkserver: Any) -> None:
    """The server imports __main__ before any other module, which would be too early: each child does it instead."""
    forkserver.set_forkserver_preload([f"{__package__}.aliased"])


PATCHES: dict[str, Callable[[Any], None]] = {"multiprocessing.spawn": _patch_spawn,
                                             "multiprocessing.forkserver": _patch_forkserver}


class PatchingFinder(importlib.abc.MetaPathFinder):
    """Runs a patch right after its module was imported."""

    def find_spec(self, name: str, path: Sequence[str] | None = None,
                  target: types.ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        if name not in PATCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        plain = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            plain(module)
            PATCHES[name](module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def follow() -> None:
    """Let child processes of this one have PyTorch's names too."""
    for name, patch in PATCHES.items():
        if name in sys.modules:
            patch(sys.modules[name])
    sys.meta_path.insert(0, PatchingFinder())
