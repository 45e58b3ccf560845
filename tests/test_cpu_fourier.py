"""Fourier transforms by the generated kernel, against NumPy's in double precision."""

from __future__ import annotations


import numpy as np
import pytest
from executors import at_first_sight  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight.exec.cpu import executor
from rushlight.exec.cpu.fourier import LEAST, radices

pytestmark = pytest.mark.skipif(not executor.available(), reason="no compiler on this machine")
EPSILON = {"complex64": 1e-6, "float32": 1e-6, "complex128": 4e-15, "float64": 4e-15}


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if dtype[0] == "c" else x).astype(dtype)


def check(t: rl.Tensor, name: str, dim: int, norm: str = "backward", native: bool | None = True) -> None:
    """`native` says whether a kernel has to run it, None that either may."""
    x = t.numpy()
    with rl.profile() as p:
        found = getattr(rl.fft, name)(t, dim=dim, norm=norm).numpy()
    assert native in (None, not any([f"numpy {name}" in e.title for e in p.events]))
    wanted = getattr(np.fft, name)(x.astype("complex128"), axis=dim, norm=norm)
    assert found.dtype == (x.dtype if x.dtype.kind == "c" else np.result_type(x.dtype, np.complex64))
    assert np.abs(found - wanted).max() <= EPSILON[x.dtype.name] * np.abs(wanted).max()


@pytest.mark.parametrize("dtype", EPSILON)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17 * 2, 25, 30, 49, 60, 64, 100, 128, 210, 512, 1000, 4096])
def test_lengths(n: int, dtype: str) -> None:
    """As the last dimension and as one before others, of fewer, as many and more signals than a vector has lanes."""
    for shape in ((n,), (7, n), (16, n), (33, n), (n, 5), (n, 16), (n, 35), (3, n, 4)):
        if np.prod(shape) > 80_000:
            continue
        t = rl.from_numpy(numbers(shape, dtype))
        for name in ("fft", "ifft"):
            check(t, name, shape.index(n), native=radices(n) is not None and np.prod(shape) >= LEAST * n)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 10, 20]), min_size=1, max_size=4), st.integers(0, 3), st.permutations(range(4)), st.booleans(),
       st.sampled_from(sorted(EPSILON)), st.sampled_from(["forward", "backward", "ortho"]), st.sampled_from(["fft", "ifft"]))
def test_memory_of_any_kind(shape, dim, order, halved, dtype, norm, name):
    """Turned views, every second element, repeated signals."""
    order = [d for d in order if d < len(shape)]
    t = rl.from_numpy(numbers((*shape[:-1], shape[-1] * (1 + halved)), dtype))
    t = (t[..., ::2] if halved else t).permute(order)
    dim %= len(shape)
    check(t, name, dim, norm, t.shape[dim] > 1 and t.numel() >= LEAST * t.shape[dim] and _others(t, dim) <= 3 or None)
    check(t.unsqueeze(0).expand(3, *t.shape), name, dim + 1, norm, t.shape[dim] > 1 and 3 * t.numel() >= LEAST * t.shape[dim] and _others(t, dim) <= 2 or None)


def _others(t: rl.Tensor, dim: int) -> int:
    return sum(n > 1 for d, n in enumerate(t.shape) if d != dim)


def test_the_bits_do_not_depend_on_what_is_beside_a_signal() -> None:
    """A few signals, or the same among many, by rows and by columns."""
    x = numbers((40, 60), "complex64")
    rows = rl.fft.fft(rl.from_numpy(x)).numpy()
    assert np.array_equal(rl.fft.fft(rl.from_numpy(x[17:17 + LEAST].copy())).numpy(), rows[17:17 + LEAST])
    assert np.array_equal(rl.fft.fft(rl.from_numpy(np.ascontiguousarray(x.T)), dim=0).numpy().T, rows)


def test_infinities_and_nan_stay_in_their_signal() -> None:
    x = numbers((20, 64), "complex64")
    clean = rl.fft.fft(rl.from_numpy(x.copy())).numpy()
    x[3, 5], x[18, 0] = np.inf, np.nan
    found = rl.fft.fft(rl.from_numpy(x)).numpy()
    kept = [i for i in range(20) if i not in (3, 18)]
    assert np.array_equal(found[kept], clean[kept]) and np.isnan(found[18]).all() and not np.isfinite(found[3]).any()


def test_a_transform_and_back() -> None:
    x = rl.from_numpy(numbers((5, 6, 20), "float64")).requires_grad_()
    back = rl.fft.irfft2(rl.fft.rfft2(x), s=(6, 20))
    np.testing.assert_allclose(back.tolist(), x.tolist(), atol=1e-14)
    assert rl.autograd.gradcheck(lambda t: rl.fft.rfft(t, dim=1).abs(), (x,))
    assert rl.autograd.gradcheck(lambda t: rl.fft.fftn(t).real, (x,))
