"""Linear algebra of the NumPy executor against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.exec.numpy import linalg

torch = pytest.importorskip("torch")
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


def matrices(dtype: Any, *shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def positive(dtype: Any, *shape: int) -> np.ndarray:
    a = matrices(dtype, *shape)
    return a @ linalg.adjoint(a) + np.eye(shape[-1], dtype=dtype)


def close(got: Any, want: Any, scale: float = 1) -> None:
    want = want.resolve_conj().numpy() if hasattr(want, "numpy") else want
    got = np.asarray(got)
    assert got.dtype == want.dtype and got.shape == want.shape
    tolerance = scale * (2e-4 if got.dtype in (np.float32, np.complex64) else 1e-10)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cholesky(dtype: Any) -> None:
    a = positive(dtype, 2, 3, 5, 5)
    t = torch.tensor(a)
    factor = linalg.cholesky(a)
    close(factor, torch.linalg.cholesky(t))
    close(linalg.cholesky(np.triu(a), True), torch.linalg.cholesky(t, upper=True))
    b = matrices(dtype, 2, 3, 5, 4, seed=1)
    close(linalg.cholesky_solve(b, factor), torch.cholesky_solve(torch.tensor(b), torch.linalg.cholesky(t)))
    close(linalg.cholesky_inverse(factor), torch.cholesky_inverse(torch.linalg.cholesky(t)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 5), (3, 7, 4), (2, 4, 7), (100, 100), (2, 130, 60), (0, 3, 3), (2, 0, 0)])
def test_lu(dtype: Any, shape: tuple[int, ...]) -> None:
    a = matrices(dtype, *shape)
    want = torch.linalg.lu_factor(torch.tensor(a))
    factors, pivots, info = linalg.lu_factor(a)
    close(factors, want.LU, 20)
    np.testing.assert_array_equal(pivots, want.pivots.numpy())
    assert pivots.dtype == np.int32 and not info.any()
    for got, expected in zip(linalg.lu(a), torch.linalg.lu(torch.tensor(a))):
        close(got, expected, 20)


@pytest.mark.parametrize("dtype", DTYPES)
def test_lu_solve(dtype: Any) -> None:
    a, b, c = matrices(dtype, 3, 6, 6), matrices(dtype, 3, 6, 2, seed=1), matrices(dtype, 3, 2, 6, seed=2)
    factors, pivots, _ = linalg.lu_factor(a)
    want = torch.linalg.lu_factor(torch.tensor(a))
    for adjoint in (False, True):
        close(linalg.lu_solve(factors, pivots, b, True, adjoint),
              torch.linalg.lu_solve(*want, torch.tensor(b), adjoint=adjoint), 10)
        close(linalg.lu_solve(factors, pivots, c, False, adjoint),
              torch.linalg.lu_solve(*want, torch.tensor(c), left=False, adjoint=adjoint), 10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 7, 120])
def test_triangular(dtype: Any, n: int) -> None:
    a = matrices(dtype, 2, n, n) / n + 2 * np.eye(n, dtype=dtype)
    a = np.asarray(a, dtype)
    for upper in (False, True):
        for unit in (False, True):
            for k in (3, 70):
                b = matrices(dtype, 2, n, k, seed=1)
                want = torch.linalg.solve_triangular(torch.tensor(a), torch.tensor(b), upper=upper, unitriangular=unit)
                close(linalg.solve_triangular(a, b, upper, unit), want)
    got = linalg.solve_triangular(np.zeros((2, 2)), np.ones((2, 1)), True)
    assert np.isinf(got[1]) and np.isnan(got[0])


@pytest.mark.parametrize("bad", [np.inf, np.nan, -np.inf])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_triangular_of_what_is_not_finite(bad: float, at: int) -> None:
    """It stays where substitution takes it; also a zero on the diagonal."""
    a = matrices(np.float64, 5, 5)
    for b in (np.ones((5, 2)), np.linspace(-1, 1, 10).reshape(5, 2)):
        for where in ("b", "diagonal", "a"):
            x, y = a.copy(), b.copy()
            (y if where == "b" else x)[at, 1 if where == "b" else at if where == "diagonal" else 1] = bad if where != "diagonal" else 0
            for upper in (False, True):
                want = torch.linalg.solve_triangular(torch.tensor(x), torch.tensor(y), upper=upper)
                close(linalg.solve_triangular(x, y, upper), want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_solve_inverse_determinant(dtype: Any) -> None:
    a, b = matrices(dtype, 3, 5, 5), matrices(dtype, 3, 5, 2, seed=1)
    t = torch.tensor(a)
    close(linalg.solve(a, b), torch.linalg.solve(t, torch.tensor(b)), 10)
    close(linalg.inv(a), torch.linalg.inv(t), 10)
    close(linalg.det(a), torch.linalg.det(t), 10)
    for got, want in zip(linalg.slogdet(a), torch.linalg.slogdet(t)):
        close(got, want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 6), (3, 5, 5)])
def test_orthogonal_factorisations(dtype: Any, shape: tuple[int, ...]) -> None:
    a = matrices(dtype, *shape)
    t = torch.tensor(a)
    for mode in ("reduced", "complete", "r"):
        for got, want in zip(linalg.qr(a, mode), torch.linalg.qr(t, mode)):
            close(got, want)
    for full in (True, False):
        u, s, vh = linalg.svd(a, full)
        assert [x.shape for x in (u, s, vh)] == [tuple(x.shape) for x in torch.linalg.svd(t, full)]
        k = s.shape[-1]
        close(((u[..., :k] * s[..., None, :]) @ vh[..., :k, :]).astype(dtype), a, 10)
    close(linalg.svdvals(a), torch.linalg.svdvals(t))
    if shape[-2] >= shape[-1]:
        packed, tau = linalg.geqrf(a)
        close(packed, torch.geqrf(t).a)
        close(linalg.householder_product(packed, tau), torch.linalg.householder_product(*torch.geqrf(t)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_eigenvalues(dtype: Any) -> None:
    h = positive(dtype, 3, 5, 5)
    for uplo in "LU":
        values, vectors = linalg.eigh(h, uplo)
        close(values, torch.linalg.eigh(torch.tensor(h), uplo)[0], 10)
        np.testing.assert_allclose(h @ vectors, vectors * values[:, None, :], rtol=1e-3, atol=1e-3)
    close(linalg.eigvalsh(h), torch.linalg.eigvalsh(torch.tensor(h)), 10)
    a = np.triu(matrices(dtype, 3, 5, 5))  # real eigenvalues also give complex types
    values, vectors = linalg.eig(a)
    assert values.dtype == vectors.dtype == linalg.eigvals(a).dtype == np.result_type(dtype, np.complex64)
    np.testing.assert_allclose(a @ vectors, vectors * values[:, None, :], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("driver", ["gelsy", "gels", "gelsd", "gelss"])
@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (2, 5, 3)])
def test_least_squares(driver: str, shape: tuple[int, ...]) -> None:
    a, b = matrices(np.float64, *shape), matrices(np.float64, *shape[:-1], 2, seed=1)
    want = torch.linalg.lstsq(torch.tensor(a), torch.tensor(b), driver=driver)
    for got, expected in zip(linalg.lstsq(a, b, None, driver), want):
        close(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exponential(dtype: Any) -> None:
    for scale in (0.01, 1.0, 8.0):
        a = (matrices(dtype, 2, 3, 4, 4) * scale).astype(dtype)
        want = torch.linalg.matrix_exp(torch.tensor(a.astype(np.complex128
                                                             if np.dtype(dtype).kind == "c" else np.float64))).numpy()
        got = linalg.matrix_exp(a)
        assert got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6 * np.abs(want).max())
    assert linalg.matrix_exp(np.zeros((2, 0, 0))).shape == (2, 0, 0)
    assert np.isnan(linalg.matrix_exp(np.array([[np.inf, 0], [0, 1]]))).all()


EYE, ZERO = np.eye(3), np.zeros((3, 3))


@pytest.mark.parametrize("call", [
    lambda f, t: f.cholesky(t(-EYE)), lambda f, t: f.cholesky(t(np.stack([EYE, np.diag([1.0, 1, -1]), EYE]))),
    lambda f, t: f.inv(t(ZERO)), lambda f, t: f.inv(t(np.stack([EYE, ZERO]))), lambda f, t: f.solve(t(ZERO), t(EYE)),
    lambda f, t: f.solve(t(np.stack([EYE, ZERO])), t(np.stack([EYE, EYE])))])
def test_errors_name_the_matrix(call: Any) -> None:
    with pytest.raises(torch.linalg.LinAlgError) as want:
        call(torch.linalg, torch.tensor)
    with pytest.raises(linalg.LinAlgError) as got:
        call(linalg, np.asarray)
    assert str(got.value) == str(want.value)


def test_info_of_singular_matrices() -> None:
    a = np.stack([EYE * 2, np.diag([1.0, 0, 1])])
    out, info = linalg.inv_ex(a)
    np.testing.assert_array_equal(info, [0, 2])
    np.testing.assert_allclose(out[0], EYE / 2)
    with pytest.raises(RuntimeError, match=r"\(Batch element 1\): U\[2,2\] is zero"):
        linalg.lu_factor_checked(a)
    with pytest.raises(linalg.LinAlgError, match="non-finite"):
        linalg.svd(EYE * np.nan)


def test_half_is_widened() -> None:
    assert linalg.inv(EYE.astype(np.float16)).dtype == np.float32
