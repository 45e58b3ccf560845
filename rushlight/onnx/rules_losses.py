"""Rules of losses."""

from __future__ import annotations

from typing import Any

from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import NoRule, rule


def reduced(g: Builder, x: Value, reduction: str) -> Value:
    """The mean, the sum or the losses themselves."""
    return x if reduction == "none" else g.reduce("Mean" if reduction == "mean" else "Sum", x, None)


@rule("mse_loss")
def mse_loss(
    g: Builder,
    input: Value,
    target: Value,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    off = input - target
    return reduced(g, off * off, reduction)


@rule("l1_loss")
def l1_loss(
    g: Builder,
    input: Value,
    target: Value,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    off = input - target
    return reduced(g, g.op("Abs", off, dtype=off.dtype, shape=off.shape), reduction)


@rule("nll_loss")
def nll_loss(
    g: Builder,
    input: Value,
    target: Value,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    return g.op("NegativeLogLikelihoodLoss", input, target, weight, ignore_index=ignore_index, reduction=reduction)


@rule("cross_entropy")
def cross_entropy(
    g: Builder,
    input: Value,
    target: Value,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    if label_smoothing or target.dtype.kind == "f":
        raise NoRule("label smoothing and targets that are probabilities have no rule")
    return g.op("SoftmaxCrossEntropyLoss", input, target, weight, ignore_index=ignore_index, reduction=reduction)


@rule("binary_cross_entropy")
def binary_cross_entropy(
    g: Builder,
    input: Value,
    target: Value,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    def log(x: Value) -> Value:
        return g.op(
            "Max", g.op("Log", x, dtype=x.dtype, shape=x.shape), g.const(-100.0, x.dtype), dtype=x.dtype, shape=x.shape
        )

    loss = -(target * log(input) + (1 - target) * log(1 - input))
    return reduced(g, loss if weight is None else loss * weight, reduction)


@rule("binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    g: Builder,
    input: Value,
    target: Value,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    if pos_weight is not None:
        raise NoRule("pos_weight has no rule")
    soft = g.op("Softplus", -input, dtype=input.dtype, shape=input.shape)
    loss = (1 - target) * input + soft
    return reduced(g, loss if weight is None else loss * weight, reduction)


@rule("kl_div")
def kl_div(
    g: Builder,
    input: Value,
    target: Value,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    if log_target:
        loss = g.op("Exp", target, dtype=target.dtype, shape=target.shape) * (target - input)
    else:
        log = g.op("Log", target, dtype=target.dtype, shape=target.shape)
        loss = g.where(target > 0, target * (log - input), 0.0, target.dtype)
    if reduction == "batchmean":
        n = g.size(input, 0)
        return g.reduce("Sum", loss, None) / (n.cast(loss.dtype) if isinstance(n, Value) else n)
    return reduced(g, loss, reduction)


@rule("smooth_l1_loss", "huber_loss")
def smooth_l1_loss(g: Builder, input: Value, target: Value, *args: Any, **options: Any) -> Any:
    huber = g.label.startswith("huber")
    names = ("reduction", "delta", "weight") if huber else ("size_average", "reduce", "reduction", "beta")
    options = {**dict(zip(names, args)), **options}
    beta = options.get("delta" if huber else "beta", 1.0)
    off = input - target
    size = g.op("Abs", off, dtype=off.dtype, shape=off.shape)
    inner, outer = (
        (off * off * 0.5, (size - 0.5 * beta) * beta) if huber else (off * off * (0.5 / beta), size - 0.5 * beta)
    )
    return reduced(g, g.where(size < beta, inner, outer, off.dtype), options.get("reduction", "mean"))
