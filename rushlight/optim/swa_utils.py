"""Averages of a model's weights over training (torch.optim.swa_utils)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.nn.modules.module import Module
from rushlight.optim.optimizer import Optimizer
from rushlight.optim.schedulers_base import LRScheduler, per_group
from rushlight.tensor.core import Tensor

__all__ = ["AveragedModel", "SWALR", "get_ema_avg_fn", "get_ema_multi_avg_fn",
           "get_swa_avg_fn", "get_swa_multi_avg_fn", "update_bn"]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _multi(average: Callable[[Tensor, Tensor, Any], Tensor]) -> Callable[[Any, Any, Any], None]:
    """The function of one pair of tensors as one that updates lists in place."""
    def update(averaged: Any, current: Any, num_averaged: Any) -> None:
        with no_grad():
            for old, new in zip(averaged, current, strict=True):
                old.copy_(average(old, new, num_averaged))
    return update


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """A function for AveragedModel's avg_fn: ``decay * average + (1 - decay) * current``."""
    _check_decay(decay)

    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Any:
        with no_grad():
            return decay * ema_param + (1 - decay) * current_param
    return ema_update


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """A function for AveragedModel's avg_fn: the mean of all models so far."""
    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Any:
        with no_grad():
            return averaged_param + (current_param - averaged_param) / (num_averaged + 1)
    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], None]:
    """A function for AveragedModel's multi_avg_fn: the exponential average of lists of tensors, in place."""
    return _multi(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable[[Any, Any, Any], None]:
    """A function for AveragedModel's multi_avg_fn: the mean of lists of tensors, in place."""
    return _multi(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of `model` that holds the average of the parameters given to ``update_parameters``.

    The first update copies, later ones average by `avg_fn` (one tensor: returns the new average) or `multi_avg_fn`
    (lists, in place), the mean by default. With `use_buffers` buffers are averaged too, else copied.
    """

    n_averaged: Tensor

    def __init__(self, model: Module, device: Any = None, avg_fn: Callable[[Tensor, Tensor, Any], Tensor] | None = None,
                 multi_avg_fn: Callable[[Any, Any, Any], None] | None = None, use_buffers: bool = False) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        from rushlight.ir.dtype import int64
        from rushlight.tensor.creation import zeros
        copied: Any = copy.deepcopy(model)
        self.module = copied if device is None else copied.to(device)
        self.register_buffer("n_averaged", zeros((), dtype=int64))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def _averaged(self, model: Module) -> list[Tensor]:
        return [t.detach() for t in (chain(model.parameters(), model.buffers())
                                     if self.use_buffers else model.parameters())]

    def update_parameters(self, model: Module) -> None:
        """Take the parameters of `model` into the average."""
        mine, theirs = self._averaged(self.module), self._averaged(model)
        with no_grad():
            if int(self.n_averaged) == 0:
                for old, new in zip(mine, theirs):
                    old.copy_(new)
            elif mine:
                # one call for each dtype, as the functions may ask the first tensor for it
                for kind in dict.fromkeys(t.dtype for t in mine):
                    chosen = [(a, b) for a, b in zip(mine, theirs) if a.dtype == kind]
                    self._rule()([a for a, _ in chosen], [b for _, b in chosen], self.n_averaged)
            if not self.use_buffers:
                for old, new in zip(self.module.buffers(), model.buffers(), strict=True):
                    old.detach().copy_(new.detach())
            self.n_averaged.add_(1)

    def _rule(self) -> Callable[[Any, Any, Any], None]:
        if self.avg_fn is not None:
            return _multi(self.avg_fn)
        return self.multi_avg_fn or get_swa_multi_avg_fn()


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Recompute the running statistics of the batch norms in one pass over `loader`
    (batches, or sequences that begin with one)."""
    from rushlight.nn.modules.batchnorm import _BatchNorm
    norms = {m: m.momentum for m in model.modules() if isinstance(m, _BatchNorm)}
    if not norms:
        return
    training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # None averages all batches alike
    with no_grad():
        for batch in loader:
            batch = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(batch if device is None else batch.to(device))
    for norm, momentum in norms.items():
        norm.momentum = momentum
    model.train(training)


def _cosine(part: float) -> float:
    return (1 - math.cos(math.pi * part)) / 2


def _linear(part: float) -> float:
    return part


class SWALR(LRScheduler):
    """From the present rates to the constant `swa_lr` in `anneal_epochs` epochs, along a cosine or a line."""

    _unsaved = ("optimizer", "anneal_func")
    _ANNEALING = {"cos": _cosine, "linear": _linear}

    def __init__(self, optimizer: Optimizer, swa_lr: float | list[float], anneal_epochs: int = 10,
                 anneal_strategy: str = "cos", last_epoch: int = -1) -> None:
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = rate
        if anneal_strategy not in self._ANNEALING:
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_func = self._ANNEALING[anneal_strategy]
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """The share of swa_lr in the rate."""
        return self.anneal_func(max(0, min(1, step / max(1, self.anneal_epochs))))

    def get_lr(self) -> list[Any]:
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            # the rate that the annealing began from, as other schedulers may have changed it since
            start = target if before == 1 else (group["lr"] - before * target) / (1 - before)
            rates.append(target * now + start * (1 - now))
        return rates

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state."""
        super().load_state_dict(state_dict)
        self.anneal_func = self._ANNEALING[self._anneal_strategy]
