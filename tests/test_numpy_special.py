"""The special functions of the NumPy executor against SciPy and PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rushlight.exec.numpy import special

scipy_special = pytest.importorskip("scipy.special")
INF, NAN = np.inf, np.nan
LINE = np.concatenate([np.linspace(-30, 30, 4001),
                       np.random.default_rng(0).normal(size=3000), np.logspace(-300, 2, 500)])
POSITIVE = np.concatenate([np.linspace(0.01, 40, 4000), np.logspace(-10, 12, 500)])
UNIT = np.concatenate([np.linspace(0, 1, 2001), np.logspace(-300, -1, 300), 1 - np.logspace(-15, -1, 100)])
EDGES = np.array([0.0, -0.0, INF, -INF, NAN])

UNARY = {
    "erf": (scipy_special.erf, LINE), "erfc": (np.vectorize(math.erfc, otypes=[float]), np.clip(LINE, -30, 26)),
    "erfcx": (scipy_special.erfcx, np.clip(LINE, -5, 1e100)),
    "erfinv": (scipy_special.erfinv, np.concatenate([UNIT[UNIT > 1e-290], -UNIT[UNIT > 1e-290]])),
    "ndtri": (scipy_special.ndtri, UNIT),
    "ndtr": (scipy_special.ndtr, np.clip(LINE, -9, 30)), "log_ndtr": (scipy_special.log_ndtr, LINE * 10),
    "lgamma": (np.vectorize(math.lgamma, otypes=[float]), POSITIVE), "digamma": (scipy_special.digamma, POSITIVE),
    "i0": (scipy_special.i0, LINE), "i0e": (scipy_special.i0e, LINE * 100), "i1": (scipy_special.i1, LINE),
    "i1e": (scipy_special.i1e, LINE * 100), "sinc": (np.sinc, np.linspace(-5.3, 5.1, 1000)),
    "entr": (scipy_special.entr, np.clip(LINE, -1, 1e5)),
    "bessel_j0": (scipy_special.j0, LINE), "modified_bessel_k1": (scipy_special.k1, POSITIVE[POSITIVE < 100]),
}


def close(got: np.ndarray, want: np.ndarray, rtol: float, atol: float = 0.0) -> None:
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", UNARY)
def test_float64(name: str) -> None:
    oracle, x = UNARY[name]
    got = getattr(special, name)(x)
    assert got.dtype == np.float64
    # close to a root the oracle is no better
    near_root = 2e-15 if name in ("digamma", "sinc", "log_ndtr", "lgamma") else 0.0
    close(got, oracle(x), 3e-14, near_root)


@pytest.mark.parametrize("name", UNARY)
def test_float32(name: str) -> None:
    oracle, x = UNARY[name]
    x = x.astype(np.float32)
    got = getattr(special, name)(x)
    assert got.dtype == np.float32
    with np.errstate(all="ignore"):
        close(got, oracle(x.astype(np.float64)).astype(np.float32), 4e-7, 1e-44)


@pytest.mark.parametrize("name", ["erf", "erfc", "erfinv", "lgamma", "digamma", "i0", "sinc", "erfcx",
                                  "i0e", "i1", "i1e", "ndtri", "log_ndtr", "ndtr", "entr"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges_are_as_in_pytorch(name: str, dtype: type) -> None:
    torch = pytest.importorskip("torch")
    oracle = getattr(torch, name, None) or getattr(torch.special, name)
    x = np.concatenate([EDGES, [1.0, -1.0, 2.0, -2.0, -2.5, 0.5]]).astype(dtype)
    want = oracle(torch.tensor(x)).numpy()
    got = getattr(special, name)(x)
    if name in ("i0", "i1"):  # PyTorch gives NaN at infinity, the limit is infinite
        want[np.isinf(x)] = np.inf if name == "i0" else x[np.isinf(x)]
    close(got, want, 1e-6 if dtype is np.float32 else 1e-14, 1e-6 if dtype is np.float32 else 1e-15)
    np.testing.assert_array_equal(np.signbit(got[want == 0]), np.signbit(want[want == 0]))


def test_negative_gamma() -> None:
    x = np.random.default_rng(1).uniform(-40, 0, 3000)
    close(special.lgamma(x), scipy_special.gammaln(x), 1e-13, 1e-13)
    close(special.digamma(x), scipy_special.digamma(x), 1e-12, 1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 30])
def test_polygamma(n: int) -> None:
    x = np.linspace(0.05, 60, 1500)
    close(special.polygamma(n, x), scipy_special.polygamma(n, x), 1e-13 if n <= 20 else 5e-13)


def test_polygamma_of_negative_numbers_is_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    x = np.array([-0.3, -1.5, -2.7, -8.4, -0.01])
    for n in (1, 2, 3, 4):
        close(special.polygamma(float(n), x), torch.polygamma(n, torch.tensor(x)).numpy(), 1e-10)


def test_zeta() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    s, q = rng.uniform(1.01, 40, 3000), rng.uniform(0.1, 80, 3000)
    close(special.zeta(s, q), scipy_special.zeta(s, q), 1e-13)
    s = np.array([1, 2, 2, 0.5, 2, 2.5, 3, 2, NAN, 2])
    q = np.array([3, 0, -1, 2, -0.5, -0.5, -3.25, NAN, 1, 5])
    close(special.zeta(s, q), torch.special.zeta(torch.tensor(s), torch.tensor(q)).numpy(), 1e-13)


@pytest.mark.parametrize("name", ["igamma", "igammac"])
def test_incomplete_gamma(name: str) -> None:
    torch = pytest.importorskip("torch")
    oracle = {"igamma": scipy_special.gammainc, "igammac": scipy_special.gammaincc}[name]
    rng = np.random.default_rng(3)
    a = np.concatenate([rng.uniform(0.001, 30, 2000), 10 ** rng.uniform(-3, 4, 1000)])
    x = a * 10 ** rng.normal(0, 0.3, a.size)
    want = oracle(a, x)
    keep = want > 1e-100
    close(getattr(special, name)(a, x)[keep], want[keep], 2e-11)
    pairs = np.array([(p, r) for p in (0.0, 0.5, 2.0, INF, -1.0, NAN) for r in (0.0, 0.5, 3.0, INF, -1.0, NAN)])
    want = getattr(torch, name)(torch.tensor(pairs[:, 0]), torch.tensor(pairs[:, 1])).numpy()
    want[np.isnan(pairs).any(axis=1)] = NAN  # PyTorch loses some NaNs
    close(getattr(special, name)(pairs[:, 0], pairs[:, 1]), want, 1e-13)


def test_xlogy_broadcasts_and_takes_numbers() -> None:
    torch = pytest.importorskip("torch")
    x, y = np.array([[0.0], [1.0], [NAN]], np.float32), np.array([0.0, -1.0, 2.0, NAN, INF], np.float32)
    close(special.xlogy(x, y), torch.xlogy(torch.tensor(x), torch.tensor(y)).numpy(), 1e-6)
    close(special.xlog1py(x, y), torch.special.xlog1py(torch.tensor(x), torch.tensor(y)).numpy(), 1e-6)
    assert special.zeta(2.0, np.array([INF]))[0] == 0
    assert special.xlogy(0, y).dtype == np.float32 and special.xlogy(x, 2.0).shape == (3, 1)


def test_half_precision_and_empty() -> None:
    x = np.linspace(-2, 2, 50).astype(np.float16)
    assert special.erf(x).dtype == np.float16
    np.testing.assert_array_equal(special.erf(x), scipy_special.erf(x.astype(np.float32)).astype(np.float16))
    assert special.lgamma(np.empty((0, 3), np.float32)).shape == (0, 3)
