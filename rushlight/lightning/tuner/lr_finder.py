"""The learning-rate test (Smith, 2015, "Cyclical learning rates for training neural networks")."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.core.configure import optimizers_of
from rushlight.lightning.core.optimizer import LightningOptimizer
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.parsing import lightning_hasattr, lightning_setattr
from rushlight.lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn

NAMES = ("lr", "learning_rate")
SMOOTH = 0.98  # share of the average of losses that a new loss leaves
EARLIEST = 1  # the step from which a rising loss ends the test


class _LRFinder:
    """What the test found: ``results["lr"]`` and ``results["loss"]``, ``suggestion()`` and ``plot()``."""

    def __init__(self, mode: str, lr_min: float, lr_max: float, num_training: int):
        self.mode, self.lr_min, self.lr_max, self.num_training = mode, lr_min, lr_max, num_training
        self.results: dict[str, list[float]] = {"lr": [], "loss": []}
        self._total_batch_idx = 0
        self._optimal_idx: int | None = None

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """The rate where the loss falls steepest; None where too few steps were run."""
        losses = np.array(self.results["loss"][skip_begin:-skip_end])
        places = np.flatnonzero(np.isfinite(losses))
        if len(places) < 2:
            rank_zero_warn("Failed to compute suggestion for learning rate because there are not enough points."
                           " Increase the loop iteration limits or the size of your dataset/dataloader.")
            self._optimal_idx = None
            return None
        self._optimal_idx = int(places[np.gradient(losses[places]).argmin()]) + skip_begin
        return self.results["lr"][self._optimal_idx]

    def plot(self, suggest: bool = False, show: bool = False, ax: Any = None) -> Any:
        """A diagram of the losses by rate; it needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise ModuleNotFoundError("To use the `plot` method, you must have Matplotlib installed: pip install"
                                      " 'rushlight[plot]'",
                                      name="matplotlib") from None
        figure, ax = (ax.figure, ax) if ax is not None else plt.subplots()
        ax.plot(self.results["lr"], self.results["loss"])
        if self.mode == "exponential":
            ax.set_xscale("log")
        ax.set_xlabel("Learning rate")
        ax.set_ylabel("Loss")
        if suggest:
            self.suggestion()
            if self._optimal_idx is not None:
                ax.plot(self.results["lr"][self._optimal_idx], self.results["loss"][self._optimal_idx], markersize=10,
                        marker="o", color="red")
        if show:
            plt.show()
        return figure

    def rate(self, step: int) -> float:
        """The rate of a step."""
        share = (step + 1) / self.num_training if step else 0.0  # from lr_min at the first step to lr_max at the last
        if self.mode == "linear":
            return self.lr_min + share * (self.lr_max - self.lr_min)
        return float(self.lr_min * (self.lr_max / self.lr_min) ** share)


class _Recorder(Callback):
    """Sets each step's rate, notes its loss, and ends the test when the loss grows too far."""

    def __init__(self, finder: _LRFinder, early_stop_threshold: float | None):
        self.finder, self.threshold = finder, early_stop_threshold
        self.average, self.best = 0.0, float("inf")

    def _set(self, trainer: Any, step: int) -> None:
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.finder.rate(step)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._set(trainer, 0)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.fit_loop.accumulating:
            return
        step = trainer.global_step
        self.finder.results["lr"].append(self.finder.rate(step - 1))
        loss = outputs.get("loss") if isinstance(outputs, dict) else None
        if loss is None:
            self.finder.results["loss"].append(float("nan"))
            return
        loss = trainer.strategy.reduce(loss)  # all processes stop at the same step
        self.average = SMOOTH * self.average + (1 - SMOOTH) * float(loss)
        smooth = self.average / (1 - SMOOTH ** (step + 1))
        if self.threshold is not None and step > EARLIEST and not smooth <= self.threshold * self.best:
            trainer.should_stop = True
        if smooth < self.best or step == 1:
            self.best = smooth
        self.finder.results["loss"].append(smooth)
        self._set(trainer, step)


def lr_find(trainer: Any, model: Any, min_lr: float = 1e-8, max_lr: float = 1, num_training: int = 100,
            mode: str = "exponential", early_stop_threshold: float | None = 4.0, update_attr: bool = False,
            attr_name: str = "") -> _LRFinder | None:
    """Train for so many steps with rates from min_lr to max_lr, amid a run that has been set up; see Tuner.lr_find."""
    if trainer.fast_dev_run:
        rank_zero_warn("Skipping learning rate finder since `fast_dev_run` is enabled.")
        return None
    name = _attribute(model, attr_name) if update_attr else None
    from rushlight.lightning.tuner.trial import trial
    finder = _LRFinder(mode, min_lr, max_lr, num_training)
    with trial(trainer, model, [_Recorder(finder, early_stop_threshold)], num_training) as prepare:
        loop = prepare()
        trainer.limit_val_batches = 0
        optimizers, _ = optimizers_of(model, model.configure_optimizers())
        if len(optimizers) != 1:
            raise MisconfigurationException(f"`model.configure_optimizers()` returned {len(optimizers)}, but"
                                            " learning rate finder only works with single optimizer")
        wrapped = LightningOptimizer(optimizers[0])
        wrapped.__dict__["_trainer"] = trainer
        trainer.optimizers, trainer._lightning_optimizers, trainer.lr_scheduler_configs = optimizers, [wrapped], []
        loop.run()
        finder._total_batch_idx = loop.total_batch_idx
        loop.teardown()
    if name is not None:
        found = finder.suggestion()
        if found is not None:
            lightning_setattr(model, name, found)
            for optimizer in trainer.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = found
            rank_zero_info(f"Learning rate set to {found}")
    return finder


def _attribute(model: Any, attr_name: str) -> str:
    if attr_name:
        if not lightning_hasattr(model, attr_name):
            raise AttributeError(f"The attribute name for the learning rate was set to {attr_name}, but could not"
                                 " find this as a field in `model` or `model.hparams`.")
        return attr_name
    found = next((name for name in NAMES if lightning_hasattr(model, name)), None)
    if found is None:
        raise AttributeError("When using the learning rate finder, either `model` or `model.hparams` should have one"
                             f" of these fields: {NAMES}. If your model has a different name for the learning rate,"
                             " set it with `attr_name`.")
    return found
