"""`rushlight demo`: a network learns to read handwritten digits."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np


def network() -> Any:
    """64 pixels, two hidden layers, ten classes."""
    from rushlight import nn
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def train(epochs: int, seed: int, folder: str) -> int:
    """Train, print a table per class, write the picture and the checkpoint."""
    import rushlight as rl
    from rushlight.data import DataLoader
    from rushlight.vision.datasets import Digits
    from rushlight.vision.transforms import ToTensor
    rl.manual_seed(seed)
    data, test = Digits(True, ToTensor()), Digits(False, ToTensor())
    model = network()
    optimizer = rl.optim.Adam(model.parameters(), lr=2e-3)
    losses: list[float] = []
    start = time.perf_counter()
    for epoch in _progress(epochs):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - epoch / epochs)
        for x, y in DataLoader(data, batch_size=32, shuffle=True):
            x = x + 0.15 * rl.randn_like(x)  # noise, against learning the pictures by heart
            optimizer.zero_grad()
            loss = rl.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    seconds = time.perf_counter() - start
    model.eval()
    with rl.no_grad():
        x, y = next(iter(DataLoader(test, batch_size=len(test))))
        guess = model(x).argmax(1).numpy()
    truth = y.numpy()
    accuracy = float((guess == truth).mean())
    _table(truth, guess, accuracy, seconds)
    os.makedirs(folder, exist_ok=True)
    checkpoint, picture = os.path.join(folder, "rushlight-demo.pt"), os.path.join(folder, "rushlight-demo.png")
    rl.save(model.state_dict(), checkpoint)
    from rushlight.cli.picture import draw
    draw(losses, x.numpy()[:, 0], truth, guess, accuracy).save(picture)
    print(f"Wrote {picture} (loss and predictions) and {checkpoint}. Try: rushlight demo --predict FILE.png")
    return 0


def _progress(epochs: int) -> Any:
    """Epoch numbers, with a bar on a terminal and a few plain lines elsewhere."""
    if not sys.stdout.isatty():
        for e in range(epochs):
            if e % 10 == 0:
                print(f"epoch {e + 1} of {epochs}", flush=True)
            yield e
        return
    from rich.progress import track
    yield from track(range(epochs), description="Training")


def _table(truth: Any, guess: Any, accuracy: float, seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table
    table = Table("digit", "pictures", "right", "accuracy", title="Test pictures, which the network has never seen")
    for c in range(10):
        mine = truth == c
        right = int((guess[mine] == c).sum())
        table.add_row(str(c), str(int(mine.sum())), str(right), f"{right / max(1, int(mine.sum())):.1%}")
    table.add_section()
    table.add_row("all", str(len(truth)), str(int((guess == truth).sum())), f"{accuracy:.1%}")
    console = Console()
    console.print(table)
    console.print(f"Test accuracy {accuracy:.1%} after {seconds:.1f} s of training.")


def predict(file: str, folder: str) -> int:
    """Read the digit on a picture."""
    import rushlight as rl
    checkpoint = os.path.join(folder, "rushlight-demo.pt")
    try:
        pixels = prepared(file)
        state = rl.load(checkpoint)
    except FileNotFoundError as e:
        hint = " Run `rushlight demo` first; it writes the checkpoint." if str(e.filename) == checkpoint else ""
        print(f"rushlight demo: {e.filename} is not here.{hint}", file=sys.stderr)
        return 2
    except OSError as e:
        print(f"rushlight demo: {file} is no picture: {e}", file=sys.stderr)
        return 2
    model = network()
    model.load_state_dict(state)
    with rl.no_grad():
        chance = model(rl.tensor(pixels[None, None])).softmax(1)[0].numpy()
    best = int(chance.argmax())
    print(f"This is a {best} ({chance[best]:.0%} sure).")
    return 0


def prepared(file: str) -> Any:
    """A picture of any size as the network's 8×8 input: bright strokes on dark ground, cropped to the digit."""
    from PIL import Image
    array = np.asarray(Image.open(file).convert("L"), np.float32) / 255
    edge = np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])
    if float(np.median(edge)) > 0.5:
        array = 1 - array
    ink = np.argwhere(array > 0.25 * max(float(array.max()), 1e-6))
    if len(ink) and min(array.shape) > 8:
        (top, left), (bottom, right) = ink.min(0), ink.max(0) + 1
        array = array[top:bottom, left:right]
        size = max(array.shape)
        square = np.zeros((size, size), np.float32)
        y, x = (size - array.shape[0]) // 2, (size - array.shape[1]) // 2
        square[y:y + array.shape[0], x:x + array.shape[1]] = array
        array = square
    small = Image.fromarray((array * 255).astype(np.uint8)).resize((8, 8), Image.Resampling.BOX)
    out = np.asarray(small, np.float32) / 255
    return out / max(float(out.max()), 1e-6)
