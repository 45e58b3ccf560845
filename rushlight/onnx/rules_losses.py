"""Rules of losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.nn.functional.loss import legacy_reduction
from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import NoRule, Rule, rule


def reduced(g: Builder, x: Value, reduction: str) -> Value:
    """The mean, the sum or the losses themselves."""
    return x if reduction == "none" else g.reduce("Mean" if reduction == "mean" else "Sum", x, None)


def loss(name: str, parameters: str) -> Callable[[Rule], Rule]:
    """Enter the rule of a loss; ``parameters`` are those behind input and target, in PyTorch's order.

    The rule gets them by name, with the old ``size_average`` and ``reduce`` turned into ``reduction``.
    """
    order = parameters.split()

    def enter(f: Rule) -> Rule:
        def write(g: Builder, input: Value, target: Value, *args: Any, **options: Any) -> Any:
            options.update(zip(order, args))
            old = options.pop("size_average", None), options.pop("reduce", None)
            options["reduction"] = legacy_reduction(options.get("reduction", "mean"), *old)
            return f(g, input, target, **options)

        return rule(name)(write)

    return enter


def unweighted(weight: Any) -> None:
    """NoRule where a weight is given."""
    if weight is not None:
        raise NoRule("weights of elements have no rule")


@loss("mse_loss", "size_average reduce reduction weight")
def mse_loss(g: Builder, input: Value, target: Value, reduction: str, weight: Any = None) -> Any:
    unweighted(weight)
    off = input - target
    return reduced(g, off * off, reduction)


@loss("l1_loss", "size_average reduce reduction weight")
def l1_loss(g: Builder, input: Value, target: Value, reduction: str, weight: Any = None) -> Any:
    unweighted(weight)
    off = input - target
    return reduced(g, g.op("Abs", off, dtype=off.dtype, shape=off.shape), reduction)


@loss("nll_loss", "weight size_average ignore_index reduce reduction")
def nll_loss(
    g: Builder, input: Value, target: Value, reduction: str, weight: Any = None, ignore_index: int = -100
) -> Any:
    return g.op("NegativeLogLikelihoodLoss", input, target, weight, ignore_index=ignore_index, reduction=reduction)


@loss("cross_entropy", "weight size_average ignore_index reduce reduction label_smoothing")
def cross_entropy(
    g: Builder,
    input: Value,
    target: Value,
    reduction: str,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Any:
    if label_smoothing or target.dtype.kind == "f":
        raise NoRule("label smoothing and targets that are probabilities have no rule")
    return g.op("SoftmaxCrossEntropyLoss", input, target, weight, ignore_index=ignore_index, reduction=reduction)


@loss("binary_cross_entropy", "weight size_average reduce reduction")
def binary_cross_entropy(g: Builder, input: Value, target: Value, reduction: str, weight: Any = None) -> Any:
    def log(x: Value) -> Value:
        return g.op(
            "Max", g.op("Log", x, dtype=x.dtype, shape=x.shape), g.const(-100.0, x.dtype), dtype=x.dtype, shape=x.shape
        )

    losses = -(target * log(input) + (1 - target) * log(1 - input))
    return reduced(g, losses if weight is None else losses * weight, reduction)


@loss("binary_cross_entropy_with_logits", "weight size_average reduce reduction pos_weight")
def binary_cross_entropy_with_logits(
    g: Builder, input: Value, target: Value, reduction: str, weight: Any = None, pos_weight: Any = None
) -> Any:
    if pos_weight is not None:
        raise NoRule("pos_weight has no rule")
    soft = g.op("Softplus", -input, dtype=input.dtype, shape=input.shape)
    losses = (1 - target) * input + soft
    return reduced(g, losses if weight is None else losses * weight, reduction)


@loss("kl_div", "size_average reduce reduction log_target")
def kl_div(g: Builder, input: Value, target: Value, reduction: str, log_target: bool = False) -> Any:
    if log_target:
        losses = g.op("Exp", target, dtype=target.dtype, shape=target.shape) * (target - input)
    else:
        log = g.op("Log", target, dtype=target.dtype, shape=target.shape)
        losses = g.where(target > 0, target * (log - input), 0.0, target.dtype)
    if reduction == "batchmean":
        n = g.size(input, 0)
        return g.reduce("Sum", losses, None) / (n.cast(losses.dtype) if isinstance(n, Value) else n)
    return reduced(g, losses, reduction)


def _near_and_far(
    g: Builder, off: Value, inner: Callable[[Value], Value], outer: Callable[[Value], Value], width: float
) -> Value:
    """One loss of differences within ``width``, another of the rest."""
    size = g.op("Abs", off, dtype=off.dtype, shape=off.shape)
    return g.where(size < width, inner(off * off), outer(size), off.dtype)


@loss("smooth_l1_loss", "size_average reduce reduction beta")
def smooth_l1_loss(g: Builder, input: Value, target: Value, reduction: str, beta: float = 1.0) -> Any:
    off = input - target
    losses = _near_and_far(g, off, lambda square: square * (0.5 / beta), lambda size: size - 0.5 * beta, beta)
    return reduced(g, losses, reduction)


@loss("huber_loss", "reduction delta weight")
def huber_loss(g: Builder, input: Value, target: Value, reduction: str, delta: float = 1.0, weight: Any = None) -> Any:
    unweighted(weight)
    off = input - target
    losses = _near_and_far(g, off, lambda square: square * 0.5, lambda size: (size - 0.5 * delta) * delta, delta)
    return reduced(g, losses, reduction)
