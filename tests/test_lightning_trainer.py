"""The Trainer's arguments, errors, interruptions, precisions and profiles."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lightning_models import QUIET, Line, loader, trainer

import rushlight as torch
import rushlight.lightning as pl
from rushlight import nn
from rushlight.lightning import callbacks as cb
from rushlight.lightning.environment import Environment, environment_of
from rushlight.lightning.fabric import Fabric
from rushlight.lightning.strategies import FSDPStrategy, SingleDeviceStrategy
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.utils.data import DataLoader


# --- the trainer -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("arguments", "match"), [
    ({"accelerator": "gpu"}, "No supported gpu backend found.*accelerator='auto'"),
    ({"accelerator": "tpu"}, "XLAAccelerator.*not available"),
    ({"num_nodes": 2}, "NODE_RANK does not say which machine"), ({"num_nodes": 0}, "greater than 0"), ({"devices": 0}, "should be an int > 0"),
    ({"devices": [0]}, "should be an int > 0"), ({"strategy": "fsdp"}, "needs several accelerators"),
    ({"strategy": "deepspeed_stage_2"}, "needs several accelerators"),
    ({"precision": "transformer-engine"}, "needs NVIDIA's"),
    ({"limit_val_batches": 1.5}, "invalid value 1.5 for limit_val_batches"),
    ({"limit_train_batches": -1}, "invalid value -1"),
    ({"accumulate_grad_batches": 0}, "`accumulate_grad_batches` should be an int greater than 0"),
    ({"gradient_clip_algorithm": "no"}, "Allowed algorithms"),
    ({"max_epochs": -2}, "`max_epochs` must be a non-negative integer or -1"),
    ({"max_steps": -2}, "`max_steps` must be"), ({"max_time": "1:00"}, "DD:HH:MM:SS"),
    ({"check_val_every_n_epoch": 1.5}, "should be an integer"),
    ({"check_val_every_n_epoch": None, "val_check_interval": 0.5},
     "should be an integer when `check_val_every_n_epoch=None`"),
    ({"profiler": "no"}, "can only be one of"), ({"profiler": "pytorch"}, "torch.profiler"),
    ({"callbacks": [3]}, "is no `Callback`"), ({"callbacks": cb.ModelCheckpoint(), "enable_checkpointing": False},
                                               "`enable_checkpointing=False` but found `ModelCheckpoint`"),
    ({"callbacks": cb.TQDMProgressBar(), "enable_progress_bar": False}, "`enable_progress_bar=False` but found"),
    ({"callbacks": cb.GradientAccumulationScheduler({0: 2}), "accumulate_grad_batches": 2}, "You have set both"),
    ({"strategy": FSDPStrategy()}, "needs several accelerators"),
    ({"strategy": SingleDeviceStrategy("cuda:0")}, "trains on its CPU"),
    ({"deterministic": 3}, "should be True, False or 'warn'"),
    ({"barebones": True, "fast_dev_run": True}, "barebones=True, fast_dev_run"),
    ({"reload_dataloaders_every_n_epochs": -1}, "should be an int >= 0"), ({"fast_dev_run": -1}, "should be >= 0"),
    ({"model_registry": "x"}, "model registry"), ({"plugins": ["x"]}, "Found invalid type for plugin x"),
], ids=lambda value: re.sub(" object at 0x[0-9a-f]+", "", str(value)))
def test_arguments_that_do_not_fit(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(MisconfigurationException, match=match):
        pl.Trainer(**arguments)


def test_places_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What launchers say in environment variables: torchrun's, our own, those of machines; and what does not fit."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert environment_of(None, 1) == environment_of(1, 1) == Environment()
    assert environment_of(3, 1) == Environment(3, 0, 0, 0, 3, started=False)
    monkeypatch.setenv("NODE_RANK", "1")
    assert environment_of(2, 2) == Environment(4, 2, 0, 1, 2, started=False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert environment_of(2, 2) == Environment(4, 3, 1, 1, 2)
    assert environment_of(1, 1) == Environment()
    monkeypatch.setenv("WORLD_SIZE", "6")
    monkeypatch.setenv("RANK", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert environment_of(None, 1) == environment_of(3, 2) == environment_of(None, 2) == Environment(6, 4, 1, 1, 3)
    with pytest.raises(MisconfigurationException, match="has started 6 processes .WORLD_SIZE., but devices=2 and num_nodes=1"):
        environment_of(2, 1)
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("LOCAL_RANK")
    for make in (pl.Trainer, Fabric):
        with pytest.raises(MisconfigurationException, match="one of 6 processes"):
            make()


@pytest.mark.parametrize(("arguments", "error", "match"), [
    ({"accelerator": "abacus"}, ValueError, "invalid accelerator name"),
    ({"strategy": "no"}, ValueError, "invalid strategy name"),
    ({"precision": "8"}, ValueError, "Precision '8' is invalid"),
    ({"gradient_clip_val": "1"}, TypeError, "should be an int or a float"), ({"no_such": 1}, TypeError, "no_such"),
])
def test_names_that_do_not_exist(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        pl.Trainer(**arguments)


def test_modules_that_do_not_fit() -> None:
    def fails(match: str, error: type[Exception] = MisconfigurationException, method: str = "fit", given: Any = None,
              **methods: Any) -> None:
        with pytest.raises(error, match=match):
            getattr(trainer(**(given or {})), method)(type("Module", (Line,), methods)(), loader())
    configure = lambda o: {"configure_optimizers": lambda self: o(torch.optim.SGD(self.parameters(), lr=0.1))}
    scheduler = torch.optim.lr_scheduler
    with pytest.raises(TypeError, match="must be a `LightningModule`.*got `Linear`"):
        trainer().fit(nn.Linear(1, 1), loader())
    with pytest.raises(MisconfigurationException, match="requires a `train_dataloader\\(\\)`"):
        trainer().fit(Line())
    with pytest.raises(MisconfigurationException, match="No `test_step\\(\\)` method defined"):
        trainer().test(Line(), loader())
    with pytest.raises(TypeError, match="requires a `LightningModule` when it hasn't been passed"):
        trainer().test(dataloaders=loader())
    fails("No `configure_optimizers\\(\\)`", configure_optimizers=pl.LightningModule.configure_optimizers)
    fails("Unknown configuration for model optimizers", configure_optimizers=lambda self: 3)
    fails("only supported with manual optimization", RuntimeError, **configure(lambda o: [o, o]))
    fails("must include a monitor",
          **configure(lambda o: {"optimizer": o, "lr_scheduler": scheduler.ReduceLROnPlateau(o)}))
    fails('must have the key "scheduler"',
          **configure(lambda o: {"optimizer": o, "lr_scheduler": {"interval": "step"}}))
    fails('must be "step" or "epoch"', **configure(lambda o: ([o], [{"scheduler": scheduler.StepLR(o, 1),
                                                                     "interval": "batch"}])))
    fails("attached with an optimizer that wasn't returned", **configure(
        lambda o: ([o], [scheduler.StepLR(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), 1)])))
    fails("metric no which is not available",
          **configure(lambda o: {"optimizer": o, "lr_scheduler": scheduler.ReduceLROnPlateau(o), "monitor": "no"}))
    fails("'loss' key needs to be present", training_step=lambda self, batch, i: {"no": 1})
    fails("must return a Tensor, a dict, or None", training_step=lambda self, batch, i: 3)
    fails("`gradient_clip_val=0.1`|gradient_clip_val=0.1", given={"gradient_clip_val": 0.1},
          automatic_optimization=False)
    fails("should only be called with manual optimization", training_step=lambda self, batch,
          i: self.manual_backward(self.layer.weight.sum()))
    fails("has been removed in v2.0.0.*on_train_epoch_end", NotImplementedError,
          training_epoch_end=lambda self, outputs: None)
    with pytest.raises(RuntimeError, match="no `dataloader_idx` argument"):
        trainer().validate(Line(), [loader(), loader()])


def test_a_step_that_gives_nothing_is_passed_over() -> None:
    class Sometimes(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return None if batch_idx == 1 else super().training_step(batch, batch_idx)

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
            return -1 if batch_idx == 3 else None
    model = Sometimes()
    seen = []
    run = trainer(max_epochs=2, callbacks=cb.LambdaCallback(on_train_batch_end=lambda t, m, out, batch,
                                                            i: seen.append((i, "loss" in out))))
    run.fit(model, loader(24))
    assert seen == [(0, True), (1, False), (2, True)] * 2 and run.current_epoch == 2


def test_time_ends_training() -> None:
    timer = cb.Timer(duration=timedelta(seconds=0))
    run = trainer(max_epochs=5, callbacks=[timer])
    run.fit(Line(), loader())
    assert run.global_step == 1 and run.should_stop and timer.time_elapsed("train") > 0
    run = trainer(max_epochs=5, max_time={"seconds": 0}, min_steps=3)
    run.fit(Line(), loader())
    assert run.global_step == 3


def test_exceptions_leave_the_trainer_in_order(tmp_path: Path) -> None:
    seen: list[str] = []

    class Breaks(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.global_step == 3:
                raise KeyError("broken")
            return super().training_step(batch, batch_idx)
    run = trainer(max_epochs=3, enable_checkpointing=True, callbacks=[
        cb.LambdaCallback(on_exception=lambda t, m, e: seen.append(type(e).__name__)),
        cb.OnExceptionCheckpoint(tmp_path)])
    with pytest.raises(KeyError, match="broken"):
        run.fit(Breaks(), loader())
    assert seen == ["KeyError"] and run.state.status == "interrupted" and run.state.stage is None
    rest = trainer(max_epochs=3)
    rest.fit(Line(), loader(), ckpt_path=tmp_path / "on_exception.ckpt")
    assert rest.global_step == 6

    class Interrupted(Line):
        def on_train_epoch_end(self) -> None:
            raise KeyboardInterrupt
    with pytest.raises(SystemExit):
        trainer().fit(Interrupted(), loader())


def test_sigterm_ends_training_after_the_batch(tmp_path: Path) -> None:
    program = f"""
