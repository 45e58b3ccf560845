"""A Trainer goes on from a checkpoint as if it had never stopped:
every bit is the same, wherever the checkpoint was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rushlight as torch
import rushlight.lightning as pl
from rushlight import nn
from rushlight.lightning.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint, StochasticWeightAveraging
from rushlight.utils.data import DataLoader, Dataset, IterableDataset

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
BATCHES, BATCH = 6, 4


class Noisy(Dataset):
    """Samples that are not the same twice."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.x = torch.randn(BATCHES * BATCH, 3, generator=generator)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Any:
        x = self.x[i] + 0.1 * torch.randn(3)
        return x, x.sum().reshape(1)


class Stream(IterableDataset):
    """The same without a length."""

    def __iter__(self) -> Any:
        samples = Noisy()
        return (samples[i] for i in torch.randperm(len(samples)).tolist())


class Model(pl.LightningModule):
    """Dropout, batch norm, and a scheduler that watches a metric."""

    def __init__(self, schedule: str = "plateau", manual: bool = False) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 1))
        self.automatic_optimization = not manual
        self.losses: list[str] = []
        self.epochs: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = nn.functional.mse_loss(self.layers(batch[0]), batch[1])
        self.losses.append(loss.item().hex())
        self.log("train", loss, on_step=True, on_epoch=True)
        if self.automatic_optimization:
            return loss
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return None

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val", nn.functional.mse_loss(self.layers(batch[0]), batch[1]))

    def on_train_epoch_end(self) -> None:
        value = self.trainer.callback_metrics.get("train_epoch")
        self.epochs.append(value if value is None else value.item().hex())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.05)
        lr = torch.optim.lr_scheduler
        if self.hparams.schedule == "plateau":
            return {"optimizer": optimizer,
                    "lr_scheduler": lr.ReduceLROnPlateau(optimizer, patience=0, factor=0.5), "monitor": "val"}
        if self.hparams.schedule == "plateau each step":
            scheduler = {"scheduler": lr.ReduceLROnPlateau(optimizer, patience=0, factor=0.9),
                         "monitor": "train_step", "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": scheduler}
        return [optimizer], [{"scheduler": lr.OneCycleLR(optimizer, 0.1, total_steps=48), "interval": "step"}]


