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


def messages(folder: Path) -> list[Any]:
    """All events in the files of a folder, by the format: length, checksum, message, checksum."""
    from tensorboardX.proto.event_pb2 import Event
    found = []
    for file in sorted(folder.glob("events.out.tfevents.*")):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12:12 + size]))
            data = data[16 + size:]
    return found


def events(folder: Path) -> dict[str, list[Any]]:
    """(step, value) of each tag in the event files of a folder."""
    found: dict[str, list[Any]] = {}
    for event in messages(folder):
        for value in event.summary.value:
            kind = value.WhichOneof("value")
            found.setdefault(value.tag, []).append((event.step, value.simple_value if kind == "simple_value" else kind))
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
        with pytest.raises(TypeError, match="should be dictionary"):
            writer.add_hparams([1], {})
    found = events(tmp_path / "one")
    assert found["loss"] == [(1, 0.5), (2, 0.25)]
    assert found["weights"] == [(4, "histo")] and found["image"] == [(5, "image")]
    assert {"images", "text", "curve"} <= {tag.split("/")[0] for tag in found}
    assert events(tmp_path / "one" / "run")["accuracy"][0][1] == pytest.approx(0.9)


class Net(torch.nn.Module):
    """Modules in modules, one that is called twice, several results."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(), torch.nn.BatchNorm1d(4))
        self.last = torch.nn.Linear(4, 4)

    def forward(self, x: Any, scale: Any) -> Any:
        with torch.no_grad():
            scale = scale + 1
        h = self.last(self.last(self.layers(x)).relu()) * scale
        return {"sum": h.sum(1), "rows": [h, h[:, 0] + 2]}


def test_a_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorboardX.proto.graph_pb2 import GraphDef
    net = Net().train()
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(net, (torch.randn(5, 3), torch.ones(1)), verbose=True)
    assert "batch_norm" in capsys.readouterr().out
    assert all(m.training for m in net.modules())
    graph = GraphDef.FromString(next(e.graph_def for e in messages(tmp_path) if e.graph_def))
    nodes = {n.name: n for n in graph.node}
    assert len(nodes) == len(graph.node) and all(i in nodes for n in graph.node for i in n.input)
    assert not any("grad_mode" in name for name in nodes)
    assert {"input/x", "input/scale", "output/output.1", "output/output.2", "output/output.3"} <= nodes.keys()
    first = nodes["Net/Sequential[layers]/Linear[0]/linear"]
    assert list(first.input) == ["input/x", "Net/Sequential[layers]/Linear[0]/weight", "Net/Sequential[layers]/Linear[0]/bias"]
    assert first.op == "aten::linear" and [d.size for d in first.attr["_output_shapes"].list.shape[0].dim] == [5, 4]
    assert sum(n.op == "aten::linear" and n.name.startswith("Net/Linear[last]/") for n in graph.node) == 2
    assert "False" in nodes["Net/Sequential[layers]/Dropout[1]/dropout"].attr["attr"].s.decode(), "in evaluation mode"


def test_a_graph_of_what_no_graph_can_hold(tmp_path: Path) -> None:
    net = torch.nn.Linear(2, 2)
    with SummaryWriter(tmp_path) as writer, pytest.raises(RuntimeError, match="Only tensors"):
        writer.add_graph(lambda x: (net(x), object()), torch.ones(1, 2))
    with SummaryWriter(tmp_path) as writer, pytest.raises(TypeError):
        writer.add_graph(net)
    assert net.training


@pytest.mark.parametrize("given", [True, False])
def test_the_logger_writes_the_graph(tmp_path: Path, given: bool) -> None:
    class Model(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()
            self.example_input_array = (torch.randn(2, 3), torch.ones(1)) if given else None

        def forward(self, x: Any, scale: Any) -> Any:
            return self.net(x, scale)["sum"]

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self(batch, torch.ones(1)).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    trainer = pl.Trainer(max_epochs=1, logger=logger, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    data = torch.utils.data.DataLoader(torch.randn(4, 3), batch_size=2)
    if given:
        trainer.fit(Model(), data)
    else:
        with pytest.warns(UserWarning, match="Could not log computational graph"):
            trainer.fit(Model(), data)
    graphs = [e.graph_def for e in messages(Path(logger.log_dir)) if e.graph_def]
    assert len(graphs) == given and all(b"Model/Net[net]/Linear[last]/linear" in g for g in graphs)


def test_numbers_as_tensors(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("a", torch.tensor(0.1), 1, new_style=True)
        writer.add_scalar("b", 0.1, 2, new_style=True, double_precision=True)
    a, b = (v for e in messages(tmp_path) for v in e.summary.value)
    assert list(a.tensor.float_val) == [pytest.approx(0.1)] and list(b.tensor.double_val) == [0.1]
    assert a.metadata.plugin_data.plugin_name == "scalars"


@pytest.mark.parametrize("dtype", "float16 bfloat16 float32 float64 uint8 int8 int16 int32 int64 bool complex64 complex128".split())
def test_tensors(tmp_path: Path, dtype: str) -> None:
    x = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype)).T
    with SummaryWriter(tmp_path) as writer:
        for i, t in enumerate((x, x[0, 0], x[:0])):
            writer.add_tensor("x", t, i)
    for value, t in zip((v.tensor for e in messages(tmp_path) for v in e.summary.value), (x, x[0, 0], x[:0]), strict=True):
        assert tuple(d.size for d in value.tensor_shape.dim) == tuple(t.shape)
        have = torch.frombuffer(bytearray(value.tensor_content), dtype=t.dtype).reshape(t.shape) if t.numel() else torch.empty_like(t)
        assert torch.equal(have, t)


def test_values_that_parameters_can_have(tmp_path: Path) -> None:
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
    choices = {"lr": [0.1, 0.2], "name": ["a", "b"], "flag": [True, False]}
    with SummaryWriter(tmp_path) as writer:
        writer.add_hparams({"lr": 0.1, "name": "a", "flag": True, "other": 1}, {"accuracy": 0.5}, choices, run_name="run", global_step=3)
        for wrong in ({"lr": 0.1}, {"lr": ["x"]}, {"none": [1]}, [1]):
            with pytest.raises(TypeError, match="hparam_domain_discrete"):
                writer.add_hparams({"lr": 0.1}, {}, wrong)
    values = [(e.step, v) for e in messages(tmp_path / "run") for v in e.summary.value]
    data = HParamsPluginData.FromString(next(v for _, v in values if v.tag == "_hparams_/experiment").metadata.plugin_data.content)
    assert {i.name: list(i.domain_discrete) for i in data.experiment.hparam_infos} == {**choices, "other": []}
    assert [(step, v.simple_value) for step, v in values if v.tag == "accuracy"] == [(3, 0.5)]


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
