"""Trainers of several processes: as pytorch_lightning's (tests/lightning_processes.py), by every way of starting them, and where one fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lightning_processes
from test_lightning_oracle import differences

EXPECTED = json.loads(lightning_processes.RECORD.read_text(encoding="utf8"))
RUN = [sys.executable, "-W", "ignore", "-m", "rushlight", "run"]


@pytest.mark.parametrize("name", lightning_processes.SCENARIOS)
def test_as_lightning(name: str, tmp_path: Path) -> None:
    assert not differences(EXPECTED[name], lightning_processes.run(name, str(tmp_path), RUN))


PROGRAM = """
import os, sys, time
import torch, pytorch_lightning as pl
from torch.utils.data import DataLoader, TensorDataset

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
    def training_step(self, batch, batch_idx):
        at(self, batch_idx)
        return (self.net(batch[0]) - batch[1]).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

def at(model, batch_idx): pass
pl.seed_everything(1)
x = torch.randn(32, 4)
def run(**kwargs):
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False, enable_checkpointing=False, **kwargs)
    model = Model()
    trainer.fit(model, DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 32 // trainer.world_size // 2))
    return trainer, model
"""


def start(folder: Path, text: str, command: list[str] = RUN, **environment: str) -> subprocess.Popen[str]:
    """The program with more of it, running."""
    path = folder / "train.py"
    path.write_text(PROGRAM + text)
    return subprocess.Popen([*command, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
                            env={**os.environ, **environment}, start_new_session=True)


def end(program: subprocess.Popen[str], within: float = 60) -> tuple[int, str]:
    """Its exit code and what it said; no process of it is left."""
    try:
        out, err = program.communicate(timeout=within)
        assert not _alive(program.pid), "a process is left"
    finally:
        if _alive(program.pid):
            os.killpg(program.pid, signal.SIGKILL)
    return program.returncode, out + err


def _alive(group: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


# in one piece: several processes write to one pipe
SUM = """
line = f"rank {trainer.global_rank} of {trainer.world_size} sum {float(sum(p.sum() for p in model.parameters())):.4f}\\n"
os.write(1, line.encode())
"""


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("strategy", ["ddp", "ddp_fork"])
def test_a_failure_in_one_process_ends_all(strategy: str, rank: int, tmp_path: Path) -> None:
    code, said = end(start(tmp_path, f"""
def at(model, batch_idx):
    if model.global_rank == {rank}:
        raise ValueError("no such thing")
run(devices=2, strategy={strategy!r})
"""))
    assert code != 0
    assert "no such thing" in said


def test_a_program_that_fails_before_the_others_are_met(tmp_path: Path) -> None:
    """The first process would wait for the second one for half an hour."""
    code, said = end(start(tmp_path, """
if os.environ.get("LOCAL_RANK") == "1":
    sys.exit(3)
run(devices=2)
"""))
    assert code == 1
    assert "local rank 1 ended with exit code 3" in said


def test_an_interrupt_ends_all(tmp_path: Path) -> None:
    program = start(tmp_path, """
def at(model, batch_idx):
    print("training", flush=True)
    time.sleep(0.2)
    if batch_idx == 1:
        time.sleep(60)
run(devices=2)
""")
    assert program.stdout is not None
    program.stdout.readline()
    time.sleep(1)
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does
    code, said = end(program)
    assert code == 1
    assert "KeyboardInterrupt" in said


def test_torchrun(tmp_path: Path) -> None:
    """Its processes are the Trainer's, whatever `devices` says by default; another number is an error."""
    launcher = [*RUN, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    for kwargs in ("", "devices=2"):
        code, said = end(start(tmp_path, f"trainer, model = run({kwargs})\n{SUM}", launcher))
        assert code == 0, said
        lines = sorted(line for line in said.splitlines() if line.startswith("rank"))
        assert [line.split(" sum")[0] for line in lines] == ["rank 0 of 2", "rank 1 of 2"]
        assert lines[0].split("sum")[1] == lines[1].split("sum")[1]
    code, said = end(start(tmp_path, "run(devices=3)", launcher))
    assert code != 0
    assert "has started 2 processes (WORLD_SIZE), but devices=3" in said


def test_batches_are_normalized_together(tmp_path: Path) -> None:
    """Two processes with half of each batch train as one with all of it."""
    sums = []
    for kwargs in ("devices=1", "devices=2, sync_batchnorm=True", "devices=2, sync_batchnorm=True, strategy='ddp_notebook'"):
        code, said = end(start(tmp_path, f"""
trainer, model = run(overfit_batches=2, {kwargs})
if trainer.global_rank == 0:
    print("sum", *[round(float(v.double().sum()), 4) for v in model.state_dict().values()])
"""))
        assert code == 0, said
        sums.append(next(line for line in said.splitlines() if line.startswith("sum")))
    assert sums[0] == sums[1] == sums[2]


def test_only_the_first_process_of_a_machine_prints_and_prepares(tmp_path: Path) -> None:
    code, said = end(start(tmp_path, """
Model.prepare_data = lambda self: os.write(1, b"prepared\\n")
Model.setup = lambda self, stage: os.write(1, b"set up\\n")
trainer, model = run(devices=2, enable_model_summary=True)
trainer.print("printed")
model.print("printed")
"""))
    assert code == 0, said
    words = said.split("\n")
    assert [words.count(w) for w in ("prepared", "set up", "printed")] == [1, 2, 2]
    assert said.count("Trainable params") == 1
    assert said.count("stopped: `max_epochs=1` reached") == 1


@pytest.mark.parametrize(("call", "message"), [
    ("run(devices=2, strategy='ddp')", "not compatible with an interactive environment"),
    ("run(devices=2, num_nodes=2)", "NODE_RANK does not say which machine"),
    ("run(devices=2, strategy=pl.strategies.SingleDeviceStrategy())", "is one process, but there are 2"),
    ("pl.Trainer(devices=2, strategy='ddp_fork').predict(Model(), [x], return_predictions=True)", "`return_predictions` should be set to `False`"),
    ("pl.strategies.DDPStrategy(process_group_backend='nccl')", "processes on CPUs talk by 'gloo'"),
    ("pl.strategies.DDPStrategy(start_method='no')", "should be one of 'popen'"),
    ("pl.strategies.DDPStrategy(parallel_devices=[])", "parallel_devices=.*cannot be set"),
])
def test_what_cannot_be(call: str, message: str, tmp_path: Path) -> None:
    done = subprocess.run([*RUN, "-c", PROGRAM + f"\nimport pytest\nwith pytest.raises(Exception, match={message!r}):\n    {call}\nprint('so it is')"],
                          capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert "so it is" in done.stdout, done.stderr
