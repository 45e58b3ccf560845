"""What ``self.log`` has collected: values of the last step,
and sums over the epoch that cost nothing until they are read.

A logged tensor is kept as it is, so that logging neither waits for a number nor adds to the step. After `FOLD` values
those kept are summed by one small piece of work; `on_step` values are only remembered.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.lightning.utilities.data import extract_batch_size, warnings_said
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import PossibleUserWarning
from rushlight.tensor.core import Tensor

FOLD = 64
_START = {"mean": 0.0, "sum": 0.0, "max": -float("inf"), "min": float("inf")}


def reduction_name(reduce_fx: Any) -> str:
    """The name of a reduction given as a name or a function;
    MisconfigurationException for any but mean, sum, max and min."""
    name = reduce_fx if isinstance(reduce_fx, str) else getattr(reduce_fx, "__name__", "")
    name = {"amax": "max", "amin": "min", "avg": "mean"}.get(name.lower(), name.lower())
    if name not in _START:
        raise MisconfigurationException("Only `self.log(..., reduce_fx={min,max,mean,sum})` are supported. If you"
                                        " need a custom reduction, please log a `torchmetrics.Metric` instance"
                                        f" instead. Found: {reduce_fx}")
    return name


class Logged:
    """One value that is logged again and again from one hook."""

    __slots__ = ("fx", "name", "options", "prog_bar", "logger", "on_step", "on_epoch", "reduce", "loader", "step_name",
                 "epoch_name", "base_name", "last", "kept", "total", "weight",
                 "metric", "enable_graph", "computed", "call", "across", "at_once")

    def __init__(self, fx: str, name: str, options: tuple[Any, ...], loader: int | None):
        self.fx, self.name, self.options, self.loader = fx, name, options, loader
        self.prog_bar, self.logger, self.on_step, self.on_epoch, self.enable_graph, reduce_fx, add_index = options
        self.reduce = reduction_name(reduce_fx)
        suffix = f"/dataloader_idx_{loader}" if add_index and loader is not None else ""
        forked = self.on_step and self.on_epoch
        self.base_name = name + suffix
        self.step_name, self.epoch_name = (f"{name}{end if forked else ''}{suffix}" for end in ("_step", "_epoch"))
        self.call: Any = None  # the arguments of the last call, as they were given
        self.across: Callable[..., Any] | None = None  # reduces over processes: across(value, reduce_op=name)
        self.at_once = False  # between epochs, where processes reduce when a value is logged
        self.last: Any = None
        self.metric: Any = None
        self.forget()

    def forget(self) -> None:
        """Begin the epoch's sum again."""
        self.kept: list[tuple[Any, float]] = []
        self.total: Any = None
        self.weight = 0.0
        self.computed: Any = None

    def update(self, value: Any, size: float) -> None:
        """Take one more value, of so many samples."""
        if not isinstance(value, (Tensor, float)):
            self.metric, self.computed = value, None
            if self.on_step:
                self.last = getattr(value, "_forward_cache", None)
            return
        if self.across is not None and self.at_once:
            value = self.across(value, reduce_op=self.reduce)
        self.last = self.across(value, reduce_op=self.reduce) if self.across is not None and self.on_step and not self.at_once else value
        if self.on_epoch:
            self.computed = None
            self.kept.append((value, size))
            if len(self.kept) >= FOLD:
                self.fold()

    def fold(self) -> None:
        """Reduce the values that are kept to one."""
        if not self.kept:
            return
        with no_grad():
            total = _FOLDS[self.reduce](self.kept)
            self.weight += sum(size for _, size in self.kept)
            self.total = total if self.total is None else _JOIN[self.reduce](self.total, total)
        self.kept = []

    def reduced(self, op: str = "mean") -> tuple[Any, float]:
        """The epoch's sum and weight so far, reduced over the processes that do: by "mean" each has its share, and these can be added up again."""
        self.fold()
        if self.across is None or self.at_once or self.total is None:
            return self.total, self.weight
        total = self.across(as_tensor(self.total), reduce_op=self.reduce if self.reduce in ("max", "min") else op)
        return total, float(self.across(self.weight, reduce_op="mean"))

    def epoch_value(self) -> Any:
        """The epoch's value so far, None before there is one."""
        if self.metric is not None:
            if self.computed is None:
                self.computed = self.metric.compute()
            return self.computed
        if self.computed is None:
            total, weight = self.reduced("sum" if self.reduce == "sum" else "mean")
            if total is None:
                return None
            self.computed = as_tensor(total / weight if self.reduce == "mean" and weight else total)
        return self.computed

    def step_value(self) -> Any:
        """The last value."""
        return None if self.last is None else as_tensor(self.last)


def as_tensor(value: Any) -> Any:
    """A number as a tensor of float32."""
    if isinstance(value, Tensor):
        return value
    from rushlight.tensor.creation import tensor
    from rushlight.tensor.settings import get_default_dtype
    return tensor(value, dtype=get_default_dtype())


def _weighted_sum(kept: list[tuple[Any, float]]) -> Any:
    if all(isinstance(v, float) for v, _ in kept):
        return sum(v * size for v, size in kept)
    from rushlight.tensor.creation import tensor
    values = _stacked(kept)
    sizes = {size for _, size in kept}
    if len(sizes) == 1:
        return values.sum() * sizes.pop()
    return (values * tensor([size for _, size in kept], dtype=values.dtype)).sum()


