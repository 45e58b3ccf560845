#!/usr/bin/env python3
"""Figures beside the six training workloads, under PyTorch and under rushlight in turn; prints a table in Markdown.

    python benchmarks/performance.py [CASE ...] [--rounds 3]

Needs PyTorch in the same environment. Each round runs both sides in new processes; the table has medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from networks import NETWORKS
from operations import GROUPS
from structures import STRUCTURES

Row = tuple[str, str, float]  # what, unit, value


def median(run: Callable[[], Any], seconds: float = 0.6, least: int = 5) -> float:
    """The median time of a call in milliseconds."""
    for _ in range(3):
        run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def trained(torch: Any, model: Any, x: Any, y: Any) -> Callable[[], float]:
    """A training step with momentum that reads its loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return float(loss.item())
    return step


def inferred(torch: Any, model: Any, x: Any) -> Callable[[], float]:
    def run() -> float:
        with torch.no_grad():
            return float(model(x).sum().item())
    return run


# --- cases ----------------------------------------------------------------------------------------------------------
def depthwise(torch: Any) -> list[Row]:
    """MobileNetV2 at 96², batch 16."""
    nn = torch.nn

    def block(c: int, out: int, stride: int, grow: int) -> Any:
        hidden = c * grow
        layers = [] if grow == 1 else [nn.Conv2d(c, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(),
                   nn.Conv2d(hidden, out, 1, bias=False), nn.BatchNorm2d(out)]
        return Residual(nn.Sequential(*layers)) if stride == 1 and c == out else nn.Sequential(*layers)

    class Residual(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self, inner: Any):
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            return x + self.inner(x)
    layers = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()]
    c = 32
    for grow, out, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(count):
            layers.append(block(c, out, stride if i == 0 else 1, grow))
            c = out
    layers += [nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 10)]
    torch.manual_seed(0)
    model = nn.Sequential(*layers)
    x, y = torch.randn(16, 3, 96, 96), torch.arange(16) % 10
    rows = [("MobileNetV2, 96², batch 16: training step", "ms", median(trained(torch, model, x, y), 3))]
    model.eval()
    return [*rows, ("MobileNetV2, 96², batch 16: inference", "ms", median(inferred(torch, model, x), 2))]


def mlp(torch: Any, dtype: Any = None) -> Any:
    nn = torch.nn
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)).to(dtype or torch.float32)


def double(torch: Any) -> list[Row]:
    """The MLP in float64."""
    x, y = torch.randn(64, 784, dtype=torch.float64), torch.arange(64) % 10
    return [("MLP 784-256-128-10 in float64, batch 64: training step", "ms", median(trained(torch, mlp(torch, torch.float64), x, y)))]


def batches(torch: Any) -> list[Row]:
    """Training steps of the MLP at batch sizes from 1 to 1024."""
    rows = []
    for n in (1, 4, 16, 64, 256, 1024):
        x, y = torch.randn(n, 784), torch.arange(n) % 10
        rows.append((f"MLP, batch {n}: training step", "ms", median(trained(torch, mlp(torch), x, y), 0.4)))
    return rows


def chains(torch: Any) -> list[Row]:
    """(x * 2 + y).tanh() * x - y, read as a sum, from 1e3 to 1e8 elements; bytes of x and y per second."""
    rows = []
    for exponent in range(3, 9):
        n = 10 ** exponent
        x, y = torch.rand(n), torch.rand(n)
        ms = median(lambda x=x, y=y: ((x * 2 + y).tanh() * x - y).sum().item(), 0.4, 3)
        rows.append((f"elementwise chain and sum, 1e{exponent} elements", "GB/s", 8 * n / ms / 1e6))
    return rows


def _products(torch: Any, dtype: str, sizes: tuple[int, ...]) -> list[Row]:
    rows = []
    for n in sizes:
        x, y = torch.rand(n, n).to(getattr(torch, dtype)), torch.rand(n, n).to(getattr(torch, dtype))
        ms = median(lambda x=x, y=y: (x @ y)[0, 0].item(), 0.4, 3)
        rows.append((f"matrix product {n}³" + ("" if dtype == "float32" else f" in {dtype}"), "GFLOP/s", 2 * n ** 3 / ms / 1e6))
    return rows


def products(torch: Any) -> list[Row]:
    """Square matrix products."""
    return _products(torch, "float32", (16, 64, 256, 1024, 2048, 4096))


def products_double(torch: Any) -> list[Row]:
    """The same in float64."""
    return _products(torch, "float64", (16, 64, 256, 1024, 2048))


def products_half(torch: Any) -> list[Row]:
    """The same in half precision."""
    return _products(torch, "bfloat16", (64, 256, 1024)) + _products(torch, "float16", (64, 256))


def products_integers(torch: Any) -> list[Row]:
    """The same in integers."""
    return [row for dtype in ("int8", "int32", "int64") for row in _products(torch, dtype, (64, 256))]


def policy(torch: Any) -> list[Row]:
    """A small policy network, one state at a time, its action read every step."""
    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))
    state = torch.rand(4)

    def act() -> float:
        with torch.no_grad():
            return float(model(state).argmax().item())
    return [("policy 4-64-2, one action read", "µs", median(act) * 1e3)]


