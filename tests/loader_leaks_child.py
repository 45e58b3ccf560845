"""Makes and drops a thousand loaders in every way; prints what is left of threads, processes, descriptors and files."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import threading
import time

from rushlight.data import DataLoader

LOADERS = 1000
SHARED = "/dev/shm"
FOUND = {*os.listdir(SHARED)}  # of other programs, which may take theirs away meanwhile


def left() -> dict[str, int]:
    return {"threads": threading.active_count(), "processes": len(multiprocessing.active_children()) + children(),
            "descriptors": len(os.listdir("/proc/self/fd")), "files": len({*os.listdir(SHARED)} - FOUND)}


def children() -> int:
    """Child processes, also those that have ended and were not waited for."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return len(file.read().split())


def use(i: int) -> None:
    """All batches, one batch, none, an error in the data set;
    with workers kept and not; threads and now and then processes."""
    processes = {"multiprocessing_context": "fork", "num_workers": 1} if i % 5 == 0 else {"num_workers": 2}
    data = list(range(6)) if i % 4 != 3 else [0, None]
    loader = DataLoader(data, 2, persistent_workers=i % 3 == 0, prefetch_factor=1 + i % 3, **processes)
    batches = iter(loader)
    for step in range((9, 1, 0, 9)[i % 4]):
        try:
            if next(batches, None) is None:
                break
        except RuntimeError:
            assert step == 0 and i % 4 == 3
            break


def main() -> None:
    use(0)
    use(1)
    settle(None)
    before = left()
    for i in range(LOADERS):
        use(i)
    print(json.dumps([before, settle(before)]))


def settle(wanted: dict[str, int] | None) -> dict[str, int]:
    """What is left once threads have had time to end."""
    gc.collect()
    for _ in range(100):
        now = left()
        if now == wanted or (wanted is None and now["threads"] == 1):
            break
        time.sleep(0.1)
    return now


main()
