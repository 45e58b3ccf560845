"""The examples of compression and inspection, short: their tables say what they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import realdata

PROJECT = Path(__file__).resolve().parents[1]


def run(name: str, folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "rushlight", "run", str(PROJECT / "examples" / f"{name}.py"),
               "--root", str(realdata.path("MNIST").parent), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False,
                          env={**os.environ, "PYTHONPATH": str(PROJECT)})
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def test_quantize(tmp_path):
    out = run("quantize", tmp_path, "--epochs", "1", "--images", "4000")
    rows = {name.strip(): (float(acc), int(size)) for name, acc, size in re.findall(
        r"^(.{22})\s*([\d.]+)%\s+(\d+)", out, re.M)}
    full, half, calibrated, trained = (rows[n] for n in ("float32", "bfloat16 weights",
                                                         "int8, calibrated", "int8, trained for it"))
    assert full[0] > 94 and abs(half[0] - full[0]) < 0.5 and abs(calibrated[0] - full[0]) < 1
    assert trained[0] > full[0] - 1
    assert half[1] < 0.52 * full[1] and calibrated[1] < 0.3 * full[1] and trained[1] < 0.3 * full[1]


def test_prune(tmp_path):
    out = run("prune", tmp_path, "--epochs", "1", "--images", "4000", "--rounds", "1")
    rows = re.findall(r"^(.{24})\s*([\d.]+)%\s+([\d,]+)\s+(\d+)\s+([\d.]+)$", out, re.M)
    before, cut, after = [(float(a), int(p.replace(",", "")), float(m)) for _, a, p, _, m in rows]
    assert before[0] > 94 and after[0] > 93 and cut[0] < after[0]
    assert cut[1:] == after[1:] and after[1] < 0.27 * before[1] and after[2] < 0.27 * before[2]
    assert "blocks.2.conv1   128 ->   64" in re.sub(r"\s{3,}", "   ", out) or "128 ->   64" in out


def test_distill(tmp_path):
    out = run("distill", tmp_path, "--images", "8000", "--epochs", "16")
    rows = {name.strip(): float(acc) for name, acc in re.findall(r"^(.{36})\s*([\d.]+)%", out, re.M)}
    assert rows["teacher"] > 90
    assert rows["student, from the teacher's answers"] > rows["student, from labels"] > 30
    assert rows["student, from answers and features"] > rows["student, from labels"]


def test_inspect_network(tmp_path):
    pytest.importorskip("matplotlib")
    out = run("inspect_network", tmp_path, "--images", "8000", "--epochs", "1", "--folder", str(tmp_path / "made"))
    assert "0: the gradient explodes" in out and re.search(r"7: \d+% of the units are dead", out)
    assert float(re.search(r"test images ([\d.]+)%", out).group(1)) > 60
    names = sorted(p.stem for p in (tmp_path / "made").iterdir())
    assert names == sorted(["filters", "maps", "distributions", "weights", "saliency", "gradcam", "health", "sick"])
    for p in (tmp_path / "made").iterdir():
        pixels = np.asarray(Image.open(p).convert("RGB"))
        assert 700 < pixels.shape[1] < 1200 and pixels.std() > 15
