"""Normalisation and dropout."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import HALF, float32, float64
from rushlight.tensor import coarse
from rushlight.tensor.core import Tensor, assign
from rushlight.tensor.functions.common import cast, in_place
from rushlight.tensor.functions.shape import as_images
from rushlight.tensor.state import state


def layer_norm(input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-5) -> Tensor:
    """The last dimensions normalised to mean 0 and variance 1, then scaled and shifted."""
    if mixed(input, weight, bias):
        return cast(layer_norm(cast(input, float32), normalized_shape, weight, bias, eps), input.dtype)
    dims = check_normalized_shape(input, normalized_shape, weight, bias)
    out = coarse.normalize(input, dims, eps)[0] if input.numel() else input.clone()
    return affine(out, weight, bias)


def mixed(input: Tensor, *others: Tensor | None) -> bool:
    """Whether an input of half precision meets weights or statistics of single: computed in single, rounded once at the end."""
    return input._spec.dtype in HALF and any([t is not None and t._spec.dtype is float32 for t in others])


def check_normalized_shape(input: Tensor, normalized_shape: Any, weight: Tensor | None,
                           bias: Tensor | None) -> tuple[int, ...]:
    """The dimensions that layer_norm normalises; RuntimeError where shapes do not fit."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    n = len(shape)
    if not n:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., "
                           "containing at least one element, but got normalized_shape = []")
    if tuple(input.shape[-n:]) != shape or input.ndim < n:
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape [*, "
                           f"{', '.join(map(str, shape))}], but got input of size{list(input.shape)}")
    for what, w in (("weight", weight), ("bias", bias)):
        if w is not None and tuple(w.shape) != shape:
            raise RuntimeError(f"Expected {what} to be of same shape as normalized_shape, "
                               f"but got {what} of shape {list(w.shape)} and normalized_shape = {list(shape)}")
    return tuple(range(input.ndim - n, input.ndim))


def affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """x * weight + bias, each where it is given."""
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias


