"""L-BFGS with a strong Wolfe line search.

Its steps feed on their own differences, so that a last bit soon decides about all: vectors are added,
multiplied and summed in PyTorch's order (`exec.order`), and numbers made of them have their dtype, as
PyTorch's tensors without dimensions have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.autograd.grad_mode import enable_grad, no_grad
from rushlight.exec.numpy import sums
from rushlight.exec.numpy.kernels import fma
from rushlight.optim.optimizer import Optimizer, check_rate, number
from rushlight.tensor.core import unwrap, wrap


class LBFGS(Optimizer):
    """Limited-memory BFGS. ``step`` needs a closure that computes the loss and its gradients anew."""

    def __init__(self, params: Any, lr: Any = 1, max_iter: int = 20,
                 max_eval: int | None = None, tolerance_grad: float = 1e-7,
                 tolerance_change: float = 1e-9, history_size: int = 100, line_search_fn: str | None = None):
        check_rate(lr)
        super().__init__(params, dict(lr=lr, max_iter=max_iter,
                                      max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
                                      tolerance_grad=tolerance_grad, tolerance_change=tolerance_change,
                                      history_size=history_size, line_search_fn=line_search_fn))
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def _flat_grad(self) -> np.ndarray:
        return np.concatenate([np.zeros(p.numel(), p.dtype.numpy) if p.grad is None else
                               unwrap(p.grad).reshape(-1) for p in self._params])

    def _flat(self) -> np.ndarray:
        return np.concatenate([unwrap(p.detach()).reshape(-1) for p in self._params])

    def _set(self, flat: np.ndarray) -> None:
        at = 0
        with no_grad():
            for p in self._params:
                n = p.numel()
                p.copy_(wrap(flat[at:at + n].reshape(p.shape).astype(p.dtype.numpy)))
                at += n

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
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
                found = _remember(g - before, d * g.dtype.type(t), ys, ss, rho, group["history_size"])
                scale = scale if found is None else found
                d = _direction(-g, ys, ss, rho, scale)
            before, loss_before = g.copy(), loss
            t = min(1.0, 1.0 / sums.total(np.abs(g)[None])[0]) * lr if state["n_iter"] == 1 else lr
            slope = _dot(g, d)
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                x = self._flat()
                loss, g, t, used = _strong_wolfe(lambda a: evaluate(fma(d, float(a), x)), t, d, loss,
                                                 g, slope, most=group["max_eval"] - evals)
                self._set(fma(d, float(t), x))
            else:
                self._set(fma(d, float(t), self._flat()))
                used = 0
                if count != group["max_iter"]:
                    value, g = evaluate()
                    loss, used = float(value), 1
            evals += used
            state["func_evals"] += used
            if count == group["max_iter"] or evals >= group["max_eval"] or np.abs(g).max() <= group["tolerance_grad"]:
                break
            least = group["tolerance_change"]
            if np.abs(d * d.dtype.type(t)).max() <= least or abs(loss - loss_before) < least:
                break
        state.update(d=d, t=t, H_diag=scale, prev_flat_grad=before, prev_loss=loss_before)
        return first


def _dot(x: np.ndarray, y: np.ndarray) -> Any:
    """The inner product, a number of the vectors' dtype."""
    return sums.dot(x, y) if x.dtype == np.float32 else x @ y


def _remember(y: np.ndarray, s: np.ndarray, ys: list[Any], ss: list[Any], rho: list[Any], most: int) -> Any:
    """Add a change of the gradient and the step that made it to the last ``most``;
    the scale that they suggest, None where they are not used."""
    ysum = _dot(y, s)
    if ysum <= 1e-10:
        return None
    if len(ys) == most:
        for row in (ys, ss, rho):
            row.pop(0)
    ys.append(y)
    ss.append(s)
    rho.append(1 / ysum)
    return ysum / _dot(y, y)


def _direction(q: np.ndarray, ys: list[Any], ss: list[Any], rho: list[Any], scale: Any) -> Any:
    """The two-loop recursion."""
    alpha: list[Any] = [0.0] * len(ys)
    for i in range(len(ys) - 1, -1, -1):
        alpha[i] = _dot(ss[i], q) * rho[i]
        q = fma(ys[i], -alpha[i], q)
    r = q * q.dtype.type(scale)
    for i in range(len(ys)):
        r = fma(ss[i], alpha[i] - _dot(ys[i], r) * rho[i], r)
    return r


