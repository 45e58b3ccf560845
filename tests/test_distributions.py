"""Distributions against PyTorch: values, gradients, samples of the same seed, shapes, errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import rushlight as rl
import rushlight.distributions as D
from distribution_cases import CASES, IDS, IMPLICIT

torch = pytest.importorskip("torch")
T = torch.distributions


def build(lib, dist, name, params, extra, dtype="float64", grad=False, validate_args=None):
    if name == "GeneralizedPareto":  # PyTorch compares its concentration with a float32 zero
        dtype = "float32"
    tensors = {k: lib.tensor(v, dtype=getattr(lib, dtype)) for k, v in params.items()}
    if grad:
        tensors = {k: t.requires_grad_() for k, t in tensors.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(dist, name)(**tensors, **extra, validate_args=validate_args), list(tensors.values())


def both(name, params, extra, **kw):
    (ours, p), (theirs, q) = build(rl, D, name, params, extra, **kw), build(torch, T, name, params, extra, **kw)
    return ours, theirs, p, q


def sampled(lib, d, shape, reparametrized=False):
    """Samples with the warnings off; a Wishart's first ones,
    because PyTorch's own test of singularity has the wrong sign."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if type(d).__name__ == "Wishart":
            with lib.set_grad_enabled(reparametrized):
                return d._bartlett_sampling(lib.Size(shape) if lib is torch else shape)
        return d.rsample(shape) if reparametrized else d.sample(shape)


def num(t):
    return t.detach().numpy()


def close(a, b, rtol=1e-7, atol=1e-9):
    assert tuple(a.shape) == tuple(b.shape)
    assert str(a.dtype) == str(b.dtype)
    if b.dtype is torch.float32:
        rtol, atol = max(rtol, 1e-5), max(atol, 1e-6)
    np.testing.assert_allclose(num(a), num(b), rtol=rtol, atol=atol)


def close_gradients(a, b, p, q, rtol=1e-6, atol=1e-8):
    """Gradients of the weighted sums of a and b with respect to p and q."""
    if not b.requires_grad:
        assert not a.requires_grad
        return
    weights = np.cos(np.arange(b.numel())).reshape(tuple(b.shape)) + 1.3
    ours = rl.autograd.grad((a * rl.tensor(weights)).sum(), p, retain_graph=True, allow_unused=True)
    theirs = torch.autograd.grad((b * torch.tensor(weights)).sum(), q, retain_graph=True, allow_unused=True)
    for x, y in zip(ours, theirs, strict=True):
        x, y = (np.zeros(1) if g is None else num(g) for g in (x, y))
        if y.dtype == np.float32:
            rtol, atol = 1e-4, 1e-4
        np.testing.assert_allclose(*np.broadcast_arrays(x, y), rtol=rtol, atol=atol)


def same_outcome(ours, theirs, compare=close):
    """Both give equal values, or both raise the same type."""
    try:
        expected = theirs()
    except (NotImplementedError, ValueError, RuntimeError, AttributeError) as e:
        with pytest.raises(type(e)):
            ours()
        return None
    compare(ours(), expected)
    return expected


@pytest.mark.parametrize(("name", "params", "extra"), CASES, ids=IDS)
def test_description(name, params, extra):
    ours, theirs, _, _ = both(name, params, extra)
    assert tuple(ours.batch_shape) == tuple(theirs.batch_shape)
    assert tuple(ours.event_shape) == tuple(theirs.event_shape)
    assert ours.has_rsample == theirs.has_rsample
    assert ours.has_enumerate_support == theirs.has_enumerate_support
    assert repr(ours).replace(", dtype=torch.float64", "") == repr(theirs).replace(", dtype=torch.float64", "")
    assert list(ours.arg_constraints) == list(theirs.arg_constraints)
    assert [repr(c) for c in ours.arg_constraints.values()] == [repr(c) for c in theirs.arg_constraints.values()]
    assert type(ours.support).__name__ == type(theirs.support).__name__
    assert ours.support.event_dim == theirs.support.event_dim
    assert ours.support.is_discrete == theirs.support.is_discrete


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "params", "extra"), CASES, ids=IDS)
def test_samples_of_the_same_seed(name, params, extra, dtype):
    ours, theirs, _, _ = both(name, params, extra, dtype=dtype)
    for shape in ((), (3,), (2, 9)):
        rl.manual_seed(11)
        torch.manual_seed(11)
        a, b = sampled(rl, ours, shape), sampled(torch, theirs, shape)
        tight = dtype == "float64"
        close(a, b, 1e-9 if tight else 2e-5, 1e-12 if tight else 1e-6)
        assert not a.requires_grad
        assert np.array_equal(rl.get_rng_state().numpy(), torch.get_rng_state().numpy())