def rms_norm(input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """x / sqrt(mean(x²) + eps) over the last dimensions."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., "
                           "containing at least one element, but got normalized_shape = []")
    if tuple(input.shape[-len(shape):]) != shape:
        raise RuntimeError(f"Given normalized_shape={list(shape)}, expected input with shape [*, "
                           f"{', '.join(map(str, shape))}], but got input of size{list(input.shape)}")
    x = cast(input, float32) if input.dtype in HALF else input  # half precision is rounded once, at the end
    if eps is None:
        from rushlight.tensor.settings import finfo
        eps = finfo(x.dtype).eps
    dims = tuple(range(-len(shape), 0))
    out = x * ((x * x).mean(dims, keepdim=True) + eps).rsqrt()
    return as_images(cast(out if weight is None else out * weight, input.dtype), input)


def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
               eps: float = 1e-5) -> Tensor:
    """Groups of channels of each sample normalised, then scaled and shifted per channel."""
    if input.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}")
    if mixed(input, weight, bias):
        return cast(group_norm(cast(input, float32), num_groups, weight, bias, eps), input.dtype)
    n, c = input.shape[:2]
    check_groups(input, num_groups, weight, bias, c)
    if not input.numel():
        return input.clone()
    if weight is not None and bias is not None and input.ndim > 2 and state.level is None \
            and input.dtype in (float32, float64) and weight.dtype is bias.dtype is input.dtype:
        return coarse.group_norm(input, num_groups, weight, bias, eps)
    x = coarse.normalize(input.reshape(n, num_groups, c // num_groups, -1), (2, 3), eps)[0]
    shape = [num_groups, c // num_groups, 1]
    out = affine(x, None if weight is None else weight.reshape(shape), None if bias is None else bias.reshape(shape))
    return as_images(out.reshape(input.shape), input)


def check_groups(input: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, c: int) -> None:
    """RuntimeError where c channels make no groups, or weight and bias do not fit them."""
    if num_groups <= 0 or c % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, "
                           f"but got input of shape {list(input.shape)} and num_groups={num_groups}")
    for what, w in (("weight", weight), ("bias", bias)):
        if w is not None and tuple(w.shape) != (c,):
            raise RuntimeError(f"Expected {what} to be a vector of size equal to the number of channels in input, "
                               f"but got {what} of shape {list(w.shape)} and input of shape {list(input.shape)}")


def batch_norm(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
               bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """Each channel normalised over the batch (training) or by running statistics, then scaled and shifted."""
    if mixed(input, running_mean, running_var, weight, bias):
        return cast(batch_norm(cast(input, float32), running_mean, running_var, weight, bias, training, momentum, eps), input.dtype)
    x = input._spec
    usual = x.numel and _plain(input, running_mean, running_var, weight, bias)
    if usual and not training:
        return coarse.batch_norm_given(input, running_mean, running_var, weight, bias, eps)  # type: ignore[arg-type]
    n = x.numel // max(x.shape[1], 1) if len(x.shape) > 1 else 0
    if training and n == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.size()}")
    if usual and momentum.__class__ is float and state.level is None:
        out, mean, rstd = coarse.batch_norm(input, weight, bias, eps)
        coarse.move_statistics(running_mean, running_var, mean, rstd, momentum, eps, n)  # type: ignore[arg-type]
        return out
    return batch_statistics(input, running_mean, running_var, weight, bias, training, momentum, eps)[0]


def batch_statistics(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None,
                     bias: Tensor | None, training: bool, momentum: float, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised batch, and each channel's mean and 1 / sqrt(variance + eps)
    if they come from the batch (else empty)."""
    c = input.shape[1] if input.ndim > 1 else 0
    for what, w in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if w is not None and w.numel() != c:
            raise RuntimeError(f"{what} should contain {c} elements not {w.numel()}. The input of shape "
                               f"{list(input.shape)} has {c} channels, the normalization is made for {w.numel()}.")
    if input.ndim < 2 and input.numel():
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.ndim}. "
                           f"Its shape is {list(input.shape)}: dimension 1 holds the channels.")
    none = input.new_empty(0)
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("Expected running_mean and running_var to be defined when training=False")
    shape = [1, c] + [1] * (input.ndim - 2)
    scale = (None if weight is None else weight.reshape(shape), None if bias is None else bias.reshape(shape))
    if not input.numel():  # statistics of nothing leave the running ones alone
        statistics = [none.new_empty(c) if training else none for _ in range(2)]
        return affine(input.clone(), *scale), statistics[0], statistics[1]
    if not training:
        centre, spread = running_mean.reshape(shape), running_var.reshape(shape)  # type: ignore[union-attr]
        return affine((input - centre) * (spread + eps).rsqrt(), *scale), none, none
    x, mean, rstd = coarse.normalize(input, (0, *range(2, input.ndim)), eps)
    mean, rstd = mean.reshape(c), rstd.reshape(c)
    if running_mean is not None:
        _update(running_mean, running_var, mean.detach(), rstd.detach(), momentum, eps, input.numel() // c)
    return as_images(affine(x, *scale), input), mean.detach(), rstd.detach()


def _plain(input: Tensor, mean: Any, var: Any, weight: Any, bias: Any) -> bool:
    """Whether these are as layers have them: one number per channel,
    in the input's floating type, statistics without gradients."""
    given = (mean, var, weight, bias)
    dtype, channels = input._spec.dtype, input._spec.shape[1:2]
    return not any([t is None for t in given]) and dtype.kind == "f" and not (mean._rg or var._rg) \
        and len(channels) == 1 and all([t._spec.dtype is dtype and t._spec.shape == channels for t in given])


def _update(running_mean: Tensor, running_var: Any, mean: Tensor, rstd: Tensor,
            momentum: float, eps: float, n: int) -> None:
    """Move the running statistics; the variance is the unbiased one."""
    from rushlight.autograd.grad_mode import no_grad
    with no_grad():
        in_place(running_mean, running_mean * (1 - momentum) + mean * momentum)
        var = (1 / (rstd * rstd) - eps) * (n / (n - 1) if n > 1 else float("inf"))
        in_place(running_var, running_var * (1 - momentum) + var * momentum)


def instance_norm(input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
                  weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
                  momentum: float = 0.1, eps: float = 1e-5) -> Tensor:
    """Each channel of each sample normalised."""
    if mixed(input, running_mean, running_var, weight, bias):
        return cast(instance_norm(cast(input, float32), running_mean, running_var, weight, bias, use_input_stats, momentum, eps), input.dtype)
    c = input.shape[1]
    shape = [1, c] + [1] * (input.ndim - 2)
    if use_input_stats:
        spatial = input.numel() // max(1, input.shape[0] * c)
        if spatial == 1:
            raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.size()}")
        x, mean, rstd = coarse.normalize(input, tuple(range(2, input.ndim)), eps)
        if running_mean is not None:
            from rushlight.autograd.grad_mode import no_grad
            with no_grad():
                var = (1 / (rstd.detach() * rstd.detach()) - eps) * (spatial / max(1, spatial - 1))
                for running, now in ((running_mean, mean.detach()), (running_var, var)):
                    moved = running * (1 - momentum) + now.reshape(-1, c).mean(0) * momentum  # type: ignore[operator]
                    in_place(running, moved)  # type: ignore[arg-type]
    else:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats=False")
        x = (input - running_mean.reshape(shape)) * (running_var.reshape(shape) + eps).rsqrt()
    return affine(x, None if weight is None else weight.reshape(shape), None if bias is None else bias.reshape(shape))


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha * mean of x² over `size` neighbouring channels) ** beta."""
    from rushlight.tensor.functions.combined import constant_pad_nd
    if input.ndim < 3:
        raise ValueError("Expected 3D or higher dimensionality                          "
                         f"input (got {input.ndim} dimensions)")
    if input.numel() == 0:
        return input
    if state.autocast is not None and input.ndim > 3 and input.dtype in HALF:
        input = cast(input, float32)  # PyTorch's means of volumes are in single precision
    square = (input * input).movedim(1, -1)
    padded = constant_pad_nd(square, (size // 2, (size - 1) // 2))
    mean = padded.unfold(-1, size, 1).sum(-1) / size
    return input / (mean.movedim(-1, 1) * alpha + k) ** beta


def _checked(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element 0 with probability p, the others scaled by 1 / (1 - p); nothing outside training.

    Any shape of floats. ValueError for p outside [0, 1].

    >>> import rushlight as rl
    >>> rl.nn.functional.dropout(rl.ones(2), 0.5, training=False)
    tensor([1., 1.])
    """
    _checked(p)
    out = coarse.dropout(input, p, training)
    return assign(input, out) if inplace and out is not input else out


