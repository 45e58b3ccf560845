"""One batch of a data set: the part of a loader that its workers need."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass
from typing import Any

from rushlight.data.collate import default_collate
from rushlight.data.dataset import Dataset

ENTRY = re.compile(r"at entry (\d+)")
LISTED = 32  # data set indices in an error at most


@dataclass
class Source:
    """Where batches come from: a data set, by keys or as a stream, and how samples become batches."""

    dataset: Any
    collate_fn: Callable[..., Any]
    stream: bool
    batched: bool
    drop_last: bool

    def batch(self, keys: Any, before: Callable[[int], None]) -> Any:
        """The batch of these keys; ``before(i)`` is called ahead of the i-th sample,
        or once where all are fetched at once."""
        before(0)
        if not self.batched:
            return self.collate_fn(self.dataset[keys])
        keys = keys if isinstance(keys, Sized) else list(keys)
        whole = getattr(self.dataset, "_collated_batch", None)
        if whole is not None and self.collate_fn is default_collate:
            batch = whole(keys, before)
            if batch is not None:
                return batch
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self._collated(self.dataset.__getitems__(keys), keys)
        samples = []
        for i, key in enumerate(keys):
            if i:
                before(i)
            samples.append(self.dataset[key])
        return self._collated(samples, keys)

    def next_of(self, stream: Iterator[Any], keys: Any) -> Any:
        """The next batch of an iterable data set; StopIteration at its end."""
        if not self.batched:
            return self.collate_fn(next(stream))
        samples = []
        for _ in keys:
            try:
                samples.append(next(stream))
            except StopIteration:
                break
        if not samples or (self.drop_last and len(samples) < len(keys)):
            raise StopIteration
        return self.collate_fn(samples)

    def _collated(self, samples: Any, keys: Any) -> Any:
        """collate_fn(samples); an error about sizes that differ says which samples of the data set they were."""
        try:
            return self.collate_fn(samples)
        except RuntimeError as e:
            if "equal size" not in str(e):
                raise
            entries = sorted({0, *map(int, ENTRY.findall(str(e)))})
            named = [f"entry {i} is dataset[{keys[i]!r}]" for i in entries if i < len(keys)] if len(entries) > 1 else []
            more = ", …" if len(keys) > LISTED else ""
            indices = ", ".join(map(repr, list(keys)[:LISTED]))
            advice = (f"The batch holds the data set indices [{indices}{more}]. The data set's transform may make "
                      "samples of one size, or a collate_fn given to the DataLoader pad them.")
            e.args = ("\n".join([str(e), *named, advice]),)
            raise


def private_copy(value: Any) -> Any:
    """A data set whose attributes can be set without another thread's noticing; what they refer to is shared.

    Data sets inside it, also in lists, tuples and dictionaries, are copied as well. What cannot be copied is shared.
    """
    if isinstance(value, Dataset):
        try:
            made = copy.copy(value)
            vars(made).update({name: private_copy(inner) for name, inner in vars(made).items()})
        except Exception:  # a class may refuse for any reason of its own
            return value
        return made
    if type(value) in (list, tuple) and any(isinstance(inner, Dataset) for inner in value):
        return type(value)(map(private_copy, value))
    if type(value) is dict and any(isinstance(inner, Dataset) for inner in value.values()):
        return {key: private_copy(inner) for key, inner in value.items()}
    return value
