"""LightningModule, data modules, loggers and names of rushlight.lightning."""

from __future__ import annotations

import csv
import pickle
import subprocess
import sys
from argparse import Namespace
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lightning_models import Line, loader, trainer

import rushlight as torch
import rushlight.lightning as pl
from rushlight import nn
from rushlight.lightning.loggers import CSVLogger, Logger
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.utils.data import TensorDataset


# --- modules ---------------------------------------------------------------------------------------------------------
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
        assert torch.equal(copy.layer.weight, model.layer.weight) and copy._trainer is None
        assert copy.hparams == model.hparams
    assert model.trainer.global_step == 2
    with pytest.raises(RuntimeError, match="Line is not attached to a `Trainer`"):
        Line().trainer
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
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", "-c", program],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.4


# --- data ------------------------------------------------------------------------------------------------------------
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
    assert calls == ["prepare", "setup fit", "teardown fit"] and run.datamodule.hparams.n == 8
    assert run.num_training_batches == 2
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
    assert list(CombinedLoader({"a": long, "b": short}, "sequential")) == [
        (1, 0, 0), (2, 1, 0), (3, 2, 0), (7, 0, 1), (8, 1, 1)]
    assert [len(CombinedLoader([long, short], mode))
            for mode in ("min_size", "max_size_cycle", "max_size", "sequential")] == [2, 3, 3, 5]
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


# --- loggers ---------------------------------------------------------------------------------------------------------
def test_csv_files(tmp_path: Path) -> None:
    class Logs(Line):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.log("train", outputs["loss"])
    logger = CSVLogger(tmp_path, name="runs")
    run = pl.Trainer(logger=logger, max_epochs=2, log_every_n_steps=1, enable_progress_bar=False,
                     enable_model_summary=False)
    run.fit(Logs(rate=0.02), loader(), loader())
    folder = tmp_path / "runs" / "version_0"
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoints", "hparams.yaml", "metrics.csv"]
    assert run.log_dir == str(folder)
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


# --- names -----------------------------------------------------------------------------------------------------------
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
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", "-c", program],
                          capture_output=True, text=True, check=False)
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
