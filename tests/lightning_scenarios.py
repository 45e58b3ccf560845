"""Runs whose every hook, value and file is compared between pytorch_lightning on PyTorch and rushlight.

    python tests/lightning_scenarios.py     # writes lightning_oracle.json; needs torch and pytorch_lightning 2.5

Each scenario takes the modules `torch` and `pl` and an empty folder, and returns what JSON can hold.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("lightning_oracle.json")
BATCH_HOOKS = ("on_train_batch_start", "on_train_batch_end", "on_validation_batch_start", "on_validation_batch_end",
               "on_test_batch_start", "on_test_batch_end", "on_predict_batch_start", "on_predict_batch_end")
HOOKS = (*BATCH_HOOKS, "setup", "teardown", "on_fit_start", "on_fit_end", "on_train_start", "on_train_end",
         "on_train_epoch_start", "on_train_epoch_end", "on_validation_start", "on_validation_end",
         "on_validation_epoch_start", "on_validation_epoch_end", "on_test_start", "on_test_end", "on_test_epoch_start",
         "on_test_epoch_end", "on_predict_start", "on_predict_end", "on_predict_epoch_start", "on_predict_epoch_end",
         "on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad",
         "on_save_checkpoint", "on_load_checkpoint")
ONLY_CALLBACK = ("on_sanity_check_start", "on_sanity_check_end", "state_dict", "load_state_dict")
ONLY_MODULE = ("prepare_data", "configure_optimizers", "train_dataloader", "val_dataloader", "test_dataloader",
               "predict_dataloader", "configure_gradient_clipping", "optimizer_step", "optimizer_zero_grad",
               "lr_scheduler_step", "backward", "training_step", "validation_step", "test_step", "predict_step",
               "on_validation_model_zero_grad", "on_validation_model_eval", "on_validation_model_train",
               "on_test_model_eval", "on_test_model_train", "on_before_batch_transfer", "on_after_batch_transfer",
               "configure_model", "configure_callbacks", "transfer_batch_to_device")


def data(torch: Any, n: int = 24, batch: int = 4, shuffle: bool = False) -> Any:
    """A loader of a small regression."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, 3, generator=generator)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), batch_size=batch,
                                       shuffle=shuffle)


def line(torch: Any, pl: Any, **methods: Any) -> Any:
    """A linear model; `methods` take the places of its methods."""
    class Line(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.layer = torch.nn.Linear(3, 1)
            self.seen: list[Any] = []

        def loss(self, batch: Any) -> Any:
            return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.loss(batch)

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("val", self.loss(batch))

        def test_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("test", self.loss(batch))

        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch[0])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.05)

    for name, method in methods.items():
        setattr(Line, name, method)
    return Line()


def quiet(pl: Any, folder: str, **arguments: Any) -> Any:
    """A trainer that shows and writes nothing."""
    defaults = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
                "enable_model_summary": False, "default_root_dir": folder, "accelerator": "cpu", "max_epochs": 2}
    return pl.Trainer(**{**defaults, **arguments})


def numbers(values: Any) -> Any:
    """Tensors as numbers, in order of names."""
    if isinstance(values, dict):
        return {k: numbers(values[k]) for k in sorted(values)}
    if isinstance(values, (list, tuple)):
        return [numbers(v) for v in values]
    return values.tolist() if hasattr(values, "tolist") else values


def weights(model: Any) -> Any:
    return numbers([p.detach().flatten() for p in model.parameters()])


