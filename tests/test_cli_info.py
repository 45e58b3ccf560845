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
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if not line.startswith("executor"))
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
