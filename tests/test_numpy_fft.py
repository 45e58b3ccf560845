"""Fourier transforms of the NumPy executor against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.exec.numpy import fft

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
REAL, COMPLEX = RNG.normal(size=(3, 6, 5)), RNG.normal(size=(3, 6, 5)) + 1j * RNG.normal(size=(3, 6, 5))
NORMS = [None, "backward", "forward", "ortho"]


def same(name: str, x: np.ndarray, *args: Any) -> None:
    want = getattr(torch.fft, name)(torch.tensor(x), *args).resolve_conj().numpy()
    got = getattr(fft, name)(x, *args)
    assert got.dtype == want.dtype and got.shape == want.shape
    tolerance = 1e-5 if want.dtype in (np.complex64, np.float32) else 1e-12
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_one_dimension(name: str, norm: str | None) -> None:
    for x in (REAL,) if name in ("rfft", "ihfft") else (REAL, COMPLEX):
        for n, dim in ((None, -1), (4, 1), (9, -1), (7, 0)):
            same(name, x, n, dim, norm)
            same(name, x.astype(np.complex64 if x.dtype.kind == "c" else np.float32), n, dim, norm)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_several_dimensions(name: str, norm: str | None) -> None:
    x = REAL if name in ("rfft", "ihfft") else COMPLEX
    for s, dim in ((None, (0, 2)), ((4, 7), (-1, 0)), (None, (1,))):
        same(f"{name}n", x, s, dim, norm)
    for s, dim in ((None, None), ((4, 7), None)):
        same(f"{name}n", x, s, dim, norm)
    same(f"{name}2", x, None, (-2, -1), norm)
    same(f"{name}2", x, (8, -1), (0, 1), norm)


@pytest.mark.parametrize("call", [lambda f, x, z: f.fft(x, 0), lambda f, x, z: f.fft(x, 4, 0, "odd"),
                                  lambda f, x, z: f.rfft(z), lambda f, x, z: f.fftn(x, (2,), (0, 1)),
                                  lambda f, x, z: f.fftn(x, None, (0, 0)), lambda f, x, z: f.fftn(x, None, (0, 5)),
                                  lambda f, x, z: f.fftn(x, (2, 2, 2, 2)), lambda f, x, z: f.irfft(x[:, :, :1])])
def test_errors_begin_as_in_pytorch(call: Any) -> None:
    with pytest.raises((RuntimeError, IndexError)) as want:
        call(torch.fft, torch.tensor(REAL), torch.tensor(COMPLEX))
    with pytest.raises(want.type) as got:
        call(fft, REAL, COMPLEX)
    assert str(got.value).startswith(str(want.value).split(".")[0])


def test_integers_and_half_are_widened() -> None:
    same("fft", np.arange(6))
    assert fft.rfft(np.arange(6, dtype=np.float16)).dtype == np.complex64