# --- scenarios ------------------------------------------------------------------------------------------------------
def hooks(torch: Any, pl: Any, folder: str) -> Any:
    """The order of all hooks in fit, validate, test and predict, and in a run that goes on from a checkpoint."""
    trace: list[str] = []

    def note(owner: str, name: str, base: Any) -> Any:
        def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
            trace.append(f"{owner}.{name}")
            out = base(self, *args, **kwargs)
            return {"kept": 1} if name == "state_dict" else out
        return hook

    class Watcher(pl.Callback):
        pass
    for name in (*HOOKS, *ONLY_CALLBACK):
        setattr(Watcher, name, note("callback", name, getattr(pl.Callback, name)))
    loader = data(torch, 8, 4)
    model = line(torch, pl, **{name: (lambda self: loader) for name in ("train_dataloader", "val_dataloader",
                                                                        "test_dataloader",
                                                                         "predict_dataloader")})
    plain = type(model)

    class Noted(plain):  # type: ignore[misc,valid-type]
        pass
    for name in (*HOOKS, *ONLY_MODULE):
        def hook(self: Any, *args: Any, _name: str = name, **kwargs: Any) -> Any:
            trace.append(f"module.{_name}")
            return getattr(super(Noted, self), _name)(*args, **kwargs)
        setattr(Noted, name, hook)
    model.__class__ = Noted
    trainer = quiet(pl, folder, callbacks=[Watcher()], gradient_clip_val=1.0, num_sanity_val_steps=1,
                    enable_checkpointing=True)
    trainer.fit(model)
    out = {"fit": list(trace)}
    for method in ("validate", "test", "predict"):
        trace.clear()
        getattr(trainer, method)(model, **({} if method == "predict" else {"verbose": False}))
        out[method] = list(trace)
    trace.clear()
    again = quiet(pl, folder, callbacks=[Watcher()], max_epochs=3, enable_checkpointing=True)
    again.fit(model, ckpt_path=trainer.checkpoint_callback.best_model_path)
    out["resumed"] = list(trace)
    return out


def optimizers(torch: Any, pl: Any, folder: str) -> Any:
    """Learning rates after each step for each form of configure_optimizers."""
    def step(o: Any) -> Any:
        return torch.optim.lr_scheduler.StepLR(o, 2, 0.5)

    def plateau(o: Any) -> Any:
        return torch.optim.lr_scheduler.ReduceLROnPlateau(o, factor=0.1, patience=0, threshold=10.0,
                                                          threshold_mode="abs")

    forms = {
        "optimizer": lambda o: o, "list": lambda o: [o], "tuple": lambda o: ([o], [step(o)]),
        "one scheduler": lambda o: ([o], step(o)), "dict": lambda o: {"optimizer": o, "lr_scheduler": step(o)},
        "each step": lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": step(o), "interval": "step"}},
        "each third step": lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": step(o), "interval": "step",
                                                                       "frequency": 3}},
        "each second epoch": lambda o: ([o], [{"scheduler": step(o), "frequency": 2}]),
        "two schedulers": lambda o: ([o], [step(o), {"scheduler": step(o), "interval": "step"}]),
        "tuple of dicts": lambda o: ({"optimizer": o, "lr_scheduler": step(o)},),
        "plateau": lambda o: {"optimizer": o, "lr_scheduler": plateau(o), "monitor": "val"},
        "plateau on a training value": lambda o: {"optimizer": o,
                                                  "lr_scheduler": {"scheduler": plateau(o), "monitor": "train"}},
        "plateau each step": lambda o: {"optimizer": o,
                                        "lr_scheduler": {"scheduler": plateau(o), "monitor": "train_step",
                                                         "interval": "step"}},
        "plateau without value": lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": plateau(o), "monitor": "no",
                                                                             "strict": False}},
    }
    out = {}
    for name, form in forms.items():
        rates: list[float] = []

        def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            self.log("train", loss, on_step=True, on_epoch=True)
            return loss
        model = line(torch, pl, training_step=training_step,
                     configure_optimizers=lambda self, form=form: form(torch.optim.SGD(self.parameters(), lr=0.4)),
                     on_train_batch_start=lambda self, batch, i,
                     rates=rates: rates.append(self.trainer.optimizers[0].param_groups[0]["lr"]))
        quiet(pl, folder, max_epochs=5).fit(model, data(torch, 12), data(torch, 4))
        out[name] = rates
    return out


