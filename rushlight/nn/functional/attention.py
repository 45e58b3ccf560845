"""Attention."""

from __future__ import annotations

import math
from typing import Any

from rushlight.tensor.autocast import reduced
from rushlight.ir.spec import broadcast
from rushlight.tensor.core import Tensor, wrap
from rushlight.tensor.functions import pointwise as P
from rushlight.tensor.functions.attention import attention
from rushlight.tensor.functions.common import is_float, scalar_name
from rushlight.tensor.functions.diagonals import tri_mask
from rushlight.tensor.functions.joining import cat


@reduced
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
                                 dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
                                 enable_gqa: bool = False) -> Tensor:
    """softmax(q kᵀ scale + mask) v; query (…, t, d), key (…, s, d), value (…, s, e), scale 1/√d unless given."""
    from rushlight.nn.functional.norm import dropout
    if query.dtype is not key.dtype or query.dtype is not value.dtype:
        raise RuntimeError("Expected query, key, and value to have the same dtype, but got query.dtype: "
                           f"{scalar_name(query.dtype)} key.dtype: {scalar_name(key.dtype)} and value.dtype: "
                           f"{scalar_name(value.dtype)} instead.")
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError("Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
                           f"{query.ndim}, key.dim: {key.ndim} and value.dim: {value.ndim} instead.")
    if is_causal and attn_mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    heads = query.shape[-3] if query.ndim > 2 else 1
    if enable_gqa and (heads % key.shape[-3] or heads % value.shape[-3]):
        raise RuntimeError("Number of heads in key and value must divide the number of heads in query: "
                           f"query has {heads}, key {key.shape[-3]}, value {value.shape[-3]}.")
    factor = (1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0) if scale is None else float(scale)
    if not dropout_p and _one_operation(query, key, value, attn_mask, enable_gqa):
        return _recorded(query, key, value, attn_mask, factor, is_causal)
    if enable_gqa:
        key, value = key.repeat_interleave(heads // key.shape[-3],
                                           -3), value.repeat_interleave(heads // value.shape[-3], -3)
    scores = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = wrap(tri_mask(query.shape[-2], key.shape[-2], 0, True))
    if attn_mask is None:
        weights = scores.softmax(-1)
    else:
        scores = scores + attn_mask if is_float(attn_mask) else P.where(attn_mask, scores, float("-inf"))
        weights = scores.softmax(-1)
        if not is_causal:  # rows that see nothing give zeros
            weights = P.where((scores == float("-inf")).all(-1, keepdim=True), 0, weights)
    if dropout_p > 0:
        weights = dropout(weights, dropout_p)
    return weights @ value


def _one_operation(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, gqa: bool) -> bool:
    """Whether attention can be recorded as one operation: plain shapes of at most four dimensions,
    numbers of one floating-point type."""
    a, b, c = q._spec.shape, k._spec.shape, v._spec.shape
    if not (2 <= len(a) == len(b) == len(c) <= 4) or 0 in (*a, *b, *c) or not is_float(q):
        return False
    if a[-1] != b[-1] or b[:-1] != c[:-1]:
        return False
    if a[:-2] != b[:-2] and not (gqa and len(a) > 2 and a[:-3] == b[:-3]):
        return False
    if mask is None:
        return True
    scores = (*a[:-1], b[-2])
    return (mask.dtype is q.dtype or not is_float(mask)) and broadcast(mask._spec.shape, scores) == scores


def _recorded(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, causal: bool) -> Tensor:
    if mask is not None and not is_float(mask):
        mask = P.where(mask, mask.new_zeros((), dtype=q.dtype), float("-inf"))
    lead = 4 - q.ndim
    for _ in range(lead):
        q, k, v = q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)
    out = attention(q, k, v, mask, scale, causal)
    for _ in range(lead):
        out = out.squeeze(0)
    return out


