"""Special functions (torch.special)."""

from __future__ import annotations

from rushlight.tensor.functions.pointwise import (digamma, erf, erfc, erfinv, exp2, expm1, i0, log1p, logit, polygamma, round, sinc,  # noqa: A004,F401
                                                  unary, xlogy)
from rushlight.tensor.functions.pointwise import igamma as gammainc  # noqa: F401
from rushlight.tensor.functions.pointwise import igammac as gammaincc  # noqa: F401
from rushlight.tensor.functions.pointwise import lgamma as gammaln  # noqa: F401
from rushlight.tensor.functions.pointwise import digamma as psi  # noqa: F401
from rushlight.tensor.functions.pointwise import sigmoid as expit  # noqa: F401
from rushlight.tensor.functions.reduction import log_softmax, logsumexp, softmax  # noqa: F401

i0e, i1, i1e, ndtri, log_ndtr = (unary(n, floating=True) for n in ("i0e", "i1", "i1e", "ndtri", "log_ndtr"))
