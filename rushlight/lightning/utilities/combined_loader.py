"""Several loaders read as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rushlight.lightning.utilities.data import sized_len

INFINITE = float("inf")


class CombinedLoader:
    """Batches of several loaders: (batch, its number, its loader's number), batch in the shape of the collection.

    Modes: "min_size" ends with the shortest loader, "max_size_cycle" begins shorter ones again
    until the longest ends, "max_size" gives None for those that have ended, "sequential" reads one
    after the other. ValueError for another mode.

    >>> [batch for batch, i, loader in CombinedLoader({"a": range(2), "b": range(8, 9)}, "max_size_cycle")]
    [{'a': 0, 'b': 8}, {'a': 1, 'b': 8}]
    """

    def __init__(self, iterables: Any, mode: str = "min_size"):
        if mode not in MODES:
            raise ValueError(f"Unsupported mode {mode!r}, please select one of: {list(MODES)}.")
        self.iterables, self._mode = iterables, mode
        self._limits: list[Any] | None = None
        self._running: Iterator[Any] | None = None

    @property
    def mode(self) -> str:
        """How the loaders are combined."""
        return self._mode

    @property
    def flattened(self) -> list[Any]:
        """The loaders in a list."""
        return _leaves(self.iterables)

    @flattened.setter
    def flattened(self, loaders: list[Any]) -> None:
        if len(loaders) != len(self.flattened):
            raise ValueError(f"Mismatch in flattened length ({len(loaders)}) and existing length"
                             f" ({len(self.flattened)})")
        self.iterables = _filled(self.iterables, iter(loaders))

    @property
    def limits(self) -> list[Any] | None:
        """The most batches of each loader, None for no limit."""
        return self._limits

    @limits.setter
    def limits(self, limits: Any) -> None:
        if isinstance(limits, (int, float)) and limits is not None:
            limits = [limits] * len(self.flattened)
        elif isinstance(limits, list) and len(limits) != len(self.flattened):
            raise ValueError(f"Mismatch in number of limits ({len(limits)}) and number of iterables"
                             f" ({len(self.flattened)})")
        self._limits = limits

    def _bounds(self) -> list[Any]:
        return self._limits or [INFINITE] * len(self.flattened)

    def sizes(self) -> list[float]:
        """How many batches each loader gives, infinite where it does not say."""
        known = [sized_len(x) for x in self.flattened]
        return [min(INFINITE if n is None else n, b) for n, b in zip(known, self._bounds())]

    def length(self) -> float:
        """How many batches there are, infinite where a loader does not say."""
        sizes = self.sizes()
        folds: dict[str, Callable[[list[float]], float]] = {"min_size": min, "sequential": sum}
        return folds.get(self._mode, max)(sizes) if sizes else 0

    def __len__(self) -> int:
        length = self.length()
        if length == INFINITE:
            raise NotImplementedError("Some of the loaders do not have a length: `CombinedLoader` has none either.")
        return int(length)

    def __iter__(self) -> Iterator[Any]:
        self._running = MODES[self._mode](self.flattened, self._bounds(), self.iterables)
        return self._running

    def __next__(self) -> Any:
        if self._running is None:
            raise RuntimeError("Please call `iter(combined_loader)` first.")
        return next(self._running)

    def reset(self) -> None:
        """Forget the running iteration."""
        self._running = None


def _sequential(loaders: list[Any], bounds: list[Any], shape: Any) -> Iterator[Any]:
    for which, (loader, bound) in enumerate(zip(loaders, bounds)):
        if bound == 0:
            continue
        for i, batch in enumerate(loader):
            yield batch, i, which
            if i + 1 >= bound:
                break


def _shortest(loaders: list[Any], bounds: list[Any], shape: Any) -> Iterator[Any]:
    if not loaders or min(bounds) == 0:
        return
    for i, row in enumerate(zip(*loaders)):
        yield _filled(shape, iter(row)), i, 0
        if i + 1 >= min(bounds):
            return


def _padded(loaders: list[Any], bounds: list[Any], shape: Any) -> Iterator[Any]:
    running: list[Any] = [iter(x) if b else None for x, b in zip(loaders, bounds)]
    i = 0
    while True:
        row = [None] * len(running)
        for k, it in enumerate(running):
            if it is not None and i < bounds[k]:
                row[k], alive = _next(it)
                running[k] = it if alive else None
            else:
                running[k] = None
        if not any(it is not None for it in running):
            return
        yield _filled(shape, iter(row)), i, 0
        i += 1


def _cycled(loaders: list[Any], bounds: list[Any], shape: Any) -> Iterator[Any]:
    running: list[Any] = [iter(x) for x in loaders]
    ended = [b == 0 for b in bounds]
    i = 0
    while not all(ended):
        row = []
        for k, loader in enumerate(loaders):
            item, alive = _next(running[k])
            if not alive or i == bounds[k]:
                ended[k] = True
                if all(ended):
                    return
                if not alive:
                    running[k] = iter(loader)
                    item = next(running[k])
            row.append(item)
        yield _filled(shape, iter(row)), i, 0
        i += 1
        if all(e or i >= b for e, b in zip(ended, bounds)):
            return


def _next(it: Iterator[Any]) -> tuple[Any, bool]:
    try:
        return next(it), True
    except StopIteration:
        return None, False


MODES = {"min_size": _shortest, "max_size_cycle": _cycled, "max_size": _padded, "sequential": _sequential}


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, Mapping):
        return [x for value in tree.values() for x in _leaves(value)]
    if isinstance(tree, (list, tuple)):
        return [x for value in tree for x in _leaves(value)]
    return [tree]


def _filled(tree: Any, leaves: Iterator[Any]) -> Any:
    if isinstance(tree, Mapping):
        return {key: _filled(value, leaves) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[_filled(value, leaves) for value in tree])
    if isinstance(tree, (list, tuple)):
        return type(tree)([_filled(value, leaves) for value in tree])
    return next(leaves)
