"""RMSprop, Adagrad, Adadelta, Rprop and ASGD."""

from __future__ import annotations

from typing import Any

from rushlight.optim.adam import prepared
from rushlight.optim.optimizer import Optimizer, check, check_rate, check_switches, number
from rushlight.tensor.core import Tensor


def rmsprop_step(p: Any, sq: Any, *rest: Any) -> tuple[Any, ...]:
    """p - lr * g / (√(running mean of g²) + eps), centred and with momentum where asked."""
    *states, g, lr, decay, alpha, eps, momentum, maximize, decays, centered, moves = rest
    p, g = prepared(p, g, decay, lr, maximize, decays, False)
    sq = sq * alpha + g * g * (1 - alpha)
    states = list(states)
    mean = square = sq
    out = [sq]
    if centered:
        mean = states.pop()
        mean = mean + (g - mean) * (1 - alpha)
        square = sq - mean * mean
    d = g / (square.sqrt() + eps)
    if moves:
        buf = states.pop() * momentum + d
        out.append(buf)
        d = buf
    if centered:
        out.append(mean)
    return (p - d * lr, *out)


class RMSprop(Optimizer):
    """Steps by the gradient over the root of the running mean of its square."""

    def __init__(self, params: Any, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
                 weight_decay: float = 0, momentum: float = 0, centered: bool = False, capturable: bool = False,
                 foreach: bool | None = None, maximize: bool = False, differentiable: bool = False):
        check_rate(lr)
        check(eps >= 0, "epsilon value", eps)
        check(momentum >= 0, "momentum value", momentum)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        check(alpha >= 0, "alpha value", alpha)
        super().__init__(params, dict(lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered,
                                      weight_decay=weight_decay, capturable=capturable,
                                      foreach=foreach, maximize=maximize, differentiable=differentiable))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        for p in params:
            self._ready(p, **{n: True for n in names})
        self._by_step(params)
        numbers = tuple(number(group[k]) for k in ("lr", "weight_decay", "alpha", "eps", "momentum"))
        self._apply(rmsprop_step, params, tuple(names), numbers,
                    (bool(group["maximize"]), numbers[1] != 0, bool(group["centered"]), group["momentum"] > 0))


def adagrad_step(p: Any, total: Any, g: Any, rate: Any, decay: Any, eps: Any,
                 maximize: bool, decays: bool) -> tuple[Any, ...]:
    """p - rate * g / (√(sum of g²) + eps)."""
    p, g = prepared(p, g, decay, rate, maximize, decays, False)
    total = total + g * g
    return p - g / (total.sqrt() + eps) * rate, total


class Adagrad(Optimizer):
    """Steps by the gradient over the root of the sum of its squares."""

    def __init__(self, params: Any, lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
                 initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
                 maximize: bool = False, differentiable: bool = False, fused: bool | None = None):
        import numpy as np

        from rushlight.tensor.core import wrap
        from rushlight import full_like
        check_rate(lr)
        check(lr_decay >= 0, "lr_decay value", lr_decay)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        check(initial_accumulator_value >= 0, "initial_accumulator_value value", initial_accumulator_value)
        check(eps >= 0, "epsilon value", eps)
        check_switches(foreach, fused, differentiable)
        super().__init__(params, dict(lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay,
                                      initial_accumulator_value=initial_accumulator_value,
                                      foreach=foreach, maximize=maximize, differentiable=differentiable, fused=fused))
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p].update(step=wrap(np.zeros((), np.float32)), sum=full_like(p, initial_accumulator_value))

    def share_memory(self) -> None:
        """Nothing to do: threads share all memory."""

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        lr, decay, eps = (number(group[k]) for k in ("lr", "weight_decay", "eps"))
        for t, some in self._by_step(params).items():
            self._apply(adagrad_step, some, ("sum",), (lr / (1 + (t - 1) * group["lr_decay"]), decay, eps),
                        (bool(group["maximize"]), decay != 0))

    def _update_sparse(self, group: dict[str, Any], params: list[Tensor]) -> None:
        from rushlight.optim import sparse_rows
        sparse_rows.adagrad(self.state, group, self._by_step(params), number)


