"""Attention with scores and masks written as functions of positions (torch.nn.attention.flex_attention).

The functions get tensors of batch, head, query and key numbers that broadcast to all scores, so that one call computes
all of them. A `BlockMask` also counts the blocks that are empty or full, as PyTorch's kernels use them; here attention
computes the whole mask.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rushlight.tensor import functions as F
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.creation import full
from rushlight.tensor.sequences import arange
from rushlight.tensor.device import check_device

__all__ = ["BlockMask", "flex_attention", "AuxOutput", "AuxRequest", "FlexKernelOptions", "create_block_mask",
           "create_mask", "or_masks", "and_masks",
           "noop_mask"]

Mod = Callable[..., Any]
FlexKernelOptions = dict  # options of PyTorch's kernels; here there is one implementation, so that they change nothing


class AuxRequest(NamedTuple):
    """What `flex_attention` shall return beside the result."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What was asked for by an `AuxRequest`."""

    lse: Any = None
    max_scores: Any = None


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """The mask that hides nothing."""
    return full((), True)


def _joined(mods: tuple[Mod, ...], join: Any) -> Mod:
    if not all(callable(m) for m in mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mods}")
    return lambda b, h, q, k: functools.reduce(join, [m(b, h, q, k) for m in mods])


def or_masks(*mask_mods: Mod) -> Mod:
    """A mask that shows what any of the masks shows. RuntimeError for what cannot be called."""
    return _joined(mask_mods, operator.or_)


def and_masks(*mask_mods: Mod) -> Mod:
    """A mask that shows what all of the masks show. RuntimeError for what cannot be called."""
    return _joined(mask_mods, operator.and_)


def _positions(shape: tuple[int, ...]) -> list[Tensor]:
    """For each of four dimensions its numbers, broadcastable to the shape."""
    def along(d: int, n: int) -> Tensor:
        return arange(n).reshape([-1 if d == e else 1 for e in range(4)])

    return [along(d, n) for d, n in enumerate(shape)]


def create_mask(mod_fn: Mod, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None) -> Tensor:
    """What a mask function shows, bool, or what a score function makes of zeros, of shape (B, H, Q_LEN, KV_LEN).

    >>> create_mask(lambda b, h, q, k: q >= k, 1, 1, 2, 2)
    tensor([[[[ True, False],
              [ True,  True]]]])
    """
    import inspect
    if device is not None:
        check_device(device)
    shape = B or 1, H or 1, Q_LEN, KV_LEN
    at = _positions(shape)
    wanted = [p for p in inspect.signature(mod_fn).parameters.values()
              if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty]
    out = mod_fn(full(shape, 0.0), *at) if len(wanted) == 5 else mod_fn(*at)  # five: it changes scores
    return out.expand(shape)  # type: ignore[no-any-return]


class BlockMask:
    """A mask function with, for each block of queries, the blocks of keys that it shows
    partly (``kv_…``) or whole (``full_kv_…``)."""

    def __init__(self, seq_lengths: tuple[int, int], partial: np.ndarray, whole: np.ndarray | None,
                 block_size: tuple[int, int], mask_mod: Mod) -> None:
        self.seq_lengths, self.BLOCK_SIZE, self.mask_mod = seq_lengths, block_size, mask_mod
        self._partial, self._whole = partial, whole
        self.kv_num_blocks, self.kv_indices = _ordered(partial)
        self.q_num_blocks, self.q_indices = _ordered(partial.swapaxes(-1, -2))
        none: tuple[Tensor | None, Tensor | None] = (None, None)
        self.full_kv_num_blocks, self.full_kv_indices = none if whole is None else _ordered(whole)
        self.full_q_num_blocks, self.full_q_indices = none if whole is None else _ordered(whole.swapaxes(-1, -2))

    @property
    def shape(self) -> tuple[int, ...]:
        """Batches, heads, queries, keys."""
        return (*self._partial.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """The number of scores."""
        return math.prod(self.shape)

    def _shown(self) -> np.ndarray:
        return self._partial if self._whole is None else self._partial | self._whole

    def to_dense(self) -> Tensor:
        """For each block whether any of it is shown, int32."""
        return wrap(self._shown().astype(np.int32))

    def sparsity(self) -> float:
        """The share of scores in blocks that are hidden, in percent; below 0 where blocks reach over the end."""
        computed = int(self._shown().sum()) * self.BLOCK_SIZE[0] * self.BLOCK_SIZE[1]
        return 100 * (1 - computed / self.numel())

    def to(self, device: Any) -> BlockMask:
        """The mask on a device: there is one."""
        check_device(device)
        return self

    def __getitem__(self, index: Any) -> BlockMask:
        key = index if isinstance(index, tuple) else (index,)
        pick = tuple(slice(k, k + 1) if isinstance(k, int) else k for k in key)

        def cut(blocks: np.ndarray | None) -> Any:
            return None if blocks is None else blocks[pick]

        def not_known(*_: Any) -> Any:
            raise RuntimeError("Cannot use a BlockMask after slicing it unless its mask_mod is set anew: "
                               "positions are no longer those of the whole mask")
        return BlockMask(self.seq_lengths, cut(self._partial), cut(self._whole), self.BLOCK_SIZE, not_known)

    def to_string(self, grid_size: Any = (20, 20), limit: int = 4) -> str:
        """A picture of the blocks: empty, partly shown, whole."""
        lines = []
        for at in list(np.ndindex(self._partial.shape[:-2]))[:limit]:
            whole = np.zeros_like(self._partial[at]) if self._whole is None else self._whole[at]
            lines.append(f"{at}\n" + "\n".join("".join("██" if w else "░░" if p else "  "
                                                       for p, w in zip(*row, strict=True))
                                               for row in zip(self._partial[at], whole, strict=True)))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n{self.to_string()}\n)"


