"""Complex numbers as pairs of real ones in generated loops, against NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from executors import agree, at_first_sight  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight.exec.cpu import executor

pytestmark = pytest.mark.skipif(not executor.available(), reason="no compiler on this machine")
TYPES = ["complex64", "complex128"]


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)


def natively(run: Any) -> list[np.ndarray]:
    """The results of a program of which NumPy runs nothing."""
    with rl.profile() as p:
        found = [t.numpy() for t in run()]
    assert p.events and not [e.title for e in p.events if "numpy" in e.title]
    return found


def elementwise(z: Any, w: Any, where: Any, x: Any) -> list[Any]:
    """Operations that are one after the other and share parts, some on real numbers."""
    product = z * w
    return [z + w, z - w * 2, product, -z, z.conj() * product + 1.5, abs(product), (z * x).real, (z + x).imag, rl.view_as_real(z * 3) + 1,
            where_of(where, z, w), (z == w) | (z == z.conj()), z.sgn() * abs(w), rl.complex(z.real * 2, x), z.to(product.dtype) * x,
            rl.view_as_complex(rl.view_as_real(w) * 0.5) + z]


def where_of(where: Any, z: Any, w: Any) -> Any:
    return rl.where(where, z, w)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (2,), (15,), (16,), (17,), (3, 33), (4, 1, 9), (200, 300)])
def test_elementwise_operations(dtype: str, shape: tuple[int, ...]) -> None:
    a, b = numbers(shape, dtype), numbers(shape, dtype, 1)
    z, w, x = (rl.from_numpy(np.array(t)) for t in (a, b, b.real))
    found = natively(lambda: elementwise(z, w, x > 0, x))
    both = a * b
    wanted = [a + b, a - b * 2, both, -a, a.conj() * both + 1.5, abs(both), (a * b.real).real, (a + b.real).imag,
              np.stack([(3 * a).real, (3 * a).imag], -1) + 1, np.where(b.real > 0, a, b), a == a.conj(), np.sign(a) * abs(b),
              2 * a.real + 1j * b.real, a * b.real, 0.5 * b + a]
    for have, want in zip(found, wanted, strict=True):
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=0, atol=(2e-6 if dtype == "complex64" else 4e-15) * max(1, float(np.abs(want).max())))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape, dims", [((), ()), ((7,), (0,)), ((3, 33), (1,)), ((3, 33), (0, 1)), ((4, 1, 9), (0, 2)), ((200, 300), (0,))])
def test_reversals(dtype: str, shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    """Of values in memory, of parts of them and of values that lie in none."""
    a = numbers(shape, dtype)
    z = rl.from_numpy(np.array(a))
    found = natively(lambda: [z.flip(dims), (z * 2).flip(dims) + z, z.flip(dims).conj(), z.t().flip(dims) if z.ndim == 2 else z * 1])
    back = np.flip(a, dims)
    for have, want in zip(found, [back, 2 * back + a, back.conj(), np.flip(a.T, dims) if a.ndim == 2 else a], strict=True):
        assert np.array_equal(have, want)
    assert rl.from_numpy(np.zeros((0, 3), dtype)).flip(0, 1).shape == (0, 3)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3, 8, 17]), min_size=1, max_size=4), st.permutations(range(4)), st.permutations(range(4)), st.booleans(),
       st.sampled_from(TYPES))
def test_memory_of_any_kind(shape, order, other, halved, dtype):
    """Turned views of inputs and of values that were computed before, every second element, repeated rows."""
    order, other = ([d for d in o if d < len(shape)] for o in (order, other))
    a = numbers((*shape[:-1], shape[-1] * (1 + halved)), dtype)
    t = rl.from_numpy(a)

    def run(x: Any, permute: Any) -> Any:
        x = permute(x[..., ::2] if halved else x, order)
        y = permute(x * x, other)
        return [y + y, permute(y, other) * permute(x, other).sum(0) if 0 else y - y[:1], abs(y).sum(), y.real[..., :1] + y.imag]
    with rl.profile():
        found = [v.numpy() for v in run(t, lambda x, o: x.permute(o))]
    wanted = run(a, lambda x, o: x.transpose(o))
    for have, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4 if dtype == "complex64" else 1e-12, atol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
def test_sizes_beyond_what_squares_can_hold(dtype: str) -> None:
    large = 1e30 if dtype == "complex64" else 1e300
    z = np.array([large + large * 1j, 1 / large + 1j / large, 3e-30 + 0j, 0, -0.0 + 0j, np.inf + 1j, 1 + np.inf * 1j, np.nan + 1j, np.inf + np.nan * 1j],
                 dtype=dtype)
    t = rl.from_numpy(z)
    sizes, directions, product = natively(lambda: [abs(t), t.sgn(), t[0] * t[0].conj()])
    np.testing.assert_allclose(sizes, np.abs(z), rtol=1e-6 if dtype == "complex64" else 1e-15)
    with np.errstate(all="ignore"):
        wanted = np.where(np.isinf(np.abs(z)), np.nan * (1 + 1j), np.sign(z))
    np.testing.assert_allclose(directions, wanted, rtol=1e-6)
    assert np.isposinf(product.real) and np.isnan(product.imag)  # infinity less infinity, as in PyTorch


@pytest.mark.parametrize("dtype", TYPES)
def test_gradients(dtype: str) -> None:
    def every() -> list[Any]:
        z = rl.from_numpy(numbers((5, 18), dtype)).requires_grad_()
        w = rl.from_numpy(numbers((18,), dtype, 2)).requires_grad_()
        y = (z * w.conj() + z.conj()) * abs(z)
        return [y, *rl.autograd.grad((abs(y) ** 2).sum() + y.imag.sum(), (z, w))]
    agree(every, 30)


def test_a_rotation_of_pairs() -> None:
    """Rotary embeddings as they are written with complex numbers."""
    x = rl.randn(2, 10, 4, 16, requires_grad=True)
    turns = rl.polar(rl.ones(10, 8), rl.outer(rl.arange(10.0), 1 / 10000 ** (rl.arange(8) / 8)))
    turned = rl.view_as_real(rl.view_as_complex(x.reshape(2, 10, 4, 8, 2)) * turns[None, :, None]).flatten(3)
    turned.pow(2).sum().backward()
    np.testing.assert_allclose(turned.pow(2).sum(-1).tolist(), x.pow(2).sum(-1).tolist(), rtol=1e-5)
    np.testing.assert_allclose(x.grad.tolist(), (2 * x).tolist(), rtol=1e-4, atol=1e-5)


def test_a_number_of_one_part_does_not_take_over_memory_of_two() -> None:
    z = rl.tensor(3 + 4j) * 1
    z.numpy()
    z = z.real * 2  # of which nobody else needs the memory
    assert z.item() == 6 and z.numpy().dtype == np.float32 and z.numpy().nbytes == 4
