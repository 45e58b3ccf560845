"""Cross entropy over rows of logits. A target outside the classes raises, naming value and position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def _valid(x: Array, target: Array, ignore: int) -> Array:
    """Which rows count; IndexError for a target that is neither a class nor `ignore`."""
    valid = target != ignore
    bad = valid & ((target < 0) | (target >= x.shape[1]))
    if bad.any():
        at = int(np.argmax(bad))
        raise IndexError(f"Target {int(target[at])} is out of bounds. It stands at position {at} of the targets, "
                         f"and the input has {x.shape[1]} classes (0 to {x.shape[1] - 1}).")
    return valid


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy_rows(x: Array, target: Array, ignore: int) -> Array:
    valid = _valid(x, target, ignore)
    picked = np.take_along_axis(_log_softmax(x), np.where(valid, target, 0)[:, None], 1)[:, 0]
    return np.where(valid, -picked, np.zeros((), x.dtype))


def cross_entropy_mean(x: Array, target: Array, ignore: int) -> Any:
    rows = cross_entropy_rows(x, target, ignore)
    return rows.sum() / x.dtype.type(np.count_nonzero(target != ignore))


def cross_entropy_rows_grad(y: Array, x: Array, target: Array, ignore: int) -> Array:
    valid = _valid(x, target, ignore)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    rows = np.arange(x.shape[0])
    e[rows, np.where(valid, target, 0)] -= 1
    e *= np.where(valid, y, np.zeros((), x.dtype))[:, None]
    return e


def cross_entropy_mean_grad(y: Array, x: Array, target: Array, ignore: int) -> Array:
    count = np.count_nonzero(target != ignore)
    return cross_entropy_rows_grad(np.full(target.shape, y / x.dtype.type(max(count, 1)), x.dtype), x, target, ignore)


KERNELS: dict[str, Callable[..., Any]] = {
    "cross_entropy_rows": cross_entropy_rows, "cross_entropy_mean": cross_entropy_mean,
    "cross_entropy_rows_grad": cross_entropy_rows_grad, "cross_entropy_mean_grad": cross_entropy_mean_grad,
}
