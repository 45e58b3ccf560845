"""L-BFGS with a strong Wolfe line search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.autograd.grad_mode import enable_grad, no_grad
from rushlight.optim.optimizer import Optimizer, check, number
from rushlight.tensor.core import unwrap, wrap


class LBFGS(Optimizer):
    """Limited-memory BFGS. ``step`` needs a closure that computes the loss and its gradients anew."""

    def __init__(self, params: Any, lr: Any = 1, max_iter: int = 20, max_eval: int | None = None, tolerance_grad: float = 1e-7,
                 tolerance_change: float = 1e-9, history_size: int = 100, line_search_fn: str | None = None):
        check(number(lr) >= 0, "learning rate", lr)
        super().__init__(params, dict(lr=lr, max_iter=max_iter, max_eval=max_iter * 5 // 4 if max_eval is None else max_eval, tolerance_grad=tolerance_grad,
                                      tolerance_change=tolerance_change, history_size=history_size, line_search_fn=line_search_fn))
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def _flat_grad(self) -> np.ndarray:
        return np.concatenate([np.zeros(p.numel(), p.dtype.numpy) if p.grad is None else unwrap(p.grad).reshape(-1) for p in self._params])

    def _flat(self) -> np.ndarray:
        return np.concatenate([unwrap(p.detach()).reshape(-1) for p in self._params])

    def _set(self, flat: np.ndarray) -> None:
        at = 0
        with no_grad():
            for p in self._params:
                n = p.numel()
                p.copy_(wrap(flat[at:at + n].reshape(p.shape).astype(p.dtype.numpy)))
                at += n

    def step(self, closure: Callable[[], Any]) -> Any:  # noqa: C901
        """Up to max_iter iterations; the loss before the first."""
        group, state = self.param_groups[0], self.state[self._params[0]]
        lr = number(group["lr"])

        def evaluate(x: np.ndarray | None = None) -> tuple[Any, np.ndarray]:
            if x is not None:
                self._set(x)
            with enable_grad():
                loss = closure()
            return loss, self._flat_grad()
        first, g = evaluate()
        loss = float(first)
        evals = 1
        state["func_evals"] = state.get("func_evals", 0) + 1
        if np.abs(g).max(initial=0) <= group["tolerance_grad"]:
            return first
        d, t = state.get("d"), state.get("t")
        ys, ss, rho = state.setdefault("old_dirs", []), state.setdefault("old_stps", []), state.setdefault("ro", [])
        scale, before, loss_before = state.get("H_diag", 1.0), state.get("prev_flat_grad"), state.get("prev_loss")
        state.setdefault("n_iter", 0)
        count = 0
        while count < group["max_iter"]:
            count += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d, scale = -g, 1.0
            else:
                scale = _remember(g - before, d * g.dtype.type(t), ys, ss, rho, group["history_size"]) or scale
                d = _direction(-g, ys, ss, rho, scale)
            before, loss_before = g.copy(), loss
            t = min(1.0, 1.0 / float(np.abs(g).sum())) * lr if state["n_iter"] == 1 else lr
            slope = float(g @ d)
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                x = self._flat()
                loss, g, t, used = _strong_wolfe(lambda a: evaluate(x + d.dtype.type(a) * d), t, d, loss, g, slope)
                self._set(x + d.dtype.type(t) * d)
            else:
                self._set(self._flat() + d.dtype.type(t) * d)
                used = 0
                if count != group["max_iter"]:
                    value, g = evaluate()
                    loss, used = float(value), 1
            evals += used
            state["func_evals"] += used
            if count == group["max_iter"] or evals >= group["max_eval"] or np.abs(g).max() <= group["tolerance_grad"] \
                    or np.abs(d * t).max() <= group["tolerance_change"] or abs(loss - loss_before) < group["tolerance_change"]:
                break
        state.update(d=d, t=t, H_diag=scale, prev_flat_grad=before, prev_loss=loss_before)
        return first


def _remember(y: np.ndarray, s: np.ndarray, ys: list[Any], ss: list[Any], rho: list[float], most: int) -> float | None:
    """Add a change of the gradient and the step that made it to the last ``most``; the scale that they suggest, None where they are not used."""
    ysum = float(y @ s)
    if ysum <= 1e-10:
        return None
    if len(ys) == most:
        for row in (ys, ss, rho):
            row.pop(0)
    ys.append(y)
    ss.append(s)
    rho.append(1 / ysum)
    return ysum / float(y @ y)


def _direction(q: np.ndarray, ys: list[Any], ss: list[Any], rho: list[float], scale: float) -> np.ndarray:
    """The two-loop recursion."""
    kind = q.dtype.type
    alpha = [0.0] * len(ys)
    for i in range(len(ys) - 1, -1, -1):
        alpha[i] = float(ss[i] @ q) * rho[i]
        q = q - kind(alpha[i]) * ys[i]
    r = q * kind(scale)
    for i in range(len(ys)):
        r = r + ss[i] * kind(alpha[i] - float(ys[i] @ r) * rho[i])
    return r


def _cubic(x1: float, f1: float, g1: float, x2: float, f2: float, g2: float, bounds: tuple[float, float] | None = None) -> float:
    """The minimum of the cubic through two points with slopes."""
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if square < 0:
        return (low + high) / 2
    d2 = square ** 0.5
    at = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2)) if x1 <= x2 else x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(at, low), high)


def _strong_wolfe(evaluate: Any, t: float, d: np.ndarray, f: float, g: np.ndarray, slope: float, c1: float = 1e-4, c2: float = 0.9,
                  tiny: float = 1e-9, most: int = 25) -> tuple[float, np.ndarray, float, int]:
    """A step that decreases enough (c1) and is flat enough (c2): bracketing, then zooming."""
    size = float(np.abs(d).max())

    def at(a: float) -> tuple[float, float, np.ndarray, float]:
        value, grad = evaluate(a)
        return a, float(value), grad.copy(), float(grad @ d)
    used = 0
    last = (0.0, f, g.copy(), slope)
    now = at(t)
    used += 1
    bracket: list[Any] | None = None
    done = False
    for i in range(most):
        if now[1] > f + c1 * now[0] * slope or (i > 1 and now[1] >= last[1]):
            bracket = [last, now]
            break
        if abs(now[3]) <= -c2 * slope:
            bracket, done = [now], True
            break
        if now[3] >= 0:
            bracket = [last, now]
            break
        low, high = now[0] + 0.01 * (now[0] - last[0]), now[0] * 10
        step = _cubic(last[0], last[1], last[3], now[0], now[1], now[3], (low, high))
        last, now = now, at(step)
        used += 1
    if bracket is None:
        bracket = [(0.0, f, g, slope), now]
    stuck = False
    lo, hi = (0, 1) if bracket[0][1] <= bracket[-1][1] else (1, 0)
    for _ in range(most):
        if done or len(bracket) == 1 or abs(bracket[1][0] - bracket[0][0]) * size < tiny:
            break
        a, b = bracket
        step = _cubic(a[0], a[1], a[3], b[0], b[1], b[3])
        low, high = min(a[0], b[0]), max(a[0], b[0])
        margin = 0.1 * (high - low)
        if min(high - step, step - low) < margin:
            if stuck or step >= high or step <= low:
                step = high - margin if abs(step - high) < abs(step - low) else low + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = at(step)
        used += 1
        if new[1] > f + c1 * step * slope or new[1] >= bracket[lo][1]:
            bracket[hi] = new
            lo, hi = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
        else:
            if abs(new[3]) <= -c2 * slope:
                done = True
            elif new[3] * (bracket[hi][0] - bracket[lo][0]) >= 0:
                bracket[hi] = bracket[lo]
            bracket[lo] = new
    best = bracket[lo] if len(bracket) > 1 else bracket[0]
    return best[1], best[2], best[0], used


