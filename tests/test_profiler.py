"""torch.profiler and torch.autograd.profiler: events, blocks, schedules, tables, traces."""

from __future__ import annotations

import gzip
import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

import rushlight as rl
from rushlight.profiler import (ProfilerAction, ProfilerActivity, profile, record_function, schedule,
                                tensorboard_trace_handler)


def work(n: int = 1) -> None:
    x = rl.ones(8, 8, requires_grad=True)
    for _ in range(n):
        (x @ x).relu().sum().backward()


def test_each_operation_has_its_time_and_calls() -> None:
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as prof:
        work(2)
    averages = {e.key: e for e in prof.key_averages()}
    assert averages["aten::relu"].count == 2 and averages["aten::matmul"].count == 6
    for e in averages.values():
        assert 0 < e.self_cpu_time_total <= e.cpu_time_total and e.cpu_time == e.cpu_time_total / e.count
    by_shape = prof.key_averages(group_by_input_shape=True)
    assert [[8, 8], [8, 8]] in [e.input_shapes for e in by_shape if e.key == "aten::matmul"]
    assert rl.stats() and (rl.ones(2) + 1).sum().item() == 4.0  # afterwards graphs are whole again


def test_blocks_hold_what_they_contain() -> None:
    with profile() as prof:
        with record_function("outer"):
            with record_function("inner"):
                work()
            (rl.ones(3) * 2).sum().item()
    events = {e.name: e for e in prof.events()}
    outer, inner = events["outer"], events["inner"]
    assert inner.cpu_parent is outer and outer.cpu_parent is None
    assert all(c.cpu_parent is inner for c in inner.cpu_children)
    assert "aten::relu" in [c.name for c in inner.cpu_children]
    assert outer.cpu_time_total >= inner.cpu_time_total >= sum(c.cpu_time_total for c in inner.cpu_children)
    assert outer.self_cpu_time_total == pytest.approx(outer.cpu_time_total - sum(
        c.cpu_time_total for c in outer.cpu_children))
    total = prof.events().self_cpu_time_total
    assert total == pytest.approx(outer.cpu_time_total)


def test_the_table() -> None:
    with profile(profile_memory=True, with_stack=True) as prof:
        work()
    text = prof.key_averages(group_by_stack_n=1).table(sort_by="self_cpu_time_total", row_limit=3, header="mine")
    lines = text.splitlines()
    assert lines[0] == "mine" and "Self CPU %" in lines[2] and "CPU Mem" in lines[2] and "Source Location" in lines[2]
    assert len(lines) == 4 + 3 + 2 and re.fullmatch(r"Self CPU time total: [\d.]+(us|ms|s)", lines[-1])
    assert "test_profiler.py:" in text
    order = [e.self_cpu_time_total for e in sorted(prof.key_averages(), key=lambda e: -e.self_cpu_time_total)]
    shown = [line.split()[0] for line in prof.key_averages().table(sort_by="self_cpu_time_total").splitlines()[3:-2]]
    by_key = {e.key: e.self_cpu_time_total for e in prof.key_averages()}
    assert [by_key[k] for k in shown] == order
    with pytest.raises(AttributeError, match="cannot sort by"):
        prof.key_averages().table(sort_by="beauty")


def test_schedules() -> None:
    want = [ProfilerAction[n]
            for n in "NONE NONE WARMUP RECORD RECORD_AND_SAVE NONE WARMUP RECORD RECORD_AND_SAVE NONE NONE".split()]
    plan = schedule(skip_first=1, wait=1, warmup=1, active=2, repeat=2)
    assert [plan(i) for i in range(11)] == want
    with pytest.raises(AssertionError, match="Invalid profiler schedule"):
        schedule(wait=1, warmup=1, active=0)
    torch = pytest.importorskip("torch")
    for options in ({"wait": 2, "warmup": 1, "active": 3},
                    {"wait": 1, "warmup": 1, "active": 1, "repeat": 2, "skip_first": 3},
                    {"wait": 2, "warmup": 1, "active": 1, "skip_first": 2, "skip_first_wait": 1}):
        assert [schedule(**options)(i).name for i in range(20)] == [
            torch.profiler.schedule(**options)(i).name for i in range(20)]


def test_steps_are_recorded_by_the_schedule(tmp_path: Path) -> None:
    seen: list[Any] = []
    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=lambda p: seen.append((p.step_num, [
            e.name for e in p.events() if e.name.startswith("ProfilerStep")]))) as prof:
        for _ in range(9):
            work()
            prof.step()
    assert seen == [(4, ["ProfilerStep#2", "ProfilerStep#3"]), (8, ["ProfilerStep#6", "ProfilerStep#7"])]


def test_traces_are_files_of_events(tmp_path: Path) -> None:
    with profile(on_trace_ready=tensorboard_trace_handler(str(tmp_path / "logs"), "me")) as prof:
        work()
    (file,) = (tmp_path / "logs").iterdir()
    assert re.fullmatch(r"me\.\d+\.pt\.trace\.json", file.name)
    names = [e["name"] for e in json.loads(file.read_text())["traceEvents"]]
    assert "aten::matmul" in names
    prof.export_chrome_trace(str(tmp_path / "t.json.gz"))
    with gzip.open(tmp_path / "t.json.gz", "rt") as f:
        assert [e["name"] for e in json.load(f)["traceEvents"]] == names
    prof.export_stacks(str(tmp_path / "stacks"))
    assert re.match(r"\S+ \d+", (tmp_path / "stacks").read_text())


def test_other_devices_and_options() -> None:
    with pytest.warns(UserWarning, match="only the CPU is here"), profile(activities=[ProfilerActivity.CUDA]) as prof:
        work()
    assert len(prof.events()) == 0
    with pytest.raises(AssertionError, match="No valid profiler activities"):
        profile(activities=[])
    with profile(), pytest.raises(RuntimeError, match="do not nest"):
        profile().start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with record_function("nothing records"):
            work()


def test_the_older_profiler() -> None:
    with rl.autograd.profiler.profile(record_shapes=True) as prof:
        with rl.autograd.profiler.record_function("part"):
            work()
    assert "part" in prof.key_averages().table() and prof.self_cpu_time_total > 0
    assert prof.total_average().count == len(prof.function_events)
    assert isinstance(prof.function_events, rl.autograd.profiler.EventList)
    with rl.autograd.profiler.profile(enabled=False) as off:
        work()
    assert len(off.function_events) == 0
    with pytest.raises(RuntimeError, match="NVTX"), rl.autograd.profiler.emit_nvtx():
        pass
    with pytest.warns(UserWarning, match="disabling CUDA profiling"):
        rl.autograd.profiler.profile(use_cuda=True)
