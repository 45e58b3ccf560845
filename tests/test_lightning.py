"""LightningModule, data modules, loggers, callbacks and the errors of the Trainer."""

from __future__ import annotations

import csv
import io
import pickle
import re
import subprocess
import sys
from argparse import Namespace
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import rushlight as torch
import rushlight.lightning as pl
from rushlight import nn
from rushlight.lightning import callbacks as cb
from rushlight.lightning.loggers import CSVLogger, Logger
from rushlight.lightning.strategies import FSDPStrategy, SingleDeviceStrategy
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.utils.data import DataLoader, TensorDataset

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


def loader(n: int = 8, batch: int = 4) -> Any:
    x = torch.arange(3.0 * n).reshape(n, 3) / n
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=batch)


class Line(pl.LightningModule):
    def __init__(self, width: int = 3, rate: float = 0.01) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(width, 1)

    def forward(self, x: Any) -> Any:
        return self.layer(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val", self.training_step(batch, batch_idx))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams.rate)


def trainer(**arguments: Any) -> pl.Trainer:
    return pl.Trainer(**{**QUIET, "max_epochs": 1, **arguments})


# --- modules -------------------------------------------------------------------------------------------------------
def test_hyperparameters_are_the_arguments_of_all_constructors() -> None:
    class Wide(Line):
        def __init__(self, extra: str, *, keyword: int = 4, **rest: Any) -> None:
            super().__init__(**rest)
            self.local = keyword

    assert dict(Wide("x", rate=0.5).hparams) == {"extra": "x", "keyword": 4, "width": 3, "rate": 0.5}

    class Some(pl.LightningModule):
        def __init__(self, a: int, b: int, c: Any) -> None:
            super().__init__()
            self.save_hyperparameters("a", "b")
            self.save_hyperparameters({"more": 1})

    some = Some(1, 2, object())
    assert dict(some.hparams) == {"a": 1, "b": 2, "more": 1} and some.hparams.b == 2
    some.hparams.b = 7
    assert some.hparams_initial.b == 2

    class Whole(pl.LightningModule):
        def __init__(self, config: Any, other: int = 1) -> None:
            super().__init__()
            self.save_hyperparameters(config)
    assert dict(Whole(Namespace(x=1)).hparams) == {"x": 1}

    class Less(pl.LightningModule):
        def __init__(self, net: Any, size: int) -> None:
            super().__init__()
            self.save_hyperparameters(ignore=["net"])
    assert dict(Less(nn.Linear(1, 1), 2).hparams) == {"size": 2}
    with pytest.warns(UserWarning, match="ignore=\\['net'\\]"):
        type("All", (Less,), {"__init__": _keeps_all})(nn.Linear(1, 1), 2)
    with pytest.raises(ValueError, match="Primitives"):
        pl.LightningModule().save_hyperparameters(3)


def _keeps_all(self: Any, net: Any, size: int) -> None:
    pl.LightningModule.__init__(self)
    self.save_hyperparameters({"net": net})


def test_load_from_checkpoint(tmp_path: Path) -> None:
    model = Line(rate=0.25)
    run = trainer()
    run.fit(model, loader())
    run.save_checkpoint(tmp_path / "m.ckpt")
    loaded = Line.load_from_checkpoint(tmp_path / "m.ckpt")
    assert loaded.hparams.rate == 0.25 and torch.equal(loaded.layer.weight, model.layer.weight)
    assert Line.load_from_checkpoint(tmp_path / "m.ckpt", rate=0.5).hparams.rate == 0.5
    (tmp_path / "hparams.yaml").write_text("width: 3\nrate: 0.75\n")
    assert Line.load_from_checkpoint(tmp_path / "m.ckpt", hparams_file=tmp_path / "hparams.yaml").hparams.rate == 0.75

    class More(Line):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.head = nn.Linear(1, 1)
    with pytest.raises(TypeError, match="cannot be called on an instance"):
        model.load_from_checkpoint(tmp_path / "m.ckpt")
    with pytest.raises(RuntimeError, match="head.weight"):
        More.load_from_checkpoint(tmp_path / "m.ckpt")
    with pytest.warns(UserWarning, match="not in the checkpoint"):
        More.load_from_checkpoint(tmp_path / "m.ckpt", strict=False)


def test_a_module_is_copied_pickled_and_frozen() -> None:
    model = Line()
    trainer().fit(model, loader())
    for copy in (deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copy.layer.weight,
                           model.layer.weight) and copy._trainer is None and copy.hparams == model.hparams
    assert model.trainer.global_step == 2
    with pytest.raises(RuntimeError, match="Line is not attached to a `Trainer`"):
        Line().trainer  # noqa: B018
    model.freeze()
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    model.unfreeze()
    assert model.training and all(p.requires_grad for p in model.parameters())


def test_log_says_what_is_wrong() -> None:
    def fails(error: type[Exception], match: str, hook: str, call: Any) -> None:
        model = type("Logs", (Line,), {hook: lambda self, *args: call(self)})()
        with pytest.raises(error, match=match):
            trainer().fit(model, loader(), loader())
    fails(MisconfigurationException, "You can't `self.log\\(\\)` inside `on_train_end`", "on_train_end",
          lambda m: m.log("x", 1.0))
    fails(MisconfigurationException, "on_step=True.*must be one of", "on_train_epoch_end",
          lambda m: m.log("x", 1.0, on_step=True))
    fails(ValueError, "must have a single element.*mean\\(\\)", "on_train_batch_start",
          lambda m: m.log("x", torch.ones(2)))
    fails(ValueError, "use `self.log_dict`", "on_train_batch_start", lambda m: m.log("x", {"a": 1}))
    fails(ValueError, "`str` values cannot be logged", "on_train_batch_start", lambda m: m.log("x", "text"))
    fails(MisconfigurationException, "Only `self.log\\(..., reduce_fx=", "on_train_batch_start",
          lambda m: m.log("x", 1.0, reduce_fx=torch.std))
    fails(MisconfigurationException, "twice in `on_train_batch_start` with different arguments", "on_train_batch_start",
          lambda m: (m.log("x", 1.0), m.log("x", 1.0, on_epoch=True)))
    fails(MisconfigurationException, "dataloader_idx", "on_train_batch_start",
          lambda m: m.log("x/dataloader_idx_0", 1.0))
    with pytest.warns(UserWarning, match="hasn't been passed to the `Trainer`"):
        Line().log("x", 1.0)


def test_metrics_are_computed_once_an_epoch_and_reset() -> None:
    class Count(nn.Module):
        """As a metric of torchmetrics."""

        def __init__(self) -> None:
            super().__init__()
            self.reset()
            self.computed = 0

        def reset(self) -> None:
            self.n = 0

        def update(self, batch: Any) -> None:
            self.n += len(batch[0])

        def compute(self) -> Any:
            self.computed += 1
            return torch.tensor(float(self.n))

    class Model(Line):
        def __init__(self) -> None:
            super().__init__()
            self.count = Count()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.count.update(batch)
            self.log("count", self.count)
    model = Model()
    run = trainer(max_epochs=3, num_sanity_val_steps=0)
    run.fit(model, loader(), loader(10))
    assert run.callback_metrics["count"] == 10 and model.count.computed == 3 and model.count.n == 0


def test_a_real_metric_library() -> None:
    """torchmetrics, unchanged, on rushlight."""
    found = subprocess.run([sys.executable, "-c", "import importlib.util as u, sys;"
                                                  " sys.exit(u.find_spec('torchmetrics') is None)"], check=False)
    if found.returncode:
        pytest.skip("torchmetrics is not installed")
    program = """
import torch, torchmetrics, lightning as L
class M(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net, self.accuracy = torch.nn.Linear(4, 3), torchmetrics.Accuracy(task="multiclass", num_classes=3)
    def training_step(self, batch, i):
        out = self.net(batch[0])
        self.accuracy(out, batch[1])
        self.log("accuracy", self.accuracy, on_step=True, on_epoch=True)
        return torch.nn.functional.cross_entropy(out, batch[1])
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
torch.manual_seed(0)
x = torch.randn(64, 4)
data = torch.utils.data.TensorDataset(x, x[:, :3].argmax(1))
trainer = L.Trainer(max_epochs=3, logger=False, enable_checkpointing=False)
trainer.fit(M(), torch.utils.data.DataLoader(data, batch_size=16))
print(round(trainer.callback_metrics["accuracy_epoch"].item(), 5))
"""
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", "-c", program], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.4


# --- data ----------------------------------------------------------------------------------------------------------
def test_a_data_module() -> None:
    calls: list[str] = []

    class Data(pl.LightningDataModule):
        def __init__(self, n: int = 8) -> None:
            super().__init__()
            self.save_hyperparameters()

        def prepare_data(self) -> None:
            calls.append("prepare")

        def setup(self, stage: str) -> None:
            calls.append(f"setup {stage}")

        def teardown(self, stage: str) -> None:
            calls.append(f"teardown {stage}")

        def train_dataloader(self) -> Any:
            return loader(self.hparams.n)

        def val_dataloader(self) -> Any:
            return loader(4)

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch[0] * 2, batch[1] * 2

        def state_dict(self) -> Any:
            return {"kept": 5}

        def load_state_dict(self, state: Any) -> None:
            calls.append(f"loaded {state}")
    run = trainer()
    run.fit(Line(), Data())
    assert calls == ["prepare", "setup fit",
                     "teardown fit"] and run.datamodule.hparams.n == 8 and run.num_training_batches == 2
    assert run.validate(datamodule=Data(), model=Line(), verbose=False)[0].keys() == {"val"}
    made = pl.LightningDataModule.from_datasets(TensorDataset(torch.ones(6, 3), torch.ones(6, 1)), batch_size=2)
    run = trainer()
    run.fit(Line(), datamodule=made)
    assert run.global_step == 3
    with pytest.raises(MisconfigurationException, match="You cannot pass `train_dataloader`"):
        run.fit(Line(), loader(), datamodule=made)


def test_combined_loaders() -> None:
    from rushlight.lightning.utilities import CombinedLoader
    long, short = range(1, 4), range(7, 9)
    assert [b for b, _, _ in CombinedLoader([long, short], "min_size")] == [[1, 7], [2, 8]]
    assert [b for b, _, _ in CombinedLoader([long, short], "max_size_cycle")] == [[1, 7], [2, 8], [3, 7]]
    assert [b for b, _, _ in CombinedLoader((long, short), "max_size")] == [(1, 7), (2, 8), (3, None)]
    assert list(CombinedLoader({"a": long, "b": short}, "sequential")) == [(1, 0, 0), (2, 1, 0), (3, 2, 0), (7, 0, 1),
                                                                           (8, 1, 1)]
    assert [len(CombinedLoader([long, short], mode)) for mode in ("min_size", "max_size_cycle", "max_size",
                                                                  "sequential")] == [2, 3, 3, 5]
    limited = CombinedLoader([long, short], "sequential")
    limited.limits = [1, 5]
    assert [b for b, _, _ in limited] == [1, 7, 8] and len(limited) == 3
    with pytest.raises(ValueError, match="Unsupported mode 'no'"):
        CombinedLoader([], "no")


def test_loaders_are_asked_for_again() -> None:
    class Counts(Line):
        asked = 0

        def train_dataloader(self) -> Any:
            self.asked += 1
            return loader()
    for every, times in ((0, 1), (1, 4), (2, 2)):
        model = Counts()
        trainer(max_epochs=4, reload_dataloaders_every_n_epochs=every).fit(model)
        assert model.asked == times


# --- the trainer ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("arguments", "match"), [
    ({"accelerator": "gpu"}, "No supported gpu backend found.*accelerator='auto'"),
    ({"accelerator": "tpu"}, "XLAAccelerator.*not available"), ({"devices": 2}, "pass devices=1"),
    ({"num_nodes": 2}, "pass devices=1"), ({"devices": 0}, "should be an int > 0"),
    ({"devices": [0]}, "should be an int > 0"), ({"strategy": "fsdp"}, "needs several accelerators"),
    ({"strategy": "deepspeed_stage_2"}, "needs several accelerators"),
    ({"precision": "transformer-engine"}, "needs NVIDIA's"),
    ({"limit_val_batches": 1.5}, "invalid value 1.5 for limit_val_batches"),
    ({"limit_train_batches": -1}, "invalid value -1"), ({"accumulate_grad_batches": 0}, "`accumulate_grad_batches`"
                                                                                        " should be an int greater"
                                                                                        " than 0"),
    ({"gradient_clip_algorithm": "no"}, "Allowed algorithms"), ({"max_epochs": -2}, "`max_epochs` must be a"
                                                                                    " non-negative integer or -1"),
    ({"max_steps": -2}, "`max_steps` must be"), ({"max_time": "1:00"}, "DD:HH:MM:SS"),
    ({"check_val_every_n_epoch": 1.5}, "should be an integer"),
    ({"check_val_every_n_epoch": None, "val_check_interval": 0.5}, "should be an integer when"
                                                                   " `check_val_every_n_epoch=None`"),
    ({"profiler": "no"}, "can only be one of"), ({"profiler": "pytorch"}, "torch.profiler"),
    ({"callbacks": [3]}, "is no `Callback`"), ({"callbacks": cb.ModelCheckpoint(), "enable_checkpointing": False},
                                               "`enable_checkpointing=False` but found"
                                                                         " `ModelCheckpoint`"),
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
    fails("attached with an optimizer that wasn't returned",
          **configure(lambda o: ([o], [scheduler.StepLR(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0),
                                                        1)])))
    fails("metric no which is not available",
          **configure(lambda o: {"optimizer": o, "lr_scheduler": scheduler.ReduceLROnPlateau(o), "monitor": "no"}))
    fails("'loss' key needs to be present", training_step=lambda self, batch, i: {"no": 1})
    fails("must return a Tensor, a dict, or None", training_step=lambda self, batch, i: 3)
    fails("`gradient_clip_val=0.1`|gradient_clip_val=0.1", given={"gradient_clip_val": 0.1},
          automatic_optimization=False)
    fails("should only be called with manual optimization", training_step=lambda self, batch,
          i: self.manual_backward(self.layer.weight.sum()))
    fails("has been removed in v2.0.0.*on_train_epoch_end", NotImplementedError, training_epoch_end=lambda self,
          outputs: None)
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
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", "-c", program], capture_output=True, text=True,
                          check=False)
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


