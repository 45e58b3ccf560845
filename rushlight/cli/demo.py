"""`rushlight demo`: a small network learns to read handwritten digits, and then reads any picture."""

from __future__ import annotations

import pickle
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import rushlight as rl
from rushlight import nn
from rushlight.data import DataLoader
from rushlight.nn.functional import cross_entropy, pad
from rushlight.progress import Progress
from rushlight.vision.datasets import Digits
from rushlight.vision.transforms import ToTensor

PICTURE, CHECKPOINT = "rushlight-demo.png", "rushlight-demo.pt"
BATCH, RATE, NOISE = 64, 6e-3, 0.1
MISSING = 2  # exit code


class Result(NamedTuple):
    """What training gave: the loss of every step; pixels, truth and the network's answers of the test scans."""

    losses: list[float]
    images: np.ndarray
    truth: np.ndarray
    guess: np.ndarray
    seconds: float

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return float((self.truth == self.guess).mean())


def network() -> nn.Module:
    """Two convolutions, two linear layers: 38,410 parameters, from (N, 1, 8, 8) to ten scores."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10))


def varied(x: Any) -> Any:
    """The scans moved sideways by up to a pixel, with noise: so that none can be learnt by heart."""
    left = int(rl.randint(0, 3, (1,)).item())
    return pad(x, (1, 1, 0, 0))[..., left:left + 8] + NOISE * rl.randn_like(x)


def learn(epochs: int, seed: int) -> tuple[nn.Module, Result]:
    """Train on Digits and ask the trained network about the test scans."""
    rl.manual_seed(seed)
    loader = DataLoader(Digits(train=True, transform=ToTensor()), batch_size=BATCH, shuffle=True)
    model, losses, start = network(), [], time.perf_counter()
    optimizer = rl.optim.Adam(model.parameters(), lr=RATE)
    steps = epochs * len(loader)
    schedule = rl.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=max(1, steps))
    with Progress("Training", steps, unit="steps") as progress:
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = cross_entropy(model(varied(x)), y)
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
                progress.update(len(losses), f"loss {losses[-1]:.3f}")
    seconds = time.perf_counter() - start
    test = Digits(train=False, transform=ToTensor())
    x, y = next(iter(DataLoader(test, batch_size=len(test))))
    model.eval()
    with rl.no_grad():
        guess = model(x).argmax(1)
    return model, Result(losses, x[:, 0].numpy(), y.numpy(), guess.numpy(), seconds)


def train(epochs: int, seed: int, folder: str) -> int:
    """Train, print a table per digit, write the picture and the checkpoint."""
    from rushlight.cli.picture import draw
    model, result = learn(epochs, seed)
    report(result)
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    rl.save({"model": model.state_dict(), "accuracy": result.accuracy}, home / CHECKPOINT)
    draw(result).save(home / PICTURE)
    print(f"{home / PICTURE}: the loss curve and predictions")
    print(f"{home / CHECKPOINT}: the trained network; try  rushlight demo --predict FILE.png")
    return 0


def report(result: Result) -> None:
    """The table of right answers per digit."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    console = Console()
    table = Table(title="Test scans, which the network has not seen", title_justify="left", show_footer=True,
                  pad_edge=False, box=box.SIMPLE_HEAD if console.is_terminal else None)
    right = result.truth == result.guess
    rows = [_row(str(digit), result, result.truth == digit) for digit in range(10)]
    total = _row("all", result, np.ones_like(right))
    for column, (head, foot) in enumerate(zip(("digit", "scans", "right", "accuracy", "read as"), total, strict=True)):
        table.add_column(head, foot if column < 4 else "", justify="left" if column == 4 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    steps = f"{result.seconds:.1f} s of training ({len(result.losses)} steps)"
    console.print(f"Test accuracy {result.accuracy:.1%} after {steps}", highlight=False)


def _row(name: str, result: Result, which: np.ndarray) -> tuple[str, ...]:
    right = int((result.truth == result.guess)[which].sum())
    wrong = np.bincount(result.guess[which & (result.truth != result.guess)], minlength=10)
    mistakes = ", ".join(f"{digit}{f' ({n} times)' if n > 1 else ''}" for digit, n in enumerate(wrong) if n)
    return name, str(int(which.sum())), str(right), f"{right / max(1, int(which.sum())):.1%}", mistakes


def predict(file: str, folder: str) -> int:
    """Say which digit a picture shows."""
    from rushlight.cli.scan import as_scan
    checkpoint = Path(folder) / CHECKPOINT
    if not checkpoint.is_file():
        return _fail(f"{checkpoint} is not here; `rushlight demo` writes it")
    model = network()
    try:
        model.load_state_dict(rl.load(checkpoint)["model"])
    except (pickle.UnpicklingError, RuntimeError, LookupError, TypeError) as e:
        return _fail(f"{checkpoint} is no checkpoint of the demo: {e}")
    try:
        scan = as_scan(file)
    except (OSError, ValueError) as e:
        return _fail(f"{file} cannot be read: {e}")
    model.eval()
    with rl.no_grad():
        chances = model(rl.from_numpy(scan)[None, None]).softmax(1)[0].tolist()
    best, second = sorted(range(10), key=lambda digit: -chances[digit])[:2]
    print(f"{file}: this is a {best} ({chances[best]:.0%} sure; next comes {second} with {chances[second]:.0%})")
    return 0


def _fail(message: str) -> int:
    print(f"rushlight demo: {message}", file=sys.stderr)
    return MISSING