@pytest.mark.parametrize(("name", "params", "extra"), CASES, ids=IDS)
def test_log_prob_and_its_gradient(name, params, extra):
    ours, theirs, p, q = both(name, params, extra, grad=True)
    torch.manual_seed(5)
    value = sampled(torch, theirs, (4,))
    a, b = ours.log_prob(rl.tensor(value.numpy())), theirs.log_prob(value)
    tolerance = 1e-5 if name == "VonMises" else 1e-7  # PyTorch's Bessel functions are short polynomials
    close(a, b, tolerance)
    close_gradients(a, b, p, q, 10 * tolerance)


@pytest.mark.parametrize(("name", "params", "extra"), CASES, ids=IDS)
def test_cdf_and_icdf(name, params, extra):
    ours, theirs, p, q = both(name, params, extra, grad=True)
    torch.manual_seed(6)
    value = sampled(torch, theirs, (2,))

    def compare(a, b):
        close(a, b, 1e-6)
        # igamma has no gradient in its first argument, in PyTorch either
        if name not in ("Gamma", "Chi2", "InverseGamma"):
            close_gradients(a, b, p, q)
    level = np.random.RandomState(1).rand(2, *theirs.batch_shape)
    if name not in ("Gamma", "Chi2", "InverseGamma"):
        same_outcome(lambda: ours.cdf(rl.tensor(value.numpy())), lambda: theirs.cdf(value), compare)
    else:
        with rl.no_grad(), torch.no_grad():
            close(ours.cdf(rl.tensor(value.numpy())), theirs.cdf(value), 1e-6)
    same_outcome(lambda: ours.icdf(rl.tensor(level)), lambda: theirs.icdf(torch.tensor(level)), compare)


@pytest.mark.parametrize("quantity", ["mean", "mode", "variance", "stddev", "entropy", "perplexity"])
@pytest.mark.parametrize(("name", "params", "extra"), CASES, ids=IDS)
def test_moments_and_entropy(name, params, extra, quantity):
    ours, theirs, p, q = both(name, params, extra, grad=True)

    if (name, quantity) == ("Kumaraswamy", "mode"):
        return  # NaN everywhere in PyTorch; see test_mode_of_kumaraswamy

    def value(d):
        found = getattr(d, quantity)
        return found() if quantity in ("entropy", "perplexity") else found

    def compare(a, b):
        close(a, b)
        # PyTorch writes NaN over undefined moments, so that gradients there stop; ours are those of the formula or NaN
        if quantity in ("entropy", "mean") and not num(b).ravel()[~np.isfinite(num(b).ravel())].size and not (
                name == "Bernoulli" and 0.0 in params.get("probs", ())):
            close_gradients(a, b, p, q, 1e-5)
    same_outcome(lambda: value(ours), lambda: value(theirs), compare)


def test_mode_of_kumaraswamy():
    grid = rl.linspace(0.0005, 0.9995, 1000)
    for a, b in ((2.0, 5.0), (1.5, 1.2), (4.0, 1.0)):
        d = D.Kumaraswamy(a, b)
        best = grid[d.log_prob(grid).argmax()]
        np.testing.assert_allclose(d.mode.item(), best.item(), atol=1.1e-3)
    assert bool(D.Kumaraswamy(0.5, 2.0).mode.isnan())


