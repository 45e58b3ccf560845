"""Methods that draw random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.ir.dtype import DType
from rushlight.tensor import creation, drawing
from rushlight.tensor.core import Tensor, assign, check_in_place, unwrap, wrap
from rushlight.tensor.functions import common
from rushlight.tensor.inplace import assign_memory, shows_all, spare_memory
from rushlight.tensor.state import state


def _random_in_place(draw: Any) -> Any:
    def method(self: Tensor, *args: Any, generator: Any = None, **kw: Any) -> Tensor:
        if state.level is not None:
            like = creation.empty_like if state.level.randomness == "same" else lambda t: t.detach().clone()
            return assign(self, state.level.draw(
                lambda t, *a, **k: method(like(t), *a, generator=generator, **k), (self, *args), kw))
        s = self._spec
        if draw.__name__ == "normal" and not s.contiguous:
            kw["contiguous"] = False
        check_in_place(self)
        whole = shows_all(self)
        if whole and draw.__name__ in ("uniform", "normal"):
            kw["spare"] = spare_memory(self)
        values = draw(drawing.engine_of(generator), s.numel, s.dtype, *args, **kw)
        values = np.ascontiguousarray(values).astype(s.dtype.numpy, copy=False)
        if whole:
            return assign_memory(self, values if values.ndim == 1 else values.reshape(-1))
        return assign(self, wrap(drawing.in_memory_order(values, s)))
    return method


def _draws() -> dict[str, Any]:
    from rushlight import rng

    def need_float(name: str, d: DType) -> None:
        if d.kind not in "fc":
            raise NotImplementedError(f"\"{name}\" not implemented for '{common.scalar_name(d)}'")

    def uniform(e: Any, n: int, d: DType, from_: float = 0.0, to: float = 1.0, spare: Any = None) -> Any:
        need_float("check_uniform_bounds", d)
        if from_ > to:
            raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={from_} > to={to}")
        return rng.uniform(e, n, float(from_), float(to), d.numpy, spare)

    def normal(e: Any, n: int, d: DType, mean: float = 0.0, std: float = 1.0, contiguous: bool = True,
               spare: Any = None) -> Any:
        need_float("normal_kernel_cpu", d)
        if std < 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
        if d.is_complex:
            half = std / 2 ** 0.5
            return rng.normal(e, 2 * n, 0.0, half, d.to_real().numpy, contiguous).view(d.numpy) + mean
        return rng.normal(e, n, float(mean), float(std), d.numpy, contiguous, spare)

    def random(e: Any, n: int, d: DType, from_: Any = None, *to: Any) -> Any:
        from_, to = (from_, *to) if to else (None if from_ is None else 0, from_)  # one number is the upper bound
        if from_ is not None and to is not None and int(from_) >= int(to):
            raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={from_} >= to={to}")
        return rng.random_(e, n, d.numpy, from_, to)

    def bernoulli(e: Any, n: int, d: DType, p: Any = 0.5) -> Any:
        if not isinstance(p, Tensor):
            return rng.bernoulli(e, float(p), n)
        return rng.bernoulli(e, np.broadcast_to(unwrap(p), (n,)) if p._spec.numel == 1 else unwrap(p).reshape(-1))

    def exponential(e: Any, n: int, d: DType, lambd: float = 1.0) -> Any:
        if lambd <= 0:
            raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
        return rng.exponential(e, n, float(lambd), d.numpy)

    return {"uniform_": uniform, "normal_": normal, "random_": random, "bernoulli_": bernoulli,
            "exponential_": exponential,
            "geometric_": lambda e, n, d, p: rng.geometric(e, n, float(p), d.numpy),
            "cauchy_": lambda e, n, d, median=0.0, sigma=1.0: rng.cauchy(e, n, float(median), float(sigma), d.numpy),
            "log_normal_": lambda e, n, d, mean=1.0, std=2.0: rng.log_normal(e, n, float(mean), float(std), d.numpy)}


def bernoulli(self: Tensor, p: Any = None, *, generator: Any = None) -> Tensor:
    """1 with probability of each element (or p), else 0."""
    return drawing.bernoulli(self, p, generator=generator)


def multinomial(self: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    """Column numbers drawn with the elements as weights."""
    return drawing.multinomial(self, num_samples, replacement, generator=generator)


FILLS: dict[str, Any] = {name: _random_in_place(draw) for name, draw in _draws().items()}