import os, signal, lightning, torch
class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
    def training_step(self, batch, batch_idx):
        if batch_idx == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.layer(batch).sum()
    def on_train_batch_end(self, *args):
        print("done", self.global_step, flush=True)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
trainer = lightning.Trainer(logger=False, max_epochs=2, default_root_dir={str(tmp_path)!r}, callbacks=[
    lightning.pytorch.callbacks.ModelCheckpoint(dirpath={str(tmp_path)!r}, save_on_exception=True, filename="{{step}}")])
trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(20, 1), batch_size=2))
"""
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", "-c", program],
                          capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f"done {i}" for i in range(1, 5)], done.stderr
    assert "Received SIGTERM" in done.stderr and (tmp_path / "step=4.ckpt").exists()


def test_precisions() -> None:
    kinds = {}

    class Tells(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            out = self(batch[0])
            kinds[self.trainer.precision] = (batch[0].dtype, self.layer.weight.dtype, out.dtype, torch.zeros(1).dtype)
            return nn.functional.mse_loss(out.float(), batch[1].float())
    for precision in (None, 64, "bf16-mixed", "bf16-true", "32"):
        trainer(precision=precision).fit(Tells(), loader())
    with pytest.warns(UserWarning, match="AMP with fp16 is not supported on CPU"):
        assert pl.Trainer(precision="16-mixed", **QUIET).precision == "bf16-mixed"
    f32, f64, bf16 = torch.float32, torch.float64, torch.bfloat16
    assert kinds == {"32-true": (f32,) * 4, "64-true": (f64,) * 4, "bf16-mixed": (f32, f32, bf16, f32),
                     "bf16-true": (bf16,) * 4}
    assert torch.get_default_dtype() == f32


def test_evaluation_leaves_no_graph_and_restores_modes() -> None:
    class Modes(Line):
        def __init__(self) -> None:
            super().__init__()
            self.frozen = nn.Dropout()
            self.frozen.eval()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            assert not self.training and not torch.is_grad_enabled()
            self.inference = torch.is_inference_mode_enabled()

        predict_step = pl.LightningModule.predict_step
    model = Modes()
    with pytest.warns(UserWarning, match="1 module\\(s\\) in eval mode"):
        trainer().fit(model, loader(), loader())
    assert model.training and not model.frozen.training and not model.inference
    trainer().validate(model, loader(), verbose=False)
    assert model.inference
    trainer(inference_mode=False).validate(model, loader(), verbose=False)
    assert not model.inference and model.training and not model.frozen.training
    predictions = trainer().predict(model, DataLoader(torch.ones(5, 3), batch_size=2))
    assert [tuple(p.shape) for p in predictions] == [(2, 1), (2, 1), (1, 1)]


def test_anomalies_are_named() -> None:
    class Bad(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return (self(batch[0]) * 0 - 1).sqrt().sum()
    with pytest.raises(RuntimeError, match="returned nan values"):
        trainer(detect_anomaly=True).fit(Bad(), loader())


def test_profiles(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from rushlight.lightning.profilers import AdvancedProfiler, SimpleProfiler
    simple = SimpleProfiler(tmp_path, "simple")
    note = cb.LambdaCallback(on_train_batch_end=lambda *args: None)
    trainer(profiler=simple, callbacks=[note]).fit(Line(), loader())
    text = (tmp_path / "simple.txt").read_text()
    assert len(simple.recorded_durations["[LightningModule]Line.training_step"]) == 2 and "Line.training_step" in text
    assert len(simple.recorded_durations["[Callback]LambdaCallback.on_train_batch_end"]) == 2
    assert len(simple.recorded_durations["[_TrainingEpochLoop].train_dataloader_next"]) == 2
    trainer(profiler=AdvancedProfiler(tmp_path, "advanced", line_count_restriction=3)).fit(Line(), loader())
    assert "Profile stats for: [LightningModule]Line.training_step" in (tmp_path / "advanced.txt").read_text()
