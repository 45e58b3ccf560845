"""What a Trainer costs beside a hand-written loop: microseconds of a training step, loops taken in turn.

    rushlight run benchmarks/lightning.py [--steps 400] [--rounds 6] [--width 16]

Under PyTorch with pytorch_lightning installed, `python benchmarks/lightning.py` measures these.
"""

import argparse
import logging
import tempfile
import time
import warnings

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

WAYS = ("nothing", "each step", "each step, epoch and bar")


class Batches:
    """The same batch so many times."""

    def __init__(self, steps):
        self.batches = [(torch.randn(64, 784), torch.randint(0, 10, (64,)))] * steps

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


def network(width):
    """A small network, so that the loop's own work counts."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 10))


class Model(pl.LightningModule):
    """The network, logging in one of the ways."""

    def __init__(self, width, way):
        super().__init__()
        self.layers, self.way = network(width), way

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self.layers(batch[0]), batch[1])
        if self.way == WAYS[1]:
            self.log("loss", loss)
        elif self.way == WAYS[2]:
            self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


def by_hand(data, width):
    """A function that trains for one epoch and returns the seconds."""
    model = network(width)
    optimizer = torch.optim.Adam(model.parameters())

    def epoch():
        start = time.perf_counter()
        for x, y in data:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        return time.perf_counter() - start
    return epoch


def by_trainer(data, width, way, folder):
    """The same by a Trainer; its second epoch is measured."""
    seconds = []

    class Clock(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            self.start = time.perf_counter()

        def on_train_epoch_end(self, trainer, module):
            seconds.append(time.perf_counter() - self.start)
    logger = False if way == WAYS[0] else pl.loggers.CSVLogger(folder)
    trainer = pl.Trainer(max_epochs=2, callbacks=[Clock()], logger=logger, enable_progress_bar=way == WAYS[2],
                         enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder,
                         accelerator="cpu")

    def epoch():
        trainer.fit_loop.epoch_progress.current.processed = trainer.fit_loop.epoch_progress.current.completed = 0
        trainer.fit(Model(width, way), data)
        return seconds[-1]
    return epoch


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--steps", type=int, default=400)
    p.add_argument("--rounds", type=int, default=6)
    p.add_argument("--width", type=int, default=16)
    args = p.parse_args()
    warnings.simplefilter("ignore")
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    data = Batches(args.steps)
    with tempfile.TemporaryDirectory() as folder:
        ways = {"by hand": by_hand(data, args.width),
                **{f"Trainer, logs {way}": by_trainer(data, args.width, way, folder) for way in WAYS}}
        ways["by hand"]()
        times = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, epoch in ways.items():
                times[name].append(epoch() / args.steps * 1e6)
    best = min(times["by hand"])
    for name, found in times.items():
        print(f"{name:<40s} {min(found):7.0f} µs a step, {min(found) - best:+6.0f}")


if __name__ == "__main__":
    main()