def content(value: Any) -> Any:
    """Everything within, tensors as their bytes."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, dict):
        return {key: content(inner) for key, inner in value.items()}
    return [content(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def loaders(workers: int = 0, stream: bool = False) -> Any:
    training = Stream() if stream else Noisy()
    return (DataLoader(training, batch_size=BATCH, shuffle=None if stream else True, num_workers=workers),
            DataLoader(Noisy(), batch_size=8, num_workers=workers))


def fit(model: Any, data: Any, path: Any = None, **arguments: Any) -> pl.Trainer:
    trainer = pl.Trainer(**{**QUIET, "max_epochs": 4, "enable_checkpointing": False, **arguments})
    trainer.fit(model, *data, ckpt_path=path)
    return trainer


def state(trainer: Any, model: Any) -> Any:
    return content([model.state_dict(), [o.state_dict() for o in trainer.optimizers],
                    [c.scheduler.state_dict() for c in trainer.lr_scheduler_configs], trainer.global_step,
                    trainer.current_epoch])


def compare(tmp_path: Path, at: Any, model: dict[str, Any] | None = None, data: dict[str, Any] | None = None,
            **arguments: Any) -> None:
    """Fit at once, writing a checkpoint where `at` says; then fit from it with other
    seeds and weights: the same from there on."""
    path, written = tmp_path / "at.ckpt", []

    def save(hook: str) -> Any:
        def run(trainer: Any, module: Any, *args: Any) -> None:
            if not written and not trainer.sanity_checking and at[1] == trainer.global_step:
                written.append(len(module.losses))
                trainer.save_checkpoint(path)
        return {hook: run}
    pl.seed_everything(1, verbose=False)
    whole = Model(**(model or {}))
    one = fit(whole, loaders(**(data or {})),
              callbacks=[LambdaCallback(**save(at[0])), *arguments.pop("more", [])], **arguments)
    assert written, "no checkpoint was written"
    pl.seed_everything(2, verbose=False)
    rest = Model(**(model or {}))
    two = fit(rest, loaders(**(data or {})), path, **arguments)
    assert rest.losses == whole.losses[written[0]:] and len(set(whole.losses)) == len(whole.losses)
    assert state(one, whole) == state(two, rest)
    assert None not in whole.epochs and rest.epochs == whole.epochs[len(whole.epochs) - len(rest.epochs):]


PLACES = {"end of an epoch": ("on_train_epoch_end", 12), "amid an epoch": ("on_train_batch_end", 9),
          "last batch": ("on_train_batch_end", 12), "end of validation": ("on_validation_end", 12),
          "first batch": ("on_train_batch_end", 1), "start of an epoch": ("on_train_epoch_start", 12),
          "start": ("on_train_start", 0)}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("schedule", ["plateau", "one cycle"])
def test_wherever_the_checkpoint_is_written(place: str, schedule: str, tmp_path: Path) -> None:
    compare(tmp_path, PLACES[place], {"schedule": schedule})


@pytest.mark.parametrize(
    "case",
    [
        {"data": {"workers": 2}},
        {"data": {"stream": True}},
        {"model": {"manual": True}},
        {"model": {"schedule": "plateau each step"}},
        {"val_check_interval": 3},
        {"val_check_interval": 3, "at": ("on_validation_end", 9)},
        {"check_val_every_n_epoch": 2, "model": {"schedule": "one cycle"}},
        {"precision": "64-true"},
        {"precision": "bf16-mixed"},
        {"gradient_clip_val": 0.1},
        {"limit_train_batches": 5, "at": ("on_train_batch_end", 10)},
        {"num_sanity_val_steps": 0},
        {"accumulate_grad_batches": 2, "at": ("on_train_batch_end", 5)},
    ],
    ids=str,
)
def test_with_other_settings(case: dict[str, Any], tmp_path: Path) -> None:
    compare(tmp_path, **{"at": ("on_train_batch_end", 9), **case})


@pytest.mark.parametrize("first", [{"max_epochs": 2}, {"max_epochs": -1, "max_steps": 12},
                                   {"max_epochs": 4, "max_steps": 9}], ids=str)
def test_two_fits_are_one(first: dict[str, Any], tmp_path: Path) -> None:
    """Two epochs and two more, or steps that end amid an epoch, with the checkpoint of ModelCheckpoint."""
    pl.seed_everything(1, verbose=False)
    whole = Model("one cycle")
    one = fit(whole, loaders())
    pl.seed_everything(1, verbose=False)
    part, best = Model("one cycle"), ModelCheckpoint(dirpath=tmp_path)
    fit(part, loaders(), callbacks=[best], **{**first, "enable_checkpointing": True})
    pl.seed_everything(2, verbose=False)
    rest = Model("one cycle")
    two = fit(rest, loaders(), best.best_model_path)
    assert part.losses + rest.losses == whole.losses
    assert state(one, whole) == state(two, rest)


def test_the_last_checkpoint_by_name(tmp_path: Path) -> None:
    pl.seed_everything(1, verbose=False)
    whole = Model()
    one = fit(whole, loaders())
    pl.seed_everything(1, verbose=False)
    model = Model()
    saving = {"enable_checkpointing": True, "default_root_dir": tmp_path}
    fit(model, loaders(), callbacks=[ModelCheckpoint(dirpath=tmp_path / "kept", save_last=True)],
        max_epochs=2, **saving)
    rest = Model()
    two = fit(rest, loaders(), "last", callbacks=[ModelCheckpoint(dirpath=tmp_path / "kept", save_last=True)], **saving)
    assert state(one, whole) == state(two, rest)


def test_callbacks_go_on(tmp_path: Path) -> None:
    """EarlyStopping counts on, and weights are averaged on."""
    def callbacks() -> list[Any]:
        return [EarlyStopping("val", patience=7), StochasticWeightAveraging(0.02, swa_epoch_start=2,
                                                                            annealing_epochs=3)]

    def new() -> Any:
        model = Model("one cycle")
        model.configure_optimizers = lambda: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        return model
    pl.seed_everything(1, verbose=False)
    whole, kept = new(), callbacks()
    one = fit(whole, loaders(), callbacks=kept, max_epochs=6)
    pl.seed_everything(1, verbose=False)
    best = ModelCheckpoint(dirpath=tmp_path, save_top_k=-1, filename="{epoch}")
    fit(new(), loaders(), callbacks=[*callbacks(), best], max_epochs=6, enable_checkpointing=True)
    pl.seed_everything(2, verbose=False)
    rest, again = new(), callbacks()
    two = fit(rest, loaders(), tmp_path / "epoch=3.ckpt", callbacks=again, max_epochs=6)
    assert content(kept[0].state_dict()) == content(again[0].state_dict())
    assert state(one, whole) == state(two, rest)


def test_a_checkpoint_of_lightning_is_gone_on_from(tmp_path: Path) -> None:
    """Without what rushlight adds, the place is found by the counters; random numbers are those of now."""
    model = Model()
    trainer = fit(
        model,
        loaders(),
        callbacks=[
            LambdaCallback(on_train_batch_end=lambda t, m, *a: t.save_checkpoint(tmp_path / f"{t.global_step}.ckpt"))
        ],
    )
    for step in (9, 12, 24):
        checkpoint = torch.load(tmp_path / f"{step}.ckpt", weights_only=False)
        del checkpoint["rushlight"]
        torch.save(checkpoint, tmp_path / "theirs.ckpt")
        rest = Model()
        again = fit(rest, loaders(), tmp_path / "theirs.ckpt")
        assert len(rest.losses) == 24 - step
        assert (again.global_step, again.current_epoch) == (24, 4) == (trainer.global_step, trainer.current_epoch,)


def test_no_training_from_weights_alone(tmp_path: Path) -> None:
    model = Model()
    trainer = fit(model, loaders(), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    with pytest.raises(KeyError, match="checkpoint contains only the model"):
        fit(Model(), loaders(), tmp_path / "weights.ckpt")
    torch.save(model.state_dict(), tmp_path / "plain.ckpt")
    with pytest.raises(pl.utilities.MisconfigurationException, match="model.load_state_dict"):
        fit(Model(), loaders(), tmp_path / "plain.ckpt")
    with pytest.raises(FileNotFoundError, match="no such.ckpt"):
        fit(Model(), loaders(), tmp_path / "no such.ckpt")
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    fitted = fit(model, loaders(), max_epochs=3)
    fitted.save_checkpoint(tmp_path / "three.ckpt")
    with pytest.raises(pl.utilities.MisconfigurationException, match="current_epoch=3"):
        fit(Model(), loaders(), tmp_path / "three.ckpt", max_epochs=2)
