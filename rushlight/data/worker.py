"""What runs inside a loader's worker, a thread or a process."""

from __future__ import annotations

import sys
import threading
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np

from rushlight import rng

_local = threading.local()


@dataclass
class WorkerInfo:
    """Number, count, seed and data set of a worker."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


def get_worker_info() -> WorkerInfo | None:
    """The worker that the caller runs in, None in the main thread."""
    return getattr(_local, "info", None)


class ExceptionWrapper:
    """An exception of a worker with its traceback as text, to be raised in the main thread."""

    def __init__(self, where: str):
        self.kind, value, _ = sys.exc_info()
        self.text = "".join(traceback.format_exception(*sys.exc_info()))
        self.where = where
        self.value = value

    def __getstate__(self) -> dict[str, Any]:
        return {"kind": self.kind, "text": self.text, "where": self.where, "value": None}

    def reraise(self) -> None:
        """Raise it with PyTorch's first line and the worker's traceback."""
        message = f"Caught {getattr(self.kind, '__name__', 'an error')} {self.where}.\nOriginal {self.text}"
        assert self.kind is not None
        if self.kind is KeyError:
            raise KeyError(message) from self.value
        try:
            error = self.kind(message)
        except Exception:
            raise RuntimeError(message) from None
        raise error from self.value


def fetch(dataset: Any, keys: Any, collate_fn: Any) -> Any:
    """One batch of a map-style data set: at once where the data set can, else sample by sample."""
    if callable(getattr(dataset, "__getitems__", None)):
        samples = dataset.__getitems__(keys)
    else:
        samples = [dataset[k] for k in keys]
    return collate(samples, keys, collate_fn)


def collate(samples: Any, keys: Any, collate_fn: Any) -> Any:
    """collate_fn(samples); sizes that differ are reported with the data set's indices."""
    try:
        return collate_fn(samples)
    except RuntimeError as e:
        if "equal size" in str(e):
            e.add_note(f"The batch holds the data set indices {list(keys)[:32]}; pad the samples, or pass a collate_fn.")
        raise


class Fetcher:
    """Fetches batches in one worker."""

    def __init__(self, loader: Any, number: int, seed: int):
        self.loader, self.number, self.seed = loader, number, seed
        self.stream: Any = None

    def start(self) -> None:
        """Make the caller a worker: its info, its random numbers, the user's worker_init_fn."""
        _local.info = WorkerInfo(self.number, self.loader.num_workers, self.seed + self.number, self.loader.dataset)
        if self.loader.worker_init_fn is not None:
            self.loader.worker_init_fn(self.number)
        if self.loader._iterable:
            self.stream = iter(self.loader.dataset)

    def __call__(self, keys: Any) -> Any:
        """The batch of these keys; a stream gives the next ones, StopIteration at its end."""
        loader = self.loader
        if not loader._iterable:
            if loader.batch_sampler is None:
                return loader.collate_fn(loader.dataset[keys])
            return loader._fetch(keys)
        return next_of_stream(self.stream, keys, loader)


def next_of_stream(stream: Any, keys: Any, loader: Any) -> Any:
    """The next batch of an iterable data set."""
    if loader.batch_sampler is None:
        return loader.collate_fn(next(stream))
    samples = []
    for _ in keys:
        try:
            samples.append(next(stream))
        except StopIteration:
            break
    if not samples or (loader.drop_last and len(samples) < len(keys)):
        raise StopIteration
    return loader.collate_fn(samples)


def process_main(connection: Any, fetcher: Fetcher, seed: int) -> None:
    """The loop of a worker process: keys in, batches out, until None."""
    import random
    rng.default.manual_seed(seed + fetcher.number)
    random.seed(seed + fetcher.number)
    np.random.seed((seed + fetcher.number) & 0xFFFFFFFF)
    try:
        fetcher.start()
    except Exception:
        connection.send(("error", ExceptionWrapper(f"in DataLoader worker process {fetcher.number}")))
        return
    while True:
        try:
            keys = connection.recv()
        except (EOFError, OSError):
            return
        if keys is None:
            return
        try:
            answer: Any = ("batch", fetcher(keys[0]))
        except StopIteration:
            answer = ("end", None)
        except Exception:
            answer = ("error", ExceptionWrapper(f"in DataLoader worker process {fetcher.number}"))
        try:
            connection.send(answer)
        except (BrokenPipeError, OSError):
            return
