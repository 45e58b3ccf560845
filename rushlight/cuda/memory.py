"""torch.cuda.memory on a machine without CUDA."""

from __future__ import annotations

from rushlight.cuda import (  # noqa: F401
    _raising, empty_cache, max_memory_allocated, max_memory_reserved, mem_get_info, memory_allocated, memory_reserved,
    memory_snapshot, memory_stats, memory_summary, reset_peak_memory_stats)

_record_memory_history, _dump_snapshot, _snapshot = map(_raising,
                                                        ("_record_memory_history", "_dump_snapshot", "_snapshot"))
