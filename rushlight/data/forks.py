"""One pipe read by several: each row is taken from it once, and kept until all that want it have it."""

from __future__ import annotations

import copy as copying
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from rushlight.data.pipes import IterDataPipe

__all__ = ["Demultiplexer", "Forker"]


class _Child(IterDataPipe):
    """One of the readers."""

    def __init__(self, shared: _Shared, number: int):
        self._shared, self._number = shared, number

    def __iter__(self) -> Iterator[Any]:
        return self._shared.begin(self._number)

    def __len__(self) -> int:
        return self._shared.length()


class _Shared:
    """The pipe and who reads it. A reader that begins again begins a new round, in which the others' iterators are void."""

    name = ""

    def __init__(self, datapipe: Any, readers: int, buffer_size: int):
        if readers < 1:
            raise ValueError(f"Expected `num_instances` larger than 0, but {readers} is found")
        self.datapipe, self.readers, self.buffer_size = datapipe, readers, buffer_size
        self.round = 0
        self.begun: set[int] = set(range(readers))  # so that the first to come begins a round

    def __getstate__(self) -> dict[str, Any]:
        """Without the round that is going on: whoever gets a copy begins another."""
        kept = {k: v for k, v in self.__dict__.items() if k not in ("rows", "kept")}
        return {**kept, "begun": set(range(self.readers))}

    def begin(self, number: int) -> Iterator[Any]:
        """An iterator for a reader."""
        if number in self.begun:
            self.round += 1
            self.begun = set()
            self.rows = iter(self.datapipe)
            self.restart()
        self.begun.add(number)
        return self.read(number, self.round)

    def valid(self, round: int) -> None:
        if round != self.round:
            raise RuntimeError("This iterator has been invalidated, because a new iterator has been created from one of the "
                               f"ChildDataPipes of {self.name}(buffer_size={self.buffer_size}, num_instances={self.readers}).")

    def overflow(self, kept: int) -> None:
        if 0 <= self.buffer_size < kept:
            raise BufferError(f"{self.name} buffer overflow, buffer size {self.buffer_size} is insufficient. Read the pipes side by side, "
                              "for example with zip, or give a larger buffer_size; -1 keeps any number of rows.")

    def length(self) -> int:
        raise TypeError("a pipe that was divided by a function has no length")

    def restart(self) -> None:
        raise NotImplementedError

    def read(self, number: int, round: int) -> Iterator[Any]:
        raise NotImplementedError


class _Fork(_Shared):
    """Every reader gets every row."""

    name = "ForkerIterDataPipe"

    def __init__(self, datapipe: Any, readers: int, buffer_size: int, copy: Callable[[Any], Any] | None):
        super().__init__(datapipe, readers, buffer_size)
        self.copy = copy

    def restart(self) -> None:
        self.kept: deque[Any] = deque()
        self.dropped = 0  # rows that all have read
        self.place = [0] * self.readers

    def read(self, number: int, round: int) -> Iterator[Any]:
        while True:
            self.valid(round)
            at = self.place[number] - self.dropped
            if at == len(self.kept):
                try:
                    self.kept.append(next(self.rows))
                except StopIteration:
                    return
            row = self.kept[at]
            self.place[number] += 1
            while self.dropped < min(self.place):
                self.kept.popleft()
                self.dropped += 1
            self.overflow(len(self.kept))
            yield row if self.copy is None else self.copy(row)

    def length(self) -> int:
        return len(self.datapipe)


class _Demultiplexing(_Shared):
    """Each row goes to the reader of its class."""

    name = "DemultiplexerIterDataPipe"

    def __init__(self, datapipe: Any, readers: int, buffer_size: int, classify: Callable[[Any], Any], drop_none: bool):
        super().__init__(datapipe, readers, buffer_size)
        self.classify, self.drop_none = classify, drop_none

    def restart(self) -> None:
        self.kept: list[deque[Any]] = [deque() for _ in range(self.readers)]

    def read(self, number: int, round: int) -> Iterator[Any]:
        while True:
            self.valid(round)
            while not self.kept[number]:
                try:
                    row = next(self.rows)
                except StopIteration:
                    return
                self.sort(row)
                self.overflow(sum([len(rows) for place, rows in enumerate(self.kept) if place != number]))
            yield self.kept[number].popleft()

    def sort(self, row: Any) -> None:
        """Keep a row for the reader of its class."""
        place = self.classify(row)
        if place is None and self.drop_none:
            return
        if place is None or not 0 <= place < self.readers:
            raise ValueError(f"Output of the classification fn should be between 0 and {self.readers - 1}. {place} is returned.")
        self.kept[place].append(row)


COPIES: dict[str | None, Callable[[Any], Any] | None] = {None: None, "shallow": copying.copy, "deep": copying.deepcopy}


def Forker(datapipe: Any, num_instances: int, buffer_size: int = 1000, copy: str | None = None) -> list[Any]:
    """``num_instances`` pipes of the same rows, each of which is read once: a shuffled pipe has one order for all.

    ``copy`` is None, "shallow" or "deep". BufferError where one pipe is more than ``buffer_size`` rows ahead of another (-1: any
    number), ValueError for other copies or fewer than one pipe.

    >>> from rushlight.utils.data.datapipes.iter import IterableWrapper
    >>> a, b = IterableWrapper(range(3)).fork(2)
    >>> list(zip(a, b.map(str)))
    [(0, '0'), (1, '1'), (2, '2')]
    """
    if copy not in COPIES:
        raise ValueError(f"Unknown copy method `{copy}` requested, choose one of None, `shallow` or `deep`.")
    shared = _Fork(datapipe, num_instances, buffer_size, COPIES[copy])
    return [datapipe] if num_instances == 1 else [_Child(shared, k) for k in range(num_instances)]


def Demultiplexer(datapipe: Any, num_instances: int, classifier_fn: Callable[[Any], Any], drop_none: bool = False,
                  buffer_size: int = 1000) -> list[Any]:
    """A pipe for each class that ``classifier_fn`` gives rows, 0 … num_instances - 1; it is asked once for each row.

    BufferError where more than ``buffer_size`` rows wait for others (-1: any number), ValueError for other classes; None
    is left out with ``drop_none``.
    """
    shared = _Demultiplexing(datapipe, num_instances, buffer_size, classifier_fn, drop_none)
    return [_Child(shared, k) for k in range(num_instances)]


IterDataPipe.functions.update(fork=Forker, demux=Demultiplexer)
