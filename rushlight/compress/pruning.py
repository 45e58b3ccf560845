"""Structured pruning that makes layers smaller: whole channels leave the weights, and every layer after them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import rushlight as rl
from rushlight import nn
from rushlight.compress.channels import NORMS, TRANSPOSED, ChannelGroup, Use, channel_groups
from rushlight.nn.parameter import Parameter
from rushlight.tensor.core import unwrap, wrap

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class PruneReport:
    """What was removed: a row (first layer, channels before,
    channels after) per group, and the numbers of parameters."""

    rows: tuple[tuple[str, int, int], ...]
    parameters_before: int
    parameters_after: int

    def __str__(self) -> str:
        width = max([5, *(len(name) for name, *_ in self.rows)])
        lines = [f"{'layer':{width}}  channels"]
        lines += [f"{name:{width}}  {before:4d} -> {after:4d}" for name, before, after in self.rows]
        kept = self.parameters_after / max(1, self.parameters_before)
        return "\n".join([*lines, f"parameters: {self.parameters_before:,} -> {self.parameters_after:,} ({kept:.0%})"])


def _weight(module: Any) -> Array:
    """A weight with its output channels first."""
    w = unwrap(module.weight.detach()).astype(np.float64)
    return np.moveaxis(w, 1, 0) if isinstance(module, TRANSPOSED) else w


def _norms(modules: dict[str, Any], group: ChannelGroup, order: int) -> Array:
    """The mean norm of the filters that make each channel, in units of the layer's own mean."""
    total = np.zeros(group.size)
    for use in group.uses:
        if use.role == "out":
            flat = np.abs(_weight(modules[use.module]).reshape(group.size, -1))
            each = flat.mean(1) if order == 1 else np.sqrt((flat ** 2).mean(1))
            total += each / max(float(each.mean()), 1e-30)
    return total


def _scales(modules: dict[str, Any], group: ChannelGroup) -> Array:
    """The scale |γ| of the normalisation of each channel (Liu et al.,
    arXiv 1708.06519); the norms where there is none."""
    total = np.zeros(group.size)
    for use in group.uses:
        module = modules[use.module]
        if use.role == "each" and isinstance(module, NORMS) and module.weight is not None:
            each = np.abs(unwrap(module.weight.detach())[use.start:use.start + group.size])
            total += each / max(float(each.mean()), 1e-30)
    return total if total.any() else _norms(modules, group, 2)


def _taylor(modules: dict[str, Any], group: ChannelGroup) -> Array:
    """|Σ weight · gradient| of each filter (Molchanov et al., arXiv 1906.10771).
    RuntimeError before a backward pass."""
    total = np.zeros(group.size)
    for use in group.uses:
        if use.role == "out":
            module = modules[use.module]
            if module.weight.grad is None:
                raise RuntimeError(f"importance='taylor' needs gradients, and {use.module} has none: "
                                   "call loss.backward() on some data first")
            g = unwrap(module.weight.grad).astype(np.float64)
            g = np.moveaxis(g, 1, 0) if isinstance(module, TRANSPOSED) else g
            total += np.abs((_weight(module) * g).reshape(group.size, -1).sum(1))
    return total


def _random(modules: dict[str, Any], group: ChannelGroup) -> Array:
    return unwrap(rl.rand(group.size)).astype(np.float64)


IMPORTANCE: dict[str, Callable[..., Array]] = {"l1": lambda m, g: _norms(m, g, 1), "l2": lambda m, g: _norms(m, g, 2),
                                               "scale": _scales, "taylor": _taylor, "random": _random}


def prune_channels(model: Any, example_inputs: Any, amount: float | dict[str, float] = 0.5, *, importance: Any = "l2",
                   scope: str = "layer", multiple: int = 1, keep: Iterable[str] = (), least: int = 1,
                   inplace: bool = False) -> tuple[Any, PruneReport]:
    """A smaller copy of a network and a report: the least important channels are taken out of the weights that make
    them, of normalisations, and of the layers that read them, through residual sums, concatenations and flattening.

    ``amount`` is the fraction of channels to remove, or a dictionary of fractions
    by the name of a layer that makes the channels.
    ``importance`` is "l2", "l1" (norms of filters), "scale" (of batch norms), "taylor" (weight times gradient),
    "random", or a function of (modules by name, `ChannelGroup`) that gives a number per channel. ``scope`` "layer"
    removes the same fraction everywhere, "model" compares channels of all layers. ``multiple`` keeps numbers of
    channels divisible, ``keep`` names layers to leave alone, ``least`` channels stay everywhere. The network must be
    traceable by `rushlight.fx`. ValueError for other settings.

    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 3))
    >>> small, report = prune_channels(net, rl.zeros(1, 1, 4, 4), 0.75)
    >>> small[0].out_channels, small[1].num_features, small[4].in_features, report.parameters_after
    (2, 2, 8, 51)
    """
    score = IMPORTANCE.get(importance, importance) if isinstance(importance, str) else importance
    if not callable(score):
        raise ValueError(f"importance is one of {', '.join(IMPORTANCE)} or a function, got {importance!r}")
    if scope not in ("layer", "model"):
        raise ValueError(f'scope is "layer" or "model", got {scope!r}')
    fractions = amount.values() if isinstance(amount, dict) else (amount,)
    if not all(0 <= a < 1 for a in fractions):
        raise ValueError(f"amount is a fraction of channels in [0, 1), got {amount}")
    gradients = {n: p.grad for n, p in model.named_parameters()}
    small = model if inplace else copy.deepcopy(model)
    for n, p in small.named_parameters():
        p.grad = gradients[n]
    modules = dict(small.named_modules(remove_duplicate=False))
    made = [g for g in channel_groups(small, example_inputs) if any(u.role == "out" for u in g.uses)]
    _known(amount, keep, made)
    groups = [g for g in made if g.fixed is None and not {u.module for u in g.uses if u.role == "out"} & set(keep)]
    before = sum(p.numel() for p in small.parameters())
    scores = [np.asarray(score(modules, g), np.float64) for g in groups]
    rows, chosen = [], []
    for g, kept in zip(groups, _choose(groups, scores, amount, scope, multiple, least)):
        rows.append((g.name, g.size, len(kept)))
        if len(kept) < g.size:
            chosen.append((g, kept))
    _remove(modules, chosen)
    return small, PruneReport(tuple(rows), before, sum(p.numel() for p in small.parameters()))