def _projected(query: Tensor, key: Tensor, value: Tensor, w: Any, b: Any,
               separate: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The three input projections: packed, or with weights of their own."""
    from rushlight.nn.functional.conv import linear
    e = query.shape[-1]
    bq, bk, bv = (None, None, None) if b is None else b.chunk(3)
    if separate is None:
        if query is key and key is value:
            q, k, v = linear(query, w, b).chunk(3, -1)
            return q, k, v
        wq, wk, wv = w.split([e, e, e])
    else:
        wq, wk, wv = separate
    return linear(query, wq, bq), linear(key, wk, bk), linear(value, wv, bv)


def _without_weights(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, n: int, dropout_p: float) -> Tensor:
    """Attention of n samples whose heads stand together, (n · heads, t, head) and masks (1 or n · heads, t, s), to (t,
    n, heads, head)."""
    q, k, v = (x.reshape(n, -1, *x.shape[1:]) for x in (q, k, v))
    if mask is not None:
        mask = mask.unsqueeze(0) if mask.shape[0] == 1 else mask.reshape(n, -1, *mask.shape[1:])
    return scaled_dot_product_attention(q, k, v, mask, dropout_p).permute(2, 0, 1, 3)


def _additive(mask: Tensor | None, dtype: Any) -> Tensor | None:
    """A mask as numbers to add: -inf where a bool mask is true."""
    if mask is None or is_float(mask):
        return mask
    return P.where(mask, float("-inf"), mask.new_zeros((), dtype=dtype))


def _check_sizes(e: int, expected: int, heads: int, shapes: tuple[Any, Any] | None) -> None:
    """AssertionError for embeddings of a wrong size, and for keys and values of different ``shapes``."""
    if e != expected:
        raise AssertionError(f"was expecting embedding dimension of {expected}, but got {e}")
    if e % heads:
        raise AssertionError(f"embed_dim {e} not divisible by num_heads {heads}")
    if shapes is not None and shapes[0] != shapes[1]:
        raise AssertionError(f"key shape {shapes[0]} does not match value shape {shapes[1]}")


def _one_more(mask: Tensor | None) -> Tensor | None:
    """A mask for one more key, which all see."""
    from rushlight.nn.functional.padding import pad
    return None if mask is None else pad(mask, (0, 1))


def _joined(mask: Tensor | None, padding: Tensor | None, n: int, heads: int, t: int, s: int) -> Tensor | None:
    """The mask (1 or n · heads, t, s) and that of padded keys (n, s) in one;
    RuntimeError or AssertionError for other shapes."""
    if mask is not None and mask.ndim == 3 and mask.shape[0] != 1 and tuple(mask.shape) != (n * heads, t, s):
        raise RuntimeError(f"The shape of the 3D attn_mask is {mask.shape}, but should be {(n * heads, t, s)}.")
    if padding is None:
        return mask
    for d, want in enumerate((n, s)):
        if padding.shape[d] != want:
            raise AssertionError(f"Expected key_padded_mask.shape[{d}] to be {want}, but got {padding.shape[d]}")
    spread = padding.reshape(n, 1, 1, s).expand(-1, heads, -1, -1).reshape(n * heads, 1, s)
    return spread if mask is None else mask + spread


def multi_head_attention_forward(
        query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
        in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None, bias_v: Tensor | None,
        add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor, out_proj_bias: Tensor | None,
        training: bool = True, key_padding_mask: Tensor | None = None, need_weights: bool = True,
        attn_mask: Tensor | None = None, use_separate_proj_weight: bool = False, q_proj_weight: Tensor | None = None,
        k_proj_weight: Tensor | None = None, v_proj_weight: Tensor | None = None, static_k: Tensor | None = None,
        static_v: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
    """Multi-head attention with all its projections; query (t, n, e) or (t, e)."""
    from rushlight.nn.functional.conv import linear
    from rushlight.nn.functional.norm import dropout
    batched = query.ndim == 3
    if query.ndim not in (2, 3):
        raise AssertionError("query should be unbatched 2D or batched 3D tensor but "
                             f"received {query.ndim}-D query tensor")
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    if not batched:
        same = (query is key, key is value)
        query = query.unsqueeze(1)
        key = query if same[0] else key.unsqueeze(1)
        value = key if same[1] else value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    t, n, e = query.shape
    head = e // num_heads
    _check_sizes(e, embed_dim_to_check, num_heads, None if use_separate_proj_weight else (key.shape, value.shape))
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias, separate)
    mask = _additive(attn_mask, q.dtype)
    padding = _additive(key_padding_mask, q.dtype)
    if mask is not None and mask.ndim == 2:
        if tuple(mask.shape) != (t, key.shape[0]):
            raise RuntimeError(f"The shape of the 2D attn_mask is {mask.shape}, but should be {(t, key.shape[0])}.")
        mask = mask.unsqueeze(0)
    if bias_k is not None and bias_v is not None:
        k, v = cat([k, bias_k.repeat(1, n, 1)]), cat([v, bias_v.repeat(1, n, 1)])
        mask, padding = _one_more(mask), _one_more(padding)
    q = q.reshape(t, n * num_heads, head).transpose(0, 1)
    k = static_k if static_k is not None else k.reshape(k.shape[0], n * num_heads, head).transpose(0, 1)
    v = static_v if static_v is not None else v.reshape(v.shape[0], n * num_heads, head).transpose(0, 1)
    if add_zero_attn:
        k, v = cat([k, k.new_zeros(n * num_heads, 1, head)], 1), cat([v, v.new_zeros(n * num_heads, 1, head)], 1)
        mask, padding = _one_more(mask), _one_more(padding)
    s = k.shape[1]
    mask = _joined(mask, padding, n, num_heads, t, s)
    if not need_weights:
        out = _without_weights(q, k, v, mask, n, dropout_p if training else 0.0)
        out = linear(out.reshape(t * n, e), out_proj_weight, out_proj_bias).reshape(t, n, -1)
        return (out if batched else out.squeeze(1)), None
    scores = (q * (1 / math.sqrt(head))) @ k.transpose(1, 2)
    weights = (scores if mask is None else scores + mask).softmax(-1)
    if training and dropout_p > 0:
        weights = dropout(weights, dropout_p)
    out = (weights @ v).transpose(0, 1).reshape(t * n, e)
    out = linear(out, out_proj_weight, out_proj_bias).reshape(t, n, -1)
    out = out if batched else out.squeeze(1)
    weights = weights.reshape(n, num_heads, t, s)
    weights = weights.mean(1) if average_attn_weights else weights
    return out, weights if batched else weights.squeeze(0)


