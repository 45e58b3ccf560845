"""Averages of gradients: as they are, or in 16 bits on the way
(torch.distributed.algorithms.ddp_comm_hooks.default_hooks)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.distributed import exchange
from rushlight.distributed.groups import member
from rushlight.futures import Future


def _done(value: Any) -> Future:
    out = Future()
    out.set_result(value)
    return out


def allreduce_hook(process_group: Any, bucket: Any) -> Future:
    """The mean over the ranks."""
    return _done(exchange.reduced(bucket.buffer(), member(process_group), "avg"))


def _narrow(process_group: Any, bucket: Any, dtype: str) -> Future:
    import rushlight as rl

    g, flat = member(process_group), bucket.buffer()
    low = (flat / g.size()).to(getattr(rl, dtype))  # divided first: the sum stays in range
    return _done(exchange.reduced(low, g, "sum").to(flat.dtype))


def fp16_compress_hook(process_group: Any, bucket: Any) -> Future:
    """The mean, moved and added in float16."""
    return _narrow(process_group, bucket, "float16")


def bf16_compress_hook(process_group: Any, bucket: Any) -> Future:
    """The mean, moved and added in bfloat16."""
    return _narrow(process_group, bucket, "bfloat16")


def _wrapper(hook: Callable[[Any, Any], Future], dtype: str) -> Callable[[Any, Any], Future]:
    def wrapped(state: Any, bucket: Any) -> Future:
        import rushlight as rl

        wide = bucket.buffer().dtype
        bucket.set_buffer(bucket.buffer().to(getattr(rl, dtype)))
        return hook(state, bucket).then(lambda f: f.value().to(wide))

    return wrapped


def fp16_compress_wrapper(hook: Callable[[Any, Any], Future]) -> Callable[[Any, Any], Future]:
    """A hook on gradients in float16."""
    return _wrapper(hook, "float16")


def bf16_compress_wrapper(hook: Callable[[Any, Any], Future]) -> Callable[[Any, Any], Future]:
    """A hook on gradients in bfloat16."""
    return _wrapper(hook, "bfloat16")
