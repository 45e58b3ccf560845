"""Divergences between families: E_p log q from moments of p.

A row of `LOG_DENSITY` writes E_p log q(x) with moments of p; `MOMENTS` gives the moments that are no attributes of p:
``log`` E log x, ``log_rest`` E log(1 - x), ``exp`` E exp(-x / s) for a number s, ``distance`` E |x - c|. `PAIRS` says
which pairs there are, and where the support of q misses some of p's, so that the divergence is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rushlight.distributions.bernoulli import Bernoulli
from rushlight.distributions.beta import Beta
from rushlight.distributions.binomial import Binomial
from rushlight.distributions.continuous_bernoulli import ContinuousBernoulli
from rushlight.distributions.exponential import Exponential
from rushlight.distributions.gamma import Gamma
from rushlight.distributions.gumbel import Gumbel
from rushlight.distributions.kl import register_kl
from rushlight.distributions.laplace import Laplace
from rushlight.distributions.normal import Normal
from rushlight.distributions.pareto import Pareto
from rushlight.distributions.poisson import Poisson
from rushlight.distributions.uniform import Uniform
from rushlight.distributions.utils import euler_constant
from rushlight.tensor import functions as F
from rushlight.tensor.creation import full_like


def _mean_log_uniform(low: Any, high: Any) -> Any:
    """E log x for x uniform on [low, high]."""
    return (F.xlogy(high, high) - F.xlogy(low, low)) / (high - low) - 1


def _folded_normal(p: Any, c: Any) -> Any:
    """E |x - c| for normal x."""
    z = (p.loc - c) / p.scale
    return p.scale * (math.sqrt(2 / math.pi) * (-0.5 * z.square()).exp() + z * F.erf(z / math.sqrt(2)))


MOMENTS: dict[Any, dict[str, Callable[..., Any]]] = {
    Beta: {"log": lambda p: F.digamma(p.concentration1) - F.digamma(p.concentration1 + p.concentration0)},
    Exponential: {"log": lambda p: -p.rate.log() - euler_constant, "exp": lambda p, s: p.rate / (p.rate + 1 / s)},
    Gamma: {"log": lambda p: F.digamma(p.concentration) - p.rate.log(),
            "exp": lambda p, s: (-p.concentration * (1 / (p.rate * s)).log1p()).exp()},
    Gumbel: {"exp": lambda p, s: (F.lgamma(1 + p.scale / s) - p.loc / s).exp()},
    Normal: {"exp": lambda p, s: (-p.loc / s + 0.5 * (p.scale / s).square()).exp(), "distance": _folded_normal},
    Pareto: {"log": lambda p: p.scale.log() + p.alpha.reciprocal()},
    Uniform: {"log": lambda p: _mean_log_uniform(p.low, p.high),
              "log_rest": lambda p: _mean_log_uniform(1 - p.high, 1 - p.low),
              "exp": lambda p, s: s * ((-p.low / s).exp() - (-p.high / s).exp()) / (p.high - p.low)},
}


def _moment(name: str, p: Any, *args: Any) -> Any:
    return next(MOMENTS[k][name] for k in type(p).__mro__ if k in MOMENTS)(p, *args)


def _log_beta_density(p: Any, q: Any) -> Any:
    a, b = q.concentration1, q.concentration0
    return (a - 1) * _moment("log", p) + (b - 1) * _moment("log_rest", p) + F.lgamma(a + b) - F.lgamma(a) - F.lgamma(b)


LOG_DENSITY: dict[Any, Callable[[Any, Any], Any]] = {
    Beta: _log_beta_density,
    ContinuousBernoulli: lambda p, q: p.mean * q.logits + (-q.probs).log1p() + q._log_constant(),
    Exponential: lambda p, q: q.rate.log() - q.rate * p.mean,
    Gamma: lambda p, q: (q.concentration * q.rate.log() - F.lgamma(q.concentration)
                         + (q.concentration - 1) * _moment("log", p) - q.rate * p.mean),
    Gumbel: lambda p, q: (-q.scale.log() - (p.mean - q.loc) / q.scale
                          - (q.loc / q.scale).exp() * _moment("exp", p, q.scale)),
    Laplace: lambda p, q: -(2 * q.scale).log() - _moment("distance", p, q.loc) / q.scale,
    Normal: lambda p, q: (-0.5 * (2 * math.pi * q.scale.square()).log()
                          - 0.5 * (p.variance + (p.mean - q.loc).square()) / q.scale.square()),
    Pareto: lambda p, q: q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * _moment("log", p),
    Poisson: lambda p, q: p.mean * q.rate.log() - q.rate,  # of 0 and 1, whose factorials are 1
    Uniform: lambda p, q: -(q.high - q.low).log(),
}


def _unit_outside(p: Any, q: Any) -> Any:
    return (q.low > 0) | (q.high < 1)


def _beyond_unit(p: Any, q: Any) -> Any:
    return (p.low < 0) | (p.high > 1)


def _negative(p: Any, q: Any) -> Any:
    return p.low < 0


PAIRS: dict[tuple[Any, Any], Any] = {
    **dict.fromkeys([(Bernoulli, Poisson), (Beta, ContinuousBernoulli), (Beta, Exponential), (Beta, Gamma),
                     (Beta, Normal), (ContinuousBernoulli, Exponential), (ContinuousBernoulli, Normal),
                     (Exponential, Gamma), (Exponential, Gumbel), (Exponential, Normal), (Gamma, Exponential),
                     (Gamma, Gumbel), (Gamma, Normal), (Gumbel, Gumbel), (Gumbel, Normal), (Laplace, Normal),
                     (Normal, Gumbel), (Normal, Laplace), (Uniform, Gumbel), (Uniform, Normal)], None),
    (Beta, Uniform): _unit_outside, (ContinuousBernoulli, Uniform): _unit_outside,
    (Uniform, Beta): _beyond_unit, (Uniform, ContinuousBernoulli): _beyond_unit,
    (Uniform, Exponential): _negative, (Uniform, Gamma): _negative, (Uniform, Pareto): lambda p, q: p.low < q.scale,
    (Pareto, Exponential): lambda p, q: p.alpha <= 1, (Pareto, Gamma): lambda p, q: p.alpha <= 1,
    (Pareto, Normal): lambda p, q: p.alpha <= 2,
}
# q's support never holds all of p's
INFINITE = {
    Beta: (Pareto,), ContinuousBernoulli: (Pareto,), Exponential: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gamma: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gumbel: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Laplace: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Pareto: (Beta, ContinuousBernoulli, Uniform), Poisson: (Bernoulli, Binomial),
}


def _between(type_q: Any, infinite: Any) -> Callable[[Any, Any], Any]:
    def kl(p: Any, q: Any) -> Any:
        value = -p.entropy() - LOG_DENSITY[type_q](p, q)
        return value if infinite is None else F.where(infinite(p, q), math.inf, value)
    return kl


def _infinite(p: Any, q: Any) -> Any:
    parameter = next(getattr(p, n)
                     for n in ("concentration1", "rate", "concentration", "loc", "scale", "probs") if hasattr(p, n))
    return full_like(parameter, math.inf)


for (_p, _q), _where in PAIRS.items():
    register_kl(_p, _q)(_between(_q, _where))
for _p, _others in INFINITE.items():
    for _q in _others:
        register_kl(_p, _q)(_infinite)