def _over(x: Any, y: Any) -> Any:
    """x / y; by a number of the vectors' dtype as PyTorch divides, by multiplying with its reciprocal."""
    return 1 / y * x if isinstance(y, np.floating) else x / y


def _cubic(x1: Any, f1: float, g1: Any, x2: Any, f2: float, g2: Any, bounds: tuple[Any, Any] | None = None) -> Any:
    """The minimum of the cubic through two points with slopes."""
    low, high = bounds if bounds is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - _over(3 * (f1 - f2), x1 - x2)
    square = d1 * d1 - g1 * g2
    if not square >= 0:
        return (low + high) / 2
    d2 = np.sqrt(square)
    at = (x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2)) if x1 <= x2 else
          x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2)))
    return min(max(at, low), high)


Point = tuple[Any, float, np.ndarray, Any]  # a step, the loss there, the gradient, the slope along the direction


class _Search:
    """A step that decreases enough (c1) and is flat enough (c2): bracketing,
    then zooming, in at most ``most`` steps."""

    def __init__(self, evaluate: Any, d: np.ndarray, loss: float, slope: Any, most: int,
                 c1: float = 1e-4, c2: float = 0.9, tiny: float = 1e-9):
        self.evaluate, self.d, self.loss, self.slope = evaluate, d, loss, slope
        self.most, self.c1, self.c2, self.tiny = most, c1, c2, tiny
        self.used = self.steps = 0
        self.done = False

    def at(self, step: Any) -> Point:
        """The point at a step."""
        value, grad = self.evaluate(step)
        self.used += 1
        return step, float(value), grad.copy(), _dot(grad, self.d)

    def high(self, point: Point) -> bool:
        """Whether the loss has not decreased enough."""
        return bool(point[1] > self.loss + self.c1 * point[0] * self.slope)

    def flat(self, point: Point) -> bool:
        return bool(abs(point[3]) <= -self.c2 * self.slope)

    def bracket(self, t: Any, start: Point) -> list[Point]:
        """Two points with a good step between them, or one that is good itself."""
        last, now = start, self.at(t)
        while self.steps < self.most:
            if self.high(now) or (self.steps > 1 and now[1] >= last[1]):
                return [last, now]
            if self.flat(now):
                self.done = True
                return [now]
            if now[3] >= 0:
                return [last, now]
            step = _cubic(last[0], last[1], last[3], now[0], now[1], now[3],
                          (now[0] + 0.01 * (now[0] - last[0]), now[0] * 10))
            last, now = now, self.at(step)
            self.steps += 1
        return [start, now]

    def zoom(self, bracket: list[Point]) -> Point:
        """The best point that steps between two find."""
        size = np.abs(self.d).max()
        stuck = False
        lo, hi = (0, 1) if bracket[0][1] <= bracket[-1][1] else (1, 0)
        while not self.done and self.steps < self.most and abs(bracket[1][0] - bracket[0][0]) * size >= self.tiny:
            step, stuck = self._between(bracket[0], bracket[1], stuck)
            new = self.at(step)
            self.steps += 1
            if self.high(new) or new[1] >= bracket[lo][1]:
                bracket[hi] = new
                lo, hi = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
                continue
            self.done = self.flat(new)
            if not self.done and new[3] * (bracket[hi][0] - bracket[lo][0]) >= 0:
                bracket[hi] = bracket[lo]
            bracket[lo] = new
        return bracket[lo]

    @staticmethod
    def _between(a: Point, b: Point, stuck: bool) -> tuple[Any, bool]:
        """The next step, away from the ends if the last one was near one already; whether it is near one."""
        step = _cubic(a[0], a[1], a[3], b[0], b[1], b[3])
        low, high = min(a[0], b[0]), max(a[0], b[0])
        margin = 0.1 * (high - low)
        if min(high - step, step - low) >= margin:
            return step, False
        if not stuck and low < step < high:
            return step, True
        return (high - margin if abs(step - high) < abs(step - low) else low + margin), False


def _strong_wolfe(evaluate: Any, t: Any, d: np.ndarray, f: float, g: np.ndarray, slope: Any,
                  most: int) -> tuple[float, np.ndarray, Any, int]:
    """Loss, gradient and step of the point that the search finds, and how often it evaluated the loss."""
    search = _Search(evaluate, d, f, slope, most)
    best = search.zoom(search.bracket(t, (0, f, g.copy(), slope)))
    return best[1], best[2], best[0], search.used
