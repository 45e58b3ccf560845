"""Norms of gradients for the log."""

from __future__ import annotations

from typing import Any


def grad_norm(module: Any, norm_type: float | int | str, group_separator: str = "/") -> dict[str, Any]:
    """The norm of each parameter's gradient, and of all together, by names for ``log_dict``.

    ValueError for a norm that is not positive. For LightningModule.on_before_optimizer_step.

    >>> import rushlight as rl
    >>> layer = rl.nn.Linear(2, 1, bias=False)
    >>> layer(rl.tensor([[3.0, 4.0]])).sum().backward()
    >>> grad_norm(layer, 2)["grad_2.0_norm_total"]
    tensor(5.)
    """
    norm_type = float(norm_type)
    if norm_type <= 0:
        raise ValueError(f"`norm_type` must be a positive number or 'inf' (infinity norm). Got {norm_type}")
    norms = {f"grad_{norm_type}_norm{group_separator}{name}": p.grad.detach().norm(norm_type)
             for name, p in module.named_parameters() if p.grad is not None}
    if norms:
        from rushlight.tensor.functions.joining import stack
        norms[f"grad_{norm_type}_norm_total"] = stack(list(norms.values())).norm(norm_type)
    return norms
