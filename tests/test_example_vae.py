"""The example of a variational autoencoder, short: it learns, and its picture shows three rows of digits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import realdata
from test_examples_vision import tiles

PROJECT = Path(__file__).resolve().parents[1]


def test_vae(tmp_path):
    command = [sys.executable, "-m", "rushlight", "run", str(PROJECT / "examples" / "vae.py"),
               "--root", str(realdata.path("MNIST").parent),
               "--epochs", "2", "--images", "10000", "--picture", str(tmp_path / "vae.png")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False,
                          env={**os.environ, "PYTHONPATH": str(PROJECT)})
    assert done.returncode == 0, done.stderr
    before, first, second = (float(x) for x in re.findall(r"test loss ([\d.]+)", done.stdout))
    assert 500 < before < 600 and first < 230 and second < 190
    rows = tiles(tmp_path / "vae.png", 4, 12)
    assert np.abs(rows[0] - rows[1]).mean() < 0.12 < np.abs(rows[0] - np.roll(rows[1], 1, 0)).mean()
    assert all(0.05 < row.mean() < 0.25 for row in rows)
