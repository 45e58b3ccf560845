"""Linear maps and convolutions."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import c_name
from rushlight.tensor.autocast import as_given, reduced
from rushlight.tensor import coarse
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.common import scalar_name

linear = coarse.linear


@as_given
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x1ᵀ W_o x2 + b_o for each output o; weight (out, in1, in2)."""
    from rushlight.tensor.functions.products import einsum
    if input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError("bilinear(): input batch dimensions do not match: "
                           f"got {list(input1.shape)} and {list(input2.shape)}")
    if input1.shape[-1] != weight.shape[1] or input2.shape[-1] != weight.shape[2]:
        raise RuntimeError(f"bilinear(): input sizes do not match weight size: got {input1.shape[-1]} and "
                           f"{input2.shape[-1]} but expected {weight.shape[1]} and {weight.shape[2]}")
    out = einsum("...i,oij,...j->...o", input1, weight, input2)
    return out if bias is None else out + bias


def repeated(value: Any, n: int) -> tuple[int, ...]:
    """One number n times; several as they are."""
    out = (value,) if isinstance(value, int) else tuple(int(v) for v in value)
    return out * n if len(out) == 1 else out


def many(value: Any, n: int, name: str = "") -> tuple[int, ...]:
    """A number repeated n times, or a sequence of n."""
    out = repeated(value, n)
    if len(out) != n:
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {n} values to "
                           f"match the convolution dimensions, but got {name}={list(out)}")
    return out


def _check(name: str, n: int, x: Tensor, w: Tensor, b: Tensor | None, groups: int, transposed: bool) -> None:
    """PyTorch's checks of the operands of a convolution."""
    if x.dtype is not w.dtype:
        first = (f"expected scalar type {scalar_name(x.dtype)} but found {scalar_name(w.dtype)}" if b is None else
                 f"Input type ({c_name(x.dtype)}) and bias type ({c_name(w.dtype)}) should be the same")
        raise RuntimeError(f"{first}. The input is {x.dtype.name}, the weight {w.dtype.name}: " + (
            "convert the picture first, x.float() / 255." if x.dtype.kind in "ui" else "convert one of them."))
    if w.ndim != n + 2:
        raise RuntimeError(f"weight should have at least three dimensions" if w.ndim < 3 else  # noqa: F541
                           f"Expected {n + 2}-dimensional weight for {name}, but got weight of size {list(w.shape)}")
    if x.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of "
                           f"size: {list(x.shape)}. The dimensions are (batch, channels, *sizes); unsqueeze adds one.")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    channels = x.shape[-n - 1]
    want = w.shape[0] if transposed else w.shape[1] * groups
    if channels != want:
        raise RuntimeError(f"Given {'transposed=1' if transposed else f'groups={groups}'}, "
                           f"weight of size {list(w.shape)}, expected input{[1] * (n + 2 - x.ndim) + list(x.shape)} "
                           f"to have {want} channels, but got {channels} channels instead. {_channels(x, n, want)}")
    out = w.shape[1] * groups if transposed else w.shape[0]
    if not transposed and out % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
                           f"but got weight of size {list(w.shape)} instead")
    if b is not None and b.dtype is not x.dtype:
        raise RuntimeError(f"Input type ({scalar_name(x.dtype)}) and bias type "
                           f"({scalar_name(b.dtype)}) should be the same")
    if b is not None and tuple(b.shape) != (out,):
        raise RuntimeError(f"Given weight of size {list(w.shape)}, expected bias to be 1-dimensional "
                           f"with {out} elements, but got bias of size {list(b.shape)} instead")


def _channels(x: Tensor, n: int, want: int) -> str:
    """What may be wrong with an input whose channels are not as many as they should be."""
    if x.ndim == n + 2 and x.shape[-1] == want:
        return f"The channels seem to be last: x.movedim(-1, 1) has shape {list(x.movedim(-1, 1).shape)}."
    if x.ndim == n + 1 and want == 1:
        return ("An input without batch dimension begins with its channels; "
                "x.unsqueeze(1) makes each of these a picture of its own.")
    return f"Dimension {x.ndim - n - 1} of the input holds the channels."


# operands and arguments that were found right -> stride, padding, dilation
_checked: dict[tuple[Any, ...], tuple[Any, ...]] = {}


def _convolve(name: str, n: int, x: Tensor, w: Tensor, b: Tensor | None, stride: Any, padding: Any, dilation: Any,
              groups: int) -> Tensor:
    key = (n, x._spec, w._spec, b if b is None else b._spec, stride, padding, dilation, groups)
    try:
        known = _checked.get(key)
    except TypeError:  # lists among the arguments
        return _convolve_checked(None, name, n, x, w, b, stride, padding, dilation, groups)
    if known is not None:
        return coarse.convolution(x, w, b, *known, groups)
    return _convolve_checked(key, name, n, x, w, b, stride, padding, dilation, groups)


