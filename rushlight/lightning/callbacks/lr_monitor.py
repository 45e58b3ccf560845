"""Logs learning rates."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_warn


class LearningRateMonitor(Callback):
    """Give the learning rates to the loggers as "lr-SGD", "lr-SGD/pg1" and so on,
    or under the ``name`` of a scheduler's dict.

    Args:
        logging_interval: "step", "epoch", or None for each scheduler's own interval.
        log_momentum, log_weight_decay: log these, too.

    MisconfigurationException for another interval, and for a trainer without loggers.
    """

    def __init__(self, logging_interval: str | None = None, log_momentum: bool = False, log_weight_decay: bool = False):
        if logging_interval not in (None, "step", "epoch"):
            raise MisconfigurationException("logging_interval should be `step` or `epoch` or `None`.")
        self.logging_interval, self.log_momentum, self.log_weight_decay = (
            logging_interval,
            log_momentum,
            log_weight_decay,
        )
        self.lrs: dict[str, list[float]] = {}
        self.last_momentum_values: dict[str, Any] = {}
        self.last_weight_decay_values: dict[str, Any] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.loggers:
            raise MisconfigurationException("Cannot use `LearningRateMonitor` callback "
                                            "with `Trainer` that has no logger.")
        if not trainer.lr_scheduler_configs:
            rank_zero_warn("You are using `LearningRateMonitor` callback with models that have no learning rate"
                           " schedulers. Please see documentation for `configure_optimizers` method.",
                           category=RuntimeWarning)
        self.names = self._names(trainer)
        self.lrs = {name: [] for _, _, groups in self.names for name in groups}

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.logging_interval != "epoch" and trainer._metrics.due:
            self._log(trainer, "step")

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if self.logging_interval != "step":
            self._log(trainer, "epoch")

    def _log(self, trainer: Any, interval: str) -> None:
        values: dict[str, float] = {}
        for optimizer, own, names in self.names:
            if self.logging_interval is None and own is not None and own != interval:
                continue
            for name, group in zip(names, optimizer.param_groups):
                rate = group["lr"]
                rate = rate.item() if hasattr(rate, "item") else rate
                self.lrs.setdefault(name, []).append(rate)
                values[name] = rate
                if self.log_momentum:
                    momentum = group["betas"][0] if "betas" in group else group.get("momentum", 0)
                    values[f"{name}-momentum"] = self.last_momentum_values[f"{name}-momentum"] = momentum
                if self.log_weight_decay:
                    decay = group.get("weight_decay", 0)
                    values[f"{name}-weight_decay"] = self.last_weight_decay_values[f"{name}-weight_decay"] = decay
        if values:
            from rushlight.lightning.trainer.results import as_tensor
            trainer._metrics.shown["callback"].update({name: as_tensor(float(value)) for name, value in values.items()})
            for logger in trainer.loggers:
                logger.log_metrics(values, step=trainer._logging_step())

    def _names(self, trainer: Any) -> list[tuple[Any, str | None, list[str]]]:
        """For each optimizer: its scheduler's interval, and the names of its groups' rates."""
        seen: dict[str, int] = defaultdict(int)
        found: list[tuple[Any, str | None, list[str]]] = []

        def name_of(optimizer: Any, given: str | None) -> str:
            base = given or f"lr-{type(optimizer).__name__}"
            seen[base] += 1
            return base if seen[base] == 1 else f"{base}-{seen[base] - 1}"

        for config in trainer.lr_scheduler_configs:
            optimizer = config.scheduler.optimizer
            found.append((optimizer, config.interval, _group_names(optimizer, name_of(optimizer, config.name))))
        for optimizer in trainer.optimizers:
            if not any(o is optimizer for o, _, _ in found):
                found.append((optimizer, None, _group_names(optimizer, name_of(optimizer, None))))
        return found


def _group_names(optimizer: Any, name: str) -> list[str]:
    groups = optimizer.param_groups
    given = [group.get("name") for group in groups]
    if len(groups) == 1 and given[0] is None:
        return [name]
    named = {n for n in given if n is not None}
    if len(named) < sum(n is not None for n in given):
        raise MisconfigurationException("A single `Optimizer` cannot have multiple parameter groups with identical"
                                        f" `name` values. {name} has duplicated parameter group names"
                                        f" {sorted(n for n in named if given.count(n) > 1)}")
    return [f"{name}/{n if n is not None else f'pg{i + 1}'}" for i, n in enumerate(given)]