def steps(torch: Any, pl: Any, folder: str) -> Any:
    """Weights after accumulation, clipping, limits of steps and epochs, in other precisions."""
    variants: dict[str, dict[str, Any]] = {
        "plain": {}, "accumulate": {"accumulate_grad_batches": 4}, "clip norm": {"gradient_clip_val": 0.1},
        "clip value": {"gradient_clip_val": 0.05, "gradient_clip_algorithm": "value"},
        "accumulate and clip": {"accumulate_grad_batches": 2, "gradient_clip_val": 0.1},
        "max_steps": {"max_epochs": -1, "max_steps": 8}, "both": {"max_epochs": 3, "max_steps": 4},
        "accumulate to max_steps": {"max_steps": 3, "accumulate_grad_batches": 4, "max_epochs": 9},
        "half": {"limit_train_batches": 0.5}, "three": {"limit_train_batches": 3}, "overfit": {"overfit_batches": 2},
        "overfit a share": {"overfit_batches": 0.5}, "fast_dev_run": {"fast_dev_run": True},
        "fast_dev_run 3": {"fast_dev_run": 3}, "double": {"precision": "64-true"},
        "min_epochs": {"min_epochs": 2, "max_epochs": 4}, "no batches": {"limit_train_batches": 0},
        "schedule": {"callbacks": [pl.callbacks.GradientAccumulationScheduler({1: 3})]},
    }
    out = {}
    for name, arguments in variants.items():
        model = line(torch, pl)
        torch.manual_seed(3)
        trainer = quiet(pl, folder, **arguments)
        trainer.fit(model, data(torch, shuffle=True), data(torch, 8))
        out[name] = [trainer.global_step, trainer.current_epoch, trainer.fit_loop.total_batch_idx, weights(model)]
    return out


def validation_times(torch: Any, pl: Any, folder: str) -> Any:
    """After how many batches validation comes, and how many it has."""
    variants: dict[str, dict[str, Any]] = {
        "plain": {}, "share": {"val_check_interval": 0.5}, "third": {"val_check_interval": 0.34},
        "int": {"val_check_interval": 4}, "every second epoch": {"check_val_every_n_epoch": 2},
        "over epochs": {"check_val_every_n_epoch": None, "val_check_interval": 4}, "limit": {"limit_val_batches": 1},
        "limit share": {"limit_val_batches": 0.5}, "none": {"limit_val_batches": 0},
        "all before training": {"num_sanity_val_steps": -1}, "nothing before training": {"num_sanity_val_steps": 0},
        "both limits": {"limit_train_batches": 4, "val_check_interval": 2, "limit_val_batches": 1},
    }
    out = {}
    for name, arguments in variants.items():
        times: list[Any] = []

        def start(self: Any, times: Any = times) -> None:
            times.append([self.trainer.global_step, self.trainer.current_epoch, 0])

        def each(self: Any, batch: Any, i: int, times: Any = times) -> None:
            times[-1][2] += 1
        model = line(torch, pl, on_validation_epoch_start=start, on_validation_batch_start=each)
        quiet(pl, folder, **{"max_epochs": 3, **arguments}).fit(model, data(torch), data(torch, 16))
        out[name] = times
    return out


