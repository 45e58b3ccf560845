"""The example of a Trainer, short: it learns, keeps its best checkpoint, and goes on from its last."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import realdata

PROJECT = Path(__file__).resolve().parents[1]


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "rushlight", "run", str(PROJECT / "examples" / "lightning_mnist.py"), "--root",
               str(realdata.path("MNIST").parent), "--images", "9000", "--folder", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False,
                          env={**os.environ, "PYTHONPATH": str(PROJECT)})
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_digits(tmp_path: Path) -> None:
    shown = run(tmp_path, "--epochs", "2")
    accuracy = re.search(r"test_accuracy +([\d.]+)", shown)
    assert accuracy is not None and float(accuracy[1]) > 0.9
    assert re.search(r"layers \| Sequential \| +\d", shown) and "[1, 10]" in shown, "the summary shows the sizes"
    with open(tmp_path / "lightning_logs" / "version_0" / "metrics.csv", encoding="utf8") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]]
    assert len(losses) == 2 and losses[1] < losses[0]
    assert f"-val_loss={min(losses):.4f}.ckpt" in shown
    again = run(tmp_path, "--epochs", "2", "--resume")
    assert "`max_epochs=2` reached" in again and "Restored all states" in again
