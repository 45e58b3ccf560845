"""Counters of what has begun and ended, in the whole run and in the present epoch;
checkpoints keep them in Lightning's layout."""

from __future__ import annotations

from typing import Any

READY_COMPLETED = ("ready", "completed")
STARTED = ("ready", "completed", "started")
PROCESSED = ("ready", "completed", "started", "processed")


class Counts:
    """How many events were ready, started, processed (before their last hooks) and completed (after them)."""

    ready: int
    started: int
    processed: int
    completed: int

    def __init__(self, names: tuple[str, ...]):
        self._names = names
        self.reset()

    def reset(self) -> None:
        """All to zero."""
        for name in self._names:
            setattr(self, name, 0)

    def state_dict(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in self._names}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take over counts."""
        for name in self._names:
            setattr(self, name, state[name])


class Progress:
    """Counts of the whole run (``total``) and of the present epoch (``current``)."""

    def __init__(self, names: tuple[str, ...] = PROCESSED):
        self.total, self.current = Counts(names), Counts(names)

    def add(self, name: str, n: int = 1) -> None:
        """Count n more."""
        total, current = self.total.__dict__, self.current.__dict__
        total[name] += n
        current[name] += n

    def begin(self) -> None:
        """A new epoch."""
        self.current.reset()

    def reset(self) -> None:
        """All to zero."""
        self.total.reset()
        self.current.reset()

    def state_dict(self) -> dict[str, Any]:
        """Both, by name."""
        return {"total": self.total.state_dict(), "current": self.current.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over both."""
        self.total.load_state_dict(state["total"])
        self.current.load_state_dict(state["current"])


class BatchProgress(Progress):
    """Counts of batches, and whether the last one of the epoch has come."""

    def __init__(self) -> None:
        super().__init__(PROCESSED)
        self.is_last_batch = False

    def begin(self) -> None:
        super().begin()
        self.is_last_batch = False

    def reset(self) -> None:
        super().reset()
        self.is_last_batch = False

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "is_last_batch": self.is_last_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.is_last_batch = state["is_last_batch"]


class OptimizerProgress:
    """Counts of steps and of clearings of gradients."""

    def __init__(self) -> None:
        self.step, self.zero_grad = Progress(READY_COMPLETED), Progress(STARTED)

    def begin(self) -> None:
        """A new epoch."""
        self.step.begin()
        self.zero_grad.begin()

    def state_dict(self) -> dict[str, Any]:
        """Both, as Lightning nests them."""
        return {"optimizer": {"step": self.step.state_dict(), "zero_grad": self.zero_grad.state_dict()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over both."""
        self.step.load_state_dict(state["optimizer"]["step"])
        self.zero_grad.load_state_dict(state["optimizer"]["zero_grad"])
