"""Rules of pooling."""

from __future__ import annotations

from typing import Any

from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import RULES, NoRule, rule
from rushlight.onnx.rules_layers import batched, tupled
from rushlight.ir import dtype as dtypes


def _single(g: Builder, out: Any, single: bool, dims: int) -> Any:
    if not single:
        return out
    for o in out if isinstance(out, list) else [out]:
        o.shape = (1, *[None] * (dims + 1))
    return [g.squeeze(o, [0]) for o in out] if isinstance(out, list) else g.squeeze(out, [0])


def _max_pool(dims: int) -> Any:
    def write(
        g: Builder,
        input: Value,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        x, single = batched(g, input, dims)
        kernel = tupled(kernel_size, dims)
        options: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": kernel if stride in (None, [], ()) else tupled(stride, dims),
            "pads": tupled(padding, dims) * 2,
            "dilations": tupled(dilation, dims),
            "ceil_mode": int(ceil_mode),
        }
        if len(g.outs) == 1:
            return _single(g, g.op("MaxPool", x, **options), single, dims)
        values, places = g.ops("MaxPool", 2, x, **options)
        places.dtype = dtypes.int64
        inner = [g.size(x, d) for d in range(2, x.rank)]
        plane: Any = 1
        for n in inner:
            plane = n * plane if isinstance(n, Value) else plane * n
        # ONNX counts through the whole tensor, PyTorch within each plane
        if isinstance(plane, Value) or plane:
            places = g.op("Mod", places, g.const(plane), dtype=dtypes.int64)
        return _single(g, [values, places], single, dims)

    return write


def _average_pool(dims: int) -> Any:
    def write(
        g: Builder,
        input: Value,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: Any = None,
    ) -> Any:
        x, single = batched(g, input, dims)
        kernel, pads = tupled(kernel_size, dims), tupled(padding, dims)
        steps = kernel if stride in (None, [], ()) else tupled(stride, dims)
        if divisor_override is not None:
            if ceil_mode:
                raise NoRule("divisor_override with ceil_mode has no rule")
            out = g.op(
                "AveragePool", x, kernel_shape=kernel, strides=steps, pads=pads * 2, count_include_pad=1, dtype=x.dtype
            )
            size = 1
            for k in kernel:
                size *= k
            return _single(g, out * (size / divisor_override), single, dims)
        if ceil_mode and g.opset < 19:
            raise NoRule("average pooling with ceil_mode needs opset 19")
        return _single(
            g,
            g.op(
                "AveragePool",
                x,
                kernel_shape=kernel,
                strides=steps,
                pads=pads * 2,
                ceil_mode=int(ceil_mode),
                count_include_pad=int(count_include_pad),
            ),
            single,
            dims,
        )

    return write


def adaptive_average(g: Builder, x: Value, target: list[Any]) -> Any:
    """Averages of parts of nearly equal size; of uneven parts by a product with a matrix for each dimension."""
    target = _targets(x, target)
    if all(t == 1 for t in target):
        return g.op("GlobalAveragePool", x)
    if _even(x, target):
        kernel = [n // t for n, t in zip(x.shape[2:], target)]
        return g.op("AveragePool", x, kernel_shape=kernel, strides=kernel)
    import numpy as np

    for d, t in enumerate(target, 2):
        weights = np.zeros((x.shape[d], t))
        for i, (start, stop) in enumerate(_parts(x.shape[d], t)):
            weights[start:stop, i] = 1 / (stop - start)
        turned = g.swap(x, d, -1)
        out = turned @ g.const(weights, x.dtype)
        out.shape = (*turned.shape[:-1], t)
        x = g.swap(out, d, -1)
    return x


def adaptive_largest(g: Builder, x: Value, target: list[Any]) -> Any:
    """The largest of parts of nearly equal size; each uneven part is gathered, its last index as often as it takes."""
    target = _targets(x, target)
    if all(t == 1 for t in target):
        return g.op("GlobalMaxPool", x)
    if _even(x, target):
        kernel = [n // t for n, t in zip(x.shape[2:], target)]
        return g.op("MaxPool", x, kernel_shape=kernel, strides=kernel)
    for d, t in enumerate(target, 2):
        parts = _parts(x.shape[d], t)
        width = max(stop - start for start, stop in parts)
        at = [[min(start + j, stop - 1) for j in range(width)] for start, stop in parts]
        windows = g.op("Gather", x, at, axis=d, dtype=x.dtype, shape=(*x.shape[:d], t, width, *x.shape[d + 1 :]))
        x = g.reduce("Max", windows, [d + 1])
    return x


def _targets(x: Value, target: list[Any]) -> list[int]:
    inner = list(x.shape[2:])
    target = [n if t is None else t for t, n in zip(target, inner)]
    if None in inner and any(t != 1 for t in target):
        raise NoRule("adaptive pooling of a dynamic size has a rule only where the result's size is 1")
    return target


def _even(x: Value, target: list[int]) -> bool:
    return all(n % t == 0 for n, t in zip(x.shape[2:], target))


def _parts(n: int, t: int) -> list[tuple[int, int]]:
    """Where each of t parts of n elements begins and ends."""
    return [(i * n // t, -(-(i + 1) * n // t)) for i in range(t)]


def _adaptive_rules(dims: int) -> None:
    def average(g: Builder, input: Value, output_size: Any) -> Any:
        x, single = batched(g, input, dims)
        return _single(g, adaptive_average(g, x, tupled(output_size, dims)), single, dims)

    def largest(g: Builder, input: Value, output_size: Any, return_indices: bool = False) -> Any:
        if len(g.outs) > 1:
            raise NoRule("the positions of adaptive max pooling have no rule")
        x, single = batched(g, input, dims)
        return _single(g, adaptive_largest(g, x, tupled(output_size, dims)), single, dims)

    RULES[f"adaptive_avg_pool{dims}d"], RULES[f"adaptive_max_pool{dims}d"] = average, largest
    RULES[f"max_pool{dims}d"] = RULES[f"max_pool{dims}d_with_indices"] = _max_pool(dims)
    RULES[f"avg_pool{dims}d"] = _average_pool(dims)


for _d in (1, 2, 3):
    _adaptive_rules(_d)


def _lp_pool(dims: int) -> Any:
    def write(
        g: Builder, input: Value, norm_type: Any, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> Any:
        if ceil_mode:
            raise NoRule("lp_pool with ceil_mode has no rule")
        x, single = batched(g, input, dims)
        kernel = tupled(kernel_size, dims)
        size = 1
        for k in kernel:
            size *= k
        mean = g.op(
            "AveragePool",
            x ** float(norm_type),
            kernel_shape=kernel,
            strides=kernel if stride is None else tupled(stride, dims),
            dtype=x.dtype,
        )
        return _single(g, (mean * size) ** (1 / float(norm_type)), single, dims)

    return write


RULES["lp_pool1d"], RULES["lp_pool2d"], RULES["lp_pool3d"] = (_lp_pool(d) for d in (1, 2, 3))


@rule("local_response_norm")
def local_response_norm(
    g: Builder, input: Value, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    if size % 2 == 0:
        raise NoRule("local_response_norm has a rule for odd sizes only")
    return g.op("LRN", input, size=size, alpha=float(alpha), beta=float(beta), bias=float(k))
