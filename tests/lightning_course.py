"""Scenarios of lightning_scenarios.py about how training goes on and ends:
checkpoints, stopping, rates, streams of data."""

from __future__ import annotations

import os
from typing import Any

from lightning_line import data, line, numbers, quiet, weights


def checkpoints(torch: Any, pl: Any, folder: str) -> Any:
    """The files that ModelCheckpoint leaves, and its best one."""
    variants: dict[str, dict[str, Any]] = {
        "plain": {}, "best": {"monitor": "val"}, "worst": {"monitor": "val", "mode": "max", "save_top_k": 2},
        "all": {"save_top_k": -1, "filename": "{epoch:02d}-{val:.2f}", "monitor": "val"},
        "last": {"save_last": True, "monitor": "val"}, "steps": {"every_n_train_steps": 5, "save_top_k": -1},
        "epochs": {"every_n_epochs": 2, "save_top_k": -1},
        "after training": {"monitor": "train", "save_on_train_epoch_end": True, "filename": "m-{train:.3f}-{no}"},
        "names": {"filename": "e{epoch}_v{val:.1f}", "auto_insert_metric_name": False,
                  "save_top_k": -1, "monitor": "val"},
        "only last": {"save_top_k": 0, "save_last": True},
        "after validation": {"save_on_train_epoch_end": False, "save_top_k": -1},
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
        return {"optimizer": o,
                "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.StepLR(o, 1, 0.5), "name": "mine"}}
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
        model = line(torch, pl,
                     on_validation_start=lambda self, runs=runs: runs.append(self.trainer.global_step), **methods)
        trainer = quiet(pl, folder, **{"max_epochs": 4, **arguments})
        trainer.fit(model, data(torch), data(torch, 8))
        out[name] = [trainer.global_step, trainer.current_epoch, trainer.fit_loop.total_batch_idx, runs, weights(model)]
    return out