# --- callbacks -----------------------------------------------------------------------------------------------------
def test_predictions_are_written_with_their_places() -> None:
    class Writer(cb.BasePredictionWriter):
        def write_on_batch_end(self, trainer: Any, module: Any, prediction: Any, places: Any, batch: Any,
                               batch_idx: int, which: int) -> None:
            batches.append((places, len(prediction)))

        def write_on_epoch_end(self, trainer: Any, module: Any, predictions: Any, places: Any) -> None:
            epochs.append((len(predictions), places))
    batches: list[Any] = []
    epochs: list[Any] = []
    run = trainer(callbacks=[Writer("batch_and_epoch")])
    assert run.predict(Line(), DataLoader(torch.ones(5, 3), batch_size=2), return_predictions=False) is None
    assert batches == [([0, 1], 2), ([2, 3], 2), ([4], 1)] and epochs == [(3, [[[0, 1], [2, 3], [4]]])]


def test_a_backbone_is_trained_later() -> None:
    class Two(Line):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))

        def forward(self, x: Any) -> Any:
            return self.layer(self.backbone(x))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(filter(lambda p: p.requires_grad, self.parameters()), lr=0.1)
    model, frozen = Two(), []
    before = model.backbone[0].weight.detach().clone()
    note = cb.LambdaCallback(on_train_epoch_end=lambda t, m: frozen.append(torch.equal(m.backbone[0].weight, before)))
    run = trainer(max_epochs=4, callbacks=[cb.BackboneFinetuning(2, lambda epoch: 1.5), note])
    run.fit(model, loader())
    assert frozen == [True, True, False, False]
    assert [g["lr"] for g in run.optimizers[0].param_groups] == pytest.approx([0.1, 0.015])


