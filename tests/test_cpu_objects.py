"""Kernels from disk without LLVM: object files placed in memory, and what is remembered of the processor."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rushlight as rl
from rushlight.exec.cpu import compiler, disk, host, jit, objects

pytestmark = pytest.mark.skipif(not host.available(), reason="needs llvmlite and a known processor")
elf = pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="LLVM places other object files")

TEXTS = {
    "adds": "define i64 @adds(i64 %x) {\n  %y = add i64 %x, 5\n  ret i64 %y\n}\n",
    "reads": """@table = internal constant [4 x i64] [i64 7, i64 -8, i64 9, i64 10]
@zeros = internal global [100 x i64] zeroinitializer
define i64 @reads(i64 %x) {
  %p = getelementptr [4 x i64], ptr @table, i64 0, i64 %x
  %v = load volatile i64, ptr %p
  %q = getelementptr [100 x i64], ptr @zeros, i64 0, i64 %x
  %z = load volatile i64, ptr %q
  %s = add i64 %v, %z
  ret i64 %s
}
""",
    "calls": """declare i64 @labs(i64)
define internal i64 @helper(i64 %x) noinline {
  %y = mul i64 %x, -3
  ret i64 %y
}
define i64 @calls(i64 %x) {
  %y = call i64 @helper(i64 %x)
  %z = call i64 @labs(i64 %y)
  ret i64 %z
}
""",
}


def results(found: dict[str, int]) -> dict[str, list[int]]:
    return {name: [ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(x) for x in range(4)] for name, address in found.items()}


@elf
def test_object_files_do_what_llvm_makes_of_them() -> None:
    codes = {name: compiler.assemble(text) for name, text in TEXTS.items()}
    mine, llvms = objects.load(codes), compiler.load(codes)
    assert mine is not None
    want = {"adds": [5, 6, 7, 8], "reads": [7, -8, 9, 10], "calls": [0, 3, 6, 9]}
    assert results(mine[1]) == results(llvms[1]) == want


@elf
def test_what_is_unknown_is_left_to_llvm(monkeypatch: pytest.MonkeyPatch) -> None:
    good = compiler.assemble(TEXTS["reads"])
    nowhere = compiler.assemble(TEXTS["calls"].replace("labs", "no_such_function_anywhere"))
    foreign = good[:18] + struct.pack("<H", 183) + good[20:]  # of another machine
    assert objects.load({"reads": good}) is not None
    for name, code in (("reads", b""), ("reads", good[:80]), ("reads", b"MZ" + good), ("other", good), ("calls", nowhere), ("reads", foreign)):
        assert objects.load({name: code}) is None, name
    monkeypatch.setattr(objects, "ABSOLUTE", 99)  # a kind of reference that nobody knows
    assert objects.load({"reads": good}) is None
    monkeypatch.setattr(objects, "load", lambda codes: None)
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", "")
    address = jit.Compiled().address("reads, by LLVM", lambda name: TEXTS["reads"].replace("@reads", f"@{name}"))
    assert address


@elf
def test_code_cannot_be_written_to() -> None:
    found = objects.load({"adds": compiler.assemble(TEXTS["adds"])})
    assert found is not None
    address = found[1]["adds"]
    rights = next(line.split()[1] for line in Path("/proc/self/maps").read_text().splitlines()
                  if (ends := [int(x, 16) for x in line.split()[0].split("-")])[0] <= address < ends[1])
    assert rights == "r-xp"


@elf
@pytest.mark.skipif(not host.CPUINFO.is_file(), reason="nothing describes the processor")
def test_a_second_process_does_not_load_llvm(tmp_path: Path) -> None:
    script = ("import sys, rushlight as rl; x = rl.randn(70, 30, requires_grad=True); (x @ x.t()).softmax(1).log().sum().backward(); "
              "print(x.grad.isfinite().all().item(), 'llvmlite.binding' in sys.modules)")
    said = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                           env={**os.environ, "RUSHLIGHT_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}).stdout.split()
            for _ in range(2)]
    assert said == [["True", "True"], ["True", "False"]]


def test_what_is_remembered_of_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", str(tmp_path))
    asked = []
    ask = compiler.host
    monkeypatch.setattr(compiler, "host", lambda: asked.append(1) or ask())
    described = host.described.__wrapped__
    first = described()
    assert described() == first == ask() and len(asked) == (1 if host.processor() else 2)
    if host.processor():
        file, = tmp_path.rglob("host_*")
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        assert described() == first and len(asked) == 2
    monkeypatch.setattr(host, "processor", lambda: "another one")
    count = len(asked)
    assert described() == first and len(asked) == count + 1
    monkeypatch.setattr(host, "processor", lambda: "")
    assert described() == described() == first and len(asked) == count + 3


def test_the_description_is_of_the_processor_alone(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    text = "processor\t: {0}\nmodel name\t: Some CPU\ncpu MHz\t\t: 2{0}00.5\nflags\t\t: fma avx{1}\n\nprocessor\t: 1\nmodel name\t: Other\n"
    found = []
    for number, more in ((0, ""), (1, ""), (0, " avx2")):
        file.write_text(text.format(number, more))
        found.append(host.processor(file))
    assert found[0] == found[1] == "model name:Some CPU\nflags:fma avx" and found[2] != found[0]
    assert host.processor(tmp_path / "none") == ""


def test_widths_follow_from_features(monkeypatch: pytest.MonkeyPatch) -> None:
    features = host.features.__wrapped__
    for able, width in (("+avx512f,+avx2,-amx", 64), ("+avx2,-avx512f", 32), ("+neon", 16)):
        monkeypatch.setattr(host, "described", lambda able=able: ("cpu", able))
        monkeypatch.setattr(host, "features", features)
        assert host.vector_bytes.__wrapped__() == width


def test_kernels_from_disk_compute_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", str(tmp_path))
    found = []
    for _ in range(2):
        fresh = jit.Compiled()
        monkeypatch.setattr("rushlight.exec.cpu.plan.COMPILED", fresh)
        rl.manual_seed(0)
        x = rl.randn(40, 31)
        found.append((x.softmax(1).erf() * x.sin()).sum(0).numpy().copy())
        assert disk.root() == tmp_path / "kernels"
    assert np.isfinite(found[0]).all() and found[0].tobytes() == found[1].tobytes()
