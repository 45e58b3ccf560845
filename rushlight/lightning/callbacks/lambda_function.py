"""A callback of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.lightning.callbacks.callback import Callback

HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_") or name in ("setup", "teardown"))


class LambdaCallback(Callback):
    """Each argument is the name of a hook and the function that takes its place; TypeError for other names.

    >>> callback = LambdaCallback(on_train_end=lambda trainer, module: print("done"))
    >>> callback.on_train_end(None, None)
    done
    """

    def __init__(self, **hooks: Callable[..., Any] | None):
        for name, function in hooks.items():
            if name not in HOOKS:
                raise TypeError(f"LambdaCallback.__init__() got an unexpected keyword argument {name!r}; hooks are"
                                f" {', '.join(HOOKS)}")
            if function is not None:
                setattr(self, name, function)
