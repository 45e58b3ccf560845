"""Batches one by one, with the knowledge which is the last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rushlight.lightning.utilities.combined_loader import CombinedLoader
from rushlight.lightning.utilities.data import sized_len
from rushlight.lightning.utilities.seed import raw_rng_states, set_rng_states

INFINITE = float("inf")
_NOTHING = object()


class Fetcher:
    """Reads a loader up to a limit; ``done`` tells after each batch whether it was the last.

    A loader without a length is read one batch ahead for that.
    """

    def __init__(self, loader: CombinedLoader):
        self.loader = loader
        self.length = min(loader.length(), INFINITE)
        self.fetched = 0
        self.done = self.length == 0
        self._iterator: Iterator[Any] | None = None
        self._ahead: Any = _NOTHING
        self.before_ahead: Any = None  # the random numbers with which the batch ahead was made

    def __iter__(self) -> Iterator[Any]:
        several = isinstance(self.loader.iterables, (list, tuple, dict))
        single = None if several or self.loader._mode == "sequential" else self.loader.flattened
        if single is not None and len(single) == 1:
            limit = (self.loader.limits or [INFINITE])[0]
            self._iterator = _numbered(single[0], limit)
        else:
            self._iterator = iter(self.loader)
        self.fetched, self.done, self._ahead = 0, self.length == 0, _NOTHING
        return self

    def __next__(self) -> tuple[Any, int, int]:
        """The batch, its number, its loader's number."""
        assert self._iterator is not None
        if self.length < INFINITE:
            if self.fetched >= self.length:
                raise StopIteration
            item = next(self._iterator)
            self.fetched += 1
            self.done = self.fetched >= self.length
            return item  # type: ignore[no-any-return]
        item = next(self._iterator) if self._ahead is _NOTHING else self._ahead
        if item is None:
            raise StopIteration
        self.before_ahead = raw_rng_states()
        self._ahead = next(self._iterator, None)
        self.fetched += 1
        self.done = self._ahead is None
        return item  # type: ignore[no-any-return]

    def skip(self, batches: int, before_ahead: Any = None) -> None:
        """Pass over batches that an interrupted epoch has used;
        the batch ahead is made with the same random numbers again."""
        for i in range(batches):
            if i == batches - 1 and before_ahead is not None and self._ahead is not _NOTHING:
                set_rng_states(before_ahead)
            if next(self, None) is None:
                break

    def close(self) -> None:
        """Let the workers of the loaders go."""
        self._iterator = None
        self._ahead = _NOTHING
        self.loader.reset()


def _numbered(loader: Any, limit: float) -> Iterator[Any]:
    if limit == 0:
        return
    for i, batch in enumerate(loader):
        yield batch, i, 0
        if i + 1 >= limit:
            return


def parse_limit(stage: str, length: float, limit: float | int | None) -> float:
    """How many batches of a loader of this length are used: a number of them, or a share.

    MisconfigurationException for a share of a loader without a length, or one that leaves no batch.
    """
    from rushlight.lightning.utilities.exceptions import MisconfigurationException
    if limit is None:
        return length
    if length == 0 or limit == 0:
        return 0
    if isinstance(limit, int):
        return min(length, limit)
    if length == INFINITE:
        if limit == 1.0:
            return INFINITE
        raise MisconfigurationException(
            f"When using an `IterableDataset`, `Trainer(limit_{stage}_batches)` must be `1.0` or an int. An int"
            f" specifies `num_{stage}_batches` to use.")
    chosen = int(length * limit)
    if chosen == 0 and limit > 0.0:
        raise MisconfigurationException(
            f"You requested to check {limit} of the `{stage}_dataloader` but {limit} * {int(length)} < 1. Please"
            f" increase the `limit_{stage}_batches` argument. Try at least `limit_{stage}_batches={1 / length}`")
    return chosen


def set_epoch(loader: Any, epoch: int) -> None:
    """Tell the samplers of a loader the epoch, those that want to know."""
    for holder in (getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None)):
        tell = getattr(holder, "set_epoch", None)
        if callable(tell):
            tell(epoch)


def length_of(loader: Any) -> float:
    """The number of batches, infinite where unknown."""
    length = sized_len(loader)
    return INFINITE if length is None else length
