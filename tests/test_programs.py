"""Programs of the kind that tutorials teach, unchanged under `rushlight run`, against PyTorch's own results.

Each file in tests/programs is an ordinary PyTorch program that prints its results as JSON.
PyTorch runs it here, rushlight in a process of its own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from realdata import path

torch = pytest.importorskip("torch")

FOLDER = Path(__file__).with_name("programs")
PROGRAMS = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem != "datafiles")
TOLERANCE = 1e-3  # relative, and the absolute one for numbers below 1
WIDER = {"style_transfer": 1e-2}  # L-BFGS on an ill-conditioned problem


def test_there_are_enough_programs() -> None:
    assert len(PROGRAMS) >= 40


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", str(path("MNIST").parent))
    theirs, ours = under_pytorch(name, monkeypatch), under_rushlight(name)
    assert shape(ours) == shape(theirs)
    tolerance = WIDER.get(name, TOLERANCE)
    for (place, a), (_, b) in zip(leaves(theirs), leaves(ours), strict=True):
        if isinstance(a, float) and isinstance(b, (int, float)):
            assert abs(a - b) <= tolerance * max(1.0, abs(a)), f"{place}: PyTorch {a}, rushlight {b}"
        else:
            assert a == b, f"{place}: PyTorch {a!r}, rushlight {b!r}"


def under_pytorch(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [name])
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    return json.loads(said.getvalue().splitlines()[-1])


def under_rushlight(name: str) -> Any:
    """With one thread: test processes share few processors, and threads of
    small programs would only wait for each other."""
    root = str(FOLDER.parents[1])
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", str(FOLDER / f"{name}.py")],
                          capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OMP_NUM_THREADS": "1",
                               "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def shape(value: Any) -> Any:
    """The structure of a result, with its keys and lengths."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers and words with their places."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, f"{place}/{key}")
    else:
        yield place, value