def _plain(kind: str) -> Callable[[list[tuple[Any, float]]], Any]:
    folds: dict[str, Callable[[Iterable[float]], float]] = {"sum": sum, "max": max, "min": min}
    of_floats = folds[kind]

    def fold(kept: list[tuple[Any, float]]) -> Any:
        if all(isinstance(v, float) for v, _ in kept):
            return of_floats(v for v, _ in kept)
        return getattr(_stacked(kept), kind)()
    return fold


def _stacked(kept: list[tuple[Any, float]]) -> Any:
    from rushlight.tensor.functions.joining import stack
    return stack([as_tensor(v) for v, _ in kept])


def _larger(a: Any, b: Any) -> Any:
    return as_tensor(a).maximum(as_tensor(b))


def _smaller(a: Any, b: Any) -> Any:
    return as_tensor(a).minimum(as_tensor(b))


_FOLDS: dict[str, Callable[[list[tuple[Any, float]]], Any]] = {
    "mean": _weighted_sum, **{kind: _plain(kind) for kind in ("sum", "max", "min")}}
_JOIN: dict[str, Callable[[Any, Any], Any]] = {"mean": operator.add, "sum": operator.add,
                                               "max": _larger, "min": _smaller}


class Results:
    """All that is logged during one loop."""

    def __init__(self, training: bool):
        self.training = training
        self.entries: dict[tuple[str, str, int | None], Logged] = {}
        self.batch: Any = None
        self.batch_size: int | None = None
        self.dataloader_idx: int | None = None

    def new_batch(self, batch: Any, dataloader_idx: int | None = None) -> None:
        """What is logged from now on belongs to this batch."""
        self.batch, self.batch_size, self.dataloader_idx = batch, None, dataloader_idx

    def update(self, entry: Logged, value: Any, batch_size: int | None) -> None:
        """Log a value."""
        if batch_size is None:
            batch_size = self.batch_size
            if batch_size is None:
                batch_size = 1
                if (
                    self.batch is not None
                    and entry.on_epoch
                    and entry.reduce == "mean"
                    and isinstance(value, (Tensor, float))
                ):
                    batch_size = self.batch_size = extract_batch_size(self.batch)
        if isinstance(value, Tensor):
            value = self._ready(entry, value)
        entry.update(value, batch_size)

    def _ready(self, entry: Logged, value: Any) -> Any:
        """A tensor of one floating number without shape, detached unless its graph is wanted."""
        if not entry.enable_graph and value.requires_grad:
            value = value.detach()
        if value.ndim:
            value = value.squeeze()
        if not value.dtype.is_floating_point:
            warnings_said.warn(f"You called `self.log({entry.name!r}, ...)` in your `{entry.fx}` but the value needs"
                               " to be floating to be reduced. Converting it to torch.float32. You can silence this"
                               " warning by converting the value to floating point yourself. If you don't intend to"
                               " reduce the value (for instance when logging the global step or epoch) then you can"
                               f" use `self.logger.log_metrics({{{entry.name!r}: ...}})` instead.")
        return value if value.dtype.itemsize >= 4 and value.dtype.is_floating_point else value.float()

    def metrics(self, on_step: bool) -> dict[str, dict[str, Any]]:
        """The values of the last step, or of the epoch, for the logger, for callbacks and for the progress bar."""
        out: dict[str, dict[str, Any]] = {"log": {}, "callback": {}, "pbar": {}}
        for entry in self.entries.values():
            if not (entry.on_step if on_step else entry.on_epoch) or entry.loader != self.dataloader_idx:
                continue
            value = entry.step_value() if on_step else entry.epoch_value()
            if value is None:
                continue
            if not isinstance(value, Tensor):
                raise ValueError(f"The `.compute()` return of the metric logged as {entry.name!r} "
                                 f"must be a tensor. Found {value}")
            value = value if entry.enable_graph else value.detach()
            name = entry.step_name if on_step else entry.epoch_name
            if entry.logger:
                out["log"][name] = value
            if self.training or (entry.on_epoch and not on_step):
                out["callback"][entry.base_name] = out["callback"][name] = value
            if entry.prog_bar:
                out["pbar"][name] = value
        return out

    def settle(self) -> None:
        """Compute the epoch's values now: all processes have to, at the same moment, and later only one of them may ask."""
        for entry in self.entries.values():
            if entry.on_epoch and entry.loader == self.dataloader_idx:
                if entry.across is None and entry.metric is None:
                    warnings_said.warn(f"It is recommended to use `self.log({entry.name!r}, ..., sync_dist=True)` when logging on epoch level in"
                                       " distributed setting to accumulate the metric across devices.", category=PossibleUserWarning)
                entry.epoch_value()

    def reset(self) -> None:
        """Forget everything; metrics of torchmetrics are reset."""
        for entry in self.entries.values():
            if entry.metric is not None:
                entry.metric.reset()
        self.entries.clear()
        self.batch = self.batch_size = None

    def state_dict(self) -> list[Any]:
        """The epoch's sums, for a checkpoint amid an epoch; metrics keep their own state."""
        out = []
        for entry in self.entries.values():
            if entry.metric is None:
                reduce_fx = (*entry.options[:5], entry.reduce, entry.options[6])
                out.append([entry.fx, entry.name, list(reduce_fx), entry.loader, *entry.reduced(), entry.last])
        return out

    def load_state_dict(self, state: list[Any]) -> None:
        """Go on with the sums of ``state_dict``."""
        for fx, name, options, loader, total, weight, last in state:
            entry = Logged(fx, name, tuple(options), loader)
            entry.total, entry.weight, entry.last = total, weight, last
            self.entries[(fx, name, loader)] = entry