def _known(amount: Any, keep: Iterable[str], groups: list[ChannelGroup]) -> None:
    names = {u.module for g in groups for u in g.uses if u.role == "out"}
    for name in (*(amount if isinstance(amount, dict) else ()), *keep):
        if name not in names:
            raise ValueError(f"no layer {name!r} makes channels; the layers that do are {', '.join(sorted(names))}")
    for name in amount if isinstance(amount, dict) else ():
        group = next(g for g in groups if any(u.module == name and u.role == "out" for u in g.uses))
        if group.fixed is not None:
            raise ValueError(f"the channels of {name!r} cannot be removed: {group.fixed}")


def _choose(groups: list[ChannelGroup], scores: list[Array], amount: Any, scope: str, multiple: int,
            least: int) -> list[Array]:
    """For each group the channels that stay, in order."""
    if scope == "model" and not isinstance(amount, dict) and groups:
        every = np.sort(np.concatenate([s / max(float(s.mean()), 1e-30) for s in scores]))
        limit = every[min(int(round(amount * every.size)), every.size - 1)]
        wanted = [int((s / max(float(s.mean()), 1e-30) >= limit).sum()) for s in scores]
    else:
        wanted = [g.size - int(round(_amount(amount, g) * g.size)) for g in groups]
    kept = []
    for g, s, n in zip(groups, scores, wanted):
        n = min(g.size, -(-max(n, least) // multiple) * multiple)
        kept.append(np.sort(np.argsort(-s, kind="stable")[:n]))
    return kept


def _amount(amount: Any, g: ChannelGroup) -> float:
    if not isinstance(amount, dict):
        return float(amount)
    return max((amount[u.module] for u in g.uses if u.role == "out" and u.module in amount), default=0.0)


# --- surgery
# ------------------------------------------------------------------------------------------------------------
def _remove(modules: dict[str, Any], chosen: list[tuple[ChannelGroup, Array]]) -> None:
    """Every module with the places that remain of it, all its groups together."""
    gone: dict[tuple[str, str], set[int]] = {}
    for g, kept in chosen:
        lost = sorted(set(range(g.size)) - set(kept.tolist()))
        for use in g.uses:
            gone.setdefault((use.module, use.role), set()).update(_places(use, lost))
    for (name, role), places in gone.items():
        module = modules[name]
        size = {"in": _in_size, "out": _out_size, "each": _each_size}[role](module)
        SURGERY[role](module, np.array([i for i in range(size) if i not in places]))


def _places(use: Use, lost: list[int]) -> list[int]:
    return [use.start + i * use.width + j for i in lost for j in range(use.width)]


def _in_size(m: Any) -> int:
    return int(m.in_features if isinstance(m, nn.Linear) else m.in_channels)


def _out_size(m: Any) -> int:
    return int(m.out_features if isinstance(m, nn.Linear) else m.out_channels)


def _each_size(m: Any) -> int:
    return int(m.num_features if hasattr(m, "num_features") else m.out_channels if hasattr(m, "out_channels")
               else m.num_parameters if hasattr(m, "num_parameters") else m.normalized_shape[0])


def _take(m: Any, name: str, dim: int, index: Array) -> None:
    """Keep some indices of a parameter's or buffer's dimension."""
    t = getattr(m, name, None)
    if t is None or not t.dim():
        return
    rows = wrap(np.ascontiguousarray(np.take(unwrap(t.detach()), index, axis=dim)))
    if isinstance(t, Parameter):
        setattr(m, name, Parameter(rows, t.requires_grad))
    else:
        setattr(m, name, rows)


def _out(m: Any, index: Array) -> None:
    _take(m, "weight", 1 if isinstance(m, TRANSPOSED) else 0, index)
    _take(m, "bias", 0, index)
    setattr(m, "out_features" if isinstance(m, nn.Linear) else "out_channels", len(index))


def _in(m: Any, index: Array) -> None:
    _take(m, "weight", 0 if isinstance(m, TRANSPOSED) else 1, index)
    setattr(m, "in_features" if isinstance(m, nn.Linear) else "in_channels", len(index))


def _each(m: Any, index: Array) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        _take(m, name, 0, index)
    if hasattr(m, "groups"):
        m.groups = m.in_channels = m.out_channels = len(index)
    elif hasattr(m, "num_features"):
        m.num_features = len(index)
    elif hasattr(m, "num_parameters"):
        m.num_parameters = len(index)
    else:
        m.normalized_shape = (len(index),)


SURGERY: dict[str, Callable[[Any, Array], None]] = {"in": _in, "out": _out, "each": _each}
