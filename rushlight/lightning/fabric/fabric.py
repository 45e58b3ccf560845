"""Fabric: a hand-written loop with the Trainer's precision, checkpoints and loggers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from rushlight.data import SequentialSampler
from rushlight.lightning.accelerators import accelerator_of, count_of
from rushlight.lightning.environment import environment_of
from rushlight.lightning.fabric.wrappers import FabricModule, FabricOptimizer, unwrapped
from rushlight.lightning.strategies import strategy_of
from rushlight.lightning.trainer.metrics import as_number
from rushlight.lightning.trainer.precision import precision_of
from rushlight.lightning.utilities.data import apply_to_collection, move_data_to_device
from rushlight.lightning.utilities.samplers import shared_out
from rushlight.lightning.utilities.seed import seed_everything


class Fabric:
    """Sets up modules, optimizers and loaders; the loop stays yours. The arguments are Trainer's of the same names.

    >>> import rushlight as rl
    >>> fabric = Fabric()
    >>> model = rl.nn.Linear(2, 1)
    >>> model, optimizer = fabric.setup(model, rl.optim.SGD(model.parameters(), lr=0.1))
    >>> fabric.backward(model(rl.ones(3, 2)).sum())
    >>> optimizer.step()
    """

    def __init__(self, *, accelerator: Any = "auto", strategy: Any = "auto", devices: Any = "auto", num_nodes: int = 1,
                 precision: Any = None, plugins: Any = None, callbacks: Any = None, loggers: Any = None) -> None:
        self.accelerator = accelerator_of(accelerator)
        self.strategy = strategy_of(strategy, environment_of(count_of(devices), num_nodes))
        self._launched = self.strategy.world_size == 1
        given = [] if plugins is None else list(plugins) if isinstance(plugins, (list, tuple)) else [plugins]
        if given and precision is not None:
            raise ValueError(f"Received both `precision={precision}` and `plugins={plugins}`. Choose one.")
        self._precision = given[0] if given else precision_of(precision)
        self._callbacks = ([] if callbacks is None else
                           list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks])
        self.loggers = [] if loggers is None else list(loggers) if isinstance(loggers, (list, tuple)) else [loggers]

    global_rank = property(lambda self: self.strategy.global_rank)
    local_rank = property(lambda self: self.strategy.local_rank)
    node_rank = property(lambda self: self.strategy.node_rank)
    world_size = property(lambda self: self.strategy.world_size)
    is_global_zero = property(lambda self: self.strategy.is_global_zero)

    @property
    def device(self) -> Any:
        """Where modules and batches go."""
        return self.strategy.root_device

    @property
    def logger(self) -> Any:
        """The first logger."""
        return self.loggers[0]

    # --- setting up ------------------------------------------------------------------------------------------------
    def setup(self, module: Any, *optimizers: Any, scheduler: Any = None, move_to_device: bool = True,
              _reapply_compile: bool = True) -> Any:
        """The module, alone or in a tuple with its optimizers (and a scheduler), ready for the loop. ValueError for one
        set up before."""
        model = self.setup_module(module, move_to_device)
        if not optimizers:
            return model
        wrapped = tuple(self._optimizer(o) for o in optimizers)
        return (model, *wrapped) if scheduler is None else (model, *wrapped, scheduler)

    def setup_module(self, module: Any, move_to_device: bool = True, _reapply_compile: bool = True) -> FabricModule:
        """A module whose calls run in the precision, and whose gradients are averaged over the processes."""
        self._check_launched()
        if isinstance(module, FabricModule):
            raise ValueError("A model should be passed only once to the `setup` method.")
        module = self._precision.convert_module(module)
        if "_fabric" in module.__dict__:
            module.__dict__["_fabric"] = self
        return FabricModule(module, self._precision, self.strategy.wrapped(module))

    def setup_optimizers(self, *optimizers: Any) -> Any:
        """The optimizers, wrapped."""
        wrapped = tuple(self._optimizer(o) for o in optimizers)
        return wrapped[0] if len(wrapped) == 1 else wrapped

    def _optimizer(self, optimizer: Any) -> FabricOptimizer:
        if isinstance(optimizer, FabricOptimizer):
            raise ValueError("An optimizer should be passed only once to the `setup` method.")
        return FabricOptimizer(optimizer)

    def setup_dataloaders(self, *dataloaders: Any, use_distributed_sampler: bool = True,
                          move_to_device: bool = True) -> Any:
        """The loaders, each with this process's part of its data: memory is shared, so with one process they are as they were."""
        self._check_launched()
        if self.world_size > 1 and use_distributed_sampler:
            dataloaders = tuple(shared_out(x, self.world_size, self.global_rank, not isinstance(getattr(x, "sampler", None), SequentialSampler))
                                for x in dataloaders)
        return dataloaders[0] if len(dataloaders) == 1 else list(dataloaders)

    # --- in the loop -----------------------------------------------------------------------------------------------
    def backward(self, tensor: Any, *args: Any, model: Any = None, **kwargs: Any) -> None:
        """``tensor.backward()``."""
        tensor.backward(*args, **kwargs)

    def clip_gradients(self, module: Any, optimizer: Any, clip_val: float | None = None, max_norm: float | None = None,
                       norm_type: float | int = 2.0, error_if_nonfinite: bool = True) -> Any:
        """Clip the gradients of an optimizer's parameters by value or by norm;
        the norm. ValueError for both, and for neither."""
        from rushlight.nn.utils.clip_grad import clip_grad_norm_, clip_grad_value_
        if (clip_val is None) == (max_norm is None):
            raise ValueError("Only one of `clip_val` or `max_norm` can be set as this specifies the underlying"
                             " clipping algorithm!"
                             if clip_val is not None else "You have to specify either `clip_val` or `max_norm` to do"
                                                          " gradient clipping!")
        parameters = [p for group in unwrapped(optimizer).param_groups for p in group["params"]]
        if clip_val is not None:
            clip_grad_value_(parameters, clip_val)
            return None
        assert max_norm is not None
        return clip_grad_norm_(parameters, max_norm, norm_type=norm_type, error_if_nonfinite=error_if_nonfinite)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision for operations outside the module."""
        return self._precision.forward_context()

    def to_device(self, obj: Any) -> Any:
        """A module, tensor or batch on the device."""
        return obj.to(self.device) if hasattr(obj, "parameters") else move_data_to_device(obj, self.device)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """`print` from the first process of each machine."""
        if self.local_rank == 0:
            print(*args, **kwargs)

    def barrier(self, name: str | None = None) -> None:
        """Wait for the other processes."""
        self.strategy.barrier(name)

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """What the process `src` has."""
        return self.strategy.broadcast(obj, src)

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """The tensors of all processes, in a new first dimension; with one process, the data."""
        return self.strategy.all_gather(data, group, sync_grads)

    def all_reduce(self, data: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """The mean, sum, max or min over all processes."""
        return self.strategy.reduce(data, group, reduce_op)

    @contextmanager
    def rank_zero_first(self, local: bool = False) -> Iterator[None]:
        """A block that the first process (of each machine, if `local`) runs before the others."""
        first = (self.local_rank if local else self.global_rank) == 0
        if not first:
            self.barrier()
        try:
            yield
        finally:
            if first:
                self.barrier()

    def no_backward_sync(self, module: Any, enabled: bool = True) -> AbstractContextManager[Any]:
        """A block whose gradients are not exchanged. TypeError for a module that was not set up."""
        if not isinstance(module, FabricModule):
            raise TypeError("You need to set up the model first before you can call `fabric.no_backward_sync()`:"
                            " `model = fabric.setup(model, ...)`")
        return module.no_sync() if enabled else nullcontext()

    def _check_launched(self) -> None:
        if not self._launched:
            raise RuntimeError("To use Fabric with more than one device, you must call `.launch()` first")

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Make a module within the block in the precision's type."""
        from rushlight.tensor.settings import get_default_dtype, set_default_dtype
        before = get_default_dtype()
        if self._precision.precision.endswith("-true"):
            set_default_dtype(self._precision.dtype)
        try:
            yield
        finally:
            set_default_dtype(before)

    init_tensor = init_module

    def launch(self, function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """Meet the other processes, which start here where no launcher has started them, and call the function with this Fabric in each.
        What the function returned, in the first process where copies of this one run it."""
        launcher = self.strategy.launcher
        if launcher is not None and launcher.runs_elsewhere:
            if function is None:
                raise TypeError(f"To use the {self.strategy.strategy_name!r} strategy with copies of this process, `.launch()` needs to be"
                                " called with a function that contains the code to launch in processes")
            return launcher.launch(lambda: self._run(function, *args, **kwargs), lambda out: out, lambda out: out)
        if launcher is not None:
            launcher.start()
        return self._run(function, *args, **kwargs)

    def _run(self, function: Callable[..., Any] | None, *args: Any, **kwargs: Any) -> Any:
        self.strategy.setup_environment()
        self._launched = True
        return None if function is None else function(self, *args, **kwargs)

    # --- files, callbacks, loggers ---------------------------------------------------------------------------------
    def save(self, path: Any, state: Mapping[str, Any],
             filter: Mapping[str, Callable[[str, Any], bool]] | None = None) -> None:
        """Write a checkpoint; modules and optimizers in it become their states,
        reduced to the entries that `filter` lets pass."""
        from rushlight.serialization.saving import save
        out = {}
        for name, value in state.items():
            value = _state_of(value)
            keep = (filter or {}).get(name)
            out[name] = {k: v for k, v in value.items() if keep(k, v)} if keep is not None else value
        if self.is_global_zero:
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            save(out, path)
        self.barrier()

    def load(self, path: Any, state: dict[str, Any] | None = None, strict: bool = True,
             weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint into the objects of `state`; what is left of it.
        KeyError for an entry that it lacks, with `strict`."""
        from rushlight.lightning.core.saving import read_checkpoint
        checkpoint = read_checkpoint(path, weights_only=weights_only)
        for name in list(state or {}):
            if name not in checkpoint:
                if strict:
                    raise KeyError(f"The requested state contains a key '{name}' that does not exist in the loaded"
                                   " checkpoint. To disable strict loading, set `strict=False`. It holds"
                                   f" {list(checkpoint)}.")
                continue
            value = checkpoint.pop(name)
            target = unwrapped(state[name])  # type: ignore[index]
            if hasattr(target, "load_state_dict"):
                target.load_state_dict(value, **({"strict": strict} if hasattr(target, "parameters") else {}))
            else:
                state[name] = value  # type: ignore[index]
        return checkpoint

    def load_raw(self, path: Any, obj: Any, strict: bool = True) -> None:
        """Read a plain state dict into a module or optimizer."""
        from rushlight.serialization import load
        target = unwrapped(obj)
        target.load_state_dict(load(path), **({"strict": strict} if hasattr(target, "parameters") else {}))

    def call(self, hook_name: str, *args: Any, **kwargs: Any) -> None:
        """Call the method of this name of every callback that has it."""
        for callback in self._callbacks:
            method = getattr(callback, hook_name, None)
            if callable(method):
                method(*args, **kwargs)

    def log(self, name: str, value: Any, step: int | None = None) -> None:
        """Give a value to the loggers."""
        self.log_dict({name: value}, step)

    def log_dict(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Give values to the loggers."""
        numbers = {name: as_number(value) for name, value in metrics.items()}
        for logger in self.loggers if self.is_global_zero else ():
            logger.log_metrics(metrics=numbers, step=step)

    @staticmethod
    def seed_everything(seed: int | None = None, workers: bool | None = None, verbose: bool = True) -> int:
        """`seed_everything`, for workers too unless told otherwise."""
        return seed_everything(seed, True if workers is None else workers, verbose)


def _state_of(value: Any) -> Any:
    return apply_to_collection(value, _Stateful, lambda x: unwrapped(x).state_dict())


class _HasState(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return callable(getattr(value, "state_dict", None))


class _Stateful(metaclass=_HasState):
    """Anything with a state_dict."""
