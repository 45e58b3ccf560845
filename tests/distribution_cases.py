"""Distributions with parameters, for the tests against PyTorch: class name, tensor parameters, further arguments."""

from __future__ import annotations

import numpy as np

R = np.random.RandomState(7)


def pos(*shape: int) -> np.ndarray:
    return R.rand(*shape) * 3 + 0.2


def real(*shape: int) -> np.ndarray:
    return R.randn(*shape)


def prob(*shape: int) -> np.ndarray:
    return R.rand(*shape) * 0.9 + 0.05


def simplex(*shape: int) -> np.ndarray:
    x = R.rand(*shape) + 0.1
    return x / x.sum(-1, keepdims=True)


def posdef(*shape: int) -> np.ndarray:
    x = R.randn(*shape)
    return x @ np.swapaxes(x, -1, -2) + 0.5 * np.eye(shape[-1])


def tril(*shape: int) -> np.ndarray:
    return np.linalg.cholesky(posdef(*shape))


CASES = [
    ("Bernoulli", {"probs": prob(3, 2)}, {}),
    ("Bernoulli", {"logits": real(4)}, {}),
    ("Bernoulli", {"probs": np.array([0.0, 1.0, 0.5, 0.3])}, {}),
    ("Beta", {"concentration1": pos(5), "concentration0": pos(5)}, {}),
    ("Beta", {"concentration1": pos(3, 1), "concentration0": pos(4)}, {}),
    ("Binomial", {"probs": prob(3)}, {"total_count": 7}),
    ("Binomial", {"logits": real(2, 3)}, {"total_count": 40}),
    ("Categorical", {"probs": simplex(5)}, {}),
    ("Categorical", {"logits": real(2, 3, 4)}, {}),
    ("Cauchy", {"loc": real(3), "scale": pos(3)}, {}),
    ("Chi2", {"df": pos(4)}, {}),
    ("ContinuousBernoulli", {"probs": np.array([0.1, 0.4999, 0.5, 0.5005, 0.9])}, {}),
    ("ContinuousBernoulli", {"logits": real(3)}, {}),
    ("Dirichlet", {"concentration": pos(2, 4)}, {}),
    ("Dirichlet", {"concentration": pos(3)}, {}),
    ("Exponential", {"rate": pos(3, 2)}, {}),
    ("FisherSnedecor", {"df1": pos(6) * 3, "df2": pos(6) * 3}, {}),
    ("Gamma", {"concentration": pos(5), "rate": pos(5)}, {}),
    ("Gamma", {"concentration": np.array([0.03, 0.5, 1.0, 20.0, 300.0]), "rate": np.array(2.0)}, {}),
    ("GeneralizedPareto", {"loc": real(5), "scale": pos(5), "concentration": np.array([-0.4, 0.0, 0.3, 0.7, 1.5])}, {}),
    ("Geometric", {"probs": prob(4)}, {}),
    ("Geometric", {"logits": real(4)}, {}),
    ("Gumbel", {"loc": real(4), "scale": pos(4)}, {}),
    ("HalfCauchy", {"scale": pos(4)}, {}),
    ("HalfNormal", {"scale": pos(2, 2)}, {}),
    ("InverseGamma", {"concentration": np.array([0.5, 1.5, 2.5, 4.0]), "rate": pos(4)}, {}),
    ("Kumaraswamy", {"concentration1": pos(5), "concentration0": pos(5)}, {}),
    ("Laplace", {"loc": real(3), "scale": pos(3)}, {}),
    ("LKJCholesky", {"concentration": pos(2)}, {"dim": 3}),
    ("LogNormal", {"loc": real(3), "scale": pos(3)}, {}),
    ("LogisticNormal", {"loc": real(2, 3), "scale": pos(2, 3)}, {}),
    ("LowRankMultivariateNormal", {"loc": real(2, 3), "cov_factor": real(3, 2), "cov_diag": pos(3)}, {}),
    ("Multinomial", {"probs": simplex(2, 3)}, {"total_count": 5}),
    ("Multinomial", {"logits": real(4)}, {"total_count": 3}),
    ("MultivariateNormal", {"loc": real(3), "covariance_matrix": posdef(3, 3)}, {}),
    ("MultivariateNormal", {"loc": real(2, 3), "precision_matrix": posdef(3, 3)}, {}),
    ("MultivariateNormal", {"loc": real(3), "scale_tril": tril(2, 3, 3)}, {}),
    ("NegativeBinomial", {"probs": prob(3)}, {"total_count": 4}),
    ("NegativeBinomial", {"logits": real(3), "total_count": pos(3)}, {}),
    ("Normal", {"loc": real(3, 2), "scale": pos(3, 2)}, {}),
    ("Normal", {"loc": real(5, 4), "scale": pos(4)}, {}),
    ("OneHotCategorical", {"probs": simplex(2, 4)}, {}),
    ("OneHotCategorical", {"logits": real(4)}, {}),
    ("OneHotCategoricalStraightThrough", {"logits": real(3, 4)}, {}),
    ("Pareto", {"scale": pos(4), "alpha": np.array([0.7, 1.5, 2.5, 4.0])}, {}),
    ("Poisson", {"rate": np.array([0.3, 4.0, 25.0])}, {}),
    ("RelaxedBernoulli", {"temperature": np.array(0.7), "logits": real(4)}, {}),
    ("RelaxedBernoulli", {"temperature": np.array([2.0]), "probs": prob(4)}, {}),
    ("RelaxedOneHotCategorical", {"temperature": np.array(0.7), "logits": real(2, 4)}, {}),
    ("StudentT", {"df": np.array([0.5, 1.5, 3.0, 20.0]), "loc": real(4), "scale": pos(4)}, {}),
    ("Uniform", {"low": real(3), "high": real(3) + 5}, {}),
    ("VonMises", {"loc": real(4), "concentration": pos(4)}, {}),
    ("VonMises", {"loc": real(1), "concentration": np.array([1e-6])}, {}),
    ("Weibull", {"scale": pos(3), "concentration": pos(3) + 1}, {}),
    ("Wishart", {"df": np.array([3.5, 6.0]), "covariance_matrix": posdef(3, 3)}, {}),
    ("Wishart", {"df": np.array(4.0), "scale_tril": tril(2, 2)}, {}),
]
IDS = [f"{i}-{name}" for i, (name, _, _) in enumerate(CASES)]
# gamma numbers move with their parameters by an interpolation in PyTorch, exactly here
IMPLICIT = {"Beta", "Chi2", "Dirichlet", "FisherSnedecor", "Gamma", "InverseGamma", "StudentT", "Wishart"}
