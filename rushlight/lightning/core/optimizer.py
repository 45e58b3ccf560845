"""LightningOptimizer: an optimizer whose steps the Trainer counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

from rushlight.lightning.utilities.exceptions import MisconfigurationException


def _nothing() -> None:
    return None


@lru_cache(maxsize=64)
def _wrapper_class(base: type, kind: type) -> type:
    return type("Lightning" + kind.__name__, (base, kind), {})


class LightningOptimizer:
    """Wraps an optimizer: ``step`` runs the precision's and the trainer's work around it, all else is the optimizer's.

    It is an instance of the optimizer's class, too. ``optimizer`` is the one inside.
    """

    def __init__(self, optimizer: Any):
        own = self.__dict__
        own["_optimizer"], own["_trainer"] = optimizer, None
        own["_on_before_step"] = own["_on_after_step"] = _nothing
        kind: Any = type(optimizer)
        self.__class__ = _wrapper_class(LightningOptimizer, kind)

    @property
    def optimizer(self) -> Any:
        """The optimizer itself."""
        return self._optimizer

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """One step; closure computes the loss and the gradients first. MisconfigurationException for a closure that
        cannot be called."""
        self._on_before_step()
        if closure is None:
            closure = _nothing
        elif not callable(closure):
            raise MisconfigurationException("When `optimizer.step(closure)` is called, the closure should be callable")
        if self._trainer is None:
            out = self._optimizer.step(closure=closure, **kwargs)
        else:
            out = self._trainer.precision_plugin.optimizer_step(self._trainer, self._optimizer, closure, **kwargs)
        self._on_after_step()
        return out

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Only this optimizer's parameters require gradients within the block; without sync_grad processes do not exchange them."""
        model = self._trainer.lightning_module
        model.toggle_optimizer(self)
        try:
            with nullcontext() if sync_grad else self._trainer.strategy.block_backward_sync():
                yield
        finally:
            model.untoggle_optimizer(self)

    def zero_grad(self, *args: Any, **kwargs: Any) -> None:
        """The optimizer's own."""
        self._optimizer.zero_grad(*args, **kwargs)

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's own."""
        return self._optimizer.state_dict()  # type: ignore[no-any-return]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The optimizer's own."""
        self._optimizer.load_state_dict(state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The optimizer's own."""
        self._optimizer.add_param_group(param_group)

    def __repr__(self) -> str:
        return repr(self._optimizer)

    def __getattr__(self, name: str) -> Any:
        if name == "_optimizer":
            raise AttributeError(name)
        return getattr(self._optimizer, name)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
