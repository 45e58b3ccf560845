"""Trainers of two processes, whose values, weights and files are compared between pytorch_lightning on PyTorch and rushlight.

    python tests/lightning_processes.py SCENARIO FOLDER     # a program of two processes; each writes FOLDER/RANK.json
    python tests/lightning_processes.py                     # writes lightning_processes.json; needs torch and pytorch_lightning 2.5
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("lightning_processes.json")


def plain(value: Any) -> Any:
    """Tensors as lists, in anything."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return plain(value.detach().tolist()) if hasattr(value, "tolist") else value


class Program:
    """What the scenarios share: the modules, a folder, a small regression."""

    def __init__(self, folder: str):
        import pytorch_lightning as pl
        import torch
        self.torch, self.pl, self.folder = torch, pl, folder
        pl.seed_everything(3, verbose=False)
        self.x = torch.randn(24, 4)
        self.x[:, 0] = torch.arange(24.0) / 24
        self.y = self.x.sum(1, keepdim=True)

    def loader(self, count: int = 24, batch: int = 3, **kwargs: Any) -> Any:
        """The first samples in batches."""
        data = self.torch.utils.data.TensorDataset(self.x[:count], self.y[:count])
        return self.torch.utils.data.DataLoader(data, **({} if "batch_sampler" in kwargs else {"batch_size": batch}), **kwargs)

    def trainer(self, **kwargs: Any) -> Any:
        """A quiet trainer of two processes."""
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "enable_checkpointing": False}
        return self.pl.Trainer(**{"accelerator": "cpu", "devices": 2, "max_epochs": 2, "default_root_dir": self.folder, **quiet, **kwargs})

    def model(self, **methods: Any) -> Any:
        """A module with batch norm, that notes the samples it sees."""
        nn, torch = self.torch.nn, self.torch

        class Model(self.pl.LightningModule):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.net = nn.Sequential(nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 1))
                self.seen: list[int] = []

            def loss(self, batch: Any) -> Any:
                self.seen += [round(24 * v) for v in batch[0][:, 0].tolist()]
                return (self.net(batch[0]) - batch[1]).square().mean()

            def training_step(self, batch: Any, batch_idx: int) -> Any:
                return self.loss(batch)

            def validation_step(self, batch: Any, batch_idx: int) -> None:
                self.log("val", (self.net(batch[0]) - batch[1]).square().mean(), sync_dist=True)

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return type("Model", (Model,), methods)()

    def result(self, trainer: Any, model: Any, **more: Any) -> dict[str, Any]:
        """What a run has left."""
        return {"rank": trainer.global_rank, "size": trainer.world_size, "steps": trainer.global_step, "seen": model.seen,
                "weights": dict(model.state_dict()), "metrics": dict(trainer.callback_metrics), **more}


def values(p: Program) -> Any:
    """Logged values of all kinds, the best checkpoint, a stop, evaluation and prediction."""
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.log("loss", loss, on_step=True, on_epoch=True, sync_dist=True)
        self.log("own", loss, on_epoch=True, on_step=False)
        self.log_dict({"largest": batch[0].max()}, reduce_fx="max", on_epoch=True, sync_dist=True)
        self.log("count", float(len(batch[0])), reduce_fx="sum", on_step=False, on_epoch=True, sync_dist=True)
        self.log("first", loss, rank_zero_only=True)
        return loss

    def on_validation_epoch_end(self: Any) -> None:
        self.log("ranks", float(self.global_rank), sync_dist=True)

    def on_train_epoch_end(self: Any) -> None:
        self.log("squares", float(self.global_rank + self.current_epoch) ** 2, sync_dist=True, reduce_fx="sum")
    model = p.model(training_step=training_step, on_validation_epoch_end=on_validation_epoch_end, on_train_epoch_end=on_train_epoch_end,
                    test_step=lambda self, batch, batch_idx: self.log("test", self.loss(batch)),
                    predict_step=lambda self, batch, batch_idx: batch[0][:, 0] * 24)
    best = p.pl.callbacks.ModelCheckpoint(monitor="val", filename="{epoch}-{ranks:.1f}", save_last=True)
    logger = p.pl.loggers.CSVLogger(p.folder)
    trainer = p.trainer(max_epochs=3, callbacks=[best, p.pl.callbacks.EarlyStopping("val", patience=1)], enable_checkpointing=True,
                        logger=logger, log_every_n_steps=1)
    trainer.fit(model, p.loader(shuffle=True), p.loader(7))
    rows = list(csv.DictReader(open(Path(p.folder, "lightning_logs", "version_0", "metrics.csv"))))
    out = p.result(trainer, model, best=os.path.basename(best.best_model_path), last=os.path.basename(best.last_model_path),
                   rows=[{k: round(float(v), 4) for k, v in row.items() if v} for row in rows] if trainer.is_global_zero else [])
    out["validated"] = trainer.validate(model, p.loader(7), verbose=False)
    out["tested"] = trainer.test(model, p.loader(6, 2), verbose=False)
    out["predicted"] = trainer.predict(model, p.loader(7, 2))
    return {**out, "files": sorted(os.listdir(Path(p.folder, "lightning_logs", "version_0", "checkpoints")))}


