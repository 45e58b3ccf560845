"""Methods of Tensor whose parameters differ from those of the function of the same name."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor
from rushlight.tensor.formats import channels_last, channels_last_3d, contiguous_format
from rushlight.tensor.functions import factorizations, reduction, shape


def split(self: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive parts of one dimension: of one size, or of the given sizes.

    >>> import rushlight as rl
    >>> rl.arange(3).split(2)
    (tensor([0, 1]), tensor([2]))
    """
    return shape.split(self, split_size, dim)


def norm(self: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> Tensor:
    """The p-norm over dim (all dimensions where None).

    >>> import rushlight as rl
    >>> rl.tensor([3., 4.]).norm()
    tensor(5.)
    """
    return reduction.norm(self, p, dim, keepdim, dtype=dtype)


def lu(self: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """L and U in one matrix, and the row exchanges; with get_infos the place of the first zero pivot too.

    >>> import rushlight as rl
    >>> rl.eye(2).lu()[1]
    tensor([1, 2], dtype=torch.int32)
    """
    return factorizations.old_lu(self, pivot, get_infos)


def dim_order(self: Tensor, *, ambiguity_check: Any = False) -> tuple[int, ...]:
    """The dimensions from outermost to innermost in memory.

    With ambiguity_check=True RuntimeError where sizes of 1 or equal strides leave several answers; with a list of memory
    formats where not exactly one of them is the tensor's.

    >>> import rushlight as rl
    >>> rl.zeros(2, 3).t().dim_order()
    (1, 0)
    """
    s = self._spec
    if ambiguity_check is True:
        clear = len(set(s.strides)) == len(s.strides) and 1 not in s.shape
    elif isinstance(ambiguity_check, (list, tuple)):
        known = {contiguous_format: None, channels_last: 4, channels_last_3d: 5}
        if any(f not in known for f in ambiguity_check):
            raise TypeError(f"The ambiguity_check argument must be a bool or a list of memory formats, not {ambiguity_check}")
        fits = [f for f in ambiguity_check if known[f] in (None, len(s.shape)) and self.is_contiguous(memory_format=f)]  # type: ignore[attr-defined]
        clear = len(fits) == 1
    elif ambiguity_check is False:
        clear = True
    else:
        raise TypeError(f"The ambiguity_check argument must be a bool or a list of memory formats, not {type(ambiguity_check).__name__}")
    if not clear:
        raise RuntimeError("The tensor does not have unique dim order, or cannot map to exact one of the given memory formats. "
                           f"Its shape is {list(s.shape)}, its strides are {list(s.strides)}.")
    return tuple(sorted(range(len(s.shape)), key=lambda d: -s.strides[d]))


FORMS = {"split": split, "norm": norm, "lu": lu, "dim_order": dim_order}
