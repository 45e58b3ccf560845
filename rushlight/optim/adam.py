"""Adam, AdamW, Adamax, NAdam and RAdam."""

from __future__ import annotations

import math
from typing import Any

from rushlight.optim.optimizer import Optimizer, check, check_rate, check_switches, number
from rushlight.tensor.core import Tensor


def prepared(p: Any, g: Any, decay: Any, lr: Any, maximize: bool, decays: bool, decoupled: bool) -> tuple[Any, Any]:
    """Gradient and parameter after sign and weight decay (decoupled: applied to the parameter)."""
    g = -g if maximize else g
    if decays and decoupled:
        p = p * (1 - lr * decay)
    elif decays:
        g = g + p * decay
    return p, g


def adam_step(p: Any, m: Any, v: Any, g: Any, lr: Any, decay: Any, b1: Any, b2: Any, eps: Any, size: Any,
              root: Any, maximize: bool, decays: bool, decoupled: bool) -> tuple[Any, ...]:
    """p - size * m / (√v / root + eps), size = lr / (1 - b1^t), root = √(1 - b2^t)."""
    p, g = prepared(p, g, decay, lr, maximize, decays, decoupled)
    m = m + (g - m) * (1 - b1)
    v = v * b2 + g * g.conj() * (1 - b2)
    return p - m / (v.sqrt() / root + eps) * size, m, v


def amsgrad_step(p: Any, m: Any, v: Any, top: Any, g: Any, lr: Any, decay: Any, b1: Any, b2: Any, eps: Any,
                 size: Any, root: Any, maximize: bool, decays: bool, decoupled: bool) -> tuple[Any, ...]:
    """adam_step with the largest v so far."""
    p, g = prepared(p, g, decay, lr, maximize, decays, decoupled)
    m = m + (g - m) * (1 - b1)
    v = v * b2 + g * g.conj() * (1 - b2)
    top = top.maximum(v)
    return p - m / (top.sqrt() / root + eps) * size, m, v, top


class Adam(Optimizer):
    """Adam: steps by running means of the gradient and of its square, corrected for their start at zero."""

    decoupled = False

    def __init__(self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, amsgrad: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False,
                 fused: bool | None = None, decoupled_weight_decay: bool = False):
        check_rate(lr)
        check(eps >= 0, "epsilon value", eps)
        for i, b in enumerate(betas):
            check(0 <= number(b) < 1, f"beta parameter at index {i}", b)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        check_switches(foreach, fused, differentiable)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
                                      amsgrad=amsgrad, maximize=maximize, foreach=foreach,
                                      capturable=capturable, differentiable=differentiable, fused=fused,
                                      decoupled_weight_decay=decoupled_weight_decay or self.decoupled))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            self._ready(p, exp_avg=True, exp_avg_sq=True, max_exp_avg_sq=group["amsgrad"])
        lr, decay, eps = (number(group[k]) for k in ("lr", "weight_decay", "eps"))
        b1, b2 = (number(b) for b in group["betas"])
        flags = (bool(group["maximize"]), decay != 0, bool(group.get("decoupled_weight_decay", self.decoupled)))
        for t, some in self._by_step(params).items():
            numbers = (lr, decay, b1, b2, eps, lr / (1 - b1 ** t), math.sqrt(1 - b2 ** t))
            names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
            self._apply(amsgrad_step if group["amsgrad"] else adam_step, some, names, numbers, flags)


class AdamW(Adam):
    """Adam with weight decay applied to the parameters, apart from the gradient."""

    decoupled = True

    def __init__(self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 1e-2,
                 amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None,
                 capturable: bool = False, differentiable: bool = False, fused: bool | None = None):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
                         capturable=capturable, differentiable=differentiable, fused=fused)


def adamax_step(p: Any, m: Any, u: Any, g: Any, lr: Any, decay: Any, b1: Any, b2: Any, eps: Any,
                size: Any, maximize: bool, decays: bool) -> tuple[Any, ...]:
    """p - size * m / u with u the decayed largest |g|."""
    p, g = prepared(p, g, decay, lr, maximize, decays, False)
    m = m + (g - m) * (1 - b1)
    u = (u * b2).maximum(g.abs() + eps)
    return p - m / u * size, m, u


class Adamax(Optimizer):
    """Adam by the infinity norm."""

    def __init__(self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, foreach: bool | None = None, *,
                 maximize: bool = False, differentiable: bool = False, capturable: bool = False):
        check_rate(lr)
        check(eps >= 0, "epsilon value", eps)
        for i, b in enumerate(betas):
            check(0 <= b < 1, f"beta parameter at index {i}", b)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=foreach,
                                      maximize=maximize, differentiable=differentiable, capturable=capturable))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            self._ready(p, exp_avg=True, exp_inf=True)
        lr, decay, eps = (number(group[k]) for k in ("lr", "weight_decay", "eps"))
        b1, b2 = group["betas"]
        for t, some in self._by_step(params).items():
            self._apply(adamax_step, some, ("exp_avg", "exp_inf"), (lr, decay, b1, b2, eps, lr / (1 - b1 ** t)),
                        (bool(group["maximize"]), decay != 0))


