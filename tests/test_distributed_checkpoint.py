"""torch.distributed.checkpoint: folders of checkpoints, state by names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rushlight as rl
import rushlight.distributed.checkpoint as dcp
from rushlight.distributed.checkpoint.state_dict import (StateDictOptions, get_model_state_dict,
                                                         get_optimizer_state_dict, get_state_dict,
                                                         set_model_state_dict, set_optimizer_state_dict, set_state_dict)
from rushlight.distributed.checkpoint.storage import CheckpointException


def trained(seed: int) -> tuple[Any, Any]:
    rl.manual_seed(seed)
    model = rl.nn.Sequential(rl.nn.Linear(3, 2), rl.nn.BatchNorm1d(2))
    optimizer = rl.optim.Adam([{"params": model[0].parameters(), "lr": 0.1}, {"params": model[1].parameters()}])
    for _ in range(2):
        optimizer.zero_grad()
        model(rl.randn(4, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_a_checkpoint_restores_model_and_optimizer(tmp_path: Path) -> None:
    (a, oa), (b, ob) = trained(0), trained(1)
    dcp.save({"model": a, "optimizer": oa, "step": 3, "best": rl.tensor(0.5)}, checkpoint_id=tmp_path)
    rest = {"model": b, "optimizer": ob, "step": 0, "best": rl.zeros(())}
    dcp.load(rest, checkpoint_id=tmp_path)
    assert rest["step"] == 3 and rest["best"].item() == 0.5
    assert all(rl.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))
    assert rl.equal(oa.state[a[0].weight]["exp_avg"], ob.state[b[0].weight]["exp_avg"])


def test_state_by_names(tmp_path: Path) -> None:
    (a, oa), (b, ob) = trained(0), trained(1)
    model_state, optimizer_state = get_state_dict(a, oa)
    assert list(model_state) == list(a.state_dict())
    assert sorted(optimizer_state["state"]) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    assert optimizer_state["param_groups"][0]["params"] == ["0.weight", "0.bias"]
    assert optimizer_state["param_groups"][0]["lr"] == 0.1
    dcp.save({"m": model_state, "o": optimizer_state}, storage_writer=dcp.FileSystemWriter(tmp_path))
    found = {"m": get_model_state_dict(b), "o": get_optimizer_state_dict(b, ob)}
    dcp.load(found, storage_reader=dcp.FileSystemReader(str(tmp_path)))
    set_state_dict(b, ob, model_state_dict=found["m"], optim_state_dict=found["o"])
    assert all(rl.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))
    assert rl.equal(oa.state[a[1].bias]["exp_avg_sq"], ob.state[b[1].bias]["exp_avg_sq"])
    with pytest.raises(KeyError, match="no parameter group"):
        set_optimizer_state_dict(b, ob, {"state": {}, "param_groups": []})
    a[0].weight.requires_grad_(False)
    assert "0.weight" not in get_model_state_dict(a,
                                                  options=StateDictOptions(ignore_frozen_params=True, cpu_offload=True))
    assert set_model_state_dict(b, {"0.bias": rl.zeros(2)}, options=StateDictOptions(strict=False)).missing_keys
    assert b[0].bias.tolist() == [0.0, 0.0]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointException, match="no whole checkpoint"):
        dcp.load({}, checkpoint_id=tmp_path)
    dcp.save({"x": rl.ones(2)}, checkpoint_id=tmp_path)
    with pytest.raises(CheckpointException, match="Missing key in checkpoint state_dict: y"):
        dcp.load({"y": rl.ones(2)}, checkpoint_id=tmp_path)
    with pytest.raises(CheckpointException, match="Size mismatch"):
        dcp.load({"x": rl.ones(3)}, checkpoint_id=tmp_path)
    with pytest.raises(CheckpointException, match="may not overwrite"):
        dcp.save({"x": rl.ones(2)}, storage_writer=dcp.FileSystemWriter(tmp_path, overwrite=False))
    with pytest.warns(UserWarning, match="Detected an existing checkpoint"):
        dcp.save({"x": rl.ones(2)}, checkpoint_id=tmp_path)
    with pytest.raises(ValueError, match="needs a checkpoint_id"):
        dcp.save({})
    with pytest.raises(NotImplementedError, match="planner"):
        dcp.load({}, checkpoint_id=tmp_path, planner=object())
    with pytest.warns(FutureWarning, match="deprecated"), pytest.warns(UserWarning):
        dcp.save_state_dict({"x": rl.ones(2)}, dcp.FileSystemWriter(tmp_path))


def test_names_that_stand_for_nothing() -> None:
    assert not isinstance(rl.ones(2, 3).shape[0], rl.SymInt) and issubclass(rl.OutOfMemoryError, RuntimeError)
    with pytest.raises(TypeError, match="plain numbers"):
        rl.SymInt(3)
    from rushlight.utils._triton import has_triton
    assert not has_triton()