def test_wishart_samples_have_their_moments():
    rl.manual_seed(0)
    cov = rl.tensor([[1.0, 0.3], [0.3, 2.0]])
    d = D.Wishart(rl.tensor(4.0), cov)
    x = d.sample((20000,))
    np.testing.assert_allclose(x.mean(0).numpy(), d.mean.numpy(), rtol=0.03, atol=0.05)
    np.testing.assert_allclose(x.var(0).numpy(), d.variance.numpy(), rtol=0.06, atol=0.1)


@pytest.mark.parametrize(("name", "params", "extra"), CASES, ids=IDS)
def test_rsample_and_its_gradient(name, params, extra):
    ours, theirs, p, q = both(name, params, extra, grad=True)
    if not theirs.has_rsample:
        return
    rl.manual_seed(13)
    torch.manual_seed(13)
    a, b = sampled(rl, ours, (5,), True), sampled(torch, theirs, (5,), True)
    close(a, b, 1e-9, 1e-12)
    close_gradients(a, b, p, q, *((2e-3, 5e-4) if name in IMPLICIT else (1e-6, 1e-8)))


@pytest.mark.parametrize(("name", "params", "extra"), CASES, ids=IDS)
def test_expand(name, params, extra):
    ours, theirs, p, q = both(name, params, extra, grad=True)
    shape = (2, *theirs.batch_shape)
    a, b = ours.expand(shape), theirs.expand(shape)
    assert tuple(a.batch_shape) == tuple(b.batch_shape) == shape
    assert tuple(a.event_shape) == tuple(b.event_shape)
    assert type(a) is type(ours)
    torch.manual_seed(5)
    rl.manual_seed(5)
    value = sampled(torch, b, ())
    close(sampled(rl, a, ()), value, 1e-9, 1e-12)
    left, right = a.log_prob(rl.tensor(value.numpy())), b.log_prob(value)
    close(left, right)
    close_gradients(left, right, p, q)


@pytest.mark.parametrize(("name", "params", "extra"), CASES, ids=IDS)
def test_enumerate_support(name, params, extra):
    ours, theirs, _, _ = both(name, params, extra)
    for expand in (True, False):
        same_outcome(lambda e=expand: ours.enumerate_support(e), lambda e=expand: theirs.enumerate_support(e))


NUMBERS = [("Normal", (0.5, 2.0)), ("Uniform", (0.0, 3.0)), ("Exponential", (2.0,)),
           ("Laplace", (0.0, 1.0)), ("Cauchy", (0.0, 1.0)), ("Gamma", (1.5, 2.0)), ("Beta", (1.5, 2.0)),
           ("StudentT", (3.0,)), ("Gumbel", (0.0, 1.0)), ("Weibull", (1.0, 2.0)), ("Pareto", (1.0, 2.0)),
           ("Poisson", (3.0,)), ("Bernoulli", (0.3,)), ("Geometric", (0.3,)), ("Chi2", (3.0,)), ("HalfNormal", (2.0,)),
           ("LogNormal", (0.0, 0.5)), ("FisherSnedecor", (3.0, 5.0)), ("Kumaraswamy", (2.0, 3.0)),
           ("InverseGamma", (2.0, 3.0)), ("HalfCauchy", (2.0,)), ("VonMises", (0.0, 2.0)), ("LKJCholesky", (3, 1.0)),
           ("GeneralizedPareto", (0.0, 1.0, 0.2)), ("ContinuousBernoulli", (0.3,)), ("LogisticNormal", (0.0, 1.0))]


@pytest.mark.parametrize(("name", "args"), NUMBERS)
def test_parameters_as_numbers(name, args):
    ours, theirs = getattr(D, name)(*args), getattr(T, name)(*args)
    assert repr(ours) == repr(theirs)
    for shape in ((), (4,)):
        rl.manual_seed(2)
        torch.manual_seed(2)
        value = theirs.sample(shape)
        close(ours.sample(shape), value, 2e-5, 1e-6)
        close(ours.log_prob(rl.tensor(value.numpy())), theirs.log_prob(value), 1e-4, 1e-5)


# --- divergences ----------------------------------------------------------------------------------------------------
KL_PARAMS: dict[str, list] = {}
for _name, _params, _extra in CASES:
    KL_PARAMS.setdefault(_name, []).append((_params, _extra))


