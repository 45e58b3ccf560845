"""Transforms, constraints and their registries against PyTorch; gamma, Dirichlet and binomial numbers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import rushlight as rl
import rushlight.distributions as D
from rushlight.distributions import constraints as C
from rushlight.tensor.implicit import _gamma_series, _large_gamma, beta_derivatives, gamma_derivative

torch = pytest.importorskip("torch")
T = torch.distributions

TRANSFORMS = {
    "exp": (lambda lib, d: d.ExpTransform(), (3, 2)),
    "power": (lambda lib, d: d.PowerTransform(lib.tensor(2.5)), "positive"),
    "falling power": (lambda lib, d: d.PowerTransform(lib.tensor([-1.0, 2.0])), "positive"),
    "sigmoid": (lambda lib, d: d.SigmoidTransform(), (4,)), "softplus": (lambda lib, d: d.SoftplusTransform(), (4,)),
    "tanh": (lambda lib, d: d.TanhTransform(), (4,)), "abs": (lambda lib, d: d.AbsTransform(), (4,)),
    "affine": (lambda lib, d: d.AffineTransform(1.0, -2.0), (3,)),
    "affine tensors": (lambda lib, d: d.AffineTransform(lib.zeros(2, 1), lib.tensor([1.0, -3.0])), (2, 2)),
    "affine vectors": (lambda lib, d: d.AffineTransform(lib.zeros(3),
                                                        lib.tensor([1.0, -3.0, 2.0]), event_dim=1), (2, 3)),
    "softmax": (lambda lib, d: d.SoftmaxTransform(), (2, 4)),
    "stick": (lambda lib, d: d.StickBreakingTransform(), (2, 4)),
    "corr": (lambda lib, d: d.CorrCholeskyTransform(), (2, 6)),
    "cholesky": (lambda lib, d: d.LowerCholeskyTransform(), (2, 3, 3)),
    "posdef": (lambda lib, d: d.PositiveDefiniteTransform(), (3, 3)),
    "reshape": (lambda lib, d: d.ReshapeTransform((2, 3), (6,)), (4, 2, 3)),
    "compose": (lambda lib, d: d.ComposeTransform([d.AffineTransform(1.0, 2.0), d.ExpTransform(),
                                                   d.PowerTransform(lib.tensor(0.5))]), (3,)),
    "compose vectors": (lambda lib, d: d.ComposeTransform([d.AffineTransform(1.0, 2.0),
                                                           d.StickBreakingTransform(), d.ExpTransform()]), (2, 3)),
    "independent": (lambda lib, d: d.IndependentTransform(d.ExpTransform(), 1), (2, 3)),
    "cat": (lambda lib, d: d.CatTransform([d.ExpTransform(), d.SigmoidTransform()], dim=-1, lengths=[1, 3]), (2, 4)),
    "cat rows": (lambda lib, d: d.CatTransform([d.ExpTransform(),
                                                d.identity_transform], dim=0, lengths=[1, 2]), (3, 4)),
    "stack": (lambda lib, d: d.StackTransform([d.ExpTransform(), d.SigmoidTransform()], dim=1), (3, 2)),
    "cdf": (lambda lib, d: d.CumulativeDistributionTransform(d.Normal(lib.tensor(0.5), lib.tensor(2.0))), (4,)),
    "inverse": (lambda lib, d: d.SigmoidTransform().inv, "unit"),
    "identity": (lambda lib, d: d.identity_transform, (3,)),
}


def num(t):
    return t.detach().numpy()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name):
    make, shape = TRANSFORMS[name]
    a, b = make(rl, D), make(torch, T)
    r = np.random.RandomState(2)
    x = r.rand(3, 2).astype(np.float32) * 0.8 + 0.1 if isinstance(shape, str) else r.randn(*shape).astype(np.float32)
    x1, x2 = rl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y1, y2 = a(x1), b(x2)
    assert tuple(y1.shape) == tuple(y2.shape) == tuple(a.forward_shape(x1.shape)) == tuple(b.forward_shape(x2.shape))
    assert tuple(a.inverse_shape(y1.shape)) == tuple(b.inverse_shape(y2.shape))
    np.testing.assert_allclose(num(y1), num(y2), rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(num(a.inv(y1.detach())), num(b.inv(y2.detach())), rtol=1e-4, atol=1e-5)
    assert a.bijective == b.bijective
    assert a.domain.event_dim == b.domain.event_dim
    assert a.codomain.event_dim == b.codomain.event_dim
    assert bool(a.codomain.check(y1).all())
    assert repr(a).replace("rushlight", "torch") == repr(b) or name in ("cdf",)
    assert a.inv.inv == a
    for z, w, p, q in ((y1, y2, x1, x2),):
        g1, g2 = rl.autograd.grad((z * z).sum(), p,
                                  retain_graph=True)[0], torch.autograd.grad((w * w).sum(), q, retain_graph=True)[0]
        np.testing.assert_allclose(num(g1), num(g2), rtol=1e-4, atol=1e-5)
    try:
        expected = b.log_abs_det_jacobian(x2, y2)
    except NotImplementedError:
        with pytest.raises(NotImplementedError):
            a.log_abs_det_jacobian(x1, y1)
    else:
        np.testing.assert_allclose(num(a.log_abs_det_jacobian(x1, y1)), num(expected), rtol=1e-4, atol=2e-5)
        if name != "inverse":
            back = a.inv.log_abs_det_jacobian(y1, x1)
            np.testing.assert_allclose(num(back), -num(expected), rtol=1e-4, atol=2e-5)
    try:
        sign = b.sign
    except NotImplementedError:
        with pytest.raises(NotImplementedError):
            _ = a.sign
    else:
        np.testing.assert_allclose(np.asarray(a.sign), np.asarray(sign))


@pytest.mark.parametrize("name", ["exp", "sigmoid", "stick", "compose", "affine",
                                  "corr", "stack", "cat", "independent"])
def test_cached_transforms(name):
    make, shape = TRANSFORMS[name]
    plain = make(rl, D)
    t = plain.with_cache(1)
    x = rl.randn(*shape)
    y = t(x)
    assert t.inv(y) is x or name in ("stack", "cat")
    assert t(x) is y or name in ("compose", "stack", "cat")
    np.testing.assert_array_equal(num(y), num(plain(x)))
    again = pickle.loads(pickle.dumps(t))  # noqa: S301
    np.testing.assert_array_equal(num(again(x)), num(y))


def test_equality_of_transforms():
    for lib, d in ((rl, D), (torch, T)):
        assert d.ExpTransform() == d.ExpTransform()
        assert d.ExpTransform() != d.SigmoidTransform()
        assert d.ExpTransform().inv == d.ExpTransform().inv
        assert d.AffineTransform(0.0, 1.0) == d.AffineTransform(0.0, 1.0)
        assert d.AffineTransform(0.0, lib.ones(2)) != d.AffineTransform(0.0, lib.tensor([1.0, 2.0]))
        assert d.PowerTransform(lib.tensor(2.0)) == d.PowerTransform(lib.tensor(2.0))
        assert d.ComposeTransform([d.ExpTransform()]) == d.ComposeTransform([d.ExpTransform()])


CONSTRAINTS = {
    "boolean": lambda c, lib: c.boolean, "one_hot": lambda c, lib: c.one_hot,
    "nonnegative_integer": lambda c, lib: c.nonnegative_integer,
    "positive_integer": lambda c, lib: c.positive_integer,
    "integer_interval": lambda c, lib: c.integer_interval(0, 3), "real": lambda c, lib: c.real,
    "real_vector": lambda c, lib: c.real_vector, "positive": lambda c, lib: c.positive,
    "nonnegative": lambda c, lib: c.nonnegative,
    "greater_than": lambda c, lib: c.greater_than(lib.tensor(0.5)),
    "greater_than_eq": lambda c, lib: c.greater_than_eq(1),
    "less_than": lambda c, lib: c.less_than(1), "unit_interval": lambda c, lib: c.unit_interval,
    "interval": lambda c, lib: c.interval(-1.0, 2.0),
    "half_open_interval": lambda c, lib: c.half_open_interval(0, 1),
    "simplex": lambda c, lib: c.simplex, "multinomial": lambda c, lib: c.multinomial(3),
    "lower_triangular": lambda c, lib: c.lower_triangular, "lower_cholesky": lambda c, lib: c.lower_cholesky,
    "corr_cholesky": lambda c, lib: c.corr_cholesky,
    "square": lambda c, lib: c.square, "symmetric": lambda c, lib: c.symmetric,
    "positive_semidefinite": lambda c, lib: c.positive_semidefinite,
    "positive_definite": lambda c, lib: c.positive_definite,
    "cat": lambda c, lib: c.cat([c.positive, c.real], -1, [1, 1]),
    "stack": lambda c, lib: c.stack([c.positive, c.real], -1),
    "independent": lambda c, lib: c.independent(c.positive, 2),
    "mixture": lambda c, lib: c.MixtureSameFamilyConstraint(c.real_vector),
}
VALUES = [np.array(v, np.float32) for v in ([[1, 0], [0, 1]], [[0.25, 0.75], [0.75, 0.25]], [[1, 0], [0.6, 0.8]],
                                            [[2, 1], [1, 2]], [[-1, 0], [1, float("nan")]], [[1, 1], [1, 1]],
                                            [[0.5, 0], [3, 1]], [[1, 2], [2, 1]])]


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints(name):
    a, b = CONSTRAINTS[name](C, rl), CONSTRAINTS[name](T.constraints, torch)
    assert repr(a) == repr(b)
    assert a.event_dim == b.event_dim
    assert a.is_discrete == b.is_discrete
    for value in VALUES:
        if name.startswith("positive_") and np.isnan(value).any():
            continue
        ours, theirs = a.check(rl.tensor(value)), b.check(torch.tensor(value))
        assert str(ours.dtype) == str(theirs.dtype)
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


REGISTERED = ["real", "positive", "nonnegative", "greater_than", "greater_than_eq", "less_than",
              "unit_interval", "interval", "half_open_interval", "simplex", "lower_cholesky",
              "corr_cholesky", "positive_definite", "cat", "stack", "real_vector", "independent"]


@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
@pytest.mark.parametrize("name", REGISTERED)
def test_registries(name, registry):
    def transform(c, d, lib):
        return getattr(d, registry)(CONSTRAINTS[name](c, lib))
    try:
        b = transform(T.constraints, T, torch)
    except NotImplementedError:
        with pytest.raises(NotImplementedError):
            transform(C, D, rl)
        return
    a = transform(C, D, rl)
    shape = (3,) if name == "corr_cholesky" else (2, 2)
    x = np.random.RandomState(4).randn(*shape).astype(np.float32)
    y = a(rl.tensor(x))
    np.testing.assert_allclose(num(y), num(b(torch.tensor(x))), rtol=1e-5, atol=1e-6)
    assert bool(CONSTRAINTS[name](C, rl).check(y).all())
    assert repr(a) == repr(b)


def test_registering_a_constraint():
    class Even(C.Constraint):
        pass

    @D.biject_to.register(Even)
    def even(c):
        return D.AffineTransform(0.0, 2.0)
    assert D.biject_to(Even())(rl.ones(1)).item() == 2
    assert D.biject_to.register(Even(), even) is even


def test_dependent_constraints():
    for c in (C, T.constraints):
        assert c.is_dependent(c.dependent)
        assert not c.is_dependent(c.positive)
        assert c.dependent(is_discrete=True, event_dim=2).event_dim == 2
        with pytest.raises(NotImplementedError, match=".event_dim cannot be determined statically"):
            _ = c.dependent.event_dim
    assert C.is_dependent(D.Uniform.support)
    assert D.Uniform.support.event_dim == T.Uniform.support.event_dim


# --- numbers ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gamma_dirichlet_and_binomial_numbers(dtype):
    r = np.random.RandomState(3)
    alpha = np.concatenate([[0.0, 1.0], 10 ** r.uniform(-3, 4, 300)]).astype(dtype)
    table = np.abs(r.randn(40, 13)).astype(dtype) + 0.01
    count, p = r.randint(0, 300, 400).astype(dtype), r.rand(400).astype(dtype)
    p[:3], count[3] = [0.0, 1.0, 0.5], 0
    for call in (lambda lib: lib._standard_gamma(lib.tensor(alpha)),
                 lambda lib: lib._sample_dirichlet(lib.tensor(table)),
                 lambda lib: lib.binomial(lib.tensor(count), lib.tensor(p)), lambda lib: lib.randn(3),
                 lambda lib: lib._standard_gamma(lib.ones(5)), lambda lib: lib.randn(2)):
        rl.manual_seed(8)
        torch.manual_seed(8)
        np.testing.assert_array_equal(call(rl).numpy(), call(torch).numpy())
        np.testing.assert_array_equal(rl.get_rng_state().numpy(), torch.get_rng_state().numpy())


def test_numbers_from_a_generator():
    a, b = rl.Generator().manual_seed(4), torch.Generator().manual_seed(4)
    np.testing.assert_array_equal(rl._standard_gamma(rl.ones(4), generator=a).numpy(),
                                  torch._standard_gamma(torch.ones(4), generator=b).numpy())
    np.testing.assert_array_equal(rl.binomial(rl.full((3,), 9.0), rl.full((3,), 0.4), generator=a).numpy(),
                                  torch.binomial(torch.full((3,), 9.0), torch.full((3,), 0.4), generator=b).numpy())


def test_errors_of_numbers():
    with pytest.raises(RuntimeError):
        rl.binomial(rl.ones(2), rl.ones(2, dtype=rl.float64))
    with pytest.raises(NotImplementedError, match="not implemented for 'Int64'"):
        rl._standard_gamma(rl.ones(2, dtype=rl.int64))


def test_derivatives_of_gamma_numbers_keep_the_distribution_function():
    """F(x(α); α) stays: finite differences of SciPy's regularized incomplete gamma function."""
    scipy = pytest.importorskip("scipy.special")
    r = np.random.RandomState(0)
    a = 10 ** r.uniform(-1, 3.9, 200)
    x = r.gamma(a)
    step = 1e-5 * a
    slope = (scipy.gammaincinv(a + step,
                               scipy.gammainc(a, x)) - scipy.gammaincinv(a - step, scipy.gammainc(a, x))) / (2 * step)
    good = np.isfinite(slope) & (scipy.gammainc(a, x) < 1 - 1e-9) & (x > 1e-100)
    np.testing.assert_allclose(gamma_derivative(a, x)[good], slope[good], rtol=1e-4)
    z = np.array([0.96, 1.0, 1.04]) * 1e4
    np.testing.assert_allclose(_large_gamma(np.full(3, 1e4), z), _gamma_series(np.full(3, 1e4), z), rtol=1e-6)


def test_derivatives_of_beta_numbers_keep_the_distribution_function():
    scipy = pytest.importorskip("scipy.special")
    r = np.random.RandomState(1)
    a, b = 10 ** r.uniform(-0.5, 2.5, (2, 200))
    x = r.beta(a, b)
    level = scipy.betainc(a, b, x)
    da = (scipy.betaincinv(a + 1e-4 * a, b, level) - scipy.betaincinv(a - 1e-4 * a, b, level)) / (2e-4 * a)
    db = (scipy.betaincinv(a, b + 1e-4 * b, level) - scipy.betaincinv(a, b - 1e-4 * b, level)) / (2e-4 * b)
    ours = beta_derivatives(x, a, b)
    good = (x > 1e-8) & (x < 1 - 1e-8)
    np.testing.assert_allclose(ours[0][good], da[good], rtol=1e-4)
    np.testing.assert_allclose(ours[1][good], db[good], rtol=1e-4)
