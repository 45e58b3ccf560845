"""Plans kept on disk between processes, as machine code is.

A large network's plan takes longer to make than its first step takes to run. A blueprint of what took long is kept beside the kernels
(`disk`: whole, checked, private, and of bounded size) under a key of all that it follows from (`plan_key`). A process that needs the
same plan gives its steps addresses and runs; what plans is not even imported. Whatever is wrong with a file, the plan is made anew.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rushlight.exec.cpu import disk, jit
from rushlight.exec.cpu.plan import Plan
from rushlight.ir.program import Program

if TYPE_CHECKING:
    from rushlight.exec.cpu.blueprint import Blueprint

LEAST = 100  # instructions of programs whose plans are looked for
LONG = 0.02  # seconds of planning from which on a plan is kept
FIRST = 4  # plans of a process that are looked for and kept in any case: with them it need not import what plans, which takes longer
MOST_MISSES = 8  # in a row, after which a process looks no more: it makes plans that nobody has made before, like those for new sizes
PLANNER = "rushlight.exec.cpu.layouts"  # of the modules that plan


class Kept:
    """Whether plans are looked for, and how many were ``loaded`` and ``kept``."""

    def __init__(self) -> None:
        self.on = os.environ.get("RUSHLIGHT_KEEP_PLANS", "1") != "0"
        self.asked = self.loaded = self.kept = self.misses = 0

    def sought(self, program: Program) -> bool:
        """Whether a program's plan is worth looking for."""
        self.asked += 1
        if not self.on or self.misses >= MOST_MISSES or disk.root() is None:
            return False
        return self.asked <= FIRST or len(program.instrs) >= LEAST or PLANNER not in sys.modules


KEPT = Kept()


def made(program: Program, changing: frozenset[int], planned: Callable[[], Blueprint], original: Callable[[], Any], anew: bool) -> Plan:
    """The plan of a program, from disk or by `planned`; `changing` are inputs that are others at each run."""
    key = None
    if not anew and KEPT.sought(program):
        from rushlight.exec.cpu import plan_key
        key = plan_key.key(program, changing)
    if key is not None:
        found = _found(key, original)
        if found is not None:
            return found
    start = time.perf_counter()
    blueprint = planned()
    if key is not None and (KEPT.asked <= FIRST or time.perf_counter() - start >= LONG):
        return _keep(key, blueprint, original)
    return Plan(blueprint, original)


def _found(key: bytes, original: Callable[[], Any]) -> Plan | None:
    """The plan that is kept under a key."""
    data = disk.read(jit.cache_folder("plans"), _name(key))
    if data is not None and data.startswith(key):
        from rushlight.exec.cpu import plan_file
        try:
            blueprint = plan_file.read(data[len(key):])
            plan = None if blueprint is None else Plan(blueprint, original)
        except Exception:  # noqa: BLE001 - whatever is wrong with a file, the plan can be made
            plan = None
        if plan is not None:
            KEPT.loaded += 1
            KEPT.misses = 0
            return plan
    KEPT.misses += 1
    return None


def _keep(key: bytes, blueprint: Blueprint, original: Callable[[], Any]) -> Plan:
    """Make a plan and keep what it is made from."""
    from rushlight.exec.cpu import plan_file
    text = plan_file.text(blueprint)
    plan = Plan(blueprint, original)
    if text is not None:
        disk.keep(jit.cache_folder("plans"), _name(key), key + text + pickle.dumps(blueprint.arena, 5))
        KEPT.kept += 1
    return plan


def _name(key: bytes) -> str:
    return key.hex()[:24]
