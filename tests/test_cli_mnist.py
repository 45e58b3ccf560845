"""The MNIST program in examples/: unmodified under `rushlight run`, the same losses as under PyTorch."""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from realdata import path

from rushlight.vision.datasets import MNIST

torch = pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[1]
STEPS = 100


class Scans(torch.utils.data.Dataset):  # type: ignore[name-defined, misc]
    """What torchvision's MNIST gives with ToTensor and Normalize, without torchvision."""

    def __init__(self, root: Path):
        source = MNIST(root, train=True)
        self.x, self.y = np.asarray(source.data), np.asarray(source.targets)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        x = torch.from_numpy(self.x[i]).unsqueeze(0).to(torch.float32).div(255)
        return x.sub(0.1307).div(0.3081), int(self.y[i])


def of_pytorch(root: Path) -> list[float]:
    """The losses of the first steps of the same program."""
    torch.manual_seed(0)
    loader = torch.utils.data.DataLoader(Scans(root), batch_size=64, shuffle=True)
    nn = torch.nn
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(),
                          nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for (x, y), _ in zip(loader, range(STEPS), strict=False):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_an_unmodified_mnist_program_trains_as_under_pytorch(tmp_path: Path) -> None:
    root = path("MNIST").parent
    out = tmp_path / "losses.json"
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", str(ROOT / "examples" / "mnist.py"), "--root",
                           str(root), "--losses", str(out)], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("test accuracy: ")[1]) > 0.95
    losses = json.loads(out.read_text())
    assert len(losses) == 938
    np.testing.assert_allclose(losses[:STEPS], of_pytorch(root), rtol=1e-3)


def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mnist_benchmark", ROOT / "benchmarks" / "mnist.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_benchmark_unpacks_and_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    """Its parts; what it measures is in the README."""
    module = benchmark()
    module.unpack(path("MNIST").parent, tmp_path)
    raw = tmp_path / "MNIST" / "raw"
    assert sorted((f.name, f.stat().st_size) for f in raw.iterdir()) == [
        ("t10k-images-idx3-ubyte", 7_840_016), ("t10k-labels-idx1-ubyte", 10_008),
        ("train-images-idx3-ubyte", 47_040_016), ("train-labels-idx1-ubyte", 60_008)]
    times = {"--under-pytorch": itertools.cycle([8.0, 9.0, 30.0]), "run": itertools.cycle([1.0, 3.0, 2.0])}
    monkeypatch.setattr(module, "run",
                        lambda command, folder: ((next(times["run"]), [2.0, 1.0], "") if command[-1] == "run" else
                                                 (next(times["--under-pytorch"]), [2.0, 1.001], "")))
    monkeypatch.setattr(module, "epochs", lambda command, folder: (
        {"loader": 0.05, "training": 0.5} if command[-1] == "run" else {"loader": 2.0, "training": 3.0}))
    for limits, code in (("--least 8 --tolerance 1e-2", 0), ("--least 8.1", 1),
                         ("--tolerance 1e-4", 1), ("--least-loader 40 --least-training 6", 0),
                         ("--least-loader 41", 1), ("--least-training 6.1", 1)):
        monkeypatch.setattr(sys, "argv", ["mnist.py", "--root", str(path("MNIST").parent),
                                          "--rounds", "3", *limits.split()])
        assert module.main() == code, limits
    said = capsys.readouterr().out
    assert "PyTorch 9.00 s, rushlight 2.00 s (medians): 8.0 times faster" in said and "first 100 steps: 1.0e-03" in said
    assert "epoch of the data pipeline alone: PyTorch 2.00 s, rushlight 0.050 s: 40.0 times faster" in said
    assert "training epoch inside the process: PyTorch 3.00 s, rushlight 0.500 s: 6.0 times faster" in said
