"""Rules of layers: linear maps, convolutions, dropout, padding, resizing."""

from __future__ import annotations

from typing import Any

from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import RULES, NoRule, rule
from rushlight.ir import dtype as dtypes


@rule("linear")
def linear(g: Builder, input: Value, weight: Value, bias: Value | None = None) -> Any:
    if input.rank == 2 and weight.rank == 2:
        return g.op("Gemm", input, weight, bias, transB=1, dtype=input.dtype, shape=(input.shape[0], weight.shape[0]))
    out = input @ (g.swap(weight) if weight.rank > 1 else weight)
    out.shape = (*input.shape[:-1], *weight.shape[:-1])
    return out if bias is None else out + bias


@rule("bilinear")
def bilinear(g: Builder, input1: Value, input2: Value, weight: Value, bias: Value | None = None) -> Any:
    out = g.op(
        "Einsum",
        input1,
        weight,
        input2,
        equation="...i,oij,...j->...o",
        dtype=input1.dtype,
        shape=(*input1.shape[:-1], weight.shape[0]),
    )
    return out if bias is None else out + bias


def tupled(v: Any, n: int) -> list[int]:
    """A number for each of n dimensions."""
    return list(v) * (n if len(v) == 1 else 1) if isinstance(v, (tuple, list)) else [v] * n


def batched(g: Builder, x: Value, dims: int) -> tuple[Value, bool]:
    """x with a batch dimension, and whether it had none."""
    return (g.unsqueeze(x, [0]), True) if x.rank == dims + 1 else (x, False)