def _convolve_checked(key: Any, name: str, n: int, x: Tensor, w: Tensor, b: Tensor | None, stride: Any, padding: Any,
                      dilation: Any, groups: int) -> Tensor:
    _check(name, n, x, w, b, groups, False)
    stride, dilation = many(stride, n, "stride"), many(dilation, n, "dilation")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("dilation should be greater than zero")
    if isinstance(padding, str):
        x, padding = _string_padding(x, w, padding, stride, dilation, n)
    pads = many(padding, n, "padding")
    if any(p < 0 for p in pads):
        raise RuntimeError("negative padding is not supported")
    batched = x.ndim == n + 2
    x = x if batched else x.unsqueeze(0)
    for i in range(n):
        size, kernel = x.shape[2 + i] + 2 * pads[i], dilation[i] * (w.shape[2 + i] - 1) + 1
        if size < kernel:
            padded = " x ".join(str(x.shape[2 + j] + 2 * pads[j]) for j in range(n))
            kernels = " x ".join(str(dilation[j] * (w.shape[2 + j] - 1) + 1) for j in range(n))
            raise RuntimeError(f"Calculated padded input size per channel: ({padded}). "
                               f"Kernel size: ({kernels}). Kernel size can't be greater than actual input size. "
                               f"The input has shape {list(x.shape)}: pad it, or take a smaller kernel.")
    if key is not None and batched and not isinstance(key[5], str):
        if len(_checked) > 10_000:
            _checked.clear()
        _checked[key] = (stride, pads, dilation)
    out = coarse.convolution(x, w, b, stride, pads, dilation, groups)
    return out if batched else out.squeeze(0)


def _string_padding(x: Tensor, w: Tensor, padding: str, stride: tuple[int, ...], dilation: tuple[int, ...],
                    n: int) -> tuple[Tensor, Any]:
    if padding == "valid":
        return x, 0
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for d, k in zip(dilation, w.shape[2:])]
    if all(t % 2 == 0 for t in totals):
        return x, tuple(t // 2 for t in totals)
    from rushlight.tensor.functions.combined import constant_pad_nd
    widths = [v for t in reversed(totals) for v in (t // 2, t - t // 2)]
    return constant_pad_nd(x, widths), 0


def _transposed(name: str, n: int, x: Tensor, w: Tensor, b: Tensor | None, stride: Any, padding: Any,
                output_padding: Any, groups: int, dilation: Any) -> Tensor:
    _check(name, n, x, w, b, groups, True)
    stride, padding, extra, dilation = (many(v, n, k)
                                        for v, k in ((stride, "stride"), (padding, "padding"),
                                                     (output_padding, "output_padding"),
                                                                     (dilation, "dilation")))
    for e, s, d in zip(extra, stride, dilation):
        if e >= s and e >= d:
            raise RuntimeError("output padding must be smaller than either stride or dilation, but got "
                               f"output_padding: {list(extra)}, stride: {list(stride)}, dilation: {list(dilation)}")
    batched = x.ndim == n + 2
    out = coarse.convolution_transpose(x if batched else x.unsqueeze(0), w, b, stride, padding, extra, dilation, groups)
    return out if batched else out.squeeze(0)


@reduced
def conv1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
           dilation: Any = 1, groups: int = 1) -> Tensor:
    """Cross-correlation over 1 dimension: input (n, c, l), weight (out, c / groups, k)."""
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@reduced
def conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
           dilation: Any = 1, groups: int = 1) -> Tensor:
    """Cross-correlation over 2 dimensions: input (n, c, h, w), weight (out, c / groups, kh, kw)."""
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@reduced
def conv3d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
           dilation: Any = 1, groups: int = 1) -> Tensor:
    """Cross-correlation over 3 dimensions: input (n, c, d, h, w), weight (out, c / groups, kd, kh, kw)."""
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


@reduced
def conv_transpose1d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Tensor:
    """The transpose of conv1d: weight (c, out / groups, k)."""
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@reduced
def conv_transpose2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Tensor:
    """The transpose of conv2d: weight (c, out / groups, kh, kw)."""
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@reduced
def conv_transpose3d(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
                     output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Tensor:
    """The transpose of conv3d: weight (c, out / groups, kd, kh, kw)."""
    return _transposed("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """conv1d over (time, batch, channel) tensors: weight (k, in, out)."""
    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)
