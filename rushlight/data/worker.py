"""What runs inside a loader's worker, be it a thread or a process."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from rushlight.data.fetching import Source, private_copy
from rushlight.data.seeds import Streams, WorkerGenerators, sample_seed
from rushlight.exec.realize import realize
from rushlight.tensor.state import state

_local = threading.local()


@dataclass
class WorkerInfo:
    """Number, count, seed and data set of a worker; ``rng`` has generators of its own."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: WorkerGenerators | None = None
    worker_method: str = "thread"


def get_worker_info() -> WorkerInfo | None:
    """The worker that the caller runs in, None in the main thread."""
    return getattr(_local, "info", None)


class Epoch(NamedTuple):
    """Tells a worker that an epoch begins."""

    epoch: int
    base: int


class Request(NamedTuple):
    """Asks for the batch of these keys, the first of which stands at this place in the epoch's order."""

    epoch: int
    number: int
    place: int
    keys: Any


class Answer(NamedTuple):
    """A batch (kind "batch"), the end of a stream ("end"), or an ExceptionWrapper ("error")."""

    epoch: int
    number: int
    kind: str
    value: Any


class KeyErrorMessage(str):
    """A KeyError prints the repr of its argument; this one keeps line breaks."""

    def __repr__(self) -> str:
        return str(self)


class ExceptionWrapper:
    """The exception that is being handled, with its traceback as text, to be raised in the main thread."""

    def __init__(self, where: str):
        self.kind: type[BaseException] | None
        self.value: BaseException | None
        self.kind, self.value, _ = sys.exc_info()
        self.text = "".join(traceback.format_exception(*sys.exc_info()))
        self.where = where

    def __getstate__(self) -> dict[str, Any]:
        """Another process gets the text; the exception itself may not be picklable."""
        return {"kind": self.kind, "text": self.text, "where": self.where, "value": None}

    def reraise(self) -> None:
        """Raise it with PyTorch's first line and the worker's traceback."""
        assert self.kind is not None
        message = f"Caught {self.kind.__name__} {self.where}.\nOriginal {self.text}"
        if issubclass(self.kind, KeyError):
            message = KeyErrorMessage(message)
        # it would end the loop without a word
        kind = RuntimeError if issubclass(self.kind, StopIteration) else self.kind
        try:
            error = kind(message)
        except Exception:  # its constructor wants something else
            error = RuntimeError(message)
        try:
            raise error from self.value
        finally:
            del error  # its traceback has this frame and the iterator's: workers would wait for the garbage collector to end


@dataclass
class Worker:
    """Answers requests. ``method`` is "thread" or "multiprocessing"."""

    source: Source
    number: int
    count: int
    init_fn: Callable[[int], None] | None
    method: str
    streams: Streams | None = None
    base: int = 0
    stream: Iterator[Any] | None = None
    broken: ExceptionWrapper | None = None

    def serve(self, receive: Callable[[], Any], send: Callable[[Any], None]) -> None:
        """Answer what ``receive()`` gives, until that is None."""
        while (message := receive()) is not None:
            if isinstance(message, Epoch):
                self._guarded(self._begin, message.base)
            else:
                send(self._answer(message))

    def _where(self) -> str:
        return f"in DataLoader worker process {self.number}{' (a thread)' if self.method == 'thread' else ''}"

    def _guarded(self, function: Callable[[int], None], argument: int) -> None:
        """What goes wrong at the beginning is the answer to every request."""
        try:
            function(argument)
        except Exception:
            self.broken = ExceptionWrapper(self._where())

    def _begin(self, base: int) -> None:
        self.base = base
        first = self.streams is None
        if self.streams is None:
            threads = self.method == "thread"
            self.streams = Streams(owns_process=not threads)
            if threads:
                self.source.dataset = private_copy(self.source.dataset)
            _local.info = WorkerInfo(self.number, self.count, base + self.number, self.source.dataset,
                                     WorkerGenerators(self.streams), self.method)
        self.streams.start(base + self.number)
        if first and self.init_fn is not None:
            self.init_fn(self.number)
        if self.source.stream:
            self.stream = iter(self.source.dataset)

    def _answer(self, request: Request) -> Answer:
        if self.broken is not None:
            return Answer(request.epoch, request.number, "error", self.broken)
        try:
            batch = self._next_of_stream(request) if self.source.stream else self._batch(request)
            realize(state.graph)  # here and now, not in the main thread when it reads the batch
        except Exception:
            return self.failure(request.epoch, request.number)
        return Answer(request.epoch, request.number, *batch)

    def failure(self, epoch: int, number: int) -> Answer:
        """The exception that is being handled as an answer."""
        return Answer(epoch, number, "error", ExceptionWrapper(self._where()))

    def _batch(self, request: Request) -> tuple[str, Any]:
        streams = self.streams
        assert streams is not None
        return "batch", self.source.batch(request.keys,
                                          lambda i: streams.start(sample_seed(self.base, request.place + i)))

    def _next_of_stream(self, request: Request) -> tuple[str, Any]:
        if self.stream is None:
            return "end", None
        try:
            return "batch", self.source.next_of(self.stream, request.keys)
        except StopIteration:
            self.stream = None
            return "end", None
