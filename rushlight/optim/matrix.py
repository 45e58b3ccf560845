"""Adafactor and Muon: optimizers that look at parameters as matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rushlight.optim.optimizer import Optimizer, at_least, number, one_number
from rushlight.tensor.core import Tensor


class Adafactor(Optimizer):
    """Adam with the second moment kept as a row and a column, and steps scaled to the parameter."""

    def __init__(self, params: Any, lr: Any = 1e-2, beta2_decay: float = -0.8,
                 eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0,
                 weight_decay: float = 0.0, *, foreach: bool | None = None, maximize: bool = False):
        at_least(one_number(lr), 0, "Learning rate")
        if beta2_decay > 0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        at_least(0 if eps[0] is None else eps[0], 0, "epsilon1")
        at_least(eps[1], 0, "epsilon2")
        at_least(d, 1, "Clipping threshold d")
        at_least(weight_decay, 0, "weight_decay")
        super().__init__(params, dict(lr=lr, beta2_decay=beta2_decay, eps=eps, d=d, weight_decay=weight_decay,
                                      foreach=foreach, maximize=maximize))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        from rushlight.tensor.settings import finfo
        for p in params:
            state = self.state[p]
            if not state:
                self._ready(p)
                if p.ndim > 1:
                    state["row_var"] = p.new_zeros([*p.shape[:-1], 1])
                    state["col_var"] = p.new_zeros([*p.shape[:-2], 1, p.shape[-1]])
                else:
                    state["variance"] = p.new_zeros(p.shape)
        for t, some in self._by_step(params).items():
            for p in some:
                eps1 = group["eps"][0] if group["eps"][0] is not None else finfo(p.dtype).eps
                self._one(p, self.state[p], group, t, eps1)

    def _one(self, p: Tensor, state: dict[str, Any], group: dict[str, Any], t: float, eps1: float) -> None:
        """One parameter: factored for matrices, plain for vectors."""
        lr, floor, clip = number(group["lr"]), group["eps"][1], group["d"]
        g = -p.grad if group["maximize"] else p.grad
        keep = 1 - t ** group["beta2_decay"]
        rate = min(lr, 1 / math.sqrt(t))
        alpha = (p.norm() / math.sqrt(p.numel())).clamp(min=floor) * rate
        if group["weight_decay"]:
            p.mul_(1 - lr * group["weight_decay"])
        if p.ndim > 1:
            row, col = state["row_var"], state["col_var"]
            row.copy_(row + ((g * g).mean(-1, keepdim=True) - row) * (1 - keep))
            col.copy_(col + ((g * g).mean(-2, keepdim=True) - col) * (1 - keep))
            var = (row @ col) / row.mean(-2, keepdim=True).clamp(min=eps1)
        else:
            var = state["variance"]
            var.copy_(var + (g * g - var) * (1 - keep))
        step = var.clamp(min=eps1 * eps1).rsqrt() * g
        scale = (step.norm() / (math.sqrt(step.numel()) * clip)).clamp(min=1.0)
        p.sub_(step * (alpha / scale))


def orthogonal(g: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """The nearest orthogonal matrix by Newton–Schulz iterations, whose values are kept in bfloat16.

    A line of the iteration is computed as PyTorch's ``addmm`` does: the product in float32, the addend joined by a
    fused multiply-add (float64 stands for it), one rounding. Rounding each part to bfloat16 would end some 1e-3 away.
    """
    from rushlight.ir.dtype import bfloat16, float32, float64
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = (float(np.float32(v)) for v in coefficients)

    def rounded(x: Tensor) -> Any:
        return x.to(float32).to(bfloat16).to(float32)

    def fused(addend: Tensor, scale: float, product: Tensor) -> Any:
        return rounded(addend.to(float64) * scale + product.to(float64))

    x = g.to(bfloat16)
    tall = g.shape[0] > g.shape[1]
    x = x.t() if tall else x
    x = (x / x.norm().clamp(min=eps)).to(float32)
    for _ in range(steps):
        gram = rounded(x @ x.t())
        update = fused(gram, b, (gram @ gram) * c)
        x = fused(x, a, update @ x)
    x = x.to(bfloat16)
    nearest: Tensor = x.t() if tall else x
    return nearest


def _between(a: Tensor, b: Tensor, weight: float) -> Any:
    """From a to b by weight, starting at the nearer end as PyTorch's lerp does:
    bfloat16 would make more of the difference."""
    return a + (b - a) * weight if weight < 0.5 else b - (b - a) * (1 - weight)


class Muon(Optimizer):
    """Momentum whose steps are made orthogonal; for matrices only."""

    def __init__(self, params: Any, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
                 nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
                 eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None):
        at_least(one_number(lr), 0, "Learning rate")
        at_least(momentum, 0, "momentum")
        at_least(weight_decay, 0, "weight decay")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay, momentum=momentum,
                                      nesterov=nesterov, ns_coefficients=ns_coefficients, eps=eps,
                                      ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn))
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError("Muon only supports 2D parameters whereas we found a "
                                     f"parameter with size: {p.size()}")

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        from rushlight.tensor.creation import zeros_like
        lr, momentum = number(group["lr"]), group["momentum"]
        for p in params:
            state = self.state[p]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = zeros_like(p.grad)
            buf = state["momentum_buffer"]
            buf.copy_(_between(buf, p.grad, 1 - momentum))
            step = _between(p.grad, buf, momentum) if group["nesterov"] else buf
            step = orthogonal(step, group["ns_coefficients"], group["ns_steps"], group["eps"])
            a, b = p.shape
            ratio = (0.2 * math.sqrt(max(a, b))
                     if group["adjust_lr_fn"] == "match_rms_adamw" else math.sqrt(max(1, a / b)))
            p.mul_(1 - lr * group["weight_decay"])
            p.sub_(step.to(p.dtype) * (lr * ratio))
