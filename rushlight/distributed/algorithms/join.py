"""Join: ranks with fewer batches take part in the others' collectives until all are done
(torch.distributed.algorithms.join)."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from rushlight.distributed import exchange


class JoinHook:
    """What a rank that is done does in each further step of the others (main_hook),
    and when all are done (post_hook)."""

    def main_hook(self) -> None:
        """Take part in the collectives of one step."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """Once, at the end."""


class Joinable(ABC):
    """What `Join` can look after: `DistributedDataParallel` is one."""

    _join: Any = None

    @abstractmethod
    def join_hook(self, **kwargs: Any) -> JoinHook:
        """The hook of this object."""

    @property
    @abstractmethod
    def join_device(self) -> Any:
        """The device of the notices: the CPU."""

    @property
    @abstractmethod
    def join_process_group(self) -> Any:
        """The group of the notices."""


class Join:
    """``with Join([model]): for x, y in loader: …`` where ranks have different numbers of batches.

    In each step the ranks say who still computes; who does not takes part with gradients of 0.
    ``throw_on_early_termination``: an error on all ranks instead, as soon as one is done.
    Keyword arguments go to the objects' join_hook.
    """

    def __init__(
        self, joinables: list[Any], enable: bool = True, throw_on_early_termination: bool = False, **kwargs: Any
    ):
        if not joinables:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables, self._enable, self._throw, self._kwargs = (
            list(joinables),
            enable,
            throw_on_early_termination,
            kwargs,
        )
        self._group = self._joinables[0].join_process_group
        if any(j.join_process_group is not self._group for j in self._joinables):
            raise ValueError("Using join context manager with multiple process groups")

    def __enter__(self) -> Join:
        self._hooks = [j.join_hook(**self._kwargs) for j in self._joinables]
        self._joinables[0]._join = self if self._enable else None
        return self

    def _count(self, working: int) -> int:
        """How many ranks still compute."""
        return int(sum(int(a[0]) for a in exchange.gather_arrays(np.array([working], np.int64), self._group)))

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        self._joinables[0]._join = None
        if not self._enable or kind is not None:
            return
        last = True
        steps = 0
        while self._count(0):
            if self._throw:
                raise RuntimeError("Detected at least one rank that exhausted inputs. Throwing across all ranks.")
            last = False
            steps += 1
            if steps == 1000:
                warnings.warn(
                    "Detected uneven input skew of greater than 1000. This means that rank has at least 1000 fewer "
                    "inputs than other currently-active ranks.",
                    stacklevel=2,
                )
            for h in self._hooks:
                h.main_hook()
        for h in self._hooks:
            h.post_hook(last)

    @staticmethod
    def notify_join_context(joinable: Any) -> int | None:
        """Say that this rank begins another step: how many do, or None outside of a Join. RuntimeError where one is
        done and that is an error."""
        join = joinable._join
        if join is None:
            return None
        working = join._count(1)
        if join._throw and working < join._group.size():
            raise RuntimeError("Detected at least one rank that exhausted inputs. Throwing across all ranks.")
        return working  # type: ignore[no-any-return]