def lengths(torch: Any) -> list[Row]:
    """An LSTM classifier trained on batches of 200 different lengths, each once: nothing repeats."""
    nn = torch.nn
    torch.manual_seed(0)
    embedding, lstm, head = nn.Embedding(100, 32), nn.LSTM(32, 64, batch_first=True), nn.Linear(64, 5)
    parameters = [*embedding.parameters(), *lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters)
    y = torch.arange(16) % 5
    start = time.perf_counter()
    for length in range(10, 210):
        x = torch.randint(0, 100, (16, length))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(lstm(embedding(x))[0][:, -1]), y)
        loss.backward()
        optimizer.step()
        loss.item()
    return [("LSTM, 200 batches of 200 lengths, in all", "s", time.perf_counter() - start)]


def _networks(torch: Any) -> Any:
    """torchvision.models, where need be without torchvision's native operators."""
    if not hasattr(torch, "explain"):  # PyTorch itself
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
        import vision_oracle  # noqa: F401 - what torchvision needs to be imported
    import torchvision
    return torchvision.models


def vision(torch: Any) -> list[Row]:
    """Networks of torchvision at 224², batch 1 and 16."""
    models, rows = _networks(torch), []
    for name in ("resnet50", "mobilenet_v2", "vgg16"):
        torch.manual_seed(0)
        model = getattr(models, name)().eval()
        for n in (1, 16):
            x = torch.randn(n, 3, 224, 224)
            rows.append((f"{name}, 224², batch {n}: inference", "ms", median(inferred(torch, model, x), 1, 3)))
    return rows


def vision_training(torch: Any) -> list[Row]:
    """ResNet-50 at 128², batch 16."""
    torch.manual_seed(0)
    model = _networks(torch).resnet50(num_classes=10)
    return [("resnet50, 128², batch 16: training step", "ms", median(trained(torch, model, torch.randn(16, 3, 128, 128), torch.arange(16) % 10), 3, 5))]


STEPS = NETWORKS | STRUCTURES


def network(name: str) -> Callable[[Any], list[Row]]:
    """The step of one of `networks` or `structures`."""
    what, make = STEPS[name]

    def case(torch: Any) -> list[Row]:
        torch.manual_seed(0)
        return [(what, "ms", median(make(torch), 1.5, 8))]
    return case


def operations(group: str) -> Callable[[Any], list[Row]]:
    """The operations of a group."""
    def case(torch: Any) -> list[Row]:
        torch.manual_seed(0)
        return [(what, "ms", median(make(torch), 0.25)) for what, make in GROUPS[group].items()]
    return case


CASES = {f.__name__: f for f in (depthwise, double, batches, chains, products, products_double, products_half,
                              products_integers, policy, lengths, vision, vision_training)}
CASES |= {name: network(name) for name in STEPS} | {name: operations(name) for name in GROUPS}
FASTER_IS_MORE = ("GB/s", "GFLOP/s")


# --- both sides -----------------------------------------------------------------------------------------------------
def child(case: str) -> None:
    import torch
    print(json.dumps(CASES[case](torch)))


def memory() -> float:
    """GB/s of copying 400 MB, read and written bytes together."""
    import numpy as np
    a = np.ones(50_000_000)
    b = np.empty_like(a)
    return 2 * a.nbytes / median(lambda: np.copyto(b, a), 0.5) / 1e6


BLAS = [(dtype, n) for dtype in ("float32", "float64") for n in (64, 256, 1024)]


def blas(n: int, dtype: str) -> float:
    """GFLOP/s of NumPy's matrix product, with as many threads as OPENBLAS_NUM_THREADS says."""
    import numpy as np
    x, y, out = (np.random.default_rng(0).random((n, n)).astype(dtype) for _ in range(3))
    return 2 * n ** 3 / median(lambda: np.matmul(x, y, out=out), 0.2) / 1e6


def measure(case: str, prefix: list[str]) -> list[Row]:
    done = subprocess.run([*prefix, str(Path(__file__).resolve()), "--child", case], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])})
    if done.returncode:
        raise SystemExit(f"{' '.join(prefix)} {case}:\n{done.stderr[-2000:]}")
    return [tuple(row) for row in json.loads(done.stdout.strip().splitlines()[-1])]  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    sides = ([sys.executable], [sys.executable, "-m", "rushlight", "run"])
    print("| | PyTorch | rushlight | ratio |\n|---|---|---|---|", flush=True)
    for case in options.cases or CASES:
        rounds = [[measure(case, side) for side in sides] for _ in range(options.rounds)]
        for i, (what, unit, _) in enumerate(rounds[0][0]):
            theirs, ours = (statistics.median(r[side][i][2] for r in rounds) for side in (0, 1))
            ratio = statistics.median((r[1][i][2] / r[0][i][2]) if unit in FASTER_IS_MORE else (r[0][i][2] / r[1][i][2]) for r in rounds)
            print(f"| {what} | {theirs:.3g} {unit} | {ours:.3g} {unit} | {ratio:.2f} |", flush=True)
    print(f"\nCopying memory: {memory():.1f} GB/s. NumPy's BLAS: {', '.join(f'{n}³ in {d} {blas(n, d):.0f} GFLOP/s' for d, n in BLAS)}.")


if __name__ == "__main__":
    main()
