"""What a trainer is doing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class TrainerStatus(str, Enum):  # noqa: UP042 - compared with strings
    """How a run stands."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"

    @property
    def stopped(self) -> bool:
        """Whether it is over."""
        return self in (self.FINISHED, self.INTERRUPTED)


class TrainerFn(str, Enum):  # noqa: UP042 - compared with strings
    """Which of the trainer's methods is running."""

    FITTING = "fit"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"


class RunningStage(str, Enum):  # noqa: UP042 - compared with strings
    """What is done with a batch."""

    TRAINING = "train"
    SANITY_CHECKING = "sanity_check"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"

    @property
    def evaluating(self) -> bool:
        """Whether nothing is trained."""
        return self in (self.VALIDATING, self.TESTING, self.SANITY_CHECKING)

    @property
    def dataloader_prefix(self) -> str | None:
        """The word in the names of arguments."""
        return {"validate": "val", "sanity_check": "val"}.get(self.value, self.value)


@dataclass
class TrainerState:
    """Status, method and stage."""

    status: TrainerStatus = TrainerStatus.INITIALIZING
    fn: TrainerFn | None = None
    stage: RunningStage | None = None

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.status == TrainerStatus.FINISHED

    @property
    def stopped(self) -> bool:
        """Whether the run is over."""
        return self.status.stopped