def test_batch_norms_measure_the_averaged_weights() -> None:
    class Normed(Line):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Any) -> Any:
            return self.layer(self.norm(x))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            self.log("loss", loss)
            return loss
    model = Normed()
    trainer(max_epochs=4, callbacks=[cb.StochasticWeightAveraging(0.01)]).fit(model, loader(8, 8))
    x = loader(8, 8).dataset.tensors[0]
    assert torch.allclose(model.norm.running_mean, x.mean(0)) and torch.allclose(model.norm.running_var, x.var(0))
    assert model.norm.momentum == 0.1 and "log" not in model.__dict__


def test_callbacks_of_the_module() -> None:
    class Own(Line):
        def configure_callbacks(self) -> Any:
            return [cb.EarlyStopping("val", patience=9)]
    run = trainer(callbacks=[cb.EarlyStopping("other")])
    run.fit(Own(), loader(), loader())
    assert [c.monitor for c in run.early_stopping_callbacks] == ["val"] and run.early_stopping_callback.patience == 9
    with pytest.raises(RuntimeError, match="Early stopping conditioned on metric `no`.*`val`"):
        trainer(callbacks=[cb.EarlyStopping("no")]).fit(Line(), loader(), loader())
    with pytest.raises(RuntimeError, match="more than one stateful callback of type `Timer`"):
        trainer(callbacks=[cb.Timer(), cb.Timer()])