def accumulation(p: Program) -> Any:
    """Gradients of two batches, clipped, with a schedule."""
    def configure_optimizers(self: Any) -> Any:
        optimizer = p.torch.optim.Adam(self.parameters(), lr=0.05)
        return [optimizer], [{"scheduler": p.torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5), "interval": "step"}]
    model = p.model(configure_optimizers=configure_optimizers)
    trainer = p.trainer(accumulate_grad_batches=3, gradient_clip_val=0.2)
    trainer.fit(model, p.loader(batch=3))
    return p.result(trainer, model, rate=trainer.optimizers[0].param_groups[0]["lr"])


def manual(p: Program) -> Any:
    """Two optimizers by hand, each for a part of the module."""
    nn = p.torch.nn

    def training_step(self: Any, batch: Any, batch_idx: int) -> None:
        first, second = self.optimizers()
        for optimizer, sign in ((first, 1), (second, -1)):
            with optimizer.toggle_model():
                loss = self.loss(batch) + sign * self.other(batch[0]).mean()
                self.manual_backward(loss)
                optimizer.step()
                optimizer.zero_grad()

    def configure_optimizers(self: Any) -> Any:
        self.other = nn.Linear(4, 1) if not hasattr(self, "other") else self.other
        return p.torch.optim.SGD(self.net.parameters(), 0.05), p.torch.optim.SGD(self.other.parameters(), 0.05)
    model = p.model(training_step=training_step, configure_optimizers=configure_optimizers)
    model.automatic_optimization = False
    model.other = nn.Linear(4, 1)
    trainer = p.trainer(strategy="ddp_find_unused_parameters_true")
    trainer.fit(model, p.loader())
    return p.result(trainer, model)


def continuation(p: Program) -> Any:
    """Training that goes on from a checkpoint."""
    keep = p.pl.callbacks.ModelCheckpoint(dirpath=Path(p.folder, "kept"), save_top_k=-1, every_n_epochs=1)
    model = p.model()
    trainer = p.trainer(callbacks=[keep], enable_checkpointing=True, precision="64-true")
    trainer.fit(model, p.loader(shuffle=True))
    first = p.result(trainer, model, files=sorted(os.listdir(Path(p.folder, "kept"))))
    model = p.model()
    trainer = p.trainer(max_epochs=3, precision="64-true")
    trainer.fit(model, p.loader(shuffle=True), ckpt_path=str(Path(p.folder, "kept", first["files"][0])))
    return {"first": first, "second": p.result(trainer, model)}


def samplers(p: Program) -> Any:
    """Who sees which samples, by the loader's sampler."""
    data = p.torch.utils.data
    order = [5, 3, 1, 9, 11, 7, 2]
    loaders = {"in order": p.loader(7, 2), "a sampler": p.loader(24, 2, sampler=data.SubsetRandomSampler(order)),
               "a list": p.loader(24, 2, sampler=order), "dropping": p.loader(7, 2, drop_last=True),
               "its own": p.loader(24, 2, sampler=data.DistributedSampler(range(9), 2, 1 - int(os.environ.get("LOCAL_RANK", 0)), shuffle=False))}
    out: dict[str, Any] = {}
    for name, loader in loaders.items():
        for share in (True, False):
            model = p.model(predict_step=lambda self, batch, batch_idx: batch[0][:, 0] * 24)
            model.net = p.torch.nn.Linear(4, 1)  # batches may have one sample
            trainer = p.trainer(max_epochs=2, use_distributed_sampler=share)
            p.torch.manual_seed(5)
            trainer.fit(model, loader)
            if name != "a sampler":
                out[f"{name}, {share}, predicted"] = trainer.predict(model, loader)
            out[f"{name}, {share}"] = model.seen
    return out


def messages(p: Program) -> Any:
    """What processes tell each other."""
    out: dict[str, Any] = {}

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 0 and self.current_epoch == 0:
            strategy, rank = self.trainer.strategy, self.global_rank
            w = self.net[0].weight
            gathered = self.all_gather(w * (1 + rank), sync_grads=True)
            (gathered.sum((1, 2)) * p.torch.tensor([1.0, 3.0])).sum().backward()
            out.update(gathered=self.all_gather({"a": p.torch.tensor([rank, 1]), "b": [2.0 * rank]}), gradient=w.grad[0].tolist(),
                       told=strategy.broadcast({"from": rank}), told_by_1=strategy.broadcast(rank, src=1), mean=strategy.reduce(p.torch.tensor(1.0 + rank)),
                       sum=strategy.reduce(p.torch.tensor([rank, 2]), reduce_op="sum"), all=strategy.reduce_boolean_decision(rank == 0),
                       any=strategy.reduce_boolean_decision(rank == 0, all=False), last=strategy.reduce_boolean_decision(True),
                       batches=self.trainer.num_training_batches, planned=self.trainer.estimated_stepping_batches,
                       ranks=[self.local_rank, self.trainer.node_rank, self.trainer.num_devices, self.trainer.num_nodes],
                       first=self.trainer.is_global_zero)
            self.zero_grad()
        return self.loss(batch)
    model = p.model(training_step=training_step)
    trainer = p.trainer(max_epochs=1)
    trainer.fit(model, p.loader())
    return {**p.result(trainer, model), **out}