def _ordered(blocks: np.ndarray) -> tuple[Tensor, Tensor]:
    """How many blocks of each row there are, and all of their numbers, those that are there first."""
    return wrap(blocks.sum(-1).astype(np.int32)), wrap(np.argsort(~blocks, axis=-1, kind="stable").astype(np.int32))


def create_block_mask(mask_mod: Mod, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None,
                      BLOCK_SIZE: Any = 128,
                      _compile: bool = False, separate_full_blocks: bool = True, compute_dq_write_order: bool = False,
                      dq_kv_order: bool = True) -> BlockMask:
    """A `BlockMask` of a mask function for so many batches and heads (1 where None), queries and keys.

    >>> create_block_mask(lambda b, h, q, k: q >= k, None, None, 256, 256).to_dense()[0, 0]
    tensor([[1, 0],
            [1, 1]], dtype=torch.int32)
    """
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
    mask = unwrap(create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)).astype(bool)
    mask = np.pad(mask, [(0, 0), (0, 0), (0, -Q_LEN % size[0]), (0, -KV_LEN % size[1])])
    rows, columns = mask.shape[-2] // size[0], mask.shape[-1] // size[1]
    blocks = mask.reshape(*mask.shape[:2], rows, size[0], columns, size[1])
    shown, whole = blocks.any((3, 5)), blocks.all((3, 5))
    if not separate_full_blocks:
        return BlockMask((Q_LEN, KV_LEN), shown, None, size, mask_mod)
    return BlockMask((Q_LEN, KV_LEN), shown & ~whole, whole, size, mask_mod)


def _check(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> None:
    q, k, v = query._spec.shape, key._spec.shape, value._spec.shape
    if any(len(s) != 4 for s in (q, k, v)):
        raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
    if query.dtype is not key.dtype or query.dtype is not value.dtype:
        raise ValueError("Expected query, key, and value to have the same dtype, but got query.dtype: "
                         f"{query.dtype}, key.dtype: {key.dtype}, and value.dtype: {value.dtype} instead.")
    if not enable_gqa and q[1] != k[1]:
        raise ValueError("Expect query and key/value to have the same number of heads but got "
                         f"Hq={q[1]} and Hkv={k[1]}. Try setting enable_gqa=True for GQA.")
    if enable_gqa and q[1] % k[1]:
        raise ValueError("Expect number of query heads to be a multiple of kv heads for "
                         f"GQA but got Hq={q[1]} and Hkv={k[1]}.")


def flex_attention(query: Tensor, key: Tensor, value: Tensor, score_mod: Mod | None = None,
                   block_mask: BlockMask | None = None, scale: float | None = None, enable_gqa: bool = False,
                   return_lse: bool = False, kernel_options: Any = None, *,
                   return_aux: AuxRequest | None = None) -> Any:
    """softmax(score_mod(q kᵀ scale)) v over what ``block_mask`` shows,
    for (batch, heads, length, size) tensors; differentiable.

    ``score_mod(score, batch, head, query, key)`` and the mask's function are elementwise functions of tensors. Queries
    that see nothing give zeros. With ``return_lse`` or ``return_aux`` also the logarithms of the sums of exponentials.
    ValueError for tensors that do not fit.

    >>> import rushlight as rl
    >>> x = rl.ones(1, 1, 2, 2); flex_attention(x, x, x, lambda s, b, h, q, k: s + (q - k))[0, 0]
    tensor([[1., 1.],
            [1., 1.]])
    """
    _check(query, key, value, enable_gqa)
    heads = query._spec.shape[1]
    if enable_gqa and heads != key._spec.shape[1]:
        times = heads // key._spec.shape[1]
        key, value = (t.repeat_interleave(times, 1) for t in (key, value))
    factor = 1 / math.sqrt(query._spec.shape[-1]) if scale is None else scale
    scores = F.matmul(query * factor, key.transpose(-2, -1))
    at = _positions(scores._spec.shape)
    if score_mod is not None:
        scores = score_mod(scores, *at).expand(scores._spec.shape)
    if block_mask is not None:
        q_length, kv_length = block_mask.seq_lengths
        if scores._spec.shape[-2] > q_length or scores._spec.shape[-1] > kv_length:
            raise ValueError(f"block_mask was created for block_mask.shape={block_mask.shape} but got "
                             f"q_len={scores._spec.shape[-2]} and kv_len={scores._spec.shape[-1]}. "
                             "As the block mask was created for a different length than you're using it for, "
                             "you will need to create a new block mask.")
        scores = F.where(block_mask.mask_mod(*at), scores, -math.inf)
    top = scores.amax(-1, keepdim=True)
    hidden = top == -math.inf
    weights = F.where(hidden, 0.0, (scores - F.where(hidden, 0.0, top)).softmax(-1))
    out = F.matmul(weights, value).to(query.dtype)
    if not (return_lse or return_aux):
        return out
    lse = scores.logsumexp(-1)
    if return_aux is not None:
        return out, AuxOutput(lse if return_aux.lse else None, top.squeeze(-1) if return_aux.max_scores else None)
    return out, lse
