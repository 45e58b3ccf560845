"""Causal masks for queries and keys of different lengths (torch.nn.attention.bias)."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, wrap

__all__ = ["causal_upper_left", "causal_lower_right", "CausalVariant", "CausalBias"]


class CausalVariant(enum.IntEnum):
    """Where the triangle of a causal mask that is not square begins or ends."""

    UPPER_LEFT = 1
    LOWER_RIGHT = 2


def CausalBias(variant: CausalVariant, seq_len_q: int, seq_len_kv: int) -> Tensor:
    """The mask of a variant: a bool tensor (seq_len_q, seq_len_kv) for ``attn_mask``, True where a query sees a key."""
    if not isinstance(variant, CausalVariant):
        raise AssertionError(f"variant must be a CausalVariant, got {type(variant).__name__}")
    shift = seq_len_kv - seq_len_q if variant is CausalVariant.LOWER_RIGHT else 0
    return wrap(np.tri(seq_len_q, seq_len_kv, shift, dtype=bool))


def _size(size: Any) -> tuple[int, int]:
    if len(size) != 2:
        raise RuntimeError(f"causal masks have two dimensions: give the number of queries and of keys, not {size}")
    return int(size[0]), int(size[1])


def causal_upper_left(*size: int) -> Tensor:
    """Query i sees keys 0 … i: what ``is_causal=True`` does.

    >>> causal_upper_left(2, 3)
    tensor([[ True, False, False],
            [ True,  True, False]])
    """
    return CausalBias(CausalVariant.UPPER_LEFT, *_size(size))


def causal_lower_right(*size: int) -> Tensor:
    """The last query sees all keys, each before it one less: what decoding with a cache needs.

    >>> causal_lower_right(2, 3)
    tensor([[ True,  True, False],
            [ True,  True,  True]])
    """
    return CausalBias(CausalVariant.LOWER_RIGHT, *_size(size))
