"""Solutions by triangular factors against PyTorch: values, gradients, what is not finite, and messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rushlight

SIDES = (torch, rushlight)


def numbers(*shape: int, seed: int = 0, kind: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    x = x + 1j * rng.standard_normal(shape) if kind == "complex128" else x
    return np.asarray(x + (2 * np.eye(shape[-1]) if shape[-1] == shape[-2] else 0), kind)


def both(function: Any, *arrays: np.ndarray) -> None:
    """The values and gradients of a function of a library and of tensors agree; all of the factor counts, also what is not read."""
    found = []
    for lib in SIDES:
        leaves = [lib.tensor(x, requires_grad=True) for x in arrays]
        out = function(lib, *leaves)
        weights = lib.linspace(0.5, 2, out.numel(), dtype=lib.float64).reshape(out.shape)
        found.append([out, *lib.autograd.grad((out * weights).abs().sum(), leaves)])
    for want, have in zip(*found):
        np.testing.assert_allclose(have.detach().numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["float64", "complex128"])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("batch", [((), ()), ((3,), ()), ((), (2,)), ((2, 1), (3,))])
def test_values_and_gradients(batch: tuple[tuple[int, ...], tuple[int, ...]], upper: bool, kind: str) -> None:
    a, b = numbers(*batch[0], 4, 4, kind=kind), numbers(*batch[1], 4, 3, seed=1, kind=kind)
    for unit in (False, True):
        both(lambda t, a, b: t.linalg.solve_triangular(a, b, upper=upper, unitriangular=unit), a, b)
        both(lambda t, a, b: t.linalg.solve_triangular(a, b.mT, upper=upper, unitriangular=unit, left=False), a, b)
    factor = np.where(np.eye(4), a.real, a)
    both(lambda t, b, a: t.cholesky_solve(b, a, upper), b, factor)
    both(lambda t, a: t.cholesky_inverse(a, upper), factor)
    if not batch[0]:
        pivots = np.array([2, 4, 3, 4], np.int32)
        for adjoint in (False, True):
            both(lambda t, a, b: t.linalg.lu_solve(a, t.tensor(pivots), b, adjoint=adjoint), a, b)


def test_a_zero_on_the_diagonal_gives_infinity_or_nan() -> None:
    a, b = np.array([[1.0, 0, 0], [0.5, 0, 0], [0.1, 0.2, 3]]), np.array([[1.0], [1], [2]])
    for function in (lambda t, a, b: t.linalg.solve_triangular(a, b, upper=False), lambda t, a, b: t.cholesky_solve(b, a),
                     lambda t, a, b: t.linalg.lu_solve(a, t.tensor([1, 2, 3], dtype=t.int32), b)):
        want, have = (function(t, t.tensor(a), t.tensor(b)).numpy() for t in SIDES)
        np.testing.assert_array_equal(have, want)
        assert not np.isfinite(want).all()


@pytest.mark.parametrize("upper", [False, True])
def test_tiny_numbers_on_the_diagonal(upper: bool) -> None:
    """Their inverses are beyond float32, the solution is not; of many rows, which go by inverted blocks."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((130, 20))
    a = rng.standard_normal((130, 130)) * 0.05
    a = ((np.triu(a, 1) if upper else np.tril(a, -1)) + np.eye(130)) * np.where(np.arange(130) % 7 == 0, 1e-39, 1)[:, None]
    factor = a.astype(np.float32)
    found = rushlight.linalg.solve_triangular(rushlight.tensor(factor), rushlight.tensor((a @ x).astype(np.float32)), upper=upper)
    np.testing.assert_allclose(found.numpy(), x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64", "bool"])
def test_dtypes_without_a_kernel(dtype: str) -> None:
    for name in ("cholesky_solve", "cholesky_inverse"):
        errors = []
        for lib in SIDES:
            x = lib.eye(2).to(getattr(lib, dtype))
            with pytest.raises(NotImplementedError) as e:
                getattr(lib, name)(*[x] * (2 if name == "cholesky_solve" else 1))
            errors.append(str(e.value).split(". ")[0])
        assert errors[0] == errors[1]


def test_an_infinite_value_is_beyond_a_normal_distribution() -> None:
    for lib in SIDES:
        d = lib.distributions.MultivariateNormal(lib.zeros(2), scale_tril=lib.tensor([[1.0, 0], [0.5, 2]]), validate_args=False)
        assert d.log_prob(lib.tensor([0.0, float("inf")])).item() == -float("inf")


@pytest.mark.parametrize("wrong", [
    lambda t: t.cholesky_solve(t.ones(2), t.eye(2)), lambda t: t.cholesky_solve(t.ones(2, 1), t.ones(2)),
    lambda t: t.cholesky_solve(t.ones(3, 1), t.eye(2)), lambda t: t.cholesky_solve(t.ones(2, 1), t.ones(2, 3)),
    lambda t: t.cholesky_solve(t.ones(2, 1), t.eye(2, dtype=t.float64)),
    lambda t: t.cholesky_inverse(t.ones(2)), lambda t: t.cholesky_inverse(t.ones(2, 3)), lambda t: t.cholesky_inverse(t.zeros(2, 2)),
    lambda t: t.cholesky_inverse(t.stack([t.eye(2), t.zeros(2, 2)])),
    lambda t: t.linalg.solve_triangular(t.eye(3), t.ones(3), upper=True), lambda t: t.linalg.solve_triangular(t.eye(3), t.ones(2, 1), upper=True),
    lambda t: t.linalg.solve_triangular(t.eye(3), t.ones(2, 2), upper=True, left=False), lambda t: t.linalg.solve_triangular(t.ones(2, 3), t.ones(2, 1), upper=True)])
def test_messages(wrong: Any) -> None:
    errors = []
    for lib in SIDES:
        with pytest.raises(RuntimeError) as e:
            wrong(lib).tolist()
        errors.append((isinstance(e.value, lib.linalg.LinAlgError), str(e.value).split("\n")[0]))
    assert errors[0] == errors[1]
