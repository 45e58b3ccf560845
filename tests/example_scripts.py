"""Running a script of examples/ as a user does: `rushlight run`, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


# nothing is chosen by a clock, nor split among threads: the same bits whatever else the machine does
SAME_BITS = {"RUSHLIGHT_CACHE_DIR": "", "OMP_NUM_THREADS": "1"}


def run(name: str, folder: Path, *arguments: str | int | Path, settings: dict[str, str] | None = None) -> str:
    """What examples/NAME prints; the test fails with its errors where it fails."""
    command = [sys.executable, "-m", "rushlight", "run", str(PROJECT / "examples" / name), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **(settings or {})}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
