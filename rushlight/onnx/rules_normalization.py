"""Rules of normalisations."""

from __future__ import annotations

from typing import Any

from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import NoRule, rule


def along_channels(g: Builder, v: Value, rank: int) -> Value:
    """A vector of channels for values of that rank: (C, 1, 1 …)."""
    return g.reshape(v, [-1] + [1] * (rank - 2)) if rank > 2 else v


def standardized(g: Builder, x: Value, dims: list[int], eps: float) -> Value:
    """x with mean 0 and variance 1 over dims."""
    off = x - g.reduce("Mean", x, dims, True)
    spread = g.reduce("Mean", off * off, dims, True) + eps
    return off / g.op("Sqrt", spread, dtype=x.dtype, shape=spread.shape)


def scaled(x: Value, weight: Value | None, bias: Value | None) -> Value:
    """weight · x + bias, where they are given."""
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


@rule("batch_norm", "native_batch_norm")
def batch_norm(
    g: Builder,
    input: Value,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn_enabled: bool = False,
) -> Any:
    channels = input.shape[1]
    if training or running_mean is None:
        x = standardized(g, input, [0, *range(2, input.rank)], eps)
        return scaled(x, *(None if v is None else along_channels(g, v, input.rank) for v in (weight, bias)))
    import numpy as np

    weight = g.const(np.ones(channels), input.dtype) if weight is None else weight
    bias = g.const(np.zeros(channels), input.dtype) if bias is None else bias
    return g.op("BatchNormalization", input, weight, bias, running_mean, running_var, epsilon=float(eps))


@rule("instance_norm")
def instance_norm(
    g: Builder,
    input: Value,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    cudnn_enabled: bool = False,
) -> Any:
    if not use_input_stats:
        return batch_norm(g, input, running_mean, running_var, weight, bias, False, momentum, eps)
    x = standardized(g, input, list(range(2, input.rank)), eps)
    return scaled(x, *(None if v is None else along_channels(g, v, input.rank) for v in (weight, bias)))


@rule("layer_norm")
def layer_norm(
    g: Builder,
    input: Value,
    normalized_shape: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Any:
    axes = len(normalized_shape)
    if g.opset >= 17:
        import numpy as np

        weight = g.const(np.ones(tuple(normalized_shape)), input.dtype) if weight is None else weight
        return g.op("LayerNormalization", input, weight, bias, axis=-axes, epsilon=float(eps))
    return scaled(standardized(g, input, list(range(input.rank - axes, input.rank)), eps), weight, bias)


@rule("group_norm")
def group_norm(
    g: Builder,
    input: Value,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Any:
    x = g.op("Reshape", input, [0, num_groups, -1], dtype=input.dtype, shape=(input.shape[0], num_groups, None))
    x = standardized(g, x, [2], eps)
    x = (
        g.reshape(x, [g.size(input, d) for d in range(input.rank)])
        if input.shape.count(None) <= 1
        else g.op("Reshape", x, g.op("Shape", input), dtype=input.dtype, shape=input.shape)
    )
    return scaled(x, *(None if v is None else along_channels(g, v, input.rank) for v in (weight, bias)))


@rule("rms_norm")
def rms_norm(g: Builder, input: Value, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    import numpy as np

    dims = list(range(input.rank - len(normalized_shape), input.rank))
    mean = g.reduce("Mean", input * input, dims, True) + float(np.finfo(input.dtype.numpy).eps if eps is None else eps)
    return scaled(input / g.op("Sqrt", mean, dtype=input.dtype, shape=mean.shape), weight, None)


@rule("local_response_norm")
def local_response_norm(g: Builder, input: Value, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    if size % 2 == 0:
        raise NoRule("local_response_norm of an even size has no rule: ONNX counts the odd neighbour on the other side")
    return g.op("LRN", input, alpha=float(alpha), beta=float(beta), bias=float(k), size=size, dtype=input.dtype, shape=input.shape)