def arguments(name, shift):
    """Parameters of batch shape (3,), different for both sides."""
    r = np.random.RandomState(3 + shift)
    pos, prob = r.rand(3) * 2 + 0.6, r.rand(3) * 0.8 + 0.1
    m = r.randn(3, 2, 2)
    cov = m @ m.transpose(0, 2, 1) + np.eye(2)
    table = {
        "Normal": {"loc": r.randn(3), "scale": pos}, "Laplace": {"loc": r.randn(3), "scale": pos},
        "Gumbel": {"loc": r.randn(3), "scale": pos},
        "Cauchy": {"loc": r.randn(3), "scale": pos}, "Exponential": {"rate": pos},
        "Gamma": {"concentration": pos, "rate": pos[::-1].copy()},
        "Beta": {"concentration1": pos, "concentration0": pos[::-1].copy()},
        "Bernoulli": {"probs": prob}, "Geometric": {"probs": prob},
        "Poisson": {"rate": pos}, "Categorical": {"logits": r.randn(3, 4)},
        "OneHotCategorical": {"logits": r.randn(3, 4)},
        "ContinuousBernoulli": {"probs": prob},
        "Dirichlet": {"concentration": r.rand(3, 4) + 0.5}, "HalfNormal": {"scale": pos},
        "Pareto": {"scale": np.array([0.5, 1.0, 2.0]) + 0.1 * shift, "alpha": np.array([0.8, 1.5, 3.0]) + 0.1 * shift},
        "Uniform": {"low": np.array([-0.5, 0.1, 0.3]) - 0.05 * shift,
                    "high": np.array([0.7, 0.8, 1.2]) + np.array([0.1, -0.05, 0.2]) * shift},
        "MultivariateNormal": {"loc": r.randn(3, 2), "covariance_matrix": cov}, "Binomial": {"probs": prob},
        "LowRankMultivariateNormal": {"loc": r.randn(3, 2),
                                      "cov_factor": r.randn(3, 2, 1), "cov_diag": r.rand(3, 2) + 0.3},
        "Wishart": {"df": pos + 2, "covariance_matrix": cov},
        "Chi2": {"df": pos}, "LogNormal": {"loc": r.randn(3), "scale": pos},
    }
    return table[name], {"total_count": 5} if name == "Binomial" else {}


SKIPPED = {"ExponentialFamily", "Independent", "TransformedDistribution"}
KL_PAIRS = sorted({(a.__name__, b.__name__) for a, b in T.kl._KL_REGISTRY if {a.__name__, b.__name__}.isdisjoint(SKIPPED)}
                  | {("Chi2", "Chi2"), ("Chi2", "Gamma"), ("LogNormal", "LogNormal")})


@pytest.mark.parametrize(("left", "right"), KL_PAIRS)
def test_kl_divergence(left, right):
    p1, p2, p, q = both(left, *arguments(left, 0), grad=True)
    q1, q2, r, s = both(right, *arguments(right, 1), grad=True)
    a, b = D.kl_divergence(p1, q1), T.kl_divergence(p2, q2)
    close(a, b, 1e-7, 1e-8)
    finite = np.isfinite(num(b))
    if finite.all():
        close_gradients(a, b, [*p, *r], [*q, *s], 1e-5, 1e-7)


def test_kl_of_wisharts():
    """Against the closed form; PyTorch adds matrix and number parameters up wrongly and gives negative values."""
    (p, _), (q, _) = (build(rl, D, "Wishart", *arguments("Wishart", shift)) for shift in (0, 1))
    n, m, v, w = p.df, q.df, p.covariance_matrix, q.covariance_matrix
    trace = (rl.linalg.inv(w) @ v).diagonal(dim1=-2, dim2=-1).sum(-1)
    digammas = rl.digamma(n / 2) + rl.digamma(n / 2 - 0.5)
    expected = (m / 2 * (w.logdet() - v.logdet()) + n / 2 * (trace - 2) + rl.mvlgamma(m / 2, 2)
                - rl.mvlgamma(n / 2, 2) + (n - m) / 2 * digammas)
    np.testing.assert_allclose(D.kl_divergence(p, q).detach().numpy(), expected.numpy(), rtol=1e-9)


