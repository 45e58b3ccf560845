"""loss_parallel: cross_entropy of scores whose classes are spread over the ranks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rushlight.distributed.tensor.dispatch import implicit_replication


@contextmanager
def loss_parallel() -> Iterator[None]:
    """In the block, ``cross_entropy`` takes scores cut along their classes together with plain (replicated) targets.

    The classes never come together: one maximum, one sum and one score per sample move.
    (That is so outside the block as well; there the targets must be DTensors.)
    """
    with implicit_replication():
        yield
