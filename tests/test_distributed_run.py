"""The launcher: scripts in several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rushlight.distributed import run

SCRIPT = """
import os, sys, torch, torch.distributed as dist
dist.init_process_group("gloo")
t = torch.tensor([dist.get_rank() + 1.0])
dist.all_reduce(t)
assert dist.is_torchelastic_launched() and int(os.environ["LOCAL_RANK"]) == dist.get_rank()
open(f"{sys.argv[1]}/{dist.get_rank()}", "w").write(f"{t.item()} {dist.get_world_size()} {sys.argv[2]}")
dist.destroy_process_group()
"""
FAILING = """
import os, sys, time
if os.environ["RANK"] == "1":
    sys.exit(7 if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" or len(sys.argv) == 1 else 0)
time.sleep(0 if os.environ["TORCHELASTIC_RESTART_COUNT"] == "1" else 60)
"""


def launch(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rushlight", "run", "-m", "torch.distributed.run", *args],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def test_a_script_in_two_processes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = launch("--nproc-per-node", "2", "--standalone", str(script), str(tmp_path), "--flag")
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / str(r)).read_text() for r in range(2)] == ["3.0 2 --flag"] * 2


def test_a_process_that_fails_ends_the_others(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(FAILING)
    done = launch("--nproc_per_node=2", str(script))
    assert done.returncode == 7 and "local_rank 1 ended with exitcode: 7" in done.stderr
    done = launch("--nproc_per_node=2", "--max_restarts=1", str(script), "recovers")
    assert done.returncode == 0 and "starting all 2 again" in done.stderr


def test_options() -> None:
    args = run.get_args_parser().parse_args(
        [
            "--nnodes",
            "2",
            "--node-rank=1",
            "--nproc_per_node",
            "4",
            "--rdzv_endpoint",
            "host:1234",
            "-m",
            "pkg.mod",
            "-x",
            "1",
        ]
    )
    assert args.node_rank == 1 and args.module and args.training_script == "pkg.mod"
    assert args.training_script_args == ["-x", "1"]
    assert run._address(args, 2) == ("host", 1234) and run._command(args)[-4:] == ["-m", "pkg.mod", "-x", "1"]
    for wrong, text in (
        (["--nnodes=1:4", "s.py"], "must be fixed"),
        (["--nproc_per_node=gpu", "s.py"], "Cuda is not available"),
        (["--redirects=3", "s.py"], "needs --log_dir"),
    ):
        with pytest.raises(ValueError, match=text):
            run.run(run.parse_args(wrong))


def test_the_example_of_the_page(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "distributed.md").read_text(encoding="utf8")
    script = tmp_path / "train.py"
    script.write_text(page.split("```python\n")[1].split("```")[0])
    done = launch("--nproc_per_node", "2", str(script), str(tmp_path / "checkpoint"))
    assert done.returncode == 0, done.stderr
    assert (
        "rank 0 holds 8385 of 16705 numbers" in done.stdout and "rank 1 holds 8320 of 16705 numbers" in done.stdout
    ), done.stdout
    assert float(done.stdout.split("loss ")[1]) < 40 and (tmp_path / "checkpoint" / "rank1.pt").exists()