def test_kl_registry_is_that_of_pytorch():
    D.kl_divergence(D.Normal(0.0, 1.0), D.Normal(0.0, 1.0))
    ours = {(a.__name__, b.__name__) for a, b in D.kl._KL_REGISTRY}
    assert {(a.__name__, b.__name__) for a, b in T.kl._KL_REGISTRY} <= ours


def test_kl_of_wrapped_distributions():
    def wrapped(lib, dist, shift):
        base = dist.Normal(lib.tensor([[0.0, 1.0], [2.0, 3.0]]) + shift, lib.tensor([1.0, 2.0]))
        flow = dist.TransformedDistribution(base, [dist.ExpTransform()])
        return [dist.Independent(base, 1), flow, dist.Independent(flow, 1)]
    for a, b, c, d in zip(wrapped(rl, D, 0), wrapped(rl, D, 1), wrapped(torch, T, 0),
                          wrapped(torch, T, 1), strict=True):
        close(D.kl_divergence(a, b), T.kl_divergence(c, d), 1e-6)
    with pytest.raises(NotImplementedError):
        D.kl_divergence(wrapped(rl, D, 0)[0], D.Independent(wrapped(rl, D, 0)[0].base_dist, 2))


def test_kl_of_unknown_types_and_registering():
    class Mine(D.Normal):
        pass

    class Other(D.Distribution):
        arg_constraints = {}

    with pytest.raises(NotImplementedError,
                       match=r"No KL\(p \|\| q\) is implemented for p type Normal and q type Other"):
        D.kl_divergence(D.Normal(0.0, 1.0), Other())
    assert D.kl_divergence(Mine(0.0, 1.0), D.Normal(0.0, 1.0)).item() == 0

    @D.register_kl(Mine, D.Normal)
    def _mine(p, q):
        return rl.tensor(42.0)
    assert D.kl_divergence(Mine(0.0, 1.0), D.Normal(0.0, 1.0)).item() == 42
    assert D.kl_divergence(D.Normal(0.0, 1.0), D.Normal(0.0, 1.0)).item() == 0

    D.register_kl(D.Normal, Mine)(lambda p, q: rl.tensor(43.0))
    with pytest.warns(RuntimeWarning, match="Ambiguous kl_divergence"):
        D.kl_divergence(Mine(0.0, 1.0), Mine(0.0, 1.0))
    with pytest.raises(TypeError, match="Expected type_q to be a Distribution subclass"):
        D.register_kl(D.Normal, int)
    with pytest.raises(NotImplementedError, match="The cross KL-divergence between different exponential families"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Poisson(1.0))


# --- wrappers -------------------------------------------------------------------------------------------------------
def mixtures(lib, dist):
    t = lib.tensor
    return ([
        dist.MixtureSameFamily(dist.Categorical(t([0.3, 0.7])), dist.Normal(t([-1.0, 2.0]), t([1.0, 0.5]))),
        dist.MixtureSameFamily(dist.Categorical(t([[0.3, 0.7], [0.5, 0.5], [0.9, 0.1]])), dist.Independent(
            dist.Normal(t([[[0.0], [1.0]]] * 3).expand(3, 2, 4), lib.ones(3, 2, 4)), 1)),
        dist.MixtureSameFamily(dist.Categorical(t([0.3, 0.7])), dist.Poisson(t([1.0, 5.0]))),
        dist.Independent(dist.Normal(lib.zeros(2, 3), lib.ones(2, 3)), 1),
        dist.Independent(dist.Bernoulli(lib.full((2, 3), 0.3)), 2),
        dist.TransformedDistribution(dist.Normal(lib.zeros(3), lib.ones(3)),
                                     [dist.AffineTransform(1.0, -2.0), dist.SigmoidTransform()]),
        dist.TransformedDistribution(dist.Normal(lib.zeros(4, 3), lib.ones(3)), dist.StickBreakingTransform()),
        dist.TransformedDistribution(dist.Normal(lib.zeros(2, 3), lib.ones(3)),
                                     [dist.ReshapeTransform((3,), (3, 1)), dist.ExpTransform()]),
        dist.TransformedDistribution(dist.Uniform(lib.zeros(3), lib.ones(3)),
                                     [dist.AffineTransform(lib.zeros(2, 3), lib.ones(3))]),
    ])


