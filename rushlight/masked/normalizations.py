"""Softmax and its relatives over the elements where the mask is True. Masked elements of a result have no meaning."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import DType
from rushlight.masked.masking import filled, highest, lowest, prepared
from rushlight.masked.reductions import documented, norm
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions import pointwise
from rushlight.tensor.functions import reduction as plain
from rushlight.tensor.functions.common import cast


@documented("exp(x) / Σ exp(x) along dim.", "[0.2689, 0.7311, 0.0000]", "0, ", "a dimension")
def softmax(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    return plain.softmax(_below("softmax", input, dtype, mask), dim)


@documented("log(softmax(x)) along dim.", "[-1.3133, -0.3133,    -inf]", "0, ", "a dimension")
def log_softmax(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    return plain.log_softmax(_below("log_softmax", input, dtype, mask), dim)


@documented("softmax(-x) along dim.", "[0.7311, 0.2689, 0.0000]", "0, ", "a dimension")
def softmin(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    m = prepared("softmin", input, mask)
    x = cast(input, dtype or input.dtype)
    return plain.softmax(-(x if m is None else filled(x, m, highest("softmin", x.dtype))), dim)


def _below(name: str, input: Tensor, dtype: DType | None, mask: Tensor | None) -> Tensor:
    """The input with -inf where the mask is False."""
    m = prepared(name, input, mask)
    x = cast(input, dtype or input.dtype)
    return x if m is None else filled(x, m, lowest(name, x.dtype))


@documented("x / max(norm(x), eps) along dim, the norm of order `ord`.",
            "[0.3333, 0.6667, 0.0000]", "1., 0, ", "a dimension")
def normalize(input: Tensor, ord: float, dim: int, *, eps: float = 1e-12, dtype: DType | None = None,
              mask: Tensor | None = None) -> Tensor:
    m = prepared("normalize", input, mask)
    x = cast(input, dtype or input.dtype)
    return filled(x, m, 0) / norm(x, ord, dim, keepdim=True, mask=mask).clamp(min=eps)


def logaddexp(input: Tensor, other: Tensor, *, dtype: DType | None = None, input_mask: Tensor | None = None,
              other_mask: Tensor | None = None) -> Tensor:
    """log(exp(x) + exp(y)) with masked elements of either operand as -inf.

    ``input_mask``, ``other_mask``: True where an element counts, broadcast to their operand.
    IndexError for a mask of more dimensions.

    >>> import rushlight as rl
    >>> rl.masked.logaddexp(rl.zeros(2), rl.zeros(2), other_mask=rl.tensor([True, False]))
    tensor([0.6931, 0.0000])
    """
    x, y = _below("logaddexp", input, dtype, input_mask), _below("logaddexp", other, dtype, other_mask)
    result: Any = pointwise.logaddexp(x, y)
    return result