def test_summary() -> None:
    class Deep(Line):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
            self.bias = nn.Parameter(torch.zeros(5), requires_grad=False)
            self.example_input_array = torch.zeros(2, 3)
    from rushlight.lightning.utilities.model_summary import ModelSummary, get_human_readable_count
    summary = ModelSummary(Deep(), max_depth=-1)
    assert summary.layer_names == ["layer", "layer.0", "layer.1"] and summary.param_nums == [21, 16, 5]
    assert summary.in_sizes == [[2, 3], [2, 3], [2, 4]] and summary.out_sizes[-1] == [2, 1]
    assert (summary.total_parameters, summary.trainable_parameters) == (26, 21)
    assert "other params" in str(summary) and "Non-trainable params" in str(summary)
    assert [get_human_readable_count(n) for n in (0, 1500, 2_000_000_000)] == ["0  ", "1.5 K", "2.0 B"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("leave", [False, True])
def test_a_bar_on_a_terminal(leave: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shows(Line):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.log("shown", outputs["loss"], prog_bar=True)

        def on_train_epoch_start(self) -> None:
            self.print("a word")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    trainer(max_epochs=3, enable_progress_bar=True, callbacks=[cb.TQDMProgressBar(leave=leave)]).fit(Shows(), loader())
    text = screen.getvalue()
    assert "Epoch 2" in text and "2/2" in text and "shown=" in text and text.count("a word") == 3
    assert text.count("\x1b[?25h") == (3 if leave else 1), "how many bars were finished"


def test_a_bar_made_for_tqdm_is_named() -> None:
    class Mine(cb.TQDMProgressBar):
        def init_train_tqdm(self) -> Any:
            return None
    with pytest.warns(UserWarning, match="`Mine.init_train_tqdm` is not called"):
        trainer(enable_progress_bar=True, callbacks=[Mine()]).fit(Line(), loader())


def test_plain_lines_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    trainer(max_epochs=5, enable_progress_bar=True).fit(Line(), loader())
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("Epoch")][-1] == "Epoch 4 2/2" and len(lines) < 5
    trainer(max_epochs=1, callbacks=[cb.TQDMProgressBar(refresh_rate=0)], enable_progress_bar=True).fit(
        Line(), loader()
    )
    assert "Epoch" not in capsys.readouterr().err


def test_logging_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No number is read in 200 steps whose values are logged in every way, but those that the loggers are due and the
    bar shows."""
    class Logs(Line):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            self.log("both", loss, on_step=True, on_epoch=True, prog_bar=True)
            self.log("sum", loss, on_step=False, on_epoch=True, reduce_fx="sum")
            self.log("batch", loss, on_step=False, on_epoch=True, batch_size=3)
            return loss
    read: list[int] = []
    item = torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "item", lambda self: (read.append(1), item(self))[1])
    run = trainer(enable_progress_bar=True)
    run.fit(Logs(rate=1e-9), loader(200, 1))
    assert run.global_step == 200 and 0 < len(read) < 30
    assert run.callback_metrics["both_epoch"].item() == pytest.approx(run.callback_metrics["sum"].item() / 200,
                                                                      rel=1e-5)


class Sized(Line):
    """Memory for batches of at most 11."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_size, self.tried = 2, []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.tried.append(len(batch[0]))
        if len(batch[0]) > 11:
            raise RuntimeError("out of memory")
        return super().training_step(batch, batch_idx)

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.training_step(batch, batch_idx)

    def train_dataloader(self) -> Any:
        return loader(80, self.batch_size)

    val_dataloader = predict_dataloader = train_dataloader

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=1e-9)


