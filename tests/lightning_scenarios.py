"""Runs whose every hook, value and file is compared between pytorch_lightning on PyTorch and rushlight.

    python tests/lightning_scenarios.py     # writes lightning_oracle.json; needs torch and pytorch_lightning 2.5

Each scenario takes the modules `torch` and `pl` and an empty folder, and returns what JSON can hold.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from lightning_course import averaging, checkpoints, layout, manual, rates, stopping, stops, streams, tuning
from lightning_line import data, line, numbers, quiet, weights

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
                                                                        "test_dataloader", "predict_dataloader")})
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
        "each third step": lambda o: {"optimizer": o,
                                      "lr_scheduler": {"scheduler": step(o), "interval": "step", "frequency": 3}},
        "each second epoch": lambda o: ([o], [{"scheduler": step(o), "frequency": 2}]),
        "two schedulers": lambda o: ([o], [step(o), {"scheduler": step(o), "interval": "step"}]),
        "tuple of dicts": lambda o: ({"optimizer": o, "lr_scheduler": step(o)},),
        "plateau": lambda o: {"optimizer": o, "lr_scheduler": plateau(o), "monitor": "val"},
        "plateau on a training value": lambda o: {"optimizer": o,
                                                  "lr_scheduler": {"scheduler": plateau(o), "monitor": "train"}},
        "plateau each step": lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": plateau(o),
                                                                         "monitor": "train_step", "interval": "step"}},
        "plateau without value": lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": plateau(o),
                                                                             "monitor": "no", "strict": False}},
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
    RECORD.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: "
                                         f"{json.dumps(v)}" for k, v in found.items()) + "\n}\n", encoding="utf8")
    print(f"{len(found)} scenarios of pytorch_lightning {pl.__version__} on "
          f"PyTorch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
