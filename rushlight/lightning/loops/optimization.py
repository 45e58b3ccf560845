"""One training step: the closure that computes the loss and the gradients, and the optimizer's step around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rushlight.lightning.utilities.data import warnings_said
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.tensor.core import Tensor


class AutomaticOptimization:
    """training_step, zero_grad, backward, clipping and the step."""

    def __init__(self, trainer: Any, progress: Any):
        self.trainer, self.optim_progress = trainer, progress
        self.output: Any = None
        self.batch: tuple[Any, ...] = ()
        self.batch_idx = 0

    def run(self, arguments: tuple[Any, ...], batch_idx: int, accumulating: bool) -> Any:
        """Train on a batch; what training_step gave, its loss detached."""
        trainer = self.trainer
        self.batch, self.batch_idx, self.output = arguments, batch_idx, None
        try:
            if accumulating:
                with trainer.strategy.block_backward_sync():
                    self.closure()
            else:
                step = self.optim_progress.step
                step.add("ready")
                trainer.hooks.call("optimizer_step", trainer.current_epoch, batch_idx,
                                   trainer._lightning_optimizers[0], self.closure)
                step.add("completed")
        finally:
            self.batch = ()
        out, self.output = self.output, None
        return {} if out is None else out

    def closure(self) -> Any:
        """The loss of the batch, with its gradients computed."""
        trainer = self.trainer
        hooks = trainer.hooks
        trainer.strategy.before_forward()
        with trainer.precision_plugin.forward_context():
            out = hooks.call("training_step", *self.batch)
        loss, self.output = split_loss(out)
        if self.batch_idx % trainer.accumulate_grad_batches == 0:
            self._clear(trainer.optimizers[0])
        if loss is None:
            warnings_said.warn("`training_step` returned `None`. If this was on purpose, ignore this warning...")
            return None
        if trainer.accumulate_grad_batches != 1:
            loss = loss / trainer.accumulate_grad_batches
        trainer.precision_plugin.backward(trainer, loss, trainer.optimizers[0])
        return loss.detach()

    def _clear(self, optimizer: Any) -> None:
        trainer, progress = self.trainer, self.optim_progress.zero_grad
        progress.add("ready")
        trainer.hooks.run("on_before_zero_grad", optimizer)
        progress.add("started")
        trainer.hooks.call("optimizer_zero_grad", trainer.current_epoch, self.batch_idx, optimizer)
        progress.add("completed")


def split_loss(out: Any) -> tuple[Any, Any]:
    """The loss in what training_step returned, and all of it with the loss detached;
    MisconfigurationException for other things."""
    if isinstance(out, Tensor):
        return out, {"loss": out.detach()}
    if isinstance(out, Mapping):
        loss = out.get("loss")
        if loss is None and "loss" not in out:
            raise MisconfigurationException("In automatic_optimization, when `training_step` returns a dict, the"
                                            " 'loss' key needs to be present")
        if loss is None:
            return None, None
        if not isinstance(loss, Tensor):
            raise MisconfigurationException(f"The 'loss' value needs to be a tensor, but it is a {type(loss).__name__}")
        return loss, {**{k: _detached(v) for k, v in out.items() if k != "loss"}, "loss": loss.detach()}
    if out is None:
        return None, None
    raise MisconfigurationException("In automatic optimization, `training_step` must return a Tensor, a dict, or"
                                    f" None (where the step will be skipped), but it returned a {type(out).__name__}.")


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) and value.requires_grad else value


class ManualOptimization:
    """training_step alone; the optimizers' steps are counted."""

    def __init__(self, trainer: Any, progress: Any):
        self.trainer, self.optim_step_progress = trainer, progress

    def run(self, arguments: tuple[Any, ...]) -> Any:
        """Call training_step; what it gave, with its loss detached."""
        trainer, progress = self.trainer, self.optim_step_progress
        for optimizer in trainer._lightning_optimizers:
            optimizer.__dict__["_on_before_step"] = lambda: progress.add("ready")
            optimizer.__dict__["_on_after_step"] = lambda: progress.add("completed")
        trainer.strategy.before_forward()
        with trainer.precision_plugin.forward_context():
            out = trainer.hooks.call("training_step", *arguments)
        for optimizer in trainer._lightning_optimizers:
            optimizer.__dict__["_on_before_step"] = optimizer.__dict__["_on_after_step"] = _nothing
        if isinstance(out, Tensor):
            return {"loss": out.detach()}
        if isinstance(out, Mapping):
            return {key: _detached(value) for key, value in out.items()}
        if out is None:
            return {}
        raise MisconfigurationException("In manual optimization, `training_step` must either return a Tensor or have"
                                        f" no return, but it returned a {type(out).__name__}.")


def _nothing() -> None:
    return None