def adadelta_step(p: Any, sq: Any, acc: Any, g: Any, lr: Any, decay: Any, rho: Any, eps: Any,
                  maximize: bool, decays: bool) -> tuple[Any, ...]:
    """Steps by the ratio of the running roots of squared steps and squared gradients."""
    p, g = prepared(p, g, decay, lr, maximize, decays, False)
    sq = sq * rho + g * g * (1 - rho)
    d = (acc + eps).sqrt() / (sq + eps).sqrt() * g
    return p - d * lr, sq, acc * rho + d * d * (1 - rho)


class Adadelta(Optimizer):
    """Adagrad over a sliding window, without a rate of its own."""

    def __init__(self, params: Any, lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6,
                 weight_decay: float = 0, foreach: bool | None = None, *,
                 capturable: bool = False, maximize: bool = False, differentiable: bool = False):
        check_rate(lr)
        check(0 <= rho <= 1, "rho value", rho)
        check(eps >= 0, "epsilon value", eps)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        super().__init__(params, dict(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize,
                                      capturable=capturable, foreach=foreach, differentiable=differentiable))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            self._ready(p, square_avg=True, acc_delta=True)
        self._by_step(params)
        numbers = tuple(number(group[k]) for k in ("lr", "weight_decay", "rho", "eps"))
        self._apply(adadelta_step, params, ("square_avg", "acc_delta"), numbers,
                    (bool(group["maximize"]), numbers[1] != 0))


def rprop_step(p: Any, prev: Any, size: Any, g: Any, down: Any, up: Any, low: Any,
               high: Any, maximize: bool) -> tuple[Any, ...]:
    """Step sizes that grow while the gradient keeps its sign and shrink, without a step, when it turns."""
    from rushlight.tensor.functions.pointwise import where
    g = -g if maximize else g
    turn = g * prev
    factor = where(turn > 0, size * 0 + up, where(turn < 0, size * 0 + down, 1))
    size = (size * factor).maximum(size * 0 + low).minimum(size * 0 + high)
    g = where(turn < 0, 0, g)
    return p - g.sign() * size, g, size


class Rprop(Optimizer):
    """Resilient backpropagation: only the signs of gradients count."""

    def __init__(self, params: Any, lr: Any = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
                 step_sizes: tuple[float, float] = (1e-6, 50), *, capturable: bool = False,
                 foreach: bool | None = None, maximize: bool = False, differentiable: bool = False):
        check_rate(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, dict(lr=lr, etas=etas, step_sizes=step_sizes, foreach=foreach, maximize=maximize,
                                      differentiable=differentiable, capturable=capturable))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        from rushlight import full_like
        for p in params:
            if not self.state[p]:
                self._ready(p, prev=True)["step_size"] = full_like(p, number(group["lr"]))
        self._by_step(params)
        self._apply(rprop_step, params, ("prev", "step_size"),
                    (*map(float, group["etas"]), *map(float, group["step_sizes"])), (bool(group["maximize"]),))


def asgd_step(p: Any, ax: Any, g: Any, lr: Any, decay: Any, shrink: Any, eta: Any, mu: Any,
              maximize: bool, decays: bool) -> tuple[Any, ...]:
    """A decaying step, and the running average of the parameters."""
    p, g = prepared(p, g, decay, lr, maximize, decays, False)
    p = p * shrink - g * eta
    return p, ax + (p - ax) * mu


class ASGD(Optimizer):
    """Averaged stochastic gradient descent."""

    def __init__(self, params: Any, lr: Any = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
                 weight_decay: float = 0, foreach: bool | None = None, maximize: bool = False,
                 differentiable: bool = False, capturable: bool = False):
        check_rate(lr)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        super().__init__(params, dict(lr=lr, lambd=lambd, alpha=alpha, t0=t0,
                                      weight_decay=weight_decay, foreach=foreach, maximize=maximize,
                                      differentiable=differentiable, capturable=capturable))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        lr, decay = number(group["lr"]), number(group["weight_decay"])
        for p in params:
            self._ready(p, eta=float(lr), mu=1.0, ax=True)
        for (t, eta, mu), some in self._by_numbers(params, "eta", "mu"):
            self._apply(asgd_step, some, ("ax",), (lr, decay, 1 - group["lambd"] * eta, eta, mu),
                        (bool(group["maximize"]), decay != 0))
            self._write_numbers(some, eta=lr / (1 + group["lambd"] * lr * t) ** group["alpha"], mu=1 / max(1.0, t - group["t0"]))
