"""Trains from step START to step STOP: resume_child.py OPTIMIZER EPOCH START STOP FOLDER, with EPOCH batches per epoch.

From 0 it begins anew, else it goes on from FOLDER/at-START.pt. It writes FOLDER/at-STOP.pt and prints each loss in hex.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rushlight as torch
from rushlight import nn
from rushlight.utils.data import DataLoader, Subset
from rushlight.vision import datasets, transforms

BATCH = 16
OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2, weight_decay=1e-3),
    "amsgrad": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, amsgrad=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True),
}


def noisy(image: Any) -> Any:
    return image + 0.1 * torch.randn_like(image)


def batches(epoch: int, steps: int) -> Any:
    """Shuffled batches of scans; every second epoch is fetched by workers."""
    transform = transforms.Compose([transforms.ToTensor(), transforms.Lambda(noisy)])
    data = Subset(datasets.Digits(transform=transform), range(BATCH * steps))
    return DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=2 * (epoch % 2))


def main() -> None:
    name, per_epoch, step, stop, folder = sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                          nn.Linear(144, 64), nn.Dropout(0.3), nn.ReLU(), nn.Linear(64, 10))
    optimizer = OPTIMIZERS[name](model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 25)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    epoch, skip, after = 0, 0, None
    if step:
        saved = torch.load(folder / f"at-{step}.pt")
        for part in parts:
            parts[part].load_state_dict(saved[part])
        epoch, skip, after = saved["epoch"], saved["done"], saved["rng"]
        torch.set_rng_state(saved["rng of epoch"] if skip else after)
    while True:
        begin = torch.get_rng_state()  # the order of the epoch follows from it
        for done, (x, y) in enumerate(batches(epoch, per_epoch), 1):
            if done <= skip:
                torch.set_rng_state(after)
                continue
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            schedule.step()
            print(loss.item().hex())
            step += 1
            if step == stop:
                ended = done == per_epoch
                place = {"epoch": epoch + ended, "done": 0 if ended else done,
                         "rng of epoch": begin, "rng": torch.get_rng_state()}
                torch.save({**{part: parts[part].state_dict() for part in parts}, **place}, folder / f"at-{stop}.pt")
                return
        epoch, skip = epoch + 1, 0


main()
