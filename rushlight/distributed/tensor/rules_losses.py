"""Losses: element by element, then reduced; the classes of cross_entropy may stay cut."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.tensor.dispatch import bound, rule
from rushlight.distributed.tensor.dtensor import DTensor, without_grad
from rushlight.distributed.tensor.labels import Plan, execute
from rushlight.distributed.tensor.layout import box
from rushlight.distributed.tensor.placement import Partial, Replicate, Shard
from rushlight.distributed.tensor.rules_pointwise import broadcast, caller, right_aligned

POINTWISE = """mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits
soft_margin_loss poisson_nll_loss""".split()


@rule(*POINTWISE)
def pointwise_loss(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Losses of single elements."""
    given = bound(func, args, kwargs)
    if (
        given.get("size_average") is not None
        or given.get("reduce") is not None
        or given["reduction"] not in ("none", "mean", "sum")
    ):
        return NotImplemented
    reduction, given["reduction"] = given["reduction"], "none"
    operands = [v for v in given.values() if isinstance(v, DTensor)]
    broadcast(operands)
    labels, out = right_aligned(operands)
    each = execute(Plan(operands, labels, [out], caller(func, (), given)))
    return each if reduction == "none" else getattr(each, reduction)()


def class_dim(x: DTensor) -> int:
    """Where the classes of the scores lie."""
    return 1 if x.ndim > 1 else 0


def cut_along(x: DTensor, d: int) -> list[int]:
    """The dimensions of the mesh that cut this dimension of x."""
    return [k for k, p in enumerate(x.placements) if p == Shard(d)]


def log_softmax_cut(x: DTensor, d: int) -> DTensor:
    """x - max - log sum exp(x - max), the classes of x staying cut: only one maximum and one sum per sample move."""
    with without_grad():
        top = x.detach().amax(d, keepdim=True)
        top = top.redistribute(placements=[p if isinstance(p, Shard) else Replicate() for p in top.placements])
    shifted = x - top
    return shifted - shifted.exp().sum(d, keepdim=True).log()  # type: ignore[no-any-return]


def picked(logp: DTensor, target: DTensor, ignore: int, d: int) -> DTensor:
    """-logp[target] of each sample, 0 for ignored ones; each rank has those of its classes: terms of a sum."""
    mesh = logp.device_mesh
    rows = tuple(k for k in range(logp.ndim) if k != d)

    def call(local: list[Any], targets: Any) -> Any:
        scores, t = local
        shape, offset = box(tuple(logp.shape), mesh.shape, mesh.get_coordinate() or (), targets[0])
        here = (t >= offset[d]) & (t < offset[d] + shape[d]) & (t != ignore)
        if not shape[d]:
            return scores.sum(d)
        inside = (t - offset[d]).clamp(0, shape[d] - 1)
        return -scores.gather(d, inside.unsqueeze(d)).squeeze(d) * here.to(scores.dtype)

    labels = tuple("c" if k == d else k for k in range(logp.ndim))
    loss: DTensor = execute(Plan([logp, target], [labels, rows], [rows], call, contract={"c": "sum"}))
    return loss


@rule("nll_loss", "cross_entropy")
def cross_entropy(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Minus the log-probability of each sample's class."""
    given = bound(func, args, kwargs)
    x, target = given["input"], given["target"]
    if (
        given["weight"] is not None
        or given["size_average"] is not None
        or given["reduce"] is not None
        or not isinstance(x, DTensor)
        or target.dtype.is_floating_point
        or all(isinstance(p, Replicate) for p in x.placements)
    ):
        return NotImplemented
    d, smoothing, ignore = class_dim(x), given.get("label_smoothing", 0.0), given["ignore_index"]
    if tuple(target.shape) != tuple(n for k, n in enumerate(x.shape) if k != d):
        return NotImplemented  # PyTorch's own error
    _check_classes(target, ignore, int(x.shape[d]))
    x = x.redistribute(placements=[Replicate() if isinstance(p, Partial) else p for p in x.placements])
    logp = x if name == "nll_loss" else log_softmax_cut(x, d) if cut_along(x, d) else x.log_softmax(d)
    each = picked(logp, target, ignore, d)
    if smoothing:
        used = (target != ignore).to(logp.dtype)
        each = each * (1 - smoothing) - logp.sum(d) * used * (smoothing / int(x.shape[d]))
    if given["reduction"] == "none":
        return each
    total = each.sum()
    return total if given["reduction"] == "sum" else total / (target != ignore).sum().to(logp.dtype)


def _check_classes(target: DTensor, ignore: int, classes: int) -> None:
    """IndexError for a class that is not there, as PyTorch raises it."""
    local = target._local_tensor
    wrong = ((local < 0) | (local >= classes)) & (local != ignore)
    if bool(wrong.any()):
        raise IndexError(f"Target {int(local[wrong][0])} is out of bounds.")
