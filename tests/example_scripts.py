"""Running a script of examples/ as a user does: `rushlight run`, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def run(name: str, folder: Path, *arguments: str | int | Path) -> str:
    """What examples/NAME prints; the test fails with its errors where it fails."""
    command = [sys.executable, "-m", "rushlight", "run", str(PROJECT / "examples" / name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