def _channel_dropout(name: str, dims: tuple[int, ...]) -> Any:
    def function(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        _checked(p)
        if not training or p == 0 or not input.numel():
            return input
        lead = input.shape[:2] if input.ndim not in dims else input.shape[:1]
        keep = coarse.random_mask((*lead, *[1] * (input.ndim - len(lead))), p)
        out = input * keep * (1 / (1 - p) if p < 1 else 0.0)
        return assign(input, out) if inplace else out
    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Whole channels 0 with probability p, the others scaled by 1 / (1 - p)."
    return function


feature_dropout = _channel_dropout("feature_dropout", ())
dropout1d = _channel_dropout("dropout1d", (2,))
dropout2d = _channel_dropout("dropout2d", ())
dropout3d = _channel_dropout("dropout3d", (4,))


def _alpha(x: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]) -> Tensor:
    """Dropout to the value that keeps mean and variance of selu activations."""
    _checked(p)
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0
    alpha = 1.7580993408473766
    a = ((alpha ** 2 * p + 1) * (1 - p)) ** -0.5
    keep = cast(coarse.random_mask(shape, p), x.dtype)
    out = (x * keep - alpha * (1 - keep)) * a + alpha * a * p
    return assign(x, out) if inplace else out


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of selu activations."""
    return _alpha(input, p, training, inplace, tuple(input.shape))


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """alpha_dropout of whole channels."""
    return _alpha(input, p, training, inplace, (*input.shape[:2], *[1] * (input.ndim - 2)))