def logged(torch: Any, pl: Any, folder: str) -> Any:
    """What callbacks, loggers and validate see of values logged in all ways."""
    rows: list[Any] = []

    class Rows(pl.loggers.logger.Logger):
        name, version, save_dir = "rows", 0, folder

        def log_metrics(self, metrics: Any, step: Any = None) -> None:
            rows.append([step, numbers(metrics)])

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
            rows.append("hyper-parameters")

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("plain", loss)
        self.log("both", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.log("epoch", loss, on_step=False, on_epoch=True)
        self.log("sum", loss, on_step=False, on_epoch=True, reduce_fx="sum")
        self.log("max", loss, on_step=False, on_epoch=True, reduce_fx=torch.max)
        self.log("least", loss, on_step=False, on_epoch=True, reduce_fx=min)
        self.log("heavy", loss, on_epoch=True, on_step=False, batch_size=batch_idx + 1)
        self.log("hidden", loss, logger=False, on_epoch=True)
        self.log_dict({"number": 2.5 * batch_idx, "count": float(batch_idx)}, on_epoch=True, on_step=False)
        return {"loss": loss, "extra": loss.detach() * 2}

    def validation_step(self: Any, batch: Any, batch_idx: int) -> Any:
        self.log("val", self.loss(batch))
        self.log("val_both", self.loss(batch), on_step=True, on_epoch=True)

    seen: list[Any] = []

    def see(where: str) -> Any:
        def hook(self: Any, *args: Any) -> None:
            seen.append([where, numbers(dict(self.trainer.callback_metrics))])
        return hook

    def epoch_end(self: Any) -> None:
        self.log("at end", self.trainer.callback_metrics["epoch"] * 2)
        see("train epoch")(self)

    model = line(torch, pl, training_step=training_step, validation_step=validation_step, on_train_epoch_end=epoch_end,
                 on_train_batch_end=see("batch"), on_validation_epoch_end=see("validation epoch"),
                 on_validation_end=see("validation"), on_train_end=see("train end"),
                 on_train_epoch_start=see("epoch start"))
    trainer = quiet(pl, folder, logger=[Rows()], log_every_n_steps=2)
    trainer.fit(model, data(torch, 22), data(torch, 6))
    out = {"rows": list(rows), "seen": list(seen), "bar": numbers(dict(trainer.progress_bar_metrics)),
           "logged": numbers(dict(trainer.logged_metrics))}
    rows.clear()
    out["validate"] = numbers(trainer.validate(model, data(torch, 6), verbose=False))
    out["test"] = numbers(trainer.test(model, data(torch, 10), verbose=False))
    out["rows after"] = list(rows)
    return out


def several_loaders(torch: Any, pl: Any, folder: str) -> Any:
    """Several loaders for each stage, in all modes."""
    def validation_step(self: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        self.seen.append([batch_idx, dataloader_idx])
        self.log("val", self.loss(batch))
        self.log(f"own{dataloader_idx}", self.loss(batch), add_dataloader_idx=False)

    def predict_step(self: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return [batch_idx, dataloader_idx]

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        self.seen.append(sorted((k, None if v is None else len(v[0])) for k, v in batch.items()))
        return sum(self.loss(v) for v in batch.values() if v is not None)
    model = line(torch, pl, validation_step=validation_step, predict_step=predict_step, training_step=training_step)
    loaders = [data(torch, 8), data(torch, 10)]
    trainer = quiet(pl, folder, max_epochs=1)
    out: dict[str, Any] = {"validate": numbers(trainer.validate(model, loaders, verbose=False)),
                           "order": list(model.seen), "predict": trainer.predict(model, loaders)}
    modes = {"dict": {"a": loaders[0], "b": loaders[1]}}
    combined = pl.utilities.CombinedLoader
    for mode in ("min_size", "max_size", "max_size_cycle"):
        modes[mode] = combined(modes["dict"], mode)
    for name, loader in modes.items():
        model.seen.clear()
        trainer = quiet(pl, folder, max_epochs=1)
        trainer.fit(model, loader)
        out[name] = [numbers(model.seen), trainer.num_training_batches, trainer.global_step]
    return out


def checkpoints(torch: Any, pl: Any, folder: str) -> Any:
    """The files that ModelCheckpoint leaves, and its best one."""
    variants: dict[str, dict[str, Any]] = {
        "plain": {}, "best": {"monitor": "val"}, "worst": {"monitor": "val", "mode": "max", "save_top_k": 2},
        "all": {"save_top_k": -1, "filename": "{epoch:02d}-{val:.2f}", "monitor": "val"},
        "last": {"save_last": True, "monitor": "val"}, "steps": {"every_n_train_steps": 5, "save_top_k": -1},
        "epochs": {"every_n_epochs": 2, "save_top_k": -1},
        "after training": {"monitor": "train", "save_on_train_epoch_end": True, "filename": "m-{train:.3f}-{no}"},
        "names": {"filename": "e{epoch}_v{val:.1f}", "auto_insert_metric_name": False, "save_top_k": -1,
                  "monitor": "val"},
        "only last": {"save_top_k": 0, "save_last": True}, "after validation": {"save_on_train_epoch_end": False,
                                                                                "save_top_k": -1},
        "steps with a value": {"every_n_train_steps": 3, "monitor": "train", "save_top_k": 2},
    }

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("train", loss)
        return loss
    out = {}
    for name, arguments in variants.items():
        where = os.path.join(folder, name)
        callback = pl.callbacks.ModelCheckpoint(dirpath=where, **arguments)
        trainer = quiet(pl, folder, max_epochs=4, callbacks=[callback], enable_checkpointing=True)
        trainer.fit(line(torch, pl, training_step=training_step), data(torch), data(torch, 8))
        out[name] = [sorted(os.listdir(where)), os.path.basename(callback.best_model_path),
                     os.path.basename(callback.last_model_path), numbers(callback.best_model_score),
                     len(callback.best_k_models)]
    return out


def layout(torch: Any, pl: Any, folder: str) -> Any:
    """The names in a checkpoint, and its counters, between and amid epochs."""
    def configure(self: Any) -> Any:
        o = torch.optim.Adam(self.parameters(), lr=0.1)
        return [o], [torch.optim.lr_scheduler.StepLR(o, 1)]
    out = {}
    for name, arguments in {"epochs": {}, "steps": {"every_n_train_steps": 4, "save_top_k": -1}}.items():
        model = line(torch, pl, configure_optimizers=configure)
        model.save_hyperparameters({"width": 3})
        callbacks = [pl.callbacks.ModelCheckpoint(dirpath=os.path.join(folder, name), **arguments),
                     pl.callbacks.EarlyStopping("val")]
        trainer = quiet(pl, folder, callbacks=callbacks, enable_checkpointing=True)
        trainer.fit(model, data(torch), data(torch, 8))
        saved = torch.load(callbacks[0].best_model_path, weights_only=False)
        known = {k: v for k, v in saved.items() if k != "rushlight"}
        out[name] = [sorted(known), {k: v for k, v in known.items() if k in ("epoch", "global_step", "loops",
                                                                             "hparams_name", "hyper_parameters")},
                     sorted(map(str, known["callbacks"])), sorted(known["optimizer_states"][0]),
                     sorted(known["state_dict"])]
    return out


def stopping(torch: Any, pl: Any, folder: str) -> Any:
    """When EarlyStopping ends training."""
    variants: dict[str, dict[str, Any]] = {
        "patience": {"patience": 2}, "delta": {"min_delta": 0.5, "patience": 1}, "max": {"mode": "max", "patience": 1},
        "threshold": {"stopping_threshold": 2.0}, "divergence": {"divergence_threshold": 4.0},
    }
    values = [5.0, 4.0, 3.9, 3.95, 3.8, 3.9, 4.5, 1.0, 1.5, 1.6, 1.7]
    out = {}
    for name, arguments in variants.items():
        model = line(torch, pl, validation_step=lambda self, batch, i: self.log("v", values[self.current_epoch]))
        callback = pl.callbacks.EarlyStopping("v", **arguments)
        trainer = quiet(pl, folder, max_epochs=11, callbacks=[callback], num_sanity_val_steps=0)
        trainer.fit(model, data(torch, 8), data(torch, 4))
        out[name] = [trainer.current_epoch, callback.wait_count, callback.stopped_epoch, numbers(callback.best_score)]
    return out


def manual(torch: Any, pl: Any, folder: str) -> Any:
    """Manual optimization with two optimizers."""
    def configure(self: Any) -> Any:
        first = torch.optim.SGD([self.layer.weight], lr=0.05)
        second = torch.optim.SGD([self.layer.bias], lr=0.1)
        return [first, second], [torch.optim.lr_scheduler.StepLR(first, 1, 0.5)]

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        first, second = self.optimizers()
        for optimizer in (first, second):
            self.toggle_optimizer(optimizer)
            self.seen.append([p.requires_grad for p in self.parameters()])
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            if optimizer is second:
                self.clip_gradients(optimizer, 0.5, "value")
            optimizer.step()
            self.untoggle_optimizer(optimizer)
        if self.trainer.is_last_batch:
            self.lr_schedulers().step()
        self.log("loss", self.loss(batch), on_epoch=True)

    model = line(torch, pl, configure_optimizers=configure, training_step=training_step)
    model.automatic_optimization = False
    trainer = quiet(pl, folder)
    trainer.fit(model, data(torch, 12))
    return [trainer.global_step, model.seen[:2], weights(model), numbers(dict(trainer.callback_metrics)),
            type(model.optimizers()[0]).__name__, isinstance(model.optimizers()[0], torch.optim.SGD)]


def rates(torch: Any, pl: Any, folder: str) -> Any:
    """What LearningRateMonitor logs."""
    rows: list[Any] = []

    class Rows(pl.loggers.logger.Logger):
        name, version, save_dir = "rows", 0, folder

        def log_metrics(self, metrics: Any, step: Any = None) -> None:
            rows.append([step, numbers(metrics)])

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
            pass

    def groups(self: Any) -> Any:
        o = torch.optim.SGD([{"params": [self.layer.weight], "lr": 0.1}, {"params": [self.layer.bias]}], lr=0.2,
                            momentum=0.9, weight_decay=0.01)
        return {"optimizer": o, "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.StepLR(o, 1, 0.5),
                                                 "interval": "step"}}

    def named(self: Any) -> Any:
        o = torch.optim.Adam(self.parameters(), lr=0.1)
        return {"optimizer": o, "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.StepLR(o, 1, 0.5),
                                                 "name": "mine"}}
    out = {}
    for name, configure, arguments in (("groups", groups, {"log_momentum": True, "log_weight_decay": True}),
                                       ("named", named, {}), ("step", named, {"logging_interval": "step"}),
                                       ("epoch", groups, {"logging_interval": "epoch"})):
        rows.clear()
        trainer = quiet(pl, folder, logger=[Rows()], log_every_n_steps=2,
                        callbacks=[pl.callbacks.LearningRateMonitor(**arguments)])
        trainer.fit(line(torch, pl, configure_optimizers=configure), data(torch, 16))
        out[name] = list(rows)
    return out


def averaging(torch: Any, pl: Any, folder: str) -> Any:
    """Weights and rates under StochasticWeightAveraging."""
    out = {}
    for name, arguments in {"cos": {"swa_lrs": 0.01, "annealing_epochs": 2},
                            "early": {"swa_lrs": [0.02], "swa_epoch_start": 2,
                                                                                      "annealing_strategy": "linear",
                                                                                       "annealing_epochs": 3}}.items():
        seen: list[float] = []
        model = line(torch, pl, on_train_epoch_start=lambda self,
                     seen=seen: seen.append(self.trainer.optimizers[0].param_groups[0]["lr"]))
        quiet(pl, folder, max_epochs=6, callbacks=[pl.callbacks.StochasticWeightAveraging(**arguments)]).fit(
            model, data(torch)
        )
        out[name] = [seen, weights(model)]
    return out


def tuning(torch: Any, pl: Any, folder: str) -> Any:
    """What lr_find measures and scale_batch_size finds."""
    model = line(torch, pl, configure_optimizers=lambda self: torch.optim.SGD(self.parameters(), lr=self.lr))
    model.lr = 0.001
    before = weights(model)
    tuner = pl.tuner.Tuner(quiet(pl, folder))
    found = tuner.lr_find(model, data(torch, 80), num_training=30)
    out = {"rates": found.results["lr"], "losses": found.results["loss"], "suggestion": found.suggestion(),
           "lr": model.lr, "unchanged": before == weights(model)}
    sized = line(torch, pl, train_dataloader=lambda self: data(torch, 24, self.batch_size),
                 val_dataloader=lambda self: data(torch, 4))
    sized.batch_size = 2
    out["batch"] = pl.tuner.Tuner(quiet(pl, folder)).scale_batch_size(sized, max_trials=3)
    out["set"] = sized.batch_size
    return out


def streams(torch: Any, pl: Any, folder: str) -> Any:
    """Loaders without a length: weights, times of validation and counters."""
    class Stream(torch.utils.data.IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Any:
            return iter(data(torch, 22).dataset)
    variants: dict[str, dict[str, Any]] = {
        "plain": {}, "limit": {"limit_train_batches": 3}, "interval": {"val_check_interval": 2},
        "steps": {"max_steps": 7, "max_epochs": -1}, "accumulate": {"accumulate_grad_batches": 4},
        "validation limit": {"limit_val_batches": 1},
        "over epochs": {"check_val_every_n_epoch": None, "val_check_interval": 4, "max_epochs": 3},
    }
    out = {}
    for name, arguments in variants.items():
        times: list[Any] = []

        def start(self: Any, times: Any = times) -> None:
            times.append([self.trainer.global_step, 0])

        def each(self: Any, batch: Any, i: int, times: Any = times) -> None:
            times[-1][1] += 1
        model = line(torch, pl, on_validation_epoch_start=start, on_validation_batch_start=each)
        trainer = quiet(pl, folder, **arguments)
        loader = torch.utils.data.DataLoader(Stream(), batch_size=4)
        trainer.fit(model, loader, torch.utils.data.DataLoader(Stream(), batch_size=8))
        out[name] = [times, trainer.global_step, trainer.current_epoch, trainer.fit_loop.total_batch_idx,
                     weights(model), len(trainer.predict(model, loader))]
    return out


def stops(torch: Any, pl: Any, folder: str) -> Any:
    """Where should_stop ends training, with fewest epochs and steps, and what on_train_batch_start's -1 skips."""
    def stop(self: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.trainer.global_step == 4:
            self.trainer.should_stop = True

    def skip(self: Any, batch: Any, batch_idx: int) -> Any:
        return -1 if batch_idx == 2 else None
    out = {}
    for name, arguments, methods in (
            ("at once", {}, {"on_train_batch_end": stop}), ("epochs", {"min_epochs": 2}, {"on_train_batch_end": stop}),
            ("steps", {"min_steps": 9}, {"on_train_batch_end": stop}), ("skip", {}, {"on_train_batch_start": skip}),
            ("validation amid", {"val_check_interval": 3}, {"on_train_batch_end": stop})):
        runs: list[Any] = []
        model = line(torch, pl, on_validation_start=lambda self, runs=runs: runs.append(self.trainer.global_step),
                     **methods)
        trainer = quiet(pl, folder, **{"max_epochs": 4, **arguments})
        trainer.fit(model, data(torch), data(torch, 8))
        out[name] = [trainer.global_step, trainer.current_epoch, trainer.fit_loop.total_batch_idx, runs, weights(model)]
    return out


SCENARIOS = {f.__name__: f for f in (hooks, optimizers, steps, validation_times, logged, several_loaders, checkpoints,
                                     layout, stopping, manual, rates, averaging, tuning, streams, stops)}


def run(name: str, torch: Any, pl: Any) -> Any:
    """A scenario's result, as JSON gives it back."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return json.loads(json.dumps(SCENARIOS[name](torch, pl, folder)))


def main() -> None:
    import pytorch_lightning as pl
    import pytorch_lightning.loggers.logger
    import pytorch_lightning.tuner
    import torch
    found = {name: run(name, torch, pl) for name in SCENARIOS}
    RECORD.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()) + "\n}\n",
                      encoding="utf8")
    print(f"{len(found)} scenarios of pytorch_lightning {pl.__version__} on PyTorch {torch.__version__}",
          file=sys.stderr)


if __name__ == "__main__":
    main()
