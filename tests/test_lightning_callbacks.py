"""Callbacks of the Trainer, its progress bar, and what its tuner finds."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from lightning_models import Line, loader, trainer

import rushlight as torch
from rushlight import nn
from rushlight.lightning import callbacks as cb
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.utils.data import DataLoader


# --- callbacks -------------------------------------------------------------------------------------------------------
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
    """No number is read in 200 steps whose values are logged in every way,
    but those that the loggers are due and the bar shows."""
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
    assert run.callback_metrics["both_epoch"].item() == pytest.approx(
        run.callback_metrics["sum"].item() / 200, rel=1e-5)


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
        assert run.global_step == -(-80 // found)
        assert int(run.optimizers[0].state[model.layer.weight]["step"]) == run.global_step
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
