"""Builders of primitives: each takes the layouts of its operands (``Desc.any`` leaves one to the library) and returns a Primitive.

Formulas and restrictions: the chapters "Primitives" of oneDNN's developer guide. Layouts of results come with the caller,
so shapes are checked by oneDNN: a wrong one raises OneDNNError (invalid_arguments), a missing implementation Unsupported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rushlight.exec.cpu.onednn import names
from rushlight.exec.cpu.onednn.memory import Desc
from rushlight.exec.cpu.onednn.primitive import ENGINE, PLAIN, Attributes, Primitive, create

Pads = Sequence[tuple[int, int]]


def matmul(src: Desc, weights: Desc, dst: Desc, bias: Desc | None = None, attributes: Attributes = PLAIN) -> Primitive:
    """dst[…, m, n] = src[…, m, k] · weights[…, k, n] + bias[…, m|1, n].

    Batch dimensions of size 1 broadcast. Transposed operands are descriptors with transposed strides.
    """
    return create("matmul", ("src", "weights", "bias", "dst"), src, weights, bias, dst, attributes=attributes)


def inner_product(src: Desc, weights: Desc, dst: Desc, bias: Desc | None = None, prop: str = "training",
                  attributes: Attributes = PLAIN) -> Primitive:
    """dst[n, o] = Σ src[n, …] · weights[o, …] + bias[o]: a linear layer with PyTorch's weights, layouts of choice."""
    return create("inner_product_forward", ("src", "weights", "bias", "dst"), names.PROP[prop], src, weights, bias, dst,
                  attributes=attributes)


def inner_product_backward_data(diff_src: Desc, weights: Desc, diff_dst: Desc, hint: Primitive) -> Primitive:
    """The gradient of a linear layer in its input."""
    return create("inner_product_backward_data", ("diff_dst", "weights", "diff_src"), diff_src, weights, diff_dst, hint)


def inner_product_backward_weights(src: Desc, diff_weights: Desc, diff_dst: Desc, hint: Primitive,
                                   diff_bias: Desc | None = None) -> Primitive:
    """The gradients of a linear layer in its weights and bias, in one pass."""
    return create("inner_product_backward_weights", ("src", "diff_dst", "diff_weights", "diff_bias"), src, diff_weights, diff_bias,
                  diff_dst, hint)


def reorder(src: Desc, dst: Desc, attributes: Attributes = PLAIN) -> Primitive:
    """dst = src in another layout or element type."""
    return create("reorder", ("src", "dst"), src, ENGINE, dst, ENGINE, attributes=attributes, engine=False)


# ---------------------------------------------------------------------------------------------------- convolution

@dataclass(frozen=True)
class Window:
    """How a window moves: ``stride``, ``padding`` as (before, after) and ``dilation`` (1 = dense) per spatial dimension."""

    stride: Sequence[int]
    padding: Pads
    dilation: Sequence[int] = ()

    def arguments(self) -> tuple[object, ...]:
        """strides, dilates, padding_l, padding_r as oneDNN wants them: there a dense window has dilation 0."""
        dilation = [d - 1 for d in self.dilation] or [0] * len(self.stride)
        before, after = zip(*self.padding)
        return tuple(self.stride), tuple(dilation), before, after


def window_end(size: int, out: int, kernel: int, stride: int, dilation: int, before: int) -> int:
    """The padding after the end that makes a window give exactly ``out`` results; negative where the last inputs stay unused.

    >>> window_end(32, 16, 3, 2, 1, 1), window_end(7, 4, 2, 2, 1, 0)
    (0, 1)
    """
    return (out - 1) * stride + (kernel - 1) * dilation + 1 - size - before


