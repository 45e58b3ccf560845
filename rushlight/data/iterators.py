"""The iterators of a loader: over batches that the caller fetches itself, or that workers fetch ahead of time."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rushlight.data.fetching import Source
from rushlight.data.pools import ProcessPool, ThreadPool, Timeout
from rushlight.data.sampler import draw_seed
from rushlight.data.worker import Answer, Epoch, Request, Worker


@dataclass
class Settings:
    """What an iterator takes from its loader. It does not refer to the loader, which may keep the iterator."""

    source: Source
    keys: Iterable[Any]
    generator: Any
    length: int | None = None  # of a stream, where the program has asked for it
    count: int = 0
    context: Any = None
    ahead: int = 0
    timeout: float = 0
    init_fn: Callable[[int], None] | None = None
    in_order: bool = True
    keep: bool = False


class LoaderIterator(Iterator[Any]):
    """Base: counts the batches of a stream that had promised a length."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.given = 0

    def __len__(self) -> int:
        return len(self.settings.keys)  # type: ignore[arg-type]

    def __next__(self) -> Any:
        batch = self._next()
        self.given += 1
        promised = self.settings.length
        if promised is not None and self.given > promised:
            warnings.warn(f"Length of IterableDataset {self.settings.source.dataset} was reported to be {promised} "
                          f"(when accessing len(dataloader)), but {self.given} samples have been fetched. "
                          "With workers, each of them goes through the whole data set unless "
                          "it looks at get_worker_info().", stacklevel=2)
        return batch

    def _next(self) -> Any:
        raise NotImplementedError


class MainIterator(LoaderIterator):
    """Batches fetched by the caller itself, with the caller's random numbers."""

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.keys = iter(settings.keys)
        draw_seed(settings.generator)  # PyTorch draws a base seed for each epoch: so do we, to stay on the same numbers
        self.stream = iter(settings.source.dataset) if settings.source.stream else None
        self.ended = False

    def _next(self) -> Any:
        keys = next(self.keys)
        if not self.settings.source.stream:
            return self.settings.source.batch(keys, _no_seed)
        if self.ended or self.stream is None:
            raise StopIteration
        try:
            return self.settings.source.next_of(self.stream, keys)
        except StopIteration:
            self.ended = True
            raise


def _no_seed(_: int) -> None:
    pass


class WorkersIterator(LoaderIterator):
    """Batches that workers fetch ahead of time; each batch is asked of the next worker in turn."""

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.epoch = 0
        self.pool: ThreadPool | ProcessPool | None = None
        self.failed: Exception | None = None
        self.begin()

    def begin(self) -> None:
        """Start an epoch, with the workers of the last one where there are any."""
        self.given = 0
        self.epoch += 1
        self.keys = iter(self.settings.keys)
        base = draw_seed(self.settings.generator)
        if self.pool is None:
            self.pool = self._workers()
            self.failed = None
        self.turn = deque(range(self.settings.count))
        self.waiting: deque[int] = deque()  # numbers of the batches asked for and not given yet
        self.answers: dict[int, Answer] = {}
        self.who: dict[int, int] = {}
        self.asked = self.place = 0
        for worker in self.turn:
            self._send(worker, Epoch(self.epoch, base))
        while len(self.waiting) < self.settings.ahead and self._ask():
            pass

    def _workers(self) -> ThreadPool | ProcessPool:
        s = self.settings
        method = "thread" if s.context is None else "multiprocessing"
        workers = [Worker(s.source, i, s.count, s.init_fn, method) for i in range(s.count)]
        return ThreadPool(workers) if s.context is None else ProcessPool(workers, s.context)

    def _next(self) -> Any:
        if self.failed is not None:
            raise self.failed
        while True:
            if not self.waiting:
                self._finish()
                raise StopIteration
            answer = self._take()
            worker = self.who.pop(answer.number)
            if answer.kind == "end" and worker in self.turn:
                self.turn.remove(worker)
            self._ask()
            if answer.kind == "error":
                answer.value.reraise()
            if answer.kind == "batch":
                return answer.value

    def _ask(self) -> bool:
        """Ask the worker whose turn it is for the next batch; False where there is none."""
        if not self.turn:
            return False
        try:
            keys = next(self.keys)
        except StopIteration:
            return False
        worker = self.turn[0]
        self.turn.rotate(-1)
        if self.settings.source.batched and not hasattr(keys, "__len__"):
            keys = list(keys)
        self._send(worker, Request(self.epoch, self.asked, self.place, keys))
        self.place += len(keys) if self.settings.source.batched else 1
        self.waiting.append(self.asked)
        self.who[self.asked] = worker
        self.asked += 1
        return True

    def _take(self) -> Answer:
        """The answer that is next in order, or any where order does not matter."""
        limit = time.monotonic() + self.settings.timeout if self.settings.timeout > 0 else None
        while not (self.answers if not self.settings.in_order else self.waiting[0] in self.answers):
            answer = self._receive(limit)
            if answer.epoch == self.epoch:  # else it belongs to an epoch that was broken off
                self.answers[answer.number] = answer
        number = self.waiting[0] if self.settings.in_order else next(iter(self.answers))
        self.waiting.remove(number)
        return self.answers.pop(number)

    def _send(self, worker: int, message: Any) -> None:
        assert self.pool is not None
        try:
            self.pool.send(worker, message)
        except RuntimeError as e:
            self._fail(e)

    def _receive(self, limit: float | None) -> Answer:
        assert self.pool is not None
        try:
            return self.pool.receive(None if limit is None else max(0.0, limit - time.monotonic()))
        except Timeout:
            self._fail(RuntimeError(f"DataLoader timed out after {self.settings.timeout} seconds"))
        except RuntimeError as e:
            self._fail(e)
        raise AssertionError("_fail raises")

    def _fail(self, error: RuntimeError) -> None:
        """The workers are of no more use."""
        assert self.pool is not None
        self.pool.stop(at_once=True)
        self.pool, self.failed = None, error
        raise error from None

    def _finish(self) -> None:
        if not self.settings.keep and self.pool is not None:
            self.pool.stop()
            self.pool = None
