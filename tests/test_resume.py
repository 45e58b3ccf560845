"""Training goes on from a checkpoint in a new process as if it had never stopped: every bit is the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rushlight as rl

CHILD = Path(__file__).with_name("resume_child.py")


def train(optimizer: str, per_epoch: int, start: int, stop: int, folder: Path) -> list[str]:
    """The losses of these steps, in hex, from a process of its own."""
    path = os.pathsep.join([str(CHILD.parents[1]), *sys.path])
    ran = subprocess.run([sys.executable, str(CHILD), optimizer, *map(str, (per_epoch, start, stop)), str(folder)],
                         capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": path})
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def content(value: Any) -> Any:
    """Everything in a checkpoint, tensors as their bytes."""
    if isinstance(value, rl.Tensor):
        return str(value.dtype), tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, dict):
        return {key: content(inner) for key, inner in value.items()}
    return [content(inner) for inner in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("per_epoch", [10, 7], ids=["between epochs", "amid an epoch"])
@pytest.mark.parametrize("optimizer", ["adam", "amsgrad", "sgd"])
def test_twenty_steps_are_ten_and_ten(optimizer: str, per_epoch: int, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    losses = train(optimizer, per_epoch, 0, 20, whole)
    first = train(optimizer, per_epoch, 0, 10, parts)
    second = train(optimizer, per_epoch, 10, 20, parts)
    assert len(set(losses)) == 20 and first + second == losses
    at_the_end = [content(rl.load(folder / "at-20.pt")) for folder in (whole, parts)]
    assert at_the_end[0] == at_the_end[1]
    assert content(rl.load(parts / "at-10.pt")) != at_the_end[0]
