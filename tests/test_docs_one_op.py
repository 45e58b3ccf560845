"""docs/one_op.md: its code blocks run in order, and print what the page shows."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rushlight as rl
from rushlight.ops.table import TABLE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "one_op.md"
BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)


@pytest.fixture(autouse=True)
def leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The rows and methods that the page adds are taken out again."""
    before = set(TABLE)
    yield
    for name in set(TABLE) - before:
        del TABLE[name]
    if "logcosh" in vars(rl.Tensor):
        del rl.Tensor.logcosh


def test_the_page_runs() -> None:
    space: dict[str, object] = {"__name__": "one_op"}
    printed = ""
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf8"))
    assert sum(kind == "python" for kind, _ in blocks) >= 10
    for number, (kind, text) in enumerate(blocks):
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, f"docs/one_op.md, block {number}", "exec"), space)
            printed = out.getvalue()
        elif printed:
            shown = text.strip().removesuffix("...").strip().splitlines()
            got = [line.split("  #")[0].rstrip() for line in printed.strip().splitlines()]
            assert got[:len(shown)] == [line.rstrip() for line in shown]
            printed = ""


def test_the_page_names_files_that_exist() -> None:
    root = PAGE.parents[1]
    for name in re.findall(r"`((?:rushlight|tests)/[\w/]+\.py)`", PAGE.read_text(encoding="utf8")):
        assert (root / name).exists(), name