def _convolution(dims: int) -> Any:
    def write(
        g: Builder,
        input: Value,
        weight: Value,
        bias: Value | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Any:
        x, single = batched(g, input, dims)
        kernel, steps = list(weight.shape[2:]), tupled(dilation, dims)
        options: dict[str, Any] = {}
        if padding == "same":
            total = [d * (k - 1) for d, k in zip(steps, kernel)]
            options["pads"] = [t // 2 for t in total] + [t - t // 2 for t in total]
        else:
            options["pads"] = [0] * (2 * dims) if padding == "valid" else tupled(padding, dims) * 2
        out = g.op(
            "Conv",
            x,
            weight,
            bias,
            kernel_shape=kernel,
            strides=tupled(stride, dims),
            dilations=steps,
            group=groups,
            **options,
        )
        return _unbatched(g, out, single, dims)

    return write


def _unbatched(g: Builder, out: Value, single: bool, dims: int) -> Value:
    if not single:
        return out
    out.shape, out.dtype = (1, *[None] * (dims + 1)), g.outs[0].dtype
    return g.squeeze(out, [0])


def _transposed_convolution(dims: int) -> Any:
    def write(
        g: Builder,
        input: Value,
        weight: Value,
        bias: Value | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Any:
        x, single = batched(g, input, dims)
        out = g.op(
            "ConvTranspose",
            x,
            weight,
            bias,
            kernel_shape=list(weight.shape[2:]),
            strides=tupled(stride, dims),
            pads=tupled(padding, dims) * 2,
            output_padding=tupled(output_padding, dims),
            dilations=tupled(dilation, dims),
            group=groups,
        )
        return _unbatched(g, out, single, dims)

    return write


for _d in (1, 2, 3):
    RULES[f"conv{_d}d"] = _convolution(_d)
    RULES[f"conv_transpose{_d}d"] = _transposed_convolution(_d)


@rule("dropout", "alpha_dropout", "feature_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout")
def dropout(
    g: Builder, input: Value, p: float = 0.5, training: bool | None = None, inplace: bool = False, train: bool = True
) -> Any:
    on = training if training is not None else train
    if not on or p == 0:
        return input
    if not g.label.startswith("dropout") or g.label[7:8].isdigit():
        raise NoRule("it drops in training; export the model in eval mode")
    return g.op("Dropout", input, g.const(p, dtypes.float32), g.const(True, dtypes.bool_))


# --- padding and resizing -----------------------------------------------------------------------------------------
@rule("pad", "constant_pad_nd")
def pad(g: Builder, input: Value, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    widths = list(pad)
    pairs = [(widths[i], widths[i + 1]) for i in range(0, len(widths), 2)]
    pairs = [(0, 0)] * (input.rank - len(pairs)) + pairs[::-1]
    pads = g.vector([a for a, _ in pairs] + [b for _, b in pairs])
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode == "circular" and g.opset < 19:
        raise NoRule("circular padding needs opset 19")
    number = g.const(0 if value is None else value, input.dtype) if mode == "constant" else None
    return g.op("Pad", input, pads, number, mode=modes[mode])


RESIZE = {
    "nearest": ("nearest", "asymmetric", "floor"),
    "nearest-exact": ("nearest", "half_pixel", "round_prefer_ceil"),
    "linear": ("linear", None, None),
    "bilinear": ("linear", None, None),
    "trilinear": ("linear", None, None),
    "bicubic": ("cubic", None, None),
}


@rule("interpolate", "upsample")
def interpolate(
    g: Builder,
    input: Value,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    recompute_scale_factor: Any = None,
    antialias: bool = False,
) -> Any:
    if mode == "area":
        from rushlight.onnx.rules_windows import adaptive_average

        target = tupled(size, input.rank - 2) if size is not None else list(g.outs[0].shape[2:])
        return adaptive_average(g, input, target)
    if antialias and g.opset < 18:
        raise NoRule("antialias needs opset 18")
    kind, place, nearest = RESIZE[mode]
    place = place or ("align_corners" if align_corners else "half_pixel" if kind == "cubic" else "pytorch_half_pixel")
    if place == "pytorch_half_pixel" and None not in g.outs[0].shape[2:] and 1 not in g.outs[0].shape[2:]:
        place = "half_pixel"
    options: dict[str, Any] = {
        "mode": kind,
        "coordinate_transformation_mode": place,
        "nearest_mode": nearest,
        "cubic_coeff_a": -0.75 if kind == "cubic" else None,
        "antialias": 1 if antialias else None,
    }
    if size is None and not recompute_scale_factor:
        scales = g.const([1.0, 1.0, *tupled(scale_factor, input.rank - 2)], dtypes.float32)
        return g.op("Resize", input, None, scales, **options)
    if size is None:
        size = list(g.outs[0].shape[2:])
        if None in size:
            raise NoRule("recompute_scale_factor needs known sizes")
    whole = g.vector([g.size(input, 0), g.size(input, 1), *tupled(size, input.rank - 2)])
    return g.op("Resize", input, None, None, whole, **options)


@rule("grid_sample", "grid_sampler")
def grid_sample(
    g: Builder,
    input: Value,
    grid: Value,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: Any = None,
) -> Any:
    if g.opset < 16:
        raise NoRule("grid_sample needs opset 16")
    names = {"bilinear": "bilinear", "nearest": "nearest", "bicubic": "bicubic"}
    if g.opset >= 20:
        names = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
    return g.op(
        "GridSample", input, grid, mode=names[mode], padding_mode=padding_mode, align_corners=int(bool(align_corners))
    )


@rule("unfold")
def unfold(g: Builder, input: Value, *args: Any, **named: Any) -> Any:
    """Patches of images as columns: a convolution with kernels that each pick one element. Or, with a dimension,
    windows of a tensor."""
    if len(g.outs[0].shape) != 3 or input.rank != 4:
        return _windows(g, input, *args, **named)
    given = {**dict(zip(("kernel_size", "dilation", "padding", "stride"), args)), **named}
    kernel, dilation, padding, stride = (
        given["kernel_size"],
        given.get("dilation", 1),
        given.get("padding", 0),
        given.get("stride", 1),
    )
    import numpy as np

    kh, kw = tupled(kernel, 2)
    c = input.shape[1]
    pick = np.tile(np.eye(kh * kw, dtype=np.float32).reshape(kh * kw, 1, kh, kw), (c, 1, 1, 1))
    out = RULES["conv2d"](g, input, g.const(pick, input.dtype), None, stride, padding, dilation, c)
    return g.op("Reshape", out, [0, c * kh * kw, -1])


def _windows(g: Builder, x: Value, dimension: int, size: int, step: int) -> Any:
    dim = x.at(dimension)
    n = x.shape[dim]
    if n is None:
        raise NoRule("windows of a dynamic size have no rule")
    at = [[i + j for j in range(size)] for i in range(0, n - size + 1, step)]
    out = g.op("Gather", x, at, axis=dim, dtype=x.dtype, shape=(*x.shape[:dim], len(at), size, *x.shape[dim + 1 :]))
    return g.transpose(out, [d for d in range(out.rank) if d != dim + 1] + [dim + 1])


@rule("fold")
def fold(
    g: Builder, input: Value, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    if g.opset < 18:
        raise NoRule("fold needs opset 18")
    x, single = (g.unsqueeze(input, [0]), True) if input.rank == 2 else (input, False)
    out = g.op(
        "Col2Im",
        x,
        tupled(output_size, 2),
        tupled(kernel_size, 2),
        dilations=tupled(dilation, 2),
        pads=tupled(padding, 2) * 2,
        strides=tupled(stride, 2),
    )
    return _unbatched(g, out, single, 2)
