"""Calls of hooks: of the callbacks, then of the module.

Which hooks somebody has defined is found once, so that the others cost a look into a dict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.core.hooks import ModelHooks
from rushlight.lightning.utilities.overrides import is_overridden

CALLBACKS_ALONE = ("on_save_checkpoint", "on_load_checkpoint", "on_exception")
BOTH = tuple(name for name in vars(Callback) if name.startswith("on_") and name not in CALLBACKS_ALONE)


class Hooks:
    """The hooks of a trainer's callbacks and module."""

    def __init__(self, trainer: Any):
        self.trainer = trainer
        self.table: dict[str, tuple[list[Callable[..., Any]], Callable[..., Any] | None]] = {}
        self.own: dict[str, Callable[..., Any]] = {}

    def refresh(self) -> None:
        """Look again who has defined what."""
        trainer, module = self.trainer, self.trainer.lightning_module
        self.own = {}
        self.table = {}
        for name in BOTH:
            listeners = [
                self._listener(callback, name)
                for callback in trainer.callbacks
                if is_overridden(name, callback, Callback)
            ]
            own = getattr(module, name, None) if is_overridden(name, module, ModelHooks) else None
            if listeners or own is not None:
                self.table[name] = (listeners, own)

    def _listener(self, callback: Any, name: str) -> Callable[..., Any]:
        method, profiler = getattr(callback, name), self.trainer.profiler
        if profiler is None:
            return method  # type: ignore[no-any-return]

        def profiled(*args: Any) -> Any:
            with profiler.profile(f"[Callback]{callback.state_key}.{name}"):
                return method(*args)
        return profiled

    def run(self, name: str, *args: Any) -> Any:
        """A hook of the callbacks, then of the module; what the module's returned."""
        found = self.table.get(name)
        if found is None:
            return None
        listeners, own = found
        trainer = self.trainer
        before, trainer._hook = trainer._hook, name
        for listener in listeners:
            listener(trainer, trainer.lightning_module, *args)
        out = None if own is None else own(*args)
        trainer._hook = before
        return out

    def callbacks(self, name: str, *args: Any, monitoring: bool | None = None) -> None:
        """A hook of the callbacks alone: of all, of those that watch a metric, or of the others."""
        trainer = self.trainer
        before, trainer._hook = trainer._hook, name
        for callback in trainer.callbacks:
            if monitoring is None or watches(callback) == monitoring:
                getattr(callback, name)(trainer, trainer.lightning_module, *args)
        trainer._hook = before

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """A method of the module."""
        method = self.own.get(name)
        trainer = self.trainer
        if method is None:
            method = self.own[name] = getattr(trainer.lightning_module, name)
        before, trainer._hook = trainer._hook, name
        profiler = trainer.profiler
        if profiler is None:
            out = method(*args, **kwargs)
        else:
            with profiler.profile(f"[LightningModule]{type(trainer.lightning_module).__name__}.{name}"):
                out = method(*args, **kwargs)
        trainer._hook = before
        return out

    def data(self, name: str, *args: Any) -> Any:
        """A method of the data module where it has its own, else of the module."""
        trainer = self.trainer
        holder = (
            trainer.datamodule
            if trainer.datamodule is not None and is_overridden(name, trainer.datamodule)
            else trainer.lightning_module
        )
        before, trainer._hook = trainer._hook, name
        out = getattr(holder, name)(*args)
        trainer._hook = before
        return out


def watches(callback: Any) -> bool:
    """Whether a callback monitors a metric or writes checkpoints,
    and so comes after the module's hook at an epoch's end."""
    from rushlight.lightning.callbacks.checkpoint import Checkpoint
    from rushlight.lightning.callbacks.early_stopping import EarlyStopping
    return isinstance(callback, (Checkpoint, EarlyStopping))
