"""LightningModule: a module that knows how to train itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rushlight.lightning.core.hooks import CheckpointHooks, DataHooks, ModelHooks
from rushlight.lightning.core.hparams import HyperparametersMixin
from rushlight.lightning.core.logging import LoggingMethods
from rushlight.lightning.core.saving import load_from_checkpoint, of_class_only
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.nn.modules.module import Module

from rushlight.tensor.device import device as Device


class LightningModule(LoggingMethods, HyperparametersMixin, ModelHooks, DataHooks, CheckpointHooks, Module):
    """Define training_step and configure_optimizers; a Trainer does the rest.

    >>> import rushlight as rl
    >>> class Line(LightningModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = rl.nn.Linear(1, 1)
    ...     def training_step(self, batch, batch_idx):
    ...         x, y = batch
    ...         return rl.nn.functional.mse_loss(self.layer(x), y)
    ...     def configure_optimizers(self):
    ...         return rl.optim.SGD(self.parameters(), lr=0.1)
    """

    CHECKPOINT_HYPER_PARAMS_KEY = "hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME = "hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE = "hparams_type"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = self.__dict__  # past Module's bookkeeping of attributes
        own["_trainer"] = own["_fabric"] = None
        own["_example_input_array"] = None
        own["_automatic_optimization"] = True
        own["_strict_loading"] = None
        own["_toggled"] = {}

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__(), "_trainer": None, "_fabric": None, "_toggled": {}}
        state.pop("trainer", None)
        return state

    # --- the trainer -----------------------------------------------------------------------------------------------
    @property
    def trainer(self) -> Any:
        """The Trainer that runs the module; RuntimeError where there is none."""
        if self._trainer is None:
            raise RuntimeError(f"{self.__class__.__qualname__} is not attached to a `Trainer`.")
        return self._trainer

    @trainer.setter
    def trainer(self, trainer: Any) -> None:
        for module in self.children():
            if isinstance(module, LightningModule):
                module.trainer = trainer
        self.__dict__["_trainer"] = trainer

    @property
    def fabric(self) -> Any:
        """The Fabric that has set the module up, or None."""
        return self._fabric

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _PROPERTIES:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def example_input_array(self) -> Any:
        """What ``forward`` can be called with: ModelSummary shows its sizes, loggers draw the graph with it."""
        return self._example_input_array

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        self.__dict__["_example_input_array"] = example

    @property
    def automatic_optimization(self) -> bool:
        """Whether the Trainer calls backward, clips, and steps; set it to False to do that in training_step."""
        return bool(self._automatic_optimization)

    @automatic_optimization.setter
    def automatic_optimization(self, automatic: bool) -> None:
        self.__dict__["_automatic_optimization"] = automatic

    @property
    def strict_loading(self) -> bool:
        """Whether checkpoints must hold exactly the module's parameters; True until set."""
        return True if self._strict_loading is None else self._strict_loading

    @strict_loading.setter
    def strict_loading(self, strict: bool) -> None:
        self.__dict__["_strict_loading"] = strict

    @property
    def current_epoch(self) -> int:
        """The trainer's, 0 without one."""
        return self._trainer.current_epoch if self._trainer is not None else 0

    @property
    def global_step(self) -> int:
        """The trainer's, 0 without one."""
        return self._trainer.global_step if self._trainer is not None else 0

    @property
    def global_rank(self) -> int:
        """The number of this process among all."""
        return self._trainer.global_rank if self._trainer is not None else 0

    @property
    def local_rank(self) -> int:
        """The number of this process on its machine."""
        return self._trainer.local_rank if self._trainer is not None else 0

    @property
    def on_gpu(self) -> bool:
        """Whether the parameters are on a GPU."""
        return bool(self.device.type == "cuda")

    @property
    def device(self) -> Any:
        """Where the parameters are."""
        return next((t.device for t in (*self.parameters(), *self.buffers())), Device("cpu"))

    @property
    def dtype(self) -> Any:
        """The type of the parameters."""
        from rushlight.tensor.settings import get_default_dtype
        return next((p.dtype for p in self.parameters() if p.dtype.is_floating_point), get_default_dtype())

    @property
    def logger(self) -> Any:
        """The trainer's first logger, or None."""
        return self._trainer.logger if self._trainer is not None else None

    @property
    def loggers(self) -> list[Any]:
        """The trainer's loggers."""
        return self._trainer.loggers if self._trainer is not None else []

    def print(self, *args: Any, **kwargs: Any) -> None:
        """`print` from the first process, without disturbing the progress bar."""
        if self._trainer is not None:
            self._trainer.print(*args, **kwargs)
        else:
            print(*args, **kwargs)

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """The tensors of all processes in a new first dimension, with gradients where `sync_grads` says so; with one process, the data."""
        return data if self._trainer is None else self._trainer.strategy.all_gather(data, group, sync_grads)

    # --- steps -----------------------------------------------------------------------------------------------------
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module makes of an input."""
        return super().forward(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """The loss of a batch: a tensor, a dict with the key "loss", or None to skip the batch.

        It is called as training_step(batch, batch_idx), or with the batch alone.
        """
        raise MisconfigurationException("`training_step` must be implemented to be used with the Lightning Trainer")

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        """What is done with a validation batch: validation_step(batch, batch_idx[, dataloader_idx])."""

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        """What is done with a test batch: test_step(batch, batch_idx[, dataloader_idx])."""

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        """The prediction for a batch, ``self(batch)`` by default: predict_step(batch, batch_idx[, dataloader_idx])."""
        return self(kwargs.get("batch", args[0] if args else None))

    def configure_callbacks(self) -> Any:
        """Callbacks that come with the module; they take the places of the trainer's of the same classes."""
        return []

    def configure_optimizers(self) -> Any:
        """An optimizer; a list of them; (optimizers, schedulers); a dict with "optimizer", "lr_scheduler" and
        "monitor"; or a tuple of dicts."""
        raise MisconfigurationException("`configure_optimizers` must be implemented to be "
                                        "used with the Lightning Trainer")

    # --- optimizers ------------------------------------------------------------------------------------------------
    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """The optimizer, or a list where there are several; as LightningOptimizer,
        whose steps are counted, unless told otherwise."""
        found = self.trainer._lightning_optimizers if use_pl_optimizer else self.trainer.optimizers
        return found[0] if len(found) == 1 else found

    def lr_schedulers(self) -> Any:
        """The scheduler, a list where there are several, None where there is none."""
        found = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        return None if not found else found[0] if len(found) == 1 else found

    def manual_backward(self, loss: Any, *args: Any, **kwargs: Any) -> None:
        """``loss.backward()`` with the precision's scaling and the hooks around it, for manual optimization."""
        if self.automatic_optimization:
            raise MisconfigurationException("`self.manual_backward` should only be called with manual optimization:"
                                            " set `self.automatic_optimization = False` in `__init__`")
        self.trainer.precision_plugin.backward(self.trainer, loss, None, *args, **kwargs)

    def backward(self, loss: Any, *args: Any, **kwargs: Any) -> None:
        """How gradients are computed: ``loss.backward()``."""
        loss.backward(*args, **kwargs)

    def toggle_optimizer(self, optimizer: Any) -> None:
        """From now on only this optimizer's parameters require gradients
        (those of the others that it does not share do not)."""
        inner = getattr(optimizer, "_optimizer", optimizer)
        state: dict[Any, bool] = {}
        for other in self.trainer.optimizers:
            for group in other.param_groups:
                for p in group["params"]:
                    if p not in state:
                        state[p] = p.requires_grad
                        p.requires_grad = False
        for group in inner.param_groups:
            for p in group["params"]:
                p.requires_grad = state[p]
        self.__dict__["_toggled"] = state

    def untoggle_optimizer(self, optimizer: Any) -> None:
        """Undo `toggle_optimizer`."""
        for p, required in self._toggled.items():
            p.requires_grad = required
        self.__dict__["_toggled"] = {}

    @contextmanager
    def toggled_optimizer(self, optimizer: Any) -> Iterator[None]:
        """`toggle_optimizer` for a block."""
        self.toggle_optimizer(optimizer)
        try:
            yield
        finally:
            self.untoggle_optimizer(optimizer)

    def clip_gradients(self, optimizer: Any, gradient_clip_val: float | None = None,
                       gradient_clip_algorithm: str | None = None) -> None:
        """Clip the gradients of the optimizer's parameters; the arguments stand in for the Trainer's of the same names.

        MisconfigurationException where both are given and differ.
        """
        trainer = self.trainer
        gradient_clip_val = _one_of("gradient_clip_val", trainer.gradient_clip_val, gradient_clip_val)
        gradient_clip_algorithm = _one_of("gradient_clip_algorithm", trainer.gradient_clip_algorithm,
                                          gradient_clip_algorithm) or "norm"
        trainer.precision_plugin.clip_gradients(optimizer, gradient_clip_val or 0, gradient_clip_algorithm)

    def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: float | None = None,
                                    gradient_clip_algorithm: str | None = None) -> None:
        """Override to clip in another way; call `clip_gradients` in it."""
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """How a scheduler steps: ``scheduler.step()``, with the metric for one that watches a metric."""
        scheduler.step() if metric is None else scheduler.step(metric)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """How the optimizer steps; the closure runs training_step and backward and must be called."""
        optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        """How gradients are cleared."""
        optimizer.zero_grad()

    def freeze(self) -> None:
        """No parameter requires gradients from now on; evaluation mode."""
        for p in self.parameters():
            p.requires_grad = False
        self.eval()

    def unfreeze(self) -> None:
        """All parameters require gradients; training mode."""
        for p in self.parameters():
            p.requires_grad = True
        self.train()

    # --- files -----------------------------------------------------------------------------------------------------
    @of_class_only
    def load_from_checkpoint(cls: Any, checkpoint_path: Any, map_location: Any = None, hparams_file: Any = None,
                             strict: bool | None = None, weights_only: bool | None = None, **kwargs: Any) -> Any:
        """A module made with the hyper-parameters and parameters of a checkpoint.

        Args:
            checkpoint_path: the file. It is unpickled unless `weights_only` is True: load only files that you trust.
            map_location: as in ``torch.load``.
            hparams_file: a .yaml or .csv file whose values take the places of the checkpoint's hyper-parameters.
            strict: whether the checkpoint must hold exactly the module's parameters; ``strict_loading`` by default.
            kwargs: arguments of __init__ that the checkpoint lacks, or other values for those it has.
        """
        return load_from_checkpoint(cls, checkpoint_path, map_location, hparams_file, strict, weights_only, **kwargs)

    def to_torchscript(self, file_path: Any = None, method: str | None = "script", example_inputs: Any = None,
                       **kwargs: Any) -> Any:
        """The module by ``torch.jit.script`` or, with method="trace", ``torch.jit.trace``; saved to `file_path` where
        it is given."""
        from rushlight import jit
        from rushlight.autograd.grad_mode import no_grad
        if method not in ("script", "trace"):
            raise ValueError(f"The 'method' parameter only supports 'script' or 'trace', but value given was: {method}")
        training = self.training
        self.eval()
        try:
            with no_grad():
                if method == "script":
                    out = jit.script(self, **kwargs)
                else:
                    example_inputs = self.example_input_array if example_inputs is None else example_inputs
                    if example_inputs is None:
                        raise ValueError("Choosing method=`trace` requires either `example_inputs` or"
                                         " `model.example_input_array` to be defined.")
                    out = jit.trace(self, example_inputs, **kwargs)
        finally:
            self.train(training)
        if file_path is not None:
            jit.save(out, file_path)
        return out

    def to_onnx(self, file_path: Any = None, input_sample: Any = None, **kwargs: Any) -> Any:
        """``torch.onnx.export`` of the module with `input_sample`, or ``example_input_array``."""
        from rushlight import onnx
        sample = self.example_input_array if input_sample is None else input_sample
        if sample is None:
            raise ValueError("Could not export to ONNX since neither `input_sample` nor `model.example_input_array`"
                             " attribute is set.")
        return onnx.export(self, sample, file_path, **kwargs)


# attributes that are set past Module's own bookkeeping
_PROPERTIES = frozenset(name for name in ("trainer", "example_input_array", "automatic_optimization", "strict_loading"))


def _one_of(name: str, trainers: Any, given: Any) -> Any:
    if given is None:
        return trainers
    if trainers is not None and trainers != given:
        raise MisconfigurationException(f"You have set `Trainer({name}={trainers!r})` and have passed"
                                        f" `clip_gradients({name}={given!r})`. Please use only one of them.")
    return given



