"""make_tensor: random tensors of any dtype and layout for tests."""

from __future__ import annotations

import math
import warnings
from typing import Any

from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor

UNSIGNED = ("uint8", "uint16", "uint32", "uint64")


def make_tensor(*shape: Any, dtype: DType, device: Any, low: float | None = None, high: float | None = None,
                requires_grad: bool = False, noncontiguous: bool = False, exclude_zero: bool = False,
                memory_format: Any = None) -> Tensor:
    """A tensor of random numbers in [low, high), by default [-9,
    9) (integers -9 … 9, unsigned ones 0 … 9, booleans both).

    The parts of complex numbers are drawn from that range. ``noncontiguous`` gives a view with gaps (of tensors with
    two elements or more), ``exclude_zero`` moves zeros to the smallest positive number. ValueError for an empty or
    impossible range, or where noncontiguous and memory_format meet.

    >>> import rushlight as rl
    >>> make_tensor(2, 3, dtype=rl.int64, device="cpu", low=4, high=5).tolist()
    [[4, 4, 4], [4, 4, 4]]
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if noncontiguous and memory_format is not None:
        raise ValueError("The parameters `noncontiguous` and `memory_format` are mutually exclusive, "
                         f"but got noncontiguous={noncontiguous!r} and memory_format={memory_format!r}")
    if requires_grad and dtype.kind not in "fc":
        raise ValueError("`requires_grad=True` is not supported for boolean and integral "
                         f"dtypes, but got dtype={dtype!r}")
    space = noncontiguous and math.prod(sizes) > 1
    drawn = _drawn((*sizes[:-1], 2 * sizes[-1]) if space else sizes, dtype, device, low, high)
    if space:
        drawn = drawn[..., 1::2]
    elif memory_format is not None:
        drawn = drawn.clone(memory_format=memory_format)
    if exclude_zero:
        drawn[drawn == 0] = _smallest(dtype)
    drawn.requires_grad_(requires_grad)
    return drawn  # type: ignore[no-any-return]


def _smallest(dtype: DType) -> Any:
    from rushlight.tensor.settings import finfo
    return finfo(dtype).tiny if dtype.kind in "fc" else 1


def _limits(dtype: DType) -> tuple[Any, Any, Any, Any]:
    """(lowest, highest possible, default low, default high)."""
    from rushlight.tensor.settings import finfo, iinfo
    if dtype.kind == "b":
        return 0, 2, 0, 2
    if dtype.kind in "iu":
        info = iinfo(dtype)
        return info.min, info.max + (info.max < 2 ** 63 - 1), 0 if dtype.name in UNSIGNED else -9, 10
    limits = finfo(dtype)
    return limits.min, limits.max, -9, 9


def _range(dtype: DType, low: Any, high: Any) -> tuple[Any, Any]:
    lowest, highest, default_low, default_high = _limits(dtype)
    low, high = default_low if low is None else low, default_high if high is None else high
    if any(isinstance(v, float) and math.isnan(v) for v in (low, high)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low!r} and high={high!r}")
    if low == high and dtype.kind in "fc":
        warnings.warn("Passing `low==high` to `torch.testing.make_tensor` for floating or "
                      "complex types is deprecated since 2.1 and will be removed in 2.3. "
                      "Use `torch.full(...)` instead.", FutureWarning, stacklevel=4)
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    if high < lowest or low > highest:
        raise ValueError(f"The value interval specified by `low` and `high` is [{low}, {high}), "
                         f"but {dtype} only supports [{lowest}, {highest})")
    low, high = max(low, lowest), min(high, highest)
    if dtype.kind in "biu":
        low, high = math.ceil(low), math.ceil(high)
    return low, high


def _drawn(sizes: Any, dtype: DType, device: Any, low: Any, high: Any) -> Any:
    from rushlight.tensor.creation import empty, full
    from rushlight.tensor.drawing import randint
    from rushlight.tensor.functions.shape import view_as_real
    low, high = _range(dtype, low, high)
    if dtype.kind in "biu":
        return randint(low, high, sizes, dtype=dtype, device=device)
    out = empty(sizes, dtype=dtype, device=device)
    if low == high:
        return full(sizes, low, dtype=dtype, device=device)
    numbers = view_as_real(out) if dtype.is_complex else out
    numbers.uniform_(low, high)
    return out
