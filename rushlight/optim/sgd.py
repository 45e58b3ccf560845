"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from rushlight.optim.optimizer import Optimizer, check, check_rate, check_switches, number
from rushlight.tensor.core import Tensor


def sgd_step(p: Any, g: Any, lr: Any, decay: Any, maximize: bool, decays: bool) -> tuple[Any, ...]:
    """p - lr * (g + decay * p)."""
    g = -g if maximize else g
    g = g + p * decay if decays else g
    return (p - g * lr,)


def sgd_momentum_step(p: Any, buf: Any, g: Any, lr: Any, decay: Any, momentum: Any, damp: Any, maximize: bool, decays: bool, nesterov: bool,
                      damped: bool) -> tuple[Any, ...]:
    """buf = momentum * buf + damp * g; p - lr * buf, or with Nesterov's look-ahead."""
    g = -g if maximize else g
    g = g + p * decay if decays else g
    buf = buf * momentum + (g * damp if damped else g)
    d = g + buf * momentum if nesterov else buf
    return p - d * lr, buf


def sgd_first_step(p: Any, buf: Any, g: Any, lr: Any, decay: Any, momentum: Any, damp: Any, maximize: bool, decays: bool, nesterov: bool,
                   damped: bool) -> tuple[Any, ...]:
    """The first recorded step: the buffer is the gradient without its history, as in PyTorch."""
    g = -g if maximize else g
    g = g + p * decay if decays else g
    buf = g.detach()
    return p - (g + buf * momentum if nesterov else buf) * lr, buf


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, Nesterov momentum and weight decay."""

    def __init__(self, params: Any, lr: Any = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: Any = 0, nesterov: bool = False, *,
                 maximize: bool = False, foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None):
        check_rate(lr)
        check(momentum >= 0, "momentum value", momentum)
        check(number(weight_decay) >= 0, "weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_switches(foreach, fused, differentiable)
        super().__init__(params, dict(lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov, maximize=maximize,
                                      foreach=foreach, differentiable=differentiable, fused=fused))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        lr, decay, momentum, damp = [number(group[k]) for k in ("lr", "weight_decay", "momentum", "dampening")]
        flags = (bool(group["maximize"]), decay != 0)
        if not momentum:
            self._apply(sgd_step, params, (), (lr, decay), flags)
            return
        state = self.state
        new = [p for p in params if state[p].get("momentum_buffer") is None]
        for p in new:  # the first step takes the gradient undamped: a zero buffer and no damping give just that
            state[p]["momentum_buffer"] = _zeros(p)
        old = params
        if new:
            made = set(map(id, new))
            old = [p for p in params if id(p) not in made]
        for some, undamped in ((new, 0.0), (old, damp)):
            if some:
                rule = sgd_first_step if self._recorded and some is new else sgd_momentum_step
                self._apply(rule, some, ("momentum_buffer",), (lr, decay, momentum, 1 - undamped), (*flags, bool(group["nesterov"]), undamped != 0))

    def _update_sparse(self, group: dict[str, Any], params: list[Tensor]) -> None:
        from rushlight.optim import sparse_rows
        sparse_rows.sgd(self.state, group, params, number)


def _zeros(p: Tensor) -> Any:
    from rushlight import zeros_like  # the public one: parameters may be DTensors
    return zeros_like(p)