def stopping(p: Program) -> Any:
    """One process sees a value that is not finite: all stop. Another callback stops by the step."""
    class Rate(p.pl.Callback):  # type: ignore[misc,name-defined]
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            trainer.should_stop = trainer.should_stop or trainer.strategy.reduce_boolean_decision(trainer.global_step >= 9, all=False)
    first = p.model(on_train_epoch_end=lambda self: self.log("own", float("nan") if self.global_rank == 1 and self.current_epoch == 1 else 1.0))
    one = p.trainer(max_epochs=5, callbacks=[p.pl.callbacks.EarlyStopping("own", patience=9)])
    one.fit(first, p.loader())
    second = p.model()
    two = p.trainer(max_epochs=5, callbacks=[Rate()])
    two.fit(second, p.loader())
    return {"one": [one.current_epoch, one.global_step], "two": [two.current_epoch, two.global_step]}


def copies(p: Program) -> Any:
    """Copies of the process train; weights, callbacks and values come back."""
    keep = p.pl.callbacks.ModelCheckpoint(dirpath=Path(p.folder, "kept"), monitor="val")
    model = p.model()
    trainer = p.trainer(strategy="ddp_fork", callbacks=[keep], enable_checkpointing=True)
    trainer.fit(model, p.loader(shuffle=True), p.loader(6))
    out = {"weights": dict(model.state_dict()), "metrics": dict(trainer.callback_metrics), "best": os.path.basename(keep.best_model_path),
           "files": os.listdir(Path(p.folder, "kept")), "status": trainer.state.status}
    return {**out, "validated": trainer.validate(model, p.loader(6), verbose=False)}


def fabric(p: Program) -> Any:
    """A loop by hand: shared data, averaged gradients, steps without exchange."""
    if p.torch.__version__.endswith("rushlight"):
        from lightning.fabric import Fabric
    else:
        from lightning_fabric import Fabric
    made = Fabric(accelerator="cpu", devices=2)
    made.launch()
    nn, torch = p.torch.nn, p.torch
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 1))
    model, optimizer = made.setup(net, torch.optim.SGD(net.parameters(), 0.1))
    loader = made.setup_dataloaders(p.loader(batch=3, shuffle=True))
    seen = []
    for i, (x, y) in enumerate(loader):
        seen += (24 * x[:, 0]).round().tolist()
        with made.no_backward_sync(model, enabled=i % 2 == 0):
            made.backward((model(x) - y).square().mean())
        if i % 2:
            made.clip_gradients(model, optimizer, max_norm=1.0)
            optimizer.step()
            optimizer.zero_grad()
    with made.rank_zero_first():
        first = not os.path.exists(Path(p.folder, "mark"))
        Path(p.folder, "mark").touch()
    made.save(Path(p.folder, "kept.ckpt"), {"model": model, "at": 3})
    out = {"seen": seen, "weights": dict(net.state_dict()), "first": first, "rank": made.global_rank, "size": made.world_size,
           "sum": made.all_reduce(torch.tensor(1.0 + made.global_rank), reduce_op="sum"), "gathered": made.all_gather(torch.tensor([made.global_rank])),
           "kept": sorted(made.load(Path(p.folder, "kept.ckpt")))}
    torch.distributed.destroy_process_group()
    return out


SCENARIOS = {s.__name__: s for s in (values, accumulation, manual, continuation, samplers, messages, stopping, copies, fabric)}


def run(name: str, folder: str, command: list[str], **environment: str) -> list[Any]:
    """A scenario's results, one for each process."""
    done = subprocess.run([*command, __file__, name, folder], capture_output=True, text=True, timeout=300, env={**os.environ, **environment})
    found = [Path(folder, f"{rank}.json") for rank in (0, 1)]
    if done.returncode or not found[0].exists():
        raise RuntimeError(f"{name} ended with exit code {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
    return [json.loads(path.read_text()) for path in found if path.exists()]


def main() -> None:
    if len(sys.argv) == 3:
        name, folder = sys.argv[1:]
        out = plain(SCENARIOS[name](Program(folder)))
        Path(folder, f"{os.environ.get('RANK', os.environ.get('LOCAL_RANK', '0'))}.json").write_text(json.dumps(out))
        return
    record = {}
    for name in SCENARIOS:
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            record[name] = run(name, folder, [sys.executable, "-W", "ignore"])
    RECORD.write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
