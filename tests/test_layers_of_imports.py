"""Imports go one way: ir, ops, passes and exec, autograd, tensor, then everything else."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1] / "rushlight"
LEVEL = {"ir": 0, "ops": 1, "passes": 2, "exec": 2, "autograd": 3, "rng": 3, "tensor": 4}
TOP = 5
HOUSE = {"cli": 6}


def level(part: str) -> int:
    return LEVEL.get(part, HOUSE.get(part, TOP))


def test_no_module_imports_upwards() -> None:
    """Only imports at the top of a file count: those within functions break cycles on purpose."""
    wrong = []
    for file in sorted(ROOT.rglob("*.py")):
        mine = level(file.relative_to(ROOT).parts[0])
        for node in ast.parse(file.read_text(encoding="utf8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rushlight."):
                theirs = level(node.module.split(".")[1])
                if theirs > mine and file.parent != ROOT:
                    wrong.append(f"{file.relative_to(ROOT)} imports {node.module}")
    assert not wrong, wrong
