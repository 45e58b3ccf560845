"""Schedulers that move rate and momentum against each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rushlight.optim.optimizer import Optimizer
from rushlight.optim.schedulers_base import LRScheduler, assign, callable_state, per_group, require_optimizer


class _WithMomentum(LRScheduler):
    """Schedulers that also set the momentum, or the first beta, of the groups."""

    def _start_momentum(self, base: Any, highest: Any, fresh: bool) -> tuple[list[float], list[float]]:
        defaults = self.optimizer.defaults
        if "momentum" not in defaults and "betas" not in defaults:
            raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
        self.use_beta1 = "betas" in defaults
        lows = per_group("base_momentum", self.optimizer, base)
        highs = per_group("max_momentum", self.optimizer, highest)
        if fresh:
            self._set_momentum(highs)
            for group, low, high in zip(self.optimizer.param_groups, lows, highs):
                group.update(max_momentum=high, base_momentum=low)
        return lows, highs

    def _set_momentum(self, values: list[float]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            if self.use_beta1:
                group["betas"] = (value, *group["betas"][1:])
            else:
                group["momentum"] = value


# mode: (scale of a cycle's height, what the scale is a function of)
CYCLE_MODES: dict[str, tuple[Callable[[float, float], float], str]] = {
    "triangular": (lambda gamma, cycle: 1.0, "cycle"),
    "triangular2": (lambda gamma, cycle: 0.5 ** (cycle - 1), "cycle"),
    "exp_range": (lambda gamma, iteration: gamma ** iteration, "iterations"),
}


class CyclicLR(_WithMomentum):
    """Rates up and down between `base_lr` and `max_lr`, the momentum down and up (Smith 2017).

    A cycle takes ``step_size_up + step_size_down`` steps; its height is scaled by `mode` or by ``scale_fn`` of the
    cycle's number or of the step (`scale_mode`).
    """

    _unsaved = ("optimizer", "_scale_fn_custom")

    def __init__(self, optimizer: Optimizer, base_lr: float | list[float], max_lr: float | list[float],
                 step_size_up: int = 2000, step_size_down: int | None = None, mode: str = "triangular",
                 gamma: float = 1.0, scale_fn: Callable[[float], float] | None = None,
                 scale_mode: str = "cycle", cycle_momentum: bool = True,
                 base_momentum: float = 0.8, max_momentum: float = 0.9, last_epoch: int = -1) -> None:
        require_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs):
                assign(group, "lr", rate)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if scale_fn is None and mode not in CYCLE_MODES:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else CYCLE_MODES[mode][1]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._start_momentum(
                base_momentum, max_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The scale of the height at cycle or step x."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return CYCLE_MODES[self.mode][0](self.gamma, x)

    def get_lr(self) -> list[Any]:
        """The rates of the step; sets the momentum too."""
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        at = 1.0 + self.last_epoch / self.total_size - cycle
        height = at / self.step_ratio if at <= self.step_ratio else (at - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            self._set_momentum([high - (high - low) * height * scale for low, high in zip(
                self.base_momentums, self.max_momentums, strict=True)])
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """The state; of ``scale_fn`` only the attributes of a callable object."""
        custom = self._scale_fn_custom
        return {**super().state_dict(), "_scale_fn_custom": None if custom is None else callable_state(custom)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state, into the ``scale_fn`` that this scheduler has."""
        saved = state_dict["_scale_fn_custom"]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})
        if saved is not None:
            self._scale_fn_custom.__dict__.update(saved)


def cosine(start: Any, end: Any, part: float) -> Any:
    """From start to end along half a cosine."""
    return end + (start - end) / 2.0 * (1 + math.cos(math.pi * part))


def straight(start: Any, end: Any, part: float) -> Any:
    """From start to end along a line."""
    return (end - start) * part + start


ANNEALING = {"cos": cosine, "linear": straight}


def _phases(total: int, share: float, three: bool) -> list[dict[str, Any]]:
    """Where the phases of the 1cycle policy end, and between which settings of a group they go."""
    top = float(share * total) - 1
    stops = [(top, "max_lr", "base_momentum")]
    stops += [(2 * top, "initial_lr", "max_momentum")] if three else []
    stops += [(total - 1, "min_lr", "max_momentum")]
    phases, rate, momentum = [], "initial_lr", "max_momentum"
    for end, next_rate, next_momentum in stops:
        phases.append({"end_step": end, "start_lr": rate, "end_lr": next_rate,
                       "start_momentum": momentum, "end_momentum": next_momentum})
        rate, momentum = next_rate, next_momentum
    return phases


class OneCycleLR(_WithMomentum):
    """One rise to `max_lr` and a long fall far below the start, the momentum the other way (Smith & Topin 2018).

    The start is ``max_lr / div_factor``, the end ``max_lr / div_factor / final_div_factor``; more than `total_steps`
    steps are a ValueError.
    """

    def __init__(self, optimizer: Optimizer, max_lr: float | list[float], total_steps: int | None = None,
                 epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
                 anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum: float | list[float] = 0.85,
                 max_momentum: float | list[float] = 0.95, div_factor: float = 25.0,
                 final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1) -> None:
        require_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _count(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ANNEALING:
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        highest = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, highest):
                start = high / div_factor
                group.update(initial_lr=start, max_lr=high, min_lr=start / final_div_factor)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates of the step; sets the momentum too."""
        self._warn_outside_step()
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is {self.total_steps}")
        begin: float = 0
        for phase in self._schedule_phases:
            if step <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            begin = phase["end_step"]
        part, between = (step - begin) / (phase["end_step"] - begin), ANNEALING[self._anneal_func_type]
        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            self._set_momentum([between(g[phase["start_momentum"]], g[phase["end_momentum"]], part) for g in groups])
        return [between(g[phase["start_lr"]], g[phase["end_lr"]], part) for g in groups]


def _count(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    """The number of steps, given or as a product."""
    if total_steps is not None:
        given = {"total_steps": total_steps}
    elif epochs is None or steps_per_epoch is None:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    else:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"Expected positive integer {name}, but got {value}")
    return math.prod(given.values())
