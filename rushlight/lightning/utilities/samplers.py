"""The part of a data set that one of several processes sees."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

from rushlight.data import DataLoader, DistributedSampler, IterableDataset, RandomSampler, SequentialSampler
from rushlight.lightning.utilities.exceptions import MisconfigurationException


class UnrepeatedDistributedSampler(DistributedSampler):
    """A part in which no sample comes twice, for predictions; parts differ in size by one at most.

    >>> [list(UnrepeatedDistributedSampler(range(5), 2, rank, shuffle=False)) for rank in (0, 1)]
    [[0, 2, 4], [1, 3]]
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.total_size = len(self.dataset)
        self.num_samples = len(range(self.rank, self.total_size, self.num_replicas))
        self.drop_last = True  # nothing is added; with a total size of all, nothing is dropped


class _Drawn:
    """What a sampler gives, as a data set."""

    def __init__(self, sampler: Any):
        self.sampler = sampler
        self.drawn: list[Any] | None = None

    def __len__(self) -> int:
        return len(self.sampler)

    def __getitem__(self, index: int) -> Any:
        assert self.drawn is not None
        return self.drawn[index]


class DistributedSamplerWrapper(DistributedSampler):
    """Every n-th of what another sampler gives. In all processes it has to give the same: its random numbers need one seed."""

    def __init__(self, sampler: Any, *args: Any, **kwargs: Any):
        super().__init__(_Drawn(sampler), *args, **kwargs)

    def __iter__(self) -> Iterator[Any]:
        self.dataset.drawn = list(self.dataset.sampler)
        return (self.dataset[i] for i in super().__iter__())


class UnrepeatedDistributedSamplerWrapper(UnrepeatedDistributedSampler, DistributedSamplerWrapper):
    """`DistributedSamplerWrapper` without repetition."""


def shared_out(loader: Any, world_size: int, rank: int, shuffle: bool, once: bool = False) -> Any:
    """The loader with a sampler for one process; `once` for every sample exactly once.

    The loader itself where it has such a sampler already, or a data set without places. MisconfigurationException for a batch sampler
    that cannot be made again as ``type(batch_sampler)(sampler, batch_size, drop_last)``.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return loader
    source = getattr(loader.batch_sampler, "sampler", loader.sampler)
    if isinstance(source, DistributedSampler):
        return loader
    plain = isinstance(source, (RandomSampler, SequentialSampler))
    kinds = {(True, True): UnrepeatedDistributedSampler, (True, False): DistributedSampler,
             (False, True): UnrepeatedDistributedSamplerWrapper, (False, False): DistributedSamplerWrapper}
    sampler = kinds[plain, once](loader.dataset if plain else source, num_replicas=world_size, rank=rank, shuffle=shuffle,
                                 seed=int(os.environ.get("PL_GLOBAL_SEED", 0)))
    return _over(loader, sampler, complete=once)


def complete(loader: Any) -> Any:
    """The loader without ``drop_last``, for predictions."""
    batches: Any = getattr(loader, "batch_sampler", None)
    if not isinstance(loader, DataLoader) or not getattr(batches, "drop_last", False) or not hasattr(batches, "sampler"):
        return loader
    return _over(loader, batches.sampler, complete=True)


def _over(loader: Any, sampler: Any, complete: bool) -> Any:
    """The loader with another sampler; with `complete` it drops nothing."""
    out = copy.copy(loader)
    out.__dict__.update(sampler=sampler, batch_sampler=_batches(loader.batch_sampler, sampler, complete), _iterator=None)
    if complete:
        out.__dict__["drop_last"] = False
    return out


def _batches(before: Any, sampler: Any, complete: bool) -> Any:
    """The batch sampler over another sampler."""
    if before is None:
        return None
    try:
        return type(before)(sampler, batch_size=before.batch_size, drop_last=before.drop_last and not complete)
    except (TypeError, AttributeError) as e:
        raise MisconfigurationException(f"The batch sampler {type(before).__name__} cannot be shared out over processes, since"
                                        f" {type(before).__name__}(sampler, batch_size, drop_last) cannot be called ({e}). Let it take these, or"
                                        " share the data out yourself and pass Trainer(use_distributed_sampler=False)") from e
