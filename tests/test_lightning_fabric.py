"""Fabric: hand-written loops give the numbers that they give without it; its checkpoints and errors."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.lightning import Fabric
from rushlight.lightning.fabric.utilities.throughput import measure_flops
from rushlight.lightning.loggers import CSVLogger


def loop(fabric: Any, steps: int = 5) -> Any:
    """The losses of a few steps, with Fabric and without."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    data = torch.utils.data.DataLoader(torch.randn(4 * steps, 3), batch_size=4)
    if fabric is not None:
        model, optimizer = fabric.setup(model, optimizer)
        data = fabric.setup_dataloaders(data)
    losses = []
    for x in data:
        optimizer.zero_grad()
        loss = (model(x) - 1).square().mean()
        fabric.backward(loss) if fabric is not None else loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model, optimizer


def test_the_same_numbers() -> None:
    plain = loop(None)[0]
    assert loop(Fabric())[0] == plain
    double, mixed = loop(Fabric(precision="64-true")), loop(Fabric(precision="bf16-mixed"))
    assert double[0] == pytest.approx(plain, rel=1e-5) and double[0] != plain
    assert double[1](torch.ones(1, 3)).dtype == torch.float64
    assert mixed[0] == pytest.approx(plain, rel=0.05) and mixed[0] != plain
    assert mixed[1](torch.ones(1, 3)).dtype == torch.float32
    assert isinstance(mixed[2], torch.optim.Adam) and mixed[1].module[0].weight.dtype == torch.float32


def test_checkpoints(tmp_path: Path) -> None:
    fabric = Fabric()
    _, model, optimizer = loop(fabric)
    fabric.save(tmp_path / "new" / "f.ckpt", {"model": model, "optimizer": optimizer, "step": 5})
    fresh, fresh_optimizer = fabric.setup(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)),
                                          torch.optim.Adam([torch.zeros(1)]))
    other = torch.optim.Adam(fresh.parameters(), lr=1.0)
    state: dict[str, Any] = {"model": fresh, "optimizer": other, "step": 0}
    assert fabric.load(tmp_path / "new" / "f.ckpt", state) == {} and state["step"] == 5
    assert torch.equal(fresh.module[2].weight, model.module[2].weight) and other.param_groups[0]["lr"] == 0.05
    assert list(fabric.load(tmp_path / "new" / "f.ckpt")["model"]) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    with pytest.raises(KeyError, match="'no' that does not exist"):
        fabric.load(tmp_path / "new" / "f.ckpt", {"no": 1})
    fabric.save(tmp_path / "part.ckpt", {"model": model}, filter={"model": lambda name, value: "bias" in name})
    assert list(fabric.load(tmp_path / "part.ckpt")["model"]) == ["0.bias", "2.bias"]


def test_the_rest(tmp_path: Path) -> None:
    calls: list[Any] = []

    class Notes:
        def on_step(self, value: int) -> None:
            calls.append(value)
    fabric = Fabric(callbacks=[Notes()], loggers=CSVLogger(tmp_path, name="f"))
    fabric.call("on_step", 3)
    fabric.call("on_nothing")
    fabric.log("loss", torch.tensor(0.5), step=1)
    fabric.logger.save()
    assert calls == [3]
    assert list(csv.DictReader((tmp_path / "f" / "version_0" / "metrics.csv").open())) == [{"loss": "0.5", "step": "1"}]
    assert fabric.launch(lambda f, x: (f.world_size, x), 7) == (1, 7)
    model, optimizer = fabric.setup(nn.Linear(2, 1), torch.optim.SGD([p := torch.ones(2, requires_grad=True)], lr=1.0))
    fabric.backward((p * 3).sum())
    assert fabric.clip_gradients(model, optimizer, max_norm=1.0) == pytest.approx(18 ** 0.5)
    assert p.grad.norm() == pytest.approx(1.0)
    with fabric.no_backward_sync(model), fabric.autocast():
        pass
    with Fabric(precision="bf16-true").init_module():
        assert nn.Linear(1, 1).weight.dtype == torch.bfloat16
    assert measure_flops(model, lambda: model(torch.ones(3, 2))) == 2 * 3 * 2
    for wrong, match in ((lambda: fabric.setup(model), "only once"),
                         (lambda: fabric.clip_gradients(model, optimizer), "either `clip_val` or"),
                         (lambda: fabric.clip_gradients(model, optimizer, 1.0, 1.0), "Only one of")):
        with pytest.raises(ValueError, match=match):
            wrong()
    with pytest.raises(TypeError, match="need to set up the model first"):
        fabric.no_backward_sync(nn.Linear(1, 1))
