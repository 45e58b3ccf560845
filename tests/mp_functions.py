"""Functions that the tests of torch.multiprocessing run in other processes."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import rushlight as rl


def fill(i: int, t: Any) -> None:
    t[i] = i + 1.0


def step(i: int, model: Any) -> None:
    optimizer = rl.optim.SGD(model.parameters(), lr=1.0)
    model(rl.ones(1, 2)).sum().backward()
    optimizer.step()


def echo(inbox: Any, outbox: Any) -> None:
    t = inbox.get()
    t.mul_(2)
    outbox.put(t + 1)
    inbox.get()  # the memory of what was put must outlive the reading


def fail(i: int) -> None:
    if i == 1:
        raise ValueError("process one has a complaint")
    time.sleep(60)


def follow(i: int, how: str, folder: str) -> None:
    """Process one fails or is killed; process zero sees that and fails as well."""
    if i == 0:
        while not os.path.exists(os.path.join(folder, "one")):
            time.sleep(0.01)
        time.sleep(0.3)
        raise ConnectionError("the other has ended")
    open(os.path.join(folder, "one"), "w").close()
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("process one has a complaint")


def die(i: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(i: int) -> None:
    os._exit(7)