@pytest.mark.parametrize("i", range(9))
def test_wrappers(i):
    a, b = mixtures(rl, D)[i], mixtures(torch, T)[i]
    assert tuple(a.batch_shape) == tuple(b.batch_shape)
    assert tuple(a.event_shape) == tuple(b.event_shape)
    assert a.has_rsample == b.has_rsample
    assert a.support.event_dim == b.support.event_dim
    if i < 5:
        assert repr(a) == repr(b)
    for shape in ((), (2, 3)):
        rl.manual_seed(3)
        torch.manual_seed(3)
        value = b.sample(shape)
        close(a.sample(shape), value, 1e-5, 1e-6)
        close(a.log_prob(rl.tensor(value.numpy())), b.log_prob(value), 1e-5, 1e-5)
        same_outcome(lambda: a.cdf(rl.tensor(value.numpy())), lambda: b.cdf(value),
                     lambda x, y: close(x, y, 1e-5, 1e-6))
    for quantity in ("mean", "variance", "mode"):
        same_outcome(lambda: getattr(a, quantity), lambda: getattr(b, quantity), lambda x, y: close(x, y, 1e-5, 1e-6))
    same_outcome(a.entropy, b.entropy, lambda x, y: close(x, y, 1e-5, 1e-6))
    shape = (2, *b.batch_shape)
    wide, expected = a.expand(shape), b.expand(shape)
    assert tuple(wide.batch_shape) == tuple(expected.batch_shape)
    rl.manual_seed(3)
    torch.manual_seed(3)
    close(wide.sample(), expected.sample(), 1e-5, 1e-6)


# --- errors ---------------------------------------------------------------------------------------------------------
BAD = {
    "negative scale": lambda lib, d: d.Normal(lib.zeros(2), lib.tensor([1.0, -1.0])),
    "nan": lambda lib, d: d.Normal(float("nan"), 1.0),
    "probability": lambda lib, d: d.Bernoulli(lib.tensor([0.5, 1.5])),
    "both": lambda lib, d: d.Bernoulli(0.5, 0.5),
    "none": lambda lib, d: d.Categorical(),
    "scalar probs": lambda lib, d: d.Categorical(lib.tensor(0.5)),
    "scalar logits": lambda lib, d: d.Categorical(logits=lib.tensor(0.5)),
    "simplex": lambda lib, d: d.Categorical(lib.tensor([0.5, -0.1])),
    "uniform": lambda lib, d: d.Uniform(1.0, 0.0),
    "dirichlet": lambda lib, d: d.Dirichlet(lib.tensor(1.0)),
    "geometric": lambda lib, d: d.Geometric(0.0),
    "value type": lambda lib, d: d.Normal(0.0, 1.0).log_prob(1.0),
    "value outside": lambda lib, d: d.Exponential(1.0).log_prob(lib.tensor(-1.0)),
    "value shape": lambda lib, d: d.Normal(lib.zeros(3), lib.ones(3)).log_prob(lib.zeros(2)),
    "event shape": lambda lib, d: d.Dirichlet(lib.ones(3)).log_prob(lib.ones(2) / 2),
    "mvn": lambda lib, d: d.MultivariateNormal(lib.zeros(2)),
    "mvn vector": lambda lib, d: d.MultivariateNormal(lib.zeros(2), lib.ones(2)),
    "mvn matrix": lambda lib, d: d.MultivariateNormal(lib.zeros(2), -lib.eye(2)),
    "lkj": lambda lib, d: d.LKJCholesky(1),
    "independent": lambda lib, d: d.Independent(d.Normal(0.0, 1.0), 1),
    "multinomial": lambda lib, d: d.Multinomial(lib.tensor([3]), lib.ones(2)),
    "mixture": lambda lib, d: d.MixtureSameFamily(d.Normal(0.0, 1.0), d.Normal(lib.zeros(2), 1.0)),
    "mixture count": lambda lib, d: d.MixtureSameFamily(d.Categorical(lib.ones(3)), d.Normal(lib.zeros(2), 1.0)),
    "no rsample": lambda lib, d: d.Poisson(1.0).rsample(),
    "no cdf": lambda lib, d: d.Beta(1.0, 1.0).cdf(lib.tensor(0.5)),
    "no mode": lambda lib, d: d.LogisticNormal(0.0, 1.0).mode,
    "broadcast": lambda lib, d: d.Normal(lib.zeros(2), lib.ones(3)),
    "string": lambda lib, d: d.Normal("a", 1.0),
    "wishart": lambda lib, d: d.Wishart(lib.tensor(1.0), lib.eye(3)),
    "transforms": lambda lib, d: d.TransformedDistribution(d.Normal(0.0, 1.0), 3),
    "transform dims": lambda lib, d: d.TransformedDistribution(d.Normal(0.0, 1.0), d.StickBreakingTransform()),
    "cache": lambda lib, d: d.ExpTransform(cache_size=2),
    "sizes": lambda lib, d: d.ReshapeTransform((2,), (3,)),
    "default": lambda lib, d: d.Distribution.set_default_validate_args(3),
    "expand": lambda lib, d: d.Normal(lib.zeros(2), lib.ones(2)).expand((3,)),
    "dependent": lambda lib, d: d.constraints.dependent.check(lib.zeros(1)),
    "biject": lambda lib, d: d.biject_to(d.constraints.boolean),
    "register": lambda lib, d: d.biject_to.register(int, lambda c: c),
}


