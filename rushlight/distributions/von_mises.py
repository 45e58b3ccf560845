"""The von Mises distribution."""

from __future__ import annotations

import math
from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.distributions import constraints
from rushlight.distributions.distribution import Distribution
from rushlight.distributions.utils import lazy_property
from rushlight.ir.dtype import float64
from rushlight.tensor import functions as F
from rushlight.tensor import special
from rushlight.tensor.creation import empty, zeros
from rushlight.tensor.drawing import rand

__all__ = ["VonMises"]


class VonMises(Distribution):
    """Angles in [-π, π) of density exp(κ cos(x - loc)) / (2π I₀(κ)), κ = ``concentration``.

    Sampled by rejection (D. Best and N. Fisher, 1979) in float64.

    >>> import rushlight as rl
    >>> VonMises(rl.tensor(0.), rl.tensor(1.)).log_prob(rl.tensor(0.))
    tensor(-1.0738)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    _parameters = {"loc": 0, "concentration": 0}

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None):
        super().__init__(self._take(loc=loc, concentration=concentration), validate_args=validate_args)

    @lazy_property
    def _proposal_r(self) -> Any:
        """The parameter of the wrapped Cauchy distribution that proposes."""
        kappa = self.concentration.double()
        tau = 1 + (1 + 4 * kappa.square()).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
        exact = (1 + rho.square()) / (2 * rho)
        return F.where(kappa < 1e-5, 1 / kappa + kappa, exact)  # a Taylor polynomial where digits are lost

    @property
    def mean(self) -> Any:
        return self.loc

    mode = mean

    @lazy_property
    def variance(self) -> Any:
        """The circular variance 1 - I₁(κ) / I₀(κ)."""
        return 1 - special.i1e(self.concentration) / special.i0e(self.concentration)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        with no_grad():
            r, kappa = self._proposal_r.expand(shape), self.concentration.double().expand(shape)
            x, done = empty(shape, dtype=float64), zeros(shape, dtype=float64) > 0
            while not done.all():
                u1, u2, u3 = rand((3, *shape), dtype=float64).unbind(0)
                z = (math.pi * u1).cos()
                f = (1 + r * z) / (r + z)
                c = kappa * (r - f)
                accept = (c * (2 - c) - u2 > 0) | ((c / u2).log() + 1 - c >= 0)
                x = F.where(accept, (u3 - 0.5).sign() * f.acos(), x)
                done = done | accept
            return ((x + math.pi + self.loc.double()) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    def log_prob(self, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        kappa = self.concentration
        log_i0 = special.i0e(kappa).log() + kappa
        return kappa * (value - self.loc).cos() - math.log(2 * math.pi) - log_i0
