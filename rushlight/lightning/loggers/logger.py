"""The base of loggers."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from rushlight.lightning.utilities.rank_zero import rank_zero_only


def rank_zero_experiment(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The experiment in the first process, one that does nothing in the others."""
    @functools.wraps(fn)
    def wrapped(self: Any) -> Any:
        return fn(self) if rank_zero_only.rank == 0 else DummyExperiment()  # type: ignore[attr-defined]
    return wrapped


class Logger:
    """Derive from it, with ``name``, ``version``, ``log_metrics`` and ``log_hyperparams``."""

    @property
    def name(self) -> str | None:
        """The name of the experiment."""
        raise NotImplementedError

    @property
    def version(self) -> int | str | None:
        """The run's number or name."""
        raise NotImplementedError

    @property
    def root_dir(self) -> str | None:
        """The folder of all versions."""
        return None

    @property
    def log_dir(self) -> str | None:
        """The folder of this version."""
        return None

    @property
    def save_dir(self) -> str | None:
        """The folder of all experiments."""
        return None

    @property
    def experiment(self) -> Any:
        """What writes."""
        return None

    @property
    def group_separator(self) -> str:
        """What stands between the parts of a name."""
        return "/"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write values."""
        raise NotImplementedError

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Write hyper-parameters."""
        raise NotImplementedError

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Draw the model."""

    def save(self) -> None:
        """Write what has been kept back."""

    def finalize(self, status: str) -> None:
        """A run is over: "success" or "failed"."""
        self.save()

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """A checkpoint has been written."""


class DummyExperiment:
    """Takes any call, does nothing."""

    def nop(self, *args: Any, **kw: Any) -> None:
        """Nothing."""

    def __getattr__(self, name: str) -> Any:
        return self.nop

    def __getitem__(self, index: int) -> DummyExperiment:
        return self

    def __setitem__(self, *args: Any, **kwargs: Any) -> None:
        pass


class DummyLogger(Logger):
    """Takes the place of the loggers in a fast_dev_run."""

    def __init__(self) -> None:
        self._experiment = DummyExperiment()

    name = property(lambda self: "")
    version = property(lambda self: "")
    experiment = property(lambda self: self._experiment)

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        pass

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __getitem__(self, index: int) -> DummyLogger:
        return self


def next_version(folder: str) -> int:
    """One more than the largest of the folders version_0, version_1 …

    >>> next_version("/no such folder")
    0
    """
    taken = [int(name.removeprefix("version_")) for name in (os.listdir(folder) if os.path.isdir(folder) else [])
             if name.startswith("version_") and name.removeprefix("version_").isdigit()]
    return max(taken, default=-1) + 1