def grouped(shape: Sequence[int], groups: int) -> tuple[int, ...]:
    """The shape of weights (o, i/groups, …) with the groups as a dimension of their own: (groups, o/groups, i/groups, …).

    >>> grouped((8, 2, 3, 3), 4), grouped((8, 2, 3, 3), 1)
    ((4, 2, 2, 3, 3), (8, 2, 3, 3))
    """
    return (groups, shape[0] // groups, *shape[1:]) if groups > 1 else tuple(shape)


CONVOLVED = ("src", "weights", "bias", "dst")


def convolution(src: Desc, weights: Desc, dst: Desc, window: Window, bias: Desc | None = None, prop: str = "training",
                attributes: Attributes = PLAIN, algorithm: str = "direct") -> Primitive:
    """dst[n, o, …] = Σ src[n, i, …] · weights[o, i, …] + bias[o] for one to three spatial dimensions.

    Weights with one dimension more have groups in front (see ``grouped``); that covers depthwise convolution.
    """
    return create("convolution_forward", CONVOLVED, names.PROP[prop], names.CONVOLUTION[algorithm], src, weights, bias, dst,
                  *window.arguments(), attributes=attributes)


def convolution_backward_data(diff_src: Desc, weights: Desc, diff_dst: Desc, window: Window, hint: Primitive | None = None,
                              attributes: Attributes = PLAIN, algorithm: str = "direct") -> Primitive:
    """The gradient of a convolution in its input. ``hint`` is the forward primitive, if there is one."""
    return create("convolution_backward_data", ("diff_dst", "weights", "diff_src"), names.CONVOLUTION[algorithm], diff_src, weights,
                  diff_dst, *window.arguments(), hint, attributes=attributes)


def convolution_backward_weights(src: Desc, diff_weights: Desc, diff_dst: Desc, window: Window, diff_bias: Desc | None = None,
                                 hint: Primitive | None = None, attributes: Attributes = PLAIN,
                                 algorithm: str = "direct") -> Primitive:
    """The gradients of a convolution in its weights and bias."""
    return create("convolution_backward_weights", ("src", "diff_dst", "diff_weights", "diff_bias"), names.CONVOLUTION[algorithm],
                  src, diff_weights, diff_bias, diff_dst, *window.arguments(), hint, attributes=attributes)


def deconvolution(src: Desc, weights: Desc, dst: Desc, window: Window, bias: Desc | None = None, prop: str = "training",
                  attributes: Attributes = PLAIN) -> Primitive:
    """Transposed convolution; weights are (o, i, …) or (g, o/g, i/g, …), so PyTorch's (i, o/g, …) come with swapped strides."""
    return create("deconvolution_forward", CONVOLVED, names.PROP[prop], names.DECONVOLUTION["direct"], src, weights, bias, dst,
                  *window.arguments(), attributes=attributes)


def deconvolution_backward_data(diff_src: Desc, weights: Desc, diff_dst: Desc, window: Window, hint: Primitive | None = None,
                                attributes: Attributes = PLAIN) -> Primitive:
    """The gradient of a transposed convolution in its input."""
    return create("deconvolution_backward_data", ("diff_dst", "weights", "diff_src"), names.DECONVOLUTION["direct"], diff_src, weights,
                  diff_dst, *window.arguments(), hint, attributes=attributes)


def deconvolution_backward_weights(src: Desc, diff_weights: Desc, diff_dst: Desc, window: Window, diff_bias: Desc | None = None,
                                   hint: Primitive | None = None, attributes: Attributes = PLAIN) -> Primitive:
    """The gradients of a transposed convolution in its weights and bias."""
    return create("deconvolution_backward_weights", ("src", "diff_dst", "diff_weights", "diff_bias"), names.DECONVOLUTION["direct"],
                  src, diff_weights, diff_bias, diff_dst, *window.arguments(), hint, attributes=attributes)


# ---------------------------------------------------------------------------------------------------- pooling

@dataclass(frozen=True)
class Pool(Window):
    """A pooling window: ``kernel`` sizes besides; ``kind`` is ``max``, ``avg_include_padding`` or ``avg_exclude_padding``."""

    kernel: Sequence[int] = ()
    kind: str = "max"

    def arguments(self) -> tuple[object, ...]:
        strides, dilates, before, after = super().arguments()
        return strides, tuple(self.kernel), dilates, before, after


def pooling(src: Desc, dst: Desc, pool: Pool, prop: str = "training", attributes: Attributes = PLAIN) -> Primitive:
    """Maximum or average over windows; training with ``max`` has a workspace with the positions, for the backward pass."""
    return create("pooling_forward", ("src", "dst"), names.PROP[prop], names.POOLING[pool.kind], src, dst, *pool.arguments(),
                  attributes=attributes)


def pooling_backward(diff_src: Desc, diff_dst: Desc, pool: Pool, hint: Primitive) -> Primitive:
    """The gradient of pooling; ``hint`` is the forward primitive, made for training, and gives the workspace's layout."""
    return create("pooling_backward", ("diff_dst", "diff_src"), names.POOLING[pool.kind], diff_src, diff_dst, *pool.arguments(),
                  hint)


# ---------------------------------------------------------------------------------------------------- normalisation

NORMALISED = ("src", "src_1", "mean", "variance", "scale", "shift", "dst")
NORMALISED_BACK = ("src", "mean", "variance", "diff_dst", "scale", "diff_src", "diff_src_1", "diff_scale", "diff_shift")


def _flags(chosen: Iterable[str]) -> int:
    return sum(names.NORM_FLAGS[name] for name in chosen)


@dataclass(frozen=True)
class Norm:
    """``flags`` of a normalisation: any of ``names.NORM_FLAGS`` (scale, shift, relu, add_relu, global_stats), and ``eps``."""

    eps: float = 1e-5
    flags: Sequence[str] = field(default=("scale", "shift"))


def batch_normalization(src: Desc, dst: Desc, norm: Norm, prop: str = "training", attributes: Attributes = PLAIN) -> Primitive:
    """dst = scale · (src − mean) / √(variance + eps) + shift per channel (dimension 1), then max(0, ·) with the flag ``relu``.

    ``mean`` and ``variance`` (biased) are results in training unless ``global_stats``, which makes them inputs. Training with
    ``relu`` has a workspace: a bit per element that was positive.
    """
    return create("batch_normalization_forward", NORMALISED, names.PROP[prop], src, dst, norm.eps, _flags(norm.flags),
                  attributes=attributes)


def batch_normalization_backward(diff_src: Desc, diff_dst: Desc, src: Desc, norm: Norm, hint: Primitive,
                                 prop: str = "backward") -> Primitive:
    """The gradients of batch normalisation in its input, scale and shift."""
    return create("batch_normalization_backward", NORMALISED_BACK, names.PROP[prop], diff_src, diff_dst, src, norm.eps,
                  _flags(norm.flags), hint)


def layer_normalization(src: Desc, dst: Desc, norm: Norm, stat: Desc | None = None, prop: str = "training",
                        attributes: Attributes = PLAIN) -> Primitive:
    """The same over the last dimension; ``mean`` and ``variance`` have the layout ``stat`` (float32, without that dimension)."""
    return create("layer_normalization_forward", NORMALISED, names.PROP[prop], src, dst, stat, norm.eps, _flags(norm.flags),
                  attributes=attributes)


def layer_normalization_backward(diff_src: Desc, diff_dst: Desc, src: Desc, norm: Norm, hint: Primitive, stat: Desc | None = None,
                                 prop: str = "backward") -> Primitive:
    """The gradients of layer normalisation in its input, scale and shift."""
    # Unlike that of batch normalisation, this gradient wants the shift as an argument.
    return create("layer_normalization_backward", (*NORMALISED_BACK, "shift"), names.PROP[prop], diff_src, diff_dst, src, stat, norm.eps,
                  _flags(norm.flags), hint)


# ---------------------------------------------------------------------------------------------------- elementwise and reductions

def softmax(src: Desc, dst: Desc, axis: int, kind: str = "softmax", prop: str = "training", attributes: Attributes = PLAIN) -> Primitive:
    """``softmax`` or ``log_softmax`` along an axis."""
    return create("softmax_forward", ("src", "dst"), names.PROP[prop], names.SOFTMAX[kind], src, dst, axis % len(src.shape),
                  attributes=attributes)


def softmax_backward(diff_src: Desc, diff_dst: Desc, dst: Desc, axis: int, hint: Primitive, kind: str = "softmax") -> Primitive:
    """The gradient of (log-)softmax from its result."""
    return create("softmax_backward", ("dst", "diff_dst", "diff_src"), names.SOFTMAX[kind], diff_src, diff_dst, dst,
                  axis % len(dst.shape), hint)


def eltwise(name: str, src: Desc, dst: Desc, alpha: float = 0.0, beta: float = 0.0, prop: str = "training",
            attributes: Attributes = PLAIN) -> Primitive:
    """A function of ``names.ELTWISE``, element by element."""
    return create("eltwise_forward", ("src", "dst"), names.PROP[prop], names.ELTWISE[name], src, dst, alpha, beta, attributes=attributes)


def eltwise_backward(name: str, diff_src: Desc, diff_dst: Desc, data: Desc, hint: Primitive, alpha: float = 0.0,
                     beta: float = 0.0) -> Primitive:
    """Its gradient; ``data`` is the input, or the result for the names that end in ``_dst``."""
    data_slot = "dst" if name.endswith("_dst") else "src"
    return create("eltwise_backward", (data_slot, "diff_dst", "diff_src"), names.ELTWISE[name], diff_src, diff_dst, data, alpha, beta,
                  hint)


def binary(name: str, src: Desc, src_1: Desc, dst: Desc, attributes: Attributes = PLAIN) -> Primitive:
    """dst = src ∘ src_1, an operation of ``names.BINARY``; dimensions of size 1 in src_1 broadcast."""
    return create("binary", ("src", "src_1", "dst"), names.BINARY[name], src, src_1, dst, attributes=attributes)


def reduction(name: str, src: Desc, dst: Desc, p: float = 0.0, eps: float = 0.0, attributes: Attributes = PLAIN) -> Primitive:
    """Reduces the dimensions that have size 1 in dst, by a function of ``names.REDUCTION``."""
    return create("reduction", ("src", "dst"), names.REDUCTION[name], src, dst, p, eps, attributes=attributes)
