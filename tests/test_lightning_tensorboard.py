"""torch.utils.tensorboard.SummaryWriter and TensorBoardLogger write event
files that TensorBoard's own format describes."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorboardX")

import rushlight as torch
import rushlight.lightning as pl
from rushlight.lightning.loggers import TensorBoardLogger
from rushlight.utils.tensorboard import SummaryWriter


def events(folder: Path) -> dict[str, list[Any]]:
    """(step, value) of each tag in the event files of a folder, by the format: length, checksum, message, checksum."""
    from tensorboardX.proto.event_pb2 import Event
    found: dict[str, list[Any]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12:12 + size])
            data = data[16 + size:]
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                found.setdefault(value.tag, []).append((event.step,
                                                        value.simple_value if kind == "simple_value" else kind))
    return found


def test_a_writer(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path / "one") as writer:
        assert writer.log_dir == writer.get_logdir() == str(tmp_path / "one")
        writer.add_scalar("loss", torch.tensor(0.5), 1)
        writer.add_scalar("loss", 0.25, 2)
        writer.add_scalars("both", {"a": torch.tensor(1.0), "b": 2}, 3)
        writer.add_histogram("weights", torch.randn(50, dtype=torch.bfloat16), 4)
        writer.add_image("image", torch.rand(3, 8, 8), 5)
        writer.add_images("images", torch.rand(2, 1, 8, 8), 5)
        writer.add_text("text", "words", 6)
        writer.add_pr_curve("curve", torch.tensor([0, 1, 1]), torch.tensor([0.1, 0.8, 0.6]), 7)
        writer.add_embedding(torch.randn(4, 3), metadata=["a", "b", "c", "d"])
        writer.add_hparams({"lr": 0.1, "name": "x"}, {"accuracy": torch.tensor(0.9)}, run_name="run")
        with pytest.raises(RuntimeError, match="add_graph is not provided"):
            writer.add_graph(torch.nn.Linear(1, 1))
        with pytest.raises(TypeError, match="should be dictionary"):
            writer.add_hparams([1], {})
    found = events(tmp_path / "one")
    assert found["loss"] == [(1, 0.5), (2, 0.25)]
    assert found["weights"] == [(4, "histo")] and found["image"] == [(5, "image")]
    assert {"images", "text", "curve"} <= {tag.split("/")[0] for tag in found}
    assert events(tmp_path / "one" / "run")["accuracy"][0][1] == pytest.approx(0.9)


def test_the_logger(tmp_path: Path) -> None:
    class Model(pl.LightningModule):
        def __init__(self, rate: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.layer(batch).square().mean()
            self.log("loss", loss, on_step=True, on_epoch=True)
            if batch_idx == 0:
                self.logger.experiment.add_histogram("layer", self.layer.weight, self.global_step)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.hparams.rate)
    logger = TensorBoardLogger(tmp_path, name="tb", prefix="p")
    trainer = pl.Trainer(max_epochs=2, logger=logger, log_every_n_steps=2, enable_progress_bar=False,
                         enable_model_summary=False)
    trainer.fit(Model(), torch.utils.data.DataLoader(torch.randn(8, 2), batch_size=2))
    folder = tmp_path / "tb" / "version_0"
    assert logger.log_dir == str(folder)
    assert trainer.checkpoint_callback.best_model_path.startswith(str(folder / "checkpoints"))
    assert (folder / "hparams.yaml").read_text() == "rate: 0.1\n"
    found = events(folder)
    assert [step for step, _ in found["p-loss_step"]] == [1, 3, 5, 7]
    assert [step for step, _ in found["p-loss_epoch"]] == [3, 7] and found["p-epoch"][-1] == (7, 1.0)
    assert found["layer"] == [(0, "histo"), (4, "histo")] and found["p-hp_metric"] == [(0, -1.0)]
    logger.log_hyperparams({"deep": {"a": 1}}, {"score": 0.5})
    logger.finalize("success")
    again = events(folder)
    assert again["p-score"] == [(0, 0.5)] and again["p-loss_step"] == found["p-loss_step"], (
        "a new file took the place of the first"
    )


def test_the_default_logger_and_the_name(tmp_path: Path) -> None:
    program = f"""
import lightning, torch
from torch.utils.tensorboard import SummaryWriter
trainer = lightning.Trainer(default_root_dir={str(tmp_path)!r}, accelerator="cpu")
print(type(trainer.logger).__name__, SummaryWriter.__module__)
"""
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", "-c", program],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["TensorBoardLogger", "rushlight.utils.tensorboard"]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.delitem(sys.modules, "rushlight.utils.tensorboard")
    with pytest.raises(ModuleNotFoundError, match="rushlight\\[tensorboard\\]"):
        import rushlight.utils.tensorboard  # noqa: F401
    monkeypatch.setattr("rushlight.lightning.loggers.tensorboard.available", lambda: False)
    with pytest.raises(ModuleNotFoundError, match="CSVLogger needs nothing"):
        TensorBoardLogger("folder")
    assert type(pl.Trainer().logger).__name__ == "CSVLogger"
