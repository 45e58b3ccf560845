"""docs/coverage.md is what docs/coverage.py writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_is_fresh() -> None:
    run = subprocess.run([sys.executable, "docs/coverage.py", "--check"], cwd=ROOT,
                         env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True)
    assert run.returncode == 0, f"docs/coverage.md is stale: run python docs/coverage.py\n{run.stderr}"


def test_every_operation_is_on_it() -> None:
    from rushlight.ops.table import load
    text = (ROOT / "docs" / "coverage.md").read_text()
    for name in load():
        assert name.startswith("scalar_") or f"| `{name}` |" in text
