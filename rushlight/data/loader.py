"""DataLoader: batches of a data set, fetched by the batch and ahead of time."""

from __future__ import annotations

import collections
import itertools
import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from rushlight.data.collate import default_collate, default_convert
from rushlight.data.dataset import IterableDataset
from rushlight.data.pools import ProcessWorker, ThreadWorker, Timeout
from rushlight.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed
from rushlight.data.worker import Fetcher, fetch, next_of_stream

T_co = TypeVar("T_co", covariant=True)


class _Endless(Sampler[None]):
    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class DataLoader(Generic[T_co]):
    """An iterable of batches.

    Workers are threads unless ``multiprocessing_context`` asks for processes ("fork", "spawn", "forkserver").
    """

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Any = None, batch_sampler: Any = None,
                 num_workers: int = 0, collate_fn: Callable[..., Any] | None = None, pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
                 worker_init_fn: Callable[[int], None] | None = None, multiprocessing_context: Any = None, generator: Any = None, *,
                 prefetch_factor: int | None = None, persistent_workers: bool = False, pin_memory_device: str = "", in_order: bool = True):
        _check(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device, self.worker_init_fn = pin_memory, pin_memory_device, worker_init_fn
        self.persistent_workers, self.in_order, self.generator = persistent_workers, in_order, generator
        self.multiprocessing_context = _context(multiprocessing_context, num_workers)
        if pin_memory:
            warnings.warn("'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.", stacklevel=2)
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            if shuffle not in (False, None):
                raise ValueError(f"DataLoader with IterableDataset: expected unspecified shuffle option, but got shuffle={shuffle}")
            if sampler is not None:
                raise ValueError(f"DataLoader with IterableDataset: expected unspecified sampler option, but got sampler={sampler}")
            if batch_sampler is not None:
                raise ValueError(f"DataLoader with IterableDataset: expected unspecified batch_sampler option, but got batch_sampler={batch_sampler}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            sampler = _Endless() if self._iterable else RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last, self.sampler, self.batch_sampler = batch_size, drop_last, sampler, batch_sampler
        self.collate_fn = collate_fn or (default_collate if batch_sampler is not None else default_convert)
        self._whole = getattr(dataset, "_collated_batch", None) if self.collate_fn is default_collate else None
        self._kept: list[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    def __len__(self) -> int:
        if self._iterable:
            n = len(self.dataset)
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.batch_sampler if self.batch_sampler is not None else self.sampler)

    def __iter__(self) -> Iterator[Any]:
        return _in_main(self) if not self.num_workers else _with_workers(self)

    def _fetch(self, keys: Any) -> Any:
        """One batch of a map-style data set, whole where the data set can collate it itself."""
        if self._whole is not None:
            batch = self._whole(keys)
            if batch is not None:
                return batch
        return fetch(self.dataset, keys, self.collate_fn)

    def _workers(self, seed: int) -> list[Any]:
        if self._kept is not None:
            return self._kept
        made: list[Any] = []
        for i in range(self.num_workers):
            fetcher = Fetcher(self, i, seed)
            made.append(ThreadWorker(fetcher) if self.multiprocessing_context is None else ProcessWorker(fetcher, self.multiprocessing_context, seed))
        if self.persistent_workers and not self._iterable:
            self._kept = made
        return made


def _check(num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable multiprocessing, otherwise set "
                         "prefetch_factor to None.")
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _context(wanted: Any, num_workers: int) -> Any:
    if wanted is None:
        return None
    if num_workers == 0:
        raise ValueError(f"multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got num_workers={num_workers}")
    if isinstance(wanted, str):
        if wanted not in multiprocessing.get_all_start_methods():
            raise ValueError(f"multiprocessing_context option should specify a valid start method in {multiprocessing.get_all_start_methods()!r}, but got "
                             f"multiprocessing_context={wanted!r}")
        return multiprocessing.get_context(wanted)
    return wanted


def _keys(loader: DataLoader[Any]) -> Iterable[Any]:
    return loader.batch_sampler if loader.batch_sampler is not None else loader.sampler


def _in_main(loader: DataLoader[Any]) -> Iterator[Any]:
    """Batches fetched by the caller itself."""
    draw_seed(loader.generator)  # PyTorch draws a base seed for each epoch: so do we, to stay on the same numbers
    if loader._iterable:
        stream = iter(loader.dataset)
        for keys in _keys(loader):
            try:
                batch = next_of_stream(stream, keys, loader)
            except StopIteration:
                return
            yield batch
        return
    for keys in _keys(loader):
        yield loader._fetch(keys) if loader.batch_sampler is not None else loader.collate_fn(loader.dataset[keys])


def _with_workers(loader: DataLoader[Any]) -> Iterator[Any]:
    """Batches fetched ahead of time; each batch goes to the next worker in turn."""
    seed = draw_seed(loader.generator)
    workers = loader._workers(seed)
    try:
        yield from _ordered(loader, workers)
    except BaseException:
        loader._kept = None
        for w in workers:
            w.stop()
        raise
    finally:
        if loader._kept is None:
            for w in workers:
                w.stop()


def _ordered(loader: DataLoader[Any], workers: list[Any]) -> Iterator[Any]:
    waiting: collections.deque[Any] = collections.deque()
    keys = iter(_keys(loader))
    alive = collections.deque(workers)
    ahead = max(1, (loader.prefetch_factor or 1) * len(workers))

    def ask() -> bool:
        if not alive:
            return False
        try:
            k = next(keys)
        except StopIteration:
            return False
        worker = alive[0]
        alive.rotate(-1)
        worker.send(k)
        waiting.append(worker)
        return True
    while len(waiting) < ahead and ask():
        pass
    while waiting:
        worker = waiting.popleft()
        try:
            kind, value = worker.receive(loader.timeout)
        except Timeout:
            raise RuntimeError(f"DataLoader timed out after {loader.timeout} seconds") from None
        if kind == "error":
            value.reraise()
        if kind == "end":
            if worker in alive:
                alive.remove(worker)
            ask()
            continue
        ask()
        yield value

