"""torch.native_layer_norm and its kin: normalisations that return their
statistics too, with ATen's order of arguments."""

from __future__ import annotations

from typing import Any

from rushlight.nn.functional.norm import affine, batch_statistics, check_groups, check_normalized_shape
from rushlight.tensor import coarse
from rushlight.tensor.core import Tensor

Three = tuple[Tensor, Tensor, Tensor]


def native_layer_norm(input: Tensor, normalized_shape: Any, weight: Tensor | None, bias: Tensor | None,
                      eps: float) -> Three:
    """`layer_norm` with the mean and 1 / sqrt(variance + eps) of each row, in kept dimensions.

    RuntimeError where the shapes do not fit.

    >>> import rushlight as rl
    >>> rl.native_layer_norm(rl.tensor([[1., 3.]]), (2,), None, None, 0.0)[1]
    tensor([[2.]])
    """
    dims = check_normalized_shape(input, normalized_shape, weight, bias)
    if not input.numel():
        shape = [1 if d in dims else n for d, n in enumerate(input.shape)]
        return input.clone(), input.new_zeros(shape), input.new_zeros(shape)
    out, mean, rstd = coarse.normalize(input, dims, eps)
    return affine(out, weight, bias), mean.detach(), rstd.detach()


def native_group_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, N: int, C: int, HxW: int, group: int,
                      eps: float) -> Three:
    """`group_norm` of N samples of C channels with HxW elements each,
    with mean and 1 / sqrt(variance + eps), both (N, group).

    RuntimeError where the shapes do not fit.

    >>> import rushlight as rl
    >>> rl.native_group_norm(rl.tensor([[[1.], [3.]]]), None, None, 1, 2, 1, 1, 0.0)[1]
    tensor([[2.]])
    """
    check_groups(input, group, weight, bias, C)
    if input.numel() != N * C * HxW:
        raise RuntimeError("Expected X.numel() == N * C * HxW to be true, "
                           f"but got input of shape {list(input.shape)} for N={N}, C={C} and HxW={HxW}")
    if not input.numel():
        return input.clone(), input.new_zeros(N, group), input.new_zeros(N, group)
    out, mean, rstd = coarse.normalize(input.reshape(N, group, -1), (2,), eps)
    shape = [1, C] + [1] * (input.ndim - 2)
    out = affine(out.reshape(input.shape), None if weight is None else weight.reshape(shape),
                 None if bias is None else bias.reshape(shape))
    return out, mean.reshape(N, group), rstd.reshape(N, group)


def native_batch_norm(input: Tensor, weight: Tensor | None, bias: Tensor | None, running_mean: Tensor | None,
                      running_var: Tensor | None, training: bool, momentum: float, eps: float) -> Three:
    """`batch_norm` with the batch's mean and 1 / sqrt(variance + eps) of each channel; both are empty outside training.

    RuntimeError where the shapes do not fit.

    >>> import rushlight as rl
    >>> rl.native_batch_norm(rl.tensor([[1.], [3.]]), None, None, None, None, True, 0.1, 0.0)[1]
    tensor([2.])
    """
    return batch_statistics(input, running_mean, running_var, weight, bias, training, momentum, eps)
