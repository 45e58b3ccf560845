"""Methods of Tensor whose parameters differ from those of the function of the same name."""

from __future__ import annotations

import functools
import warnings
from math import prod
from typing import Any

import numpy as np

from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor, assign, unwrap, wrap
from rushlight.tensor.formats import channels_last, channels_last_3d, contiguous_format
from rushlight.tensor.functions import factorizations, norms, reduction, shape, splitting
from rushlight.tensor.functions.common import shape_of


def split(self: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive parts of one dimension: of one size, or of the given sizes.

    >>> import rushlight as rl
    >>> rl.arange(3).split(2)
    (tensor([0, 1]), tensor([2]))
    """
    return splitting.split(self, split_size, dim)


def norm(self: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: DType | None = None) -> Tensor:
    """The p-norm over dim (all dimensions where None).

    >>> import rushlight as rl
    >>> rl.tensor([3., 4.]).norm()
    tensor(5.)
    """
    return norms.norm(self, p, dim, keepdim, dtype=dtype)


def lu(self: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """L and U in one matrix, and the row exchanges; with get_infos the place of the first zero pivot too.

    >>> import rushlight as rl
    >>> rl.eye(2).lu()[1]
    tensor([1, 2], dtype=torch.int32)
    """
    return factorizations.old_lu(self, pivot, get_infos)


def dim_order(self: Tensor, *, ambiguity_check: Any = False) -> tuple[int, ...]:
    """The dimensions from outermost to innermost in memory.

    With ambiguity_check=True RuntimeError where sizes of 1 or equal strides leave several answers;
    with a list of memory formats where not exactly one of them is the tensor's.

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
            raise TypeError("The ambiguity_check argument must be a bool or a list of "
                            f"memory formats, not {ambiguity_check}")
        fits = [f for f in ambiguity_check
                if known[f] in (None, len(s.shape)) and self.is_contiguous(memory_format=f)]
        clear = len(fits) == 1
    elif ambiguity_check is False:
        clear = True
    else:
        raise TypeError("The ambiguity_check argument must be a bool or a list of memory formats, "
                        f"not {type(ambiguity_check).__name__}")
    if not clear:
        raise RuntimeError("The tensor does not have unique dim order, or cannot map to exact one of the given "
                           f"memory formats. Its shape is {list(s.shape)}, its strides are {list(s.strides)}.")
    return tuple(sorted(range(len(s.shape)), key=lambda d: -s.strides[d]))


def hardshrink(self: Tensor, lambd: float = 0.5) -> Tensor:
    """`nn.functional.hardshrink`.

    >>> import rushlight as rl
    >>> rl.tensor([0.3, 2.]).hardshrink()
    tensor([0., 2.])
    """
    from rushlight.nn.functional.activation import hardshrink as compute
    return compute(self, lambd)


def prelu(self: Tensor, weight: Tensor) -> Tensor:
    """`nn.functional.prelu`.

    >>> import rushlight as rl
    >>> rl.tensor([-2.]).prelu(rl.tensor([0.5]))
    tensor([-1.])
    """
    from rushlight.nn.functional.activation import prelu as compute
    return compute(self, weight)


def resize(self: Tensor, *sizes: Any) -> Tensor:
    """The elements in another shape, an old name of `reshape`. RuntimeError where the number of elements differs.

    >>> import rushlight as rl
    >>> rl.arange(4).resize(2, 2).shape
    torch.Size([2, 2])
    """
    warnings.warn("non-inplace resize is deprecated. Use reshape().", stacklevel=2)
    size = shape_of(*sizes)
    if prod(size) != self._spec.numel:
        raise RuntimeError(f"requested resize to {'x'.join(map(str, size))} ({prod(size)} elements in total), "
                           f"but the given tensor has a size of {'x'.join(map(str, self._spec.shape))} "
                           f"({self._spec.numel} elements). autograd's resize can only change the shape "
                           "of a given tensor, while preserving the number of elements. ")
    return shape.reshape(self, size)


def resize_as(self: Tensor, tensor: Tensor) -> Tensor:
    """`resize` to another tensor's shape.

    >>> import rushlight as rl
    >>> rl.arange(4).resize_as(rl.ones(2, 2)).shape
    torch.Size([2, 2])
    """
    return resize(self, tensor._spec.shape)


def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Any) -> Tensor:
    """Replace each element by callable(a, b, c), b and c from x and y. Slow: one Python call per element.

    >>> import rushlight as rl
    >>> rl.ones(2).map2_(rl.ones(2), rl.ones(2), lambda a, b, c: a + b + c)
    tensor([3., 3.])
    """
    arrays = [unwrap(t.expand(self._spec.shape)).reshape(-1).tolist() for t in (self, x, y)]
    values = np.array([callable(a, b, c) for a, b, c in zip(*arrays)]).reshape(self._spec.shape)
    return assign(self, wrap(values.astype(self._spec.dtype.numpy)))


def is_distributed(self: Tensor) -> bool:
    """False.

    >>> import rushlight as rl
    >>> rl.ones(1).is_distributed()
    False
    """
    return False


def const_data_ptr(self: Tensor) -> int:
    """The address of the first element, for reading only.

    >>> import rushlight as rl
    >>> x = rl.ones(1)
    >>> x.const_data_ptr() == x.data_ptr()
    True
    """
    return self.data_ptr()  # type: ignore[no-any-return]


def module_load(self: Tensor, other: Tensor, assign: bool = False) -> Tensor:
    """What `load_state_dict` puts in the place of this tensor:
    itself with the other's values, or with assign the other one.

    >>> import rushlight as rl
    >>> rl.zeros(1).module_load(rl.ones(1))
    tensor([1.])
    """
    return other.detach() if assign else self.copy_(other)  # type: ignore[no-any-return]


def reinforce(self: Tensor, reward: Any) -> None:
    """RuntimeError: an interface that PyTorch took away.

    >>> import rushlight as rl
    >>> rl.ones(1).reinforce(1)
    Traceback (most recent call last):
    RuntimeError: reinforce() was removed. Use torch.distributions instead.
    """
    raise RuntimeError("reinforce() was removed. Use torch.distributions instead.")


def _numbers_one_by_one(f: Any) -> Any:
    """f as a method that takes the numbers of its list one by one too: ``x.squeeze(0, 1)`` for ``x.squeeze((0, 1))``."""
    @functools.wraps(f)
    def method(self: Tensor, *numbers: Any, **named: Any) -> Any:
        return f(self, numbers, **named) if len(numbers) > 1 else f(self, *numbers, **named)
    return method


FORMS: dict[str, Any] = {f.__name__: f for f in (split, norm, lu, dim_order, hardshrink, prelu, resize, resize_as, map2_,
                                 is_distributed, const_data_ptr, module_load, reinforce)}
FORMS |= {f.__name__: _numbers_one_by_one(f) for f in (shape.squeeze, shape.broadcast_to, reduction.count_nonzero,
                                                      splitting.hsplit, splitting.vsplit, splitting.dsplit)}
