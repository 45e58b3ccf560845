"""Steps of the dense optimizers on sparse gradients: only the rows that have gradients move."""

from __future__ import annotations

from typing import Any

from rushlight.sparse.patterns import index_tensor, taken
from rushlight.tensor.core import Tensor


def values_at(t: Any, g: Any) -> Any:
    """The elements of a dense tensor where a sparse one has values."""
    return t[g._at[0]] if g.sparse_dim() == 1 else taken(t, g)


def add_values(t: Any, g: Any, values: Any) -> None:
    """Add values to a dense tensor, in place, where a sparse one has its own."""
    if g.sparse_dim() == 1:
        t.index_add_(0, g._at[0], values)
    else:
        rows = t.view((-1, *t.shape[g.sparse_dim():]))
        rows.index_add_(0, index_tensor(g.flat()), values)


def sgd(states: Any, group: dict[str, Any], params: list[Tensor], number: Any) -> None:
    """SGD with momentum, whose buffers are sparse too. RuntimeError with weight decay, which is dense."""
    lr, momentum = number(group["lr"]), number(group["momentum"])
    if number(group["weight_decay"]):
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead. "
                           "SGD has no weight_decay with sparse gradients")
    for p in params:
        g: Any = -p.grad if group["maximize"] else p.grad
        if momentum:
            buffer = states[p].get("momentum_buffer")
            if buffer is None:
                buffer = g.detach().clone()
            else:
                buffer = buffer * momentum + g * (1 - group["dampening"])
            states[p]["momentum_buffer"] = buffer = buffer.coalesce()
            g = g + buffer * momentum if group["nesterov"] else buffer
        add_values(p, g, g._vals * -lr)


def adagrad(states: Any, group: dict[str, Any], by_step: dict[float, list[Tensor]], number: Any) -> None:
    """Adagrad. RuntimeError with weight decay, which is dense."""
    if number(group["weight_decay"]):
        raise RuntimeError("weight_decay option is not compatible with sparse gradients")
    for t, params in by_step.items():
        rate = number(group["lr"]) / (1 + (t - 1) * group["lr_decay"])
        for p in params:
            g: Any = (-p.grad if group["maximize"] else p.grad).coalesce()
            add_values(states[p]["sum"], g, g._vals * g._vals)
            root = values_at(states[p]["sum"], g).sqrt() + group["eps"]
            add_values(p, g, g._vals / root * -rate)