def nadam_step(p: Any, m: Any, v: Any, g: Any, lr: Any, decay: Any, b1: Any, b2: Any, eps: Any, c: Any,
               by_g: Any, by_m: Any, maximize: bool, decays: bool, decoupled: bool) -> tuple[Any, ...]:
    """p - by_g * g / d - by_m * m / d, d = √(v / c) + eps."""
    p, g = prepared(p, g, decay, lr, maximize, decays, decoupled)
    m = m + (g - m) * (1 - b1)
    v = v * b2 + g * g * (1 - b2)
    d = (v / c).sqrt() + eps
    return p - g / d * by_g - m / d * by_m, m, v


class NAdam(Optimizer):
    """Adam with Nesterov momentum."""

    def __init__(self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, weight_decay: float = 0, momentum_decay: float = 4e-3,
                 decoupled_weight_decay: bool = False, *, foreach: bool | None = None, maximize: bool = False,
                 capturable: bool = False, differentiable: bool = False):
        check_rate(lr)
        check(eps >= 0, "epsilon value", eps)
        for i, b in enumerate(betas):
            check(0 <= b < 1, f"beta parameter at index {i}", b)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        check(momentum_decay >= 0, "momentum_decay value", momentum_decay)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps,
                                      weight_decay=weight_decay, momentum_decay=momentum_decay,
                                      decoupled_weight_decay=decoupled_weight_decay, maximize=maximize,
                                      foreach=foreach, capturable=capturable, differentiable=differentiable))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            self._ready(p, mu_product=1.0, exp_avg=True, exp_avg_sq=True)
        lr, decay, eps, slow = (number(group[k]) for k in ("lr", "weight_decay", "eps", "momentum_decay"))
        b1, b2 = group["betas"]
        for (t, product), some in self._by_numbers(params, "mu_product"):
            mu, after = (b1 * (1 - 0.5 * 0.96 ** (s * slow)) for s in (t, t + 1))
            product *= mu
            self._write_numbers(some, mu_product=product)
            numbers = (lr, decay, b1, b2, eps, 1 - b2 ** t, lr * (1 - mu) / (1 - product),
                       lr * after / (1 - product * after))
            self._apply(nadam_step, some, ("exp_avg", "exp_avg_sq"), numbers,
                        (bool(group["maximize"]), decay != 0, bool(group["decoupled_weight_decay"])))


def radam_step(p: Any, m: Any, v: Any, g: Any, lr: Any, decay: Any, b1: Any, b2: Any, eps: Any, size: Any,
               root: Any, maximize: bool, decays: bool, decoupled: bool, rectified: bool) -> tuple[Any, ...]:
    """Adam once the variance is tractable (rectified), plain momentum before."""
    p, g = prepared(p, g, decay, lr, maximize, decays, decoupled)
    m = m + (g - m) * (1 - b1)
    v = v * b2 + g * g * (1 - b2)
    return (p - m * size * (root / (v.sqrt() + eps)) if rectified else p - m * size), m, v


class RAdam(Optimizer):
    """Rectified Adam."""

    def __init__(self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0, decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
                 maximize: bool = False, capturable: bool = False, differentiable: bool = False):
        check_rate(lr)
        check(eps >= 0, "epsilon value", eps)
        for i, b in enumerate(betas):
            check(0 <= b < 1, f"beta parameter at index {i}", b)
        check(weight_decay >= 0, "weight_decay value", weight_decay)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
                                      maximize=maximize, foreach=foreach, capturable=capturable,
                                      decoupled_weight_decay=decoupled_weight_decay, differentiable=differentiable))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            self._ready(p, exp_avg=True, exp_avg_sq=True)
        lr, decay, eps = (number(group[k]) for k in ("lr", "weight_decay", "eps"))
        b1, b2 = group["betas"]
        for t, some in self._by_step(params).items():
            c1, c2 = 1 - b1 ** t, 1 - b2 ** t
            most = 2 / (1 - b2) - 1
            rho = most - 2 * t * b2 ** t / c2
            rectified = rho > 5
            r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)) if rectified else 1.0
            numbers = (lr, decay, b1, b2, eps, lr * r / c1, math.sqrt(c2))
            self._apply(radam_step, some, ("exp_avg", "exp_avg_sq"), numbers,
                        (bool(group["maximize"]), decay != 0, bool(group["decoupled_weight_decay"]), rectified))
