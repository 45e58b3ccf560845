"""Rules of attention."""

from __future__ import annotations

import math
from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.onnx.builder import Builder, Value
from rushlight.onnx.rules import NoRule, rule
from rushlight.onnx.rules_layers import linear


def _scores(g: Builder, scores: Value, mask: Value | None) -> Value:
    """Scores with a mask: -inf where a boolean one says False, else the mask added."""
    if mask is None:
        return scores
    if mask.dtype is dtypes.bool_:
        return g.where(mask, scores, -math.inf, scores.dtype)
    return scores + mask.cast(scores.dtype)


def _lower_triangle(g: Builder, queries: Any, keys: Any) -> Value:
    """True where a query may look at a key: not behind it."""
    row = g.op("Range", g.const(0), g.const(queries), g.const(1), dtype=dtypes.int64, shape=(None,))
    column = g.op("Range", g.const(0), g.const(keys), g.const(1), dtype=dtypes.int64, shape=(None,))
    return g.unsqueeze(row, [1]) >= g.unsqueeze(column, [0])


def attend(g: Builder, q: Value, k: Value, v: Value, mask: Value | None, scale: Any) -> tuple[Value, Value]:
    """softmax(q kᵀ · scale + mask) v, and the weights."""
    scores = q @ g.swap(k) if scale is None else (q * scale) @ g.swap(k)
    scores.shape = (*q.shape[:-1], k.shape[-2])
    weights = g.op("Softmax", _scores(g, scores, mask), axis=-1, dtype=q.dtype, shape=scores.shape)
    out = weights @ v
    out.shape = (*q.shape[:-1], v.shape[-1])
    return out, weights


@rule("scaled_dot_product_attention")
def scaled_dot_product_attention(
    g: Builder,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Any:
    if dropout_p:
        raise NoRule("attention drops weights in training; export the model in eval mode")
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        from rushlight.onnx.rules_shape import repeat_interleave

        times = query.shape[-3] // key.shape[-3]
        key, value = (repeat_interleave(g, x, times, -3) for x in (key, value))
        key.shape = value.shape = (*query.shape[:-2], *key.shape[-2:])
    mask = attn_mask
    if is_causal:
        mask = _lower_triangle(g, g.size(query, -2), g.size(key, -2))
    return attend(g, query, key, value, mask, 1 / math.sqrt(query.shape[-1]) if scale is None else scale)[0]


@rule("multi_head_attention_forward")
def multi_head_attention_forward(
    g: Builder,
    query: Value,
    key: Value,
    value: Value,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Value,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Any:
    if (
        bias_k is not None
        or bias_v is not None
        or add_zero_attn
        or static_k is not None
        or static_v is not None
        or (training and dropout_p)
    ):
        raise NoRule("bias_k, bias_v, add_zero_attn, static_k, static_v and dropout have no rule")
    single = query.rank == 2
    if single:
        query, key, value = (g.unsqueeze(x, [1]) for x in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else g.unsqueeze(key_padding_mask, [0])
    e = embed_dim_to_check
    if use_separate_proj_weight:
        weights = [q_proj_weight, k_proj_weight, v_proj_weight]
    else:
        weights = g.split(in_proj_weight, 0, [e, e, e])
    biases = [None] * 3 if in_proj_bias is None else g.split(in_proj_bias, 0, [e, e, e])
    q, k, v = (_heads(g, linear(g, x, w, b), num_heads) for x, w, b in zip((query, key, value), weights, biases))
    out, attention = attend(
        g, q, k, v, _mask(g, attn_mask, key_padding_mask, is_causal, q, k, num_heads), 1 / math.sqrt(e // num_heads)
    )
    length, batch = g.size(query, 0), g.size(query, 1)
    joined = g.reshape(g.transpose(out, [2, 0, 1, 3]), [length, batch, e])
    joined.shape = (query.shape[0], query.shape[1], e)
    result = linear(g, joined, out_proj_weight, out_proj_bias)
    averaged = g.reduce("Mean", attention, [1]) if average_attn_weights else attention
    if single:
        result, averaged = g.squeeze(result, [1]), g.squeeze(averaged, [0])
    return [result, averaged if need_weights else None]


def _heads(g: Builder, x: Value, heads: int) -> Value:
    """(L, N, E) as (N, heads, L, E / heads)."""
    parts = g.reshape(x, [g.size(x, 0), g.size(x, 1), heads, x.shape[2] // heads])
    parts.shape = (x.shape[0], x.shape[1], heads, x.shape[2] // heads)
    return g.transpose(parts, [1, 2, 0, 3])


def _mask(g: Builder, attn_mask: Any, padding: Any, is_causal: bool, q: Value, k: Value, heads: int) -> Any:
    """The masks of nn.MultiheadAttention (True is left out) as one that is added."""
    total = None
    if attn_mask is not None:
        m = _additive(g, attn_mask, q.dtype)
        if m.rank == 3:
            m = g.reshape(m, [-1, heads, *(g.size(attn_mask, d) for d in (1, 2))])
        total = m
    if padding is not None:
        p = g.unsqueeze(_additive(g, padding, q.dtype), [1, 2])
        total = p if total is None else total + p
    return total


def _additive(g: Builder, mask: Value, dtype: Any) -> Value:
    return g.where(mask, -math.inf, 0.0, dtype) if mask.dtype is dtypes.bool_ else mask.cast(dtype)
