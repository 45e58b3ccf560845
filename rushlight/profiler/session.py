"""profile: recording by a schedule of steps."""

from __future__ import annotations

import enum
import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from rushlight.profiler.events import EventList
from rushlight.profiler.recording import Recorder, record_function


class ProfilerActivity(enum.Enum):
    """What is recorded."""

    CPU = 0
    XPU = 1
    CUDA = 2
    MTIA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What a step of a schedule does."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """The CPU."""
    return {ProfilerActivity.CPU}


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
             skip_first_wait: int = 0) -> Callable[[int], ProfilerAction]:
    """After ``skip_first`` steps, cycles of ``wait`` steps without recording, ``warmup`` steps and ``active`` recorded
    ones; ``repeat`` cycles (0: for ever).

    >>> [schedule(wait=1, warmup=1, active=2)(i).name for i in range(5)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError("Invalid profiler schedule arguments")
    if warmup == 0:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", stacklevel=2)

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError("step must be non-negative")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait != 0:
            step += wait
        cycle, place = divmod(step, wait + warmup + active)
        if repeat > 0 and cycle >= repeat:
            return ProfilerAction.NONE
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < wait + warmup + active - 1 else ProfilerAction.RECORD_AND_SAVE
    return action


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None,
                              use_gzip: bool = False,
                              use_python_export: bool = False) -> Callable[[Any], None]:
    """A function for ``on_trace_ready`` that writes each trace as WORKER.TIME.pt.trace.json into a folder.
    It is written by Python anyway, whatever ``use_python_export`` says.

    RuntimeError where the folder cannot be made.
    """
    def handler(prof: Any) -> None:
        try:
            os.makedirs(dir_name, exist_ok=True)
        except OSError as e:
            raise RuntimeError("Can't create directory: " + dir_name) from e
        name = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        prof.export_chrome_trace(os.path.join(dir_name,
                                              f"{name}.{time.time_ns()}.pt.trace.json{'.gz' if use_gzip else ''}"))
    return handler


class profile:
    """Records operations and `record_function` blocks, as a context manager or between start() and stop().

    With a ``schedule``, step() says that a step of the program has ended; ``on_trace_ready(self)`` is called when a
    recorded cycle ends (without a schedule, at the end). ``record_shapes``, ``profile_memory`` (bytes of results) and
    ``with_stack`` (the user's line) add columns. Activities other than the CPU record nothing, with a warning where the
    CPU is not among them. While it records, operations run one at a time.

    >>> import rushlight as rl
    >>> with profile(activities=[ProfilerActivity.CPU]) as prof:
    ...     _ = (rl.ones(3) + 1).sum().item()
    >>> sorted(e.key for e in prof.key_averages())[:1]
    ['aten::add']
    """

    def __init__(self, *, activities: Iterable[ProfilerActivity] | None = None,
                 schedule: Callable[[int], ProfilerAction] | None = None,
                 on_trace_ready: Callable[[Any], Any] | None = None, record_shapes: bool = False,
                 profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
                 with_modules: bool = False, experimental_config: Any = None, execution_trace_observer: Any = None,
                 acc_events: bool = False, use_cuda: bool | None = None, custom_trace_id_callback: Any = None,
                 post_processing_timeout_s: float | None = None):
        chosen = set(activities) if activities is not None else supported_activities()
        if not chosen:
            raise AssertionError("No valid profiler activities found")
        for name, given in (("with_flops", with_flops), ("with_modules", with_modules)):
            if given:
                warnings.warn(f"torch.profiler.profile: {name} adds nothing here", stacklevel=2)
        for name, value in (("experimental_config", experimental_config),
                            ("execution_trace_observer", execution_trace_observer),
                            ("custom_trace_id_callback", custom_trace_id_callback)):
            if value is not None:
                raise NotImplementedError("torch.profiler.profile: "
                                          f"{name} belongs to PyTorch's own tracer and is not there")
        if ProfilerActivity.CPU not in chosen:
            warnings.warn("torch.profiler.profile: only the CPU is here, and it is not among the activities; "
                          "nothing is recorded", stacklevel=2)
        self.activities, self._schedule = chosen, schedule or (lambda step: ProfilerAction.RECORD)
        self._by_schedule = schedule is not None
        self.on_trace_ready, self.record_shapes = on_trace_ready, record_shapes
        self.profile_memory, self.with_stack = profile_memory, with_stack
        self.acc_events = acc_events
        self.step_num, self.current_action = 0, ProfilerAction.NONE
        self._recorder: Recorder | None = None
        self._events: list[Any] = []
        self._metadata: dict[str, str] = {}
        self._step: Any = None

    # --- recording ------------------------------------------------------------------------------------------------
    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Begin with the schedule's first step."""
        self.current_action = self._schedule(self.step_num)
        self._change()
        self._open_step()

    def stop(self) -> None:
        """End; a cycle that was being recorded is handed out."""
        self._close_step()
        recording = self._recorder is not None
        self._collect()
        if recording and self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def step(self) -> None:
        """A step of the program has ended."""
        self._close_step()
        before = self.current_action
        self.step_num += 1
        self.current_action = self._schedule(self.step_num)
        if before is ProfilerAction.RECORD_AND_SAVE:
            self._collect()
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)
        self._change()
        self._open_step()

    def _change(self) -> None:
        wanted = self.current_action in (ProfilerAction.RECORD,
                                         ProfilerAction.RECORD_AND_SAVE) and ProfilerActivity.CPU in self.activities
        if wanted and self._recorder is None:
            if not self.acc_events:
                self._events = []
            self._recorder = Recorder(self.record_shapes, self.profile_memory, self.with_stack)
            self._recorder.start()
        elif not wanted:
            self._collect()

    def _collect(self) -> None:
        if self._recorder is not None:
            self._recorder.stop()
            self._events += self._recorder.events
            self._recorder = None

    def _open_step(self) -> None:
        if self._by_schedule and self._recorder is not None:
            self._step = record_function(f"ProfilerStep#{self.step_num}").__enter__()

    def _close_step(self) -> None:
        if self._step is not None:
            self._step.__exit__(None, None, None)
            self._step = None

    # --- results --------------------------------------------------------------------------------------------------
    def events(self) -> EventList:
        """All events of the last recorded cycle, in the order in which they ended."""
        return EventList(self._events + (self._recorder.events if self._recorder else []),
                         profile_memory=self.profile_memory)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """One average per operation (and per input shapes or stack)."""
        return self.events().key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def export_chrome_trace(self, path: str) -> None:
        """The events as a file for chrome://tracing or TensorBoard."""
        self.events().export_chrome_trace(path)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """The events for flame graphs; with_stack=True adds the user's lines."""
        self.events().export_stacks(path, metric)

    def toggle_collection_dynamic(self, enable: bool, activities: Iterable[ProfilerActivity]) -> None:
        """Switch recording off or on again within a run."""
        if ProfilerActivity.CPU in set(activities):
            self.current_action = ProfilerAction.RECORD if enable else ProfilerAction.NONE
            self._close_step()
            self._change()

    def add_metadata(self, key: str, value: str) -> None:
        """Keep a text beside the profile."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Keep a JSON text beside the profile; ValueError where it is none."""
        json.loads(value)
        self._metadata[key] = value
