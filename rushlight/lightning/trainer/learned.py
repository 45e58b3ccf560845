"""What a run in other processes has changed, brought back to the Trainer that started them."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.trainer.states import TrainerStatus


def gather(trainer: Any, out: Any) -> dict[str, Any]:
    """The result of a run, the module's state, the callbacks', the counters and the values that were logged."""
    return {"out": out, "state_dict": trainer.lightning_module.state_dict(), "fit_loop": trainer.fit_loop.state_dict(),
            "callbacks": [callback.state_dict() for callback in trainer.callbacks],
            "versions": [logger.version for logger in trainer.loggers], "should_stop": trainer.should_stop,
            "shown": {kind: {name: value.detach() for name, value in values.items()} for kind, values in trainer._metrics.shown.items()}}


def take(trainer: Any, state: dict[str, Any]) -> Any:
    """Go on from there; the run's result."""
    trainer.lightning_module.load_state_dict(state["state_dict"])
    trainer.fit_loop.load_state_dict(state["fit_loop"], None)
    trainer.fit_loop.restored = None
    for callback, kept in zip(trainer.callbacks, state["callbacks"]):
        if "dirpath" in kept:  # where the checkpoints have been written
            callback.dirpath = kept["dirpath"]
        if kept:
            callback.load_state_dict(kept)
    for logger, version in zip(trainer.loggers, state["versions"]):
        if hasattr(logger, "_version"):
            logger._version = version
    trainer._metrics.shown, trainer.should_stop = state["shown"], state["should_stop"]
    trainer.state.status, trainer.state.stage = TrainerStatus.FINISHED, None
    return state["out"]
