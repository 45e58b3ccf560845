"""Training of a committee on arrays in memory: batches, weights of samples, and stopping by a validation loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import rushlight as rl
from rushlight.ensemble.committee import Committee

OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}


Criterion = Callable[..., Any]  # (output, target, reduction="none") -> a loss for each sample
Note = Callable[[int, float, float | None], None]  # is told the epoch, its loss, its validation loss


class Data(NamedTuple):
    """Inputs (N, ...), targets (N, ...) and weights (N,) of samples, as tensors."""

    x: Any
    y: Any
    weight: Any


class History(NamedTuple):
    """Of each epoch the mean loss, and that of the validation samples; the epoch (from 1) whose weights were kept."""

    loss: list[float]
    validation: list[float]
    best: int


def fit(committee: Committee, data: Data, validation: Data | None, criterion: Criterion, stepper: Any, *,
        batch_size: int, epochs: int, patience: int | None, order: np.random.Generator, note: Note) -> History:
    """Train; with ``patience``, until the validation loss has not fallen for
    so many epochs, and the best weights come back.

    ``criterion(output, target, reduction="none")`` gives each sample's loss; the loss of a batch is their weighted
    mean, summed over the committee's members.
    """
    losses: list[float] = []
    checks: list[float] = []
    best, kept = 0, None
    for epoch in range(1, epochs + 1):
        losses.append(_epoch(committee, data, criterion, stepper, batch_size, order))
        if validation is not None:
            checks.append(mean_loss(committee, validation, criterion, batch_size))
        note(epoch, losses[-1], checks[-1] if checks else None)
        if patience is None:
            best = epoch
        elif best == 0 or checks[-1] < checks[best - 1]:
            best, kept = epoch, {k: v.clone() for k, v in committee.state_dict().items()}
        elif epoch - best >= patience:
            break
    if kept is not None:
        committee.load_state_dict(kept)
    return History(losses, checks, best)


def make_optimizer(kind: Any, committee: Committee, lr: float, weight_decay: float) -> Any:
    """An optimizer of the committee's parameters: one of OPTIMIZERS' names, or a class. ValueError for other names."""
    if isinstance(kind, str):
        if kind not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {list(OPTIMIZERS)} or a class, got {kind!r}")
        kind = getattr(rl.optim, OPTIMIZERS[kind])
    return kind([p for p in committee.parameters() if p.requires_grad], lr=lr, weight_decay=weight_decay)


def _epoch(committee: Committee, data: Data, criterion: Criterion, stepper: Any, batch_size: int,
           order: np.random.Generator) -> float:
    """One pass over the data; the mean of the batches' losses, a member's share."""
    committee.train()
    total, count = rl.zeros(()), 0
    for rows in batches(order.permutation(len(data.x)), batch_size):
        x, y, w = (t[rows] for t in data)
        stepper.zero_grad()
        loss = _weighted(committee(x), y, w, criterion)
        loss.backward()
        stepper.step()
        total, count = total + loss.detach(), count + 1
    return float(total.item()) / count / committee.size


def batches(order: np.ndarray, size: int) -> Iterator[Any]:
    """Row numbers, ``size`` at a time; a last row on its own joins the batch before it,
    for batch normalisation wants two."""
    cuts = list(range(size, len(order), size))
    if cuts and len(order) - cuts[-1] == 1:
        cuts.pop()
    for rows in np.split(order, cuts):
        yield rl.from_numpy(rows)


def _weighted(answers: Any, y: Any, w: Any, criterion: Criterion) -> Any:
    """The weighted mean of samples' losses, summed over members; answers (members, batch, ...)."""
    members = answers.shape[0]
    losses = criterion(answers.flatten(0, 1), y.repeat(members, *([1] * (y.dim() - 1))), reduction="none")
    per_sample = losses.reshape(members, len(w), -1).mean(2)
    return (per_sample * w).sum() / w.sum()


def mean_loss(committee: Committee, data: Data, criterion: Criterion, batch_size: int) -> float:
    """The weighted mean loss over samples and members, in evaluation mode."""
    committee.eval()
    total = weight = 0.0
    with rl.no_grad():
        for rows in batches(np.arange(len(data.x)), max(batch_size, 512)):
            x, y, w = (t[rows] for t in data)
            here = float(w.sum().item())
            total += float(_weighted(committee(x), y, w, criterion).item()) * here
            weight += here
    return total / weight / committee.size


def answers(committee: Committee, x: Any, batch_size: int = 1024) -> Any:
    """What the committee answers as one (combine is not None) to all inputs, in evaluation mode."""
    committee.eval()
    with rl.no_grad():
        return rl.cat([committee(x[i:i + batch_size]) for i in range(0, len(x), batch_size)])
