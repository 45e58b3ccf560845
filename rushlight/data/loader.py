"""DataLoader: batches of a data set, fetched by the batch and ahead of time."""

from __future__ import annotations

import itertools
import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from rushlight.data.collate import default_collate, default_convert
from rushlight.data.dataset import IterableDataset
from rushlight.data.fetching import Source
from rushlight.data.iterators import MainIterator, Settings, WorkersIterator
from rushlight.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

T_co = TypeVar("T_co", covariant=True)
FIXED = {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}


class _Endless(Sampler[None]):
    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)


class DataLoader(Generic[T_co]):
    """An iterable of batches, with PyTorch's arguments.

    Data sets that can fetch a whole batch do: `TensorDataset`, the data sets of `rushlight.vision` with built-in
    transforms, a `Subset` of these, and any with ``__getitems__(list of keys)``.

    **Workers** (``num_workers > 0``) are threads, so that any function and any data set will do and nothing is copied;
    each thread has its own shallow copy of the data set. ``multiprocessing_context="fork"`` (or "spawn", "forkserver")
    makes them processes: for transforms in Python that would keep each other waiting. A worker process that dies gives
    RuntimeError with its pid and signal; ``timeout`` seconds without the next batch give RuntimeError; what a worker
    raises is raised here, with the worker's traceback, and the iterator goes on with the batch after it.

    **Random numbers.** Without workers samples draw from the global generator, the same numbers as in
    PyTorch. With workers every sample starts a stream of its own from (the seed that the epoch drew, the
    sample's place in the epoch's order), so results do not depend on how many workers there are, nor of which
    kind, nor on ``persistent_workers``. Processes start Python's and NumPy's global generators in the same
    way; threads share those two, and find generators of their own in ``get_worker_info().rng``. A worker of
    an `IterableDataset` has one stream per epoch.

    ValueError for arguments that exclude each other.

    >>> from rushlight.data import TensorDataset
    >>> import rushlight as rl
    >>> [x.tolist() for x, in DataLoader(TensorDataset(rl.arange(5)), batch_size=2, num_workers=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Any = None,
                 batch_sampler: Any = None, num_workers: int = 0, collate_fn: Callable[..., Any] | None = None,
                 pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
                 worker_init_fn: Callable[[int], None] | None = None, multiprocessing_context: Any = None,
                 generator: Any = None, *, prefetch_factor: int | None = None, persistent_workers: bool = False,
                 pin_memory_device: str = "", in_order: bool = True):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device, self.worker_init_fn = pin_memory, pin_memory_device, worker_init_fn
        self.persistent_workers, self.in_order, self.generator = persistent_workers, in_order, generator
        self.multiprocessing_context = multiprocessing_context
        if pin_memory:
            warnings.warn("'pin_memory' argument is set as true but no accelerator is found, "
                          "then device pinned memory won't be used.", stacklevel=2)
        self._stream = isinstance(dataset, IterableDataset)
        _check_order(self._stream, batch_size, shuffle, sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        if sampler is None:
            sampler = (_Endless() if self._stream else RandomSampler(dataset, generator=generator) if shuffle
                       else SequentialSampler(dataset))
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.collate_fn = collate_fn or (default_collate if self._auto_collation else default_convert)
        self._promised: int | None = None
        self._iterator: WorkersIterator | None = None
        self._ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIXED and "_ready" in self.__dict__:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_iterator": None}

    def __len__(self) -> int:
        if not self._stream:
            return len(self._index_sampler)
        n = self._promised = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if not self.num_workers:
            return MainIterator(self._settings())
        if not self.persistent_workers:
            return WorkersIterator(self._settings())
        if self._iterator is None:
            self._iterator = WorkersIterator(self._settings())
        else:
            self._iterator.begin()
        return self._iterator

    def _settings(self) -> Settings:
        promised = None if self._promised is None else len(self)
        source = Source(self.dataset, self.collate_fn, self._stream, self._auto_collation, self.drop_last)
        if not self.num_workers:
            return Settings(source, self._index_sampler, self.generator, promised)
        return Settings(source, self._index_sampler, self.generator, promised, self.num_workers,
                        self.multiprocessing_context, max(1, self.prefetch_factor or 1) * self.num_workers,
                        self.timeout, self.worker_init_fn, self.in_order, self.persistent_workers)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.batch_sampler if self._auto_collation else self.sampler

    @property
    def multiprocessing_context(self) -> Any:
        """The context that worker processes come from, None where workers are threads; a name sets it too."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, wanted: Any) -> None:
        if wanted is not None and self.num_workers == 0:
            raise ValueError("multiprocessing_context can only be used with multi-process loading (num_workers > 0), "
                             f"but got num_workers={self.num_workers}")
        if isinstance(wanted, str):
            known = multiprocessing.get_all_start_methods()
            if wanted not in known:
                raise ValueError(f"multiprocessing_context option should specify a valid start method in {known!r}, "
                                 f"but got multiprocessing_context={wanted!r}")
            wanted = multiprocessing.get_context(wanted)
        elif wanted is not None and not isinstance(wanted, multiprocessing.context.BaseContext):
            raise TypeError("multiprocessing_context option should be a valid context object or a string "
                            f"specifying the start method, but got multiprocessing_context={wanted}")
        self._context = wanted


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None, persistent: bool) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("prefetch_factor option could only be specified in multiprocessing.let num_workers "
                         "> 0 to enable multiprocessing, otherwise set prefetch_factor to None.")
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _check_order(stream: bool, batch_size: int | None, shuffle: bool | None, sampler: Any, batch_sampler: Any,
                 drop_last: bool) -> None:
    if stream:
        given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
        for name, value in given.items():
            if value is not None:
                raise ValueError("DataLoader with IterableDataset: "
                                 f"expected unspecified {name} option, but got {name}={value}")
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
    if batch_sampler is None and batch_size is None and drop_last:
        raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
