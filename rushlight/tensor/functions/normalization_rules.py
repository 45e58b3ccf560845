"""Gradients and parts of normalisations, which the table calls by name through ``F``."""

from __future__ import annotations

from typing import Any

from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply
from rushlight.tensor.functions.shape import reshape


def batch_norm_given_parts(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor,
                           eps: Any, channel: int) -> Tensor:
    """One product and one sum per element: what belongs to a channel is computed per channel."""
    scale = weight * (var + eps).rsqrt()
    return x * along(scale, x, channel) + along(bias - mean * scale, x, channel)


def along(v: Tensor, x: Tensor, dim: int) -> Tensor:
    """A vector as an operand that has its numbers along one dimension of x."""
    return reshape(v, [-1 if d == dim else 1 for d in range(len(x._spec.shape))])


def sum_beside(g: Tensor, dim: int) -> Tensor:
    """The sum over all dimensions but one."""
    rest = _beside(g, dim)
    return g.sum(rest) if rest else g


def normalize_parts(x: Tensor, eps: Any, dims: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(var + eps), mean and 1/sqrt(var + eps) over dims."""
    n = 1
    for d in dims:
        n *= x._spec.shape[d]
    mean = x.sum(dims, keepdim=True) / n
    d = x - mean
    rstd = ((d * d).sum(dims, keepdim=True) / n + eps).rsqrt()
    return d * rstd, mean, rstd


def normalize_grad_parts(g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The gradient of normalisation: rstd * (g - mean(g) - y mean(g y)).
    Double backward goes through mean and rstd of x."""
    n = 1
    for d in dims:
        n *= x._spec.shape[d]
    y = (x - mean) * rstd
    return rstd * (g - g.sum(dims, keepdim=True) / n - y * ((g * y).sum(dims, keepdim=True) / n))


def normalize_vjp(g: Any, g_mean: Any, g_rstd: Any, given: tuple[bool, ...], x: Tensor,
                  mean: Tensor, rstd: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The gradient of all three results; ``given`` says which of their gradients are not known to be zero."""
    out = apply(TABLE["normalize_grad"], (g, x, mean, rstd), (dims,))
    n = 1
    for d in dims:
        n *= x._spec.shape[d]
    if given[1]:
        out = out + g_mean / n
    if given[2]:
        out = out - g_rstd * (x - mean) * rstd ** 3 / n
    return out


def batch_norm_parts(x: Tensor, weight: Tensor, bias: Tensor, eps: Any, channel: int) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised batch times weight plus bias, and each channel's mean and 1/sqrt(var + eps)."""
    y, mean, rstd = apply(TABLE["normalize"], (x, eps), (_beside(x, channel),))
    y = y * along(weight, x, channel) + along(bias, x, channel)
    return y, reshape(mean, weight._spec.shape), reshape(rstd, weight._spec.shape)


def batch_norm_vjp(g: Any, g_mean: Any, g_rstd: Any, given: tuple[bool, ...], x: Tensor,
                   weight: Tensor, mean: Tensor, rstd: Tensor, channel: int) -> Tensor:
    """The gradient of all three results in the batch."""
    g_mean, g_rstd = (along(t, x, channel) if some else None for t, some in zip((g_mean, g_rstd), given[1:]))
    return normalize_vjp(g * along(weight, x, channel), g_mean, g_rstd, given, x, along(mean, x, channel),
                         along(rstd, x, channel), _beside(x, channel))


def standardized(x: Tensor, mean: Tensor, rstd: Tensor, channel: int) -> Tensor:
    """(x - mean) * rstd, of which there is one for each channel."""
    return (x - along(mean, x, channel)) * along(rstd, x, channel)


def group_norm_parts(x: Tensor, weight: Tensor, bias: Tensor, eps: Any, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised groups times weight plus bias, and mean and 1/sqrt(var + eps) of each sample's groups (n, groups).

    All that goes through x is per channel, so that it runs along x wherever channels lie in memory."""
    count = x._spec.numel // (x._spec.shape[0] * groups)
    mean = _of_groups(image_sums(x), groups) / count
    d = x - _to_channels(mean, x)
    rstd = (_of_groups(image_sums(d * d), groups) / count + eps).rsqrt()
    return d * _to_channels(rstd, x, weight) + along(bias, x, 1), mean, rstd


def group_norm_vjp(g: Any, g_mean: Any, g_rstd: Any, given: tuple[bool, ...], x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor,
                   groups: int) -> Tensor:
    """The gradient of all three results: rstd (g w - mean(g w) - y mean(g w y)), of which what belongs to a group is one number."""
    count = x._spec.numel // (x._spec.shape[0] * groups)
    d = x - _to_channels(mean, x)
    shift = _of_groups(image_sums(g) * weight, groups) * rstd
    slope = _of_groups(image_sums(g * d) * weight, groups)
    if given[1]:
        shift = shift - g_mean
    if given[2]:
        slope = slope + g_rstd
    return g * _to_channels(rstd, x, weight) - d * _to_channels(slope * rstd ** 3 / count, x) - _to_channels(shift / count, x)


def group_norm_weight_grad(g: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, groups: int) -> Tensor:
    """The sum over samples of g times the normalised groups, for each channel."""
    n, c = x._spec.shape[:2]
    sums = image_sums(g * (x - _to_channels(mean, x)))
    return (reshape(sums, [n, groups, c // groups]) * reshape(rstd, [n, groups, 1])).sum(0).reshape(c)


def image_sums(x: Tensor) -> Tensor:
    """(n, c, …) -> (n, c)."""
    return x.sum(tuple(range(2, len(x._spec.shape))))


def _of_groups(x: Tensor, groups: int) -> Tensor:
    """(n, c) -> (n, groups): the sums of neighbouring channels."""
    n, c = x._spec.shape
    return reshape(x, [n, groups, c // groups]).sum(2)


def _to_channels(v: Tensor, x: Tensor, weight: Tensor | None = None) -> Tensor:
    """(n, groups) as an operand that has its numbers, times each channel's weight, at the channels of x (n, c, …)."""
    (n, groups), c = v._spec.shape, x._spec.shape[1]
    each = reshape(v, [n, groups, 1])
    each = each.expand(n, groups, c // groups) if weight is None else each * reshape(weight, [groups, c // groups])
    return reshape(each, [n, c, *[1] * (len(x._spec.shape) - 2)])


def _beside(x: Tensor, dim: int) -> tuple[int, ...]:
    """All dimensions but one."""
    return tuple([d for d in range(len(x._spec.shape)) if d != dim])


def batch_norm_update(F: Any, momentum: Any, eps: Any, unbiased: Any, running_mean: Tensor, running_var: Tensor,
                      mean: Tensor, rstd: Tensor) -> list[Tensor]:
    """Running statistics moved towards a batch's; ``unbiased`` is n / (n - 1) for n values per channel."""
    var = (1 / (rstd * rstd) - eps) * unbiased
    return [running_mean * (1 - momentum) + mean * momentum, running_var * (1 - momentum) + var * momentum]
