"""Which optimizers may update DTensors piece by piece: all but those that look at a whole parameter."""

from __future__ import annotations

from typing import Any

from rushlight.optim.optimizer import register_optimizer_step_pre_hook

WHOLE = {
    "Adafactor": "rows and columns of a parameter",
    "Muon": "a parameter's singular values",
    "LBFGS": "all parameters as one vector",
    "SparseAdam": "single rows of a parameter",
}


def check(optimizer: Any, args: Any, kwargs: Any) -> None:
    """NotImplementedError for an optimizer that would take a piece for the whole."""
    from rushlight.distributed.tensor.dtensor import DTensor

    for kind in type(optimizer).__mro__:
        if (
            kind.__name__ in WHOLE
            and kind.__module__.startswith("rushlight.")
            and any(isinstance(p, DTensor) for g in optimizer.param_groups for p in g["params"])
        ):
            raise NotImplementedError(
                f"{kind.__name__} cannot update DTensors: it works on {WHOLE[kind.__name__]}, of which each rank has "
                "a piece only; use SGD, Adam, AdamW, "
                "RMSprop, Adagrad or another optimizer that works element by element"
            )


register_optimizer_step_pre_hook(check)
