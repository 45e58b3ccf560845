"""Averages the weights of the last epochs (Izmailov et al., 2018, "Averaging weights leads to wider optima")."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn
from rushlight.lightning.utilities.types import LRSchedulerConfig
from rushlight.optim.swa_utils import SWALR


class StochasticWeightAveraging(Callback):
    """From `swa_epoch_start` on, the rate goes to `swa_lrs` and the weights of each
    epoch are averaged; the average is the result.

    Running statistics of batch norms are computed anew with one pass over the training data.

    Args:
        swa_lrs: the rate, or one for each group of parameters.
        swa_epoch_start: an epoch, or a share of all epochs.
        annealing_epochs, annealing_strategy: how the rate gets there:
            in so many epochs, along a "cos" or a "linear" line.
        avg_fn: (average, weight, how many so far) to the new average; the mean by default.
        device: where the average is.

    MisconfigurationException for values that do not fit, and for anything but one optimizer.
    """

    def __init__(self, swa_lrs: Any, swa_epoch_start: int | float = 0.8, annealing_epochs: int = 10,
                 annealing_strategy: str = "cos", avg_fn: Callable[..., Any] | None = None, device: Any = "cpu"):
        if (
            isinstance(swa_epoch_start, bool)
            or (isinstance(swa_epoch_start, int) and swa_epoch_start < 1)
            or (isinstance(swa_epoch_start, float) and not 0 <= swa_epoch_start <= 1)
            or not isinstance(swa_epoch_start, (int, float))
        ):
            raise MisconfigurationException("swa_epoch_start should be a >0 integer or a float between 0 and 1.")
        rates = swa_lrs if isinstance(swa_lrs, list) else [swa_lrs]
        if not all(isinstance(r, float) and r > 0 for r in rates):
            raise MisconfigurationException("The `swa_lrs` should a positive float, or a list of positive floats")
        if avg_fn is not None and not callable(avg_fn):
            raise MisconfigurationException("The `avg_fn` should be callable.")
        self._swa_lrs, self._swa_epoch_start = swa_lrs, swa_epoch_start
        self._annealing_epochs, self._annealing_strategy = annealing_epochs, annealing_strategy
        self._avg_fn, self._device = avg_fn, device
        self.n_averaged = 0
        self._latest_update_epoch = -1
        self._average_model: Any = None
        self._swa_scheduler: Any = None
        self._restored: dict[str, Any] | None = None

    @property
    def swa_start(self) -> int:
        """The first epoch that is averaged."""
        return max(int(self._swa_epoch_start) - 1, 0)

    @property
    def swa_end(self) -> int:
        """The last epoch."""
        return int(self._max_epochs) - 1

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "fit" and self._average_model is None:
            self._average_model = copy.deepcopy(pl_module)
            if self._device is not None:
                self._average_model.to(self._device)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if len(trainer.optimizers) != 1:
            raise MisconfigurationException("SWA currently works with 1 `optimizer`.")
        if len(trainer.lr_scheduler_configs) > 1:
            raise MisconfigurationException("SWA currently not supported for more than 1 `lr_scheduler`.")
        if trainer.max_epochs in (None, -1):
            raise MisconfigurationException("SWA needs `Trainer(max_epochs=...)` to know "
                                            "which epochs are the last ones.")
        self._max_epochs = trainer.max_epochs
        if isinstance(self._swa_epoch_start, float):
            self._swa_epoch_start = int(trainer.max_epochs * self._swa_epoch_start)
        if self._restored is not None:  # the rate's course before the optimizer and its scheduler are restored
            self._take_over(trainer)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        epoch = trainer.current_epoch
        if not self.swa_start <= epoch <= self.swa_end:
            return
        if self._swa_scheduler is None:
            self._take_over(trainer)
        if epoch > self._latest_update_epoch:
            self.update_parameters(pl_module)
            self._latest_update_epoch = epoch

    def _take_over(self, trainer: Any) -> None:
        """Put the rate's course to swa_lrs in the place of the scheduler."""
        optimizer = trainer.optimizers[0]
        if self._restored is not None and not self._restored["scheduler_state"]:
            self._restored = None
            return
        rates = self._swa_lrs if isinstance(self._swa_lrs, list) else [self._swa_lrs] * len(optimizer.param_groups)
        for rate, group in zip(rates, optimizer.param_groups):
            group["initial_lr"] = rate
        self._swa_scheduler = SWALR(
            optimizer,
            swa_lr=rates,
            anneal_epochs=self._annealing_epochs,
            anneal_strategy=self._annealing_strategy,
            last_epoch=self._max_epochs if self._annealing_strategy == "cos" else -1,
        )
        config = LRSchedulerConfig(self._swa_scheduler)
        if trainer.lr_scheduler_configs:
            before = trainer.lr_scheduler_configs[0]
            if before.interval != "epoch" or before.frequency != 1:
                rank_zero_warn(f"SWA is currently only supported every epoch. Found {before}")
            rank_zero_info(f"Swapping scheduler `{type(before.scheduler).__name__}` for"
                           f" `{type(self._swa_scheduler).__name__}`")
            trainer.lr_scheduler_configs[0] = config
        else:
            trainer.lr_scheduler_configs.append(config)
        self._restored = None

    def update_parameters(self, pl_module: Any) -> None:
        """Take the module's weights of now into the average."""
        n = self.n_averaged
        average = self._avg_fn or (lambda mean, new, count: mean + (new - mean) / (count + 1))
        with no_grad():
            for mean, new in zip(self._average_model.parameters(), pl_module.parameters(), strict=True):
                mean.copy_(new if n == 0 else average(mean, new, n))
        self.n_averaged = n + 1

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch - 1 != self.swa_end or not self.n_averaged:
            return
        with no_grad():
            for mean, own in zip(self._average_model.parameters(), pl_module.parameters(), strict=True):
                own.copy_(mean)
        self._renew_statistics(trainer, pl_module)

    def _renew_statistics(self, trainer: Any, pl_module: Any) -> None:
        """Batch norms measure the training data with the averaged weights."""
        from rushlight.nn.modules.batchnorm import _BatchNorm
        norms = {m: m.momentum for m in pl_module.modules() if isinstance(m, _BatchNorm)}
        if not norms:
            return
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        pl_module.__dict__["log"] = lambda *args, **kwargs: None  # this pass is no training: nothing is logged
        pl_module.train()
        with no_grad(), trainer.precision_plugin.forward_context():
            for i, (batch, _, _) in enumerate(trainer.fit_loop.loader):
                pl_module.training_step(*((trainer._to_device(batch, 0),
                                           i)[:2 if trainer.fit_loop.epoch_loop._with_index else 1]))
        del pl_module.__dict__["log"]
        for norm, momentum in norms.items():
            norm.momentum = momentum

    def state_dict(self) -> dict[str, Any]:
        return {"n_averaged": self.n_averaged, "latest_update_epoch": self._latest_update_epoch,
                "scheduler_state": None if self._swa_scheduler is None else self._swa_scheduler.state_dict(),
                "average_model_state": None if self._average_model is None else self._average_model.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.n_averaged, self._latest_update_epoch = int(state_dict["n_averaged"]), state_dict["latest_update_epoch"]
        if state_dict["average_model_state"] is not None:
            self._average_model.load_state_dict(state_dict["average_model_state"])
        self._restored = state_dict