@pytest.mark.parametrize("method", ["fit", "validate", "predict"])
@pytest.mark.parametrize(("mode", "found"), [("power", 8), ("binsearch", 11)])
def test_batch_sizes_that_fit(method: str, mode: str, found: int) -> None:
    from rushlight.lightning.tuner import Tuner
    model = Sized()
    assert Tuner(trainer()).scale_batch_size(model, method=method, mode=mode) == found == model.batch_size
    model = Sized()
    run = trainer(callbacks=[cb.BatchSizeFinder(mode=mode)], num_sanity_val_steps=0)
    getattr(run, method)(model)
    assert model.batch_size == found and model.tried[-1] == (80 % found or found)
    if method == "fit":
        assert (
            run.global_step == -(-80 // found)
            and int(run.optimizers[0].state[model.layer.weight]["step"]) == run.global_step
        )
    with pytest.raises(MisconfigurationException, match="Field no not found"):
        Tuner(trainer()).scale_batch_size(model, method=method, batch_arg_name="no")


def test_sizes_and_rates_are_searched_amid_training() -> None:
    """Subclasses search at the beginning of epochs; the optimizer's state, weights and counters are then as before."""
    class Again(cb.BatchSizeFinder):
        def on_fit_start(self, *args: Any) -> None:
            pass

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.current_epoch == 1:
                before = [pl_module.layer.weight.detach().clone(), trainer.global_step]
                self.scale_batch_size(trainer, pl_module)
                assert torch.equal(before[0], pl_module.layer.weight) and before[1] == trainer.global_step == 40
    model = Sized()
    run = trainer(max_epochs=2, callbacks=[Again()])
    run.fit(model)
    assert run.global_step == 40 + 10 and int(run.optimizers[0].state[model.layer.weight]["step"]) == 50
    rated = Line()
    run = trainer(callbacks=[cb.LearningRateFinder(num_training_steps=40, early_stop_threshold=None, attr_name="rate")])
    run.fit(rated, loader(80))
    assert rated.hparams.rate == run.optimizers[0].param_groups[0]["lr"] != 0.01
    with pytest.raises(AttributeError, match="one of these fields"):
        trainer(callbacks=[cb.LearningRateFinder()]).fit(Line(), loader())


# --- loggers -------------------------------------------------------------------------------------------------------
def test_csv_files(tmp_path: Path) -> None:
    class Logs(Line):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.log("train", outputs["loss"])
    logger = CSVLogger(tmp_path, name="runs")
    run = pl.Trainer(logger=logger, max_epochs=2, log_every_n_steps=1, enable_progress_bar=False,
                     enable_model_summary=False)
    run.fit(Logs(rate=0.02), loader(), loader())
    folder = tmp_path / "runs" / "version_0"
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoints", "hparams.yaml",
                                                        "metrics.csv"] and run.log_dir == str(folder)
    assert (folder / "hparams.yaml").read_text() == "width: 3\nrate: 0.02\n"
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert [(row["epoch"], row["step"], bool(row["train"]), bool(row["val"])) for row in rows] == [
        ("0", "0", True, False), ("0", "1", True, False), ("0", "1", False, True), ("1", "2", True, False),
        ("1", "3", True, False), ("1", "3", False, True)]
    assert CSVLogger(tmp_path, name="runs").version == 1