@pytest.mark.parametrize("what", BAD)
def test_errors(what):
    with pytest.raises(Exception) as theirs:
        BAD[what](torch, T)
    with pytest.raises(type(theirs.value)) as ours:
        BAD[what](rl, D)
    first = str(theirs.value).split("\n")[0].split(". ")[0].replace("'torch.dist", "'rushlight.dist")
    if what not in ("broadcast", "expand", "mvn matrix"):
        assert str(ours.value).split("\n")[0].split(". ")[0] == first


def test_subclass_with_its_own_init_needs_expand():
    class Mine(D.Normal):
        def __init__(self):
            super().__init__(0.0, 1.0)
    with pytest.raises(NotImplementedError, match="Subclass Mine of Normal that defines a custom "
                       "__init__ method must also define a custom .expand"):
        Mine().expand((2,))


def test_validation_can_be_turned_off():
    d = D.Normal(rl.zeros(1), -rl.ones(1), validate_args=False)
    assert bool(d.log_prob(rl.zeros(1)).isnan().all())
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(rl.zeros(1), -rl.ones(1))
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="Expected parameter scale"):
        D.Normal(rl.zeros(1), -rl.ones(1))


def test_names_are_those_of_pytorch():
    assert set(T.__all__) <= set(D.__all__)
    for name in T.__all__:
        assert hasattr(D, name)
    for module in ("normal", "categorical", "beta", "uniform", "bernoulli", "binomial", "gamma", "kl",
                   "constraints", "transforms", "utils", "multivariate_normal", "relaxed_bernoulli",
                   "studentT", "constraint_registry", "exp_family", "half_normal"):
        assert hasattr(D, module)
    assert set(T.constraints.__all__) <= set(dir(D.constraints))
    assert set(T.utils.__all__) <= set(dir(D.utils))


def test_vae_step_learns_with_rsample():
    rl.manual_seed(0)
    loc, log_scale = rl.zeros(3, requires_grad=True), rl.zeros(3, requires_grad=True)
    target = D.Normal(rl.tensor([1.0, -2.0, 0.5]), rl.tensor([0.5, 1.0, 2.0]))
    step = rl.optim.Adam([loc, log_scale], lr=0.05)
    for _ in range(200):
        step.zero_grad()
        D.kl_divergence(D.Normal(loc, log_scale.exp()), target).sum().backward()
        step.step()
    np.testing.assert_allclose(loc.detach().numpy(), [1.0, -2.0, 0.5], atol=0.05)
    np.testing.assert_allclose(log_scale.exp().detach().numpy(), [0.5, 1.0, 2.0], atol=0.1)
