"""Parts of layers that the torch namespace names: convolution with all its options,
dropout with its mask, norms of weights."""

from __future__ import annotations

from typing import Any

from rushlight.nn.functional.embedding import renormalized
from rushlight.nn.functional.norm import feature_dropout as _feature_dropout
from rushlight.nn.functional.grids import affine_grid
from rushlight.tensor import coarse
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions import linalg
from rushlight.tensor.functions.common import cast, give
from rushlight.tensor.functions.norms import vector_norm


def convolution(input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any,
                transposed: bool, output_padding: Any, groups: int) -> Tensor:
    """`conv1d` to `conv3d`, and with transposed=True `conv_transpose1d` to
    `conv_transpose3d`, by the dimensions of the weight.

    RuntimeError for an input whose dimensions do not fit the weight's.

    >>> import rushlight as rl
    >>> rl.convolution(rl.ones(1, 1, 3), rl.ones(1, 1, 2), None, [1], [0], [1], False, [0], 1)
    tensor([[[2., 2.]]])
    """
    from rushlight.nn.functional import conv
    n = weight.ndim - 2
    if n not in (1, 2, 3) or input.ndim != weight.ndim:
        raise RuntimeError(f"Expected {weight.ndim}D input to convolution, "
                           f"but got input of size {list(input.shape)} for a weight of size {list(weight.shape)}")
    if transposed:
        turned = getattr(conv, f"conv_transpose{n}d")
        out: Tensor = turned(input, weight, bias, stride, padding, output_padding, groups, dilation)
    else:
        out = getattr(conv, f"conv{n}d")(input, weight, bias, stride, padding, dilation, groups)
    return out


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """`dropout`, and which elements it kept (train=None: as if training). Outside training all are kept.

    >>> import rushlight as rl
    >>> rl.native_dropout(rl.ones(2), 0.5, False)
    (tensor([1., 1.]), tensor([True, True]))
    """
    if train is False or p == 0:
        return input.clone(), coarse.random_mask(tuple(input.shape), 0.0)
    keep = coarse.random_mask(tuple(input.shape), p)
    return input * cast(keep, input.dtype) * (1 / (1 - p) if p < 1 else 0.0), keep


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Whole channels (n, c, …) 0 with probability p, the others scaled by 1 / (1 - p).

    RuntimeError for less than two dimensions.

    >>> import rushlight as rl
    >>> rl.feature_dropout(rl.ones(1, 2), 0.5, False)
    tensor([[1., 1.]])
    """
    if input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input, "
                           f"but it has shape {list(input.shape)}")
    return _feature_dropout(input, p, train)


def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """The root of the sum of squares over one or two dimensions. RuntimeError for more.

    >>> import rushlight as rl
    >>> rl.frobenius_norm(rl.tensor([[3., 4.]]), 1)
    tensor([5.])
    """
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) > 2:
        raise RuntimeError(f"Expected at most 2 dimensions, but got {len(dims)} dimensions instead.")
    return give(out, vector_norm(input, 2, dims or None, keepdim))


def nuclear_norm(input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """The sum of the singular values of a matrix, or of the matrices in two dimensions.

    >>> import rushlight as rl
    >>> rl.nuclear_norm(rl.eye(3))
    tensor(3.)
    """
    if isinstance(dim, bool):
        dim, keepdim = None, dim
    if dim is None and input.ndim != 2:
        raise RuntimeError("Expected a tensor with 2 dimensions, "
                           f"but got a tensor with {input.ndim} dimensions instead.")
    return give(out, linalg.matrix_norm(input, "nuc", (0, 1) if dim is None else tuple(dim), keepdim))


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The norm of each slice of dimension dim, in kept dimensions; of the whole for dim=-1.

    >>> import rushlight as rl
    >>> rl.norm_except_dim(rl.tensor([[3., 4.], [0., 2.]]))
    tensor([[5.],
            [2.]])
    """
    if dim == -1:
        return vector_norm(v, pow)
    return vector_norm(v, pow, [d for d in range(v.ndim) if d != dim % v.ndim], True)


def affine_grid_generator(theta: Tensor, size: Any, align_corners: bool) -> Tensor:
    """`nn.functional.affine_grid`.

    >>> import rushlight as rl
    >>> rl.affine_grid_generator(rl.eye(2, 3).unsqueeze(0), (1, 1, 2, 2), True).shape
    torch.Size([1, 2, 2, 2])
    """
    return affine_grid(theta, list(size), align_corners)


def embedding_renorm_(input: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """The rows at indices whose norm is over max_norm scaled down to it, in place.

    >>> import rushlight as rl
    >>> rl.embedding_renorm_(rl.tensor([[3., 4.], [6., 8.]]), rl.tensor([1]), 5.0, 2.0)
    tensor([[3., 4.],
            [3., 4.]])
    """
    renormalized(input, indices, max_norm, norm_type)
    return input