def test_a_logger_of_ones_own_gets_numbers() -> None:
    got: list[Any] = []

    class Mine(Logger):
        name, version = "mine", "v"

        def log_metrics(self, metrics: Any, step: Any = None) -> None:
            got.append((metrics, step))

        def log_hyperparams(self, params: Any, *args: Any) -> None:
            got.append(dict(params))

        def finalize(self, status: str) -> None:
            got.append(status)
    run = trainer(logger=[Mine()])
    run.fit(Line(), loader(), loader())
    assert got[0] == {"width": 3, "rate": 0.01} and got[-1] == "success"
    assert isinstance(got[1][0]["val"], float) and got[1][1] == 1
    run = trainer(logger=Mine(), fast_dev_run=True)
    assert type(run.logger).__name__ == "DummyLogger"


# --- names ---------------------------------------------------------------------------------------------------------
def test_names_under_rushlight_run() -> None:
    program = """
import lightning, lightning.pytorch, pytorch_lightning, torch
from lightning.pytorch.callbacks.early_stopping import EarlyStopping
from lightning.pytorch.utilities.types import STEP_OUTPUT, OptimizerLRScheduler
from pytorch_lightning.callbacks.model_checkpoint import ModelCheckpoint
from pytorch_lightning.callbacks.progress import TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.loggers.csv_logs import CSVLogger as Same
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy, FSDPStrategy, SingleDeviceStrategy
from pytorch_lightning.trainer import Trainer
from pytorch_lightning.tuner import Tuner
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException
assert lightning.pytorch.Trainer is pytorch_lightning.Trainer is Trainer is lightning.Trainer
assert Same is CSVLogger and issubclass(lightning.LightningModule, torch.nn.Module)
assert Trainer(strategy=DDPStrategy(), logger=False).world_size == 1
print(lightning.__version__, lightning.seed_everything(3, verbose=False))
"""
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", "-c", program], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{pl.__version__} 3\n"


def test_messages_are_silenced_by_either_name() -> None:
    program = """
import logging, rushlight.lightning as pl
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
pl.seed_everything(3)
logging.getLogger("lightning.pytorch").setLevel(logging.NOTSET)
pl.seed_everything(4)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "Seed set to 4\n"


def test_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    import numpy as np
    from rushlight.lightning.utilities.seed import isolate_rng
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")
    draw = lambda: (torch.rand(1).item(), np.random.rand(), random.random())
    assert pl.seed_everything(7, verbose=False) == 7
    first = draw()
    pl.seed_everything(7, verbose=False)
    with isolate_rng():
        assert draw() == first
    assert draw() == first != draw()
    with pytest.raises(ValueError, match="-1 is not in bounds"):
        pl.seed_everything(-1)
    monkeypatch.setenv("PL_GLOBAL_SEED", "text")
    with pytest.raises(ValueError, match="PL_GLOBAL_SEED: 'text'"):
        pl.seed_everything()
