"""Where the time goes (torch.profiler). While a profiler records, operations run one at a time, as in PyTorch, so each
has its own time."""

from __future__ import annotations

from rushlight.profiler.events import EventList, FunctionEvent, FunctionEventAvg
from rushlight.profiler.recording import record_function
from rushlight.profiler.session import (ProfilerAction, ProfilerActivity, profile, schedule, supported_activities,
                                        tensorboard_trace_handler)

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "ProfilerAction", "ProfilerActivity", "profile",
           "record_function", "schedule",
           "supported_activities", "tensorboard_trace_handler"]
