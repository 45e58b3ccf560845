"""`rushlight info`, `--help` and `--version`; how the number of threads is found."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import rushlight
from rushlight.cli import info
from rushlight.exec import threads


def test_info_names_versions_executors_and_threads(capsys):
    assert info.info() == 0
    lines = dict(line.split(maxsplit=1)
                 for line in capsys.readouterr().out.splitlines() if not line.startswith("executor"))
    assert lines["numpy"] == np.__version__ and lines["rushlight"].startswith(info.version())
    assert lines["threads"].startswith(f"{rushlight.get_num_threads()}: ")
    assert dict(info.executors())["numpy"].startswith("ready")


@pytest.mark.parametrize(("files", "limit"), [
    ({"cpu.max": "max 100000\n"}, None), ({"cpu.max": "250000 100000\n"}, 2.5), ({}, None),
    ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
])
def test_quota_of_the_container(tmp_path, files, limit):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert threads.quota(tmp_path) == limit


@pytest.mark.parametrize(("processors", "limit", "chosen"), [(4, None, 4), (4, 2.5, 2), (4, 8.0, 4), (4, 0.3, 1)])
def test_allowed_threads(processors, limit, chosen):
    assert threads.allowed(processors, limit) == chosen
    reason = threads.why(chosen, processors, limit)
    assert ("quota" in reason) == (limit is not None) and "set by" not in reason


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["demo", "--help"]])
def test_help_does_not_import_the_framework(arguments):
    code = f"""if True:
        import sys
        from rushlight_cli import main
        try:
            main({arguments!r})
        except SystemExit as e:
            code = e.code
        print("LOADED", [m for m in ("numpy", "rich", "rushlight") if m in sys.modules], code)"""
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert got.stdout.endswith("LOADED [] 0\n"), got.stdout + got.stderr
    assert "usage: rushlight" in got.stdout


def test_version():
    got = subprocess.run([sys.executable, "-m", "rushlight", "--version"], capture_output=True, text=True, timeout=60)
    assert got.stdout == f"rushlight {info.version()}\n"


def test_info_says_what_the_native_executor_found(capsys, monkeypatch, tmp_path):
    from rushlight.exec.cpu import executor, host
    from rushlight.exec.cpu.onednn import library
    said = dict(info.executors())["cpu"]
    assert said.startswith("ready" if executor.available() else "needs llvmlite")
    if executor.available():
        assert ("oneDNN 3." in said) == library.available() and f"{8 * host.vector_bytes()} bits" in said
        monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy")
        assert info.native().startswith("switched off by RUSHLIGHT_EXEC")
        assert info.executor().startswith("numpy executor")
        monkeypatch.setattr(library, "available", lambda: False)
        assert "oneDNN not found" in info.native()


def test_info_says_where_kernels_are_kept(monkeypatch, tmp_path):
    from rushlight.exec.cpu import executor, jit
    if not executor.available():
        pytest.skip("needs llvmlite")
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", str(tmp_path))
    assert info.kernel_cache() == f"{tmp_path}/kernels (0 kernels, 0.0 MB; 0 of them of this version for this machine)"
    here = jit.cache_folder()
    for folder, size in ((here, 300_000), (here.parent / "other", 200_000)):
        folder.mkdir(parents=True)
        (folder / "rl_x").write_bytes(bytes(size))
    assert info.kernel_cache() == f"{tmp_path}/kernels (2 kernels, 0.5 MB; 1 of them of this version for this machine)"
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", "")
    assert info.kernel_cache().startswith("off")


def test_bench_prints_every_figure(capsys, monkeypatch):
    from rushlight.cli import bench
    monkeypatch.setattr(bench, "ROUNDS", 1)
    assert bench.bench(3) == 0
    said = capsys.readouterr().out
    for what in ("import rushlight, beyond numpy", "recording a node with gradient", "nodes of an MLP training step",
                 "planning an MLP training step", "first MLP training step of a process",
                 "MLP training step 784-256-128-10, batch 64", "executor, threads: "):
        assert what in said, said
    from rushlight.exec.cpu import executor
    assert ("longest kernels of that step" in said and "GFLOP/s" in said) is executor.available()
    step = bench.training_step()
    before = [step() for _ in range(4)]
    assert bench.step_nodes(step) <= 30 and before[3] < before[0]
