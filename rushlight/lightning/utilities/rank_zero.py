"""What only the first of several processes does: messages, files.

Messages go to the logger "pytorch_lightning"; a level set on it, or on "lightning", "lightning.pytorch" or
"lightning.fabric", silences what is below.
"""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable
from typing import Any

RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
ALSO_SILENCED_BY = ("lightning", "lightning.pytorch", "lightning.fabric")
log = logging.getLogger("pytorch_lightning")


def _silenced(record: logging.LogRecord) -> bool:
    return all(logging.getLogger(name).level <= record.levelno for name in ALSO_SILENCED_BY)


def _set_up() -> None:
    log.addFilter(_silenced)
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    if not logging.root.handlers and not log.handlers:
        log.addHandler(logging.StreamHandler())
        log.propagate = False


_set_up()


class LightningDeprecationWarning(DeprecationWarning):
    """Something that later versions of the interface lack."""


class PossibleUserWarning(UserWarning):
    """Something that is allowed but rarely meant."""


def _rank() -> int:
    return next((int(os.environ[name]) for name in RANK_VARIABLES if name in os.environ), 0)


def rank_zero_only(fn: Callable[..., Any], default: Any = None) -> Callable[..., Any]:
    """The function in the first process, and one that returns `default` in the others.

    >>> rank_zero_only(lambda: "written")()
    'written'
    """
    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs) if rank_zero_only.rank == 0 else default  # type: ignore[attr-defined]
    return wrapped


rank_zero_only.rank = _rank()  # type: ignore[attr-defined]


@rank_zero_only
def rank_zero_info(*args: Any, stacklevel: int = 4, **kwargs: Any) -> None:
    """A message of the level INFO, from the first process only."""
    log.info(*args, stacklevel=stacklevel, **kwargs)


@rank_zero_only
def rank_zero_debug(*args: Any, stacklevel: int = 4, **kwargs: Any) -> None:
    """A message of the level DEBUG, from the first process only."""
    log.debug(*args, stacklevel=stacklevel, **kwargs)


@rank_zero_only
def rank_zero_warn(message: Any, stacklevel: int = 4, category: type[Warning] = UserWarning, **kwargs: Any) -> None:
    """A warning, from the first process only."""
    warnings.warn(message, stacklevel=stacklevel, category=category)


def rank_zero_deprecation(message: Any, stacklevel: int = 5, **kwargs: Any) -> None:
    """A warning about something that later versions lack."""
    rank_zero_warn(message, stacklevel=stacklevel, category=LightningDeprecationWarning)


class WarningCache(set[str]):
    """Says each thing once."""

    def warn(self, message: str, stacklevel: int = 5, **kwargs: Any) -> None:
        """Warn, unless this was said before."""
        if message not in self:
            self.add(message)
            rank_zero_warn(message, stacklevel=stacklevel, **kwargs)

    def info(self, message: str, stacklevel: int = 5, **kwargs: Any) -> None:
        """Tell, unless this was said before."""
        if message not in self:
            self.add(message)
            rank_zero_info(message)
