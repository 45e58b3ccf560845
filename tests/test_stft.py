"""Short-time Fourier transforms against PyTorch."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
SIGNAL = np.random.default_rng(0).standard_normal((2, 50))


def close(got: Any, want: Any) -> None:
    assert got.dtype.name == str(want.dtype).removeprefix("torch.")
    np.testing.assert_allclose(got.detach().numpy(), want.detach().resolve_conj().numpy(), rtol=1e-6, atol=1e-9)


OPTIONS = ({}, {"hop_length": 3}, {"win_length": 6}, {"center": False}, {"pad_mode": "constant"}, {"normalized": True},
           {"onesided": False}, {"return_complex": False}, {"center": False, "win_length": 5, "align_to_window": True})


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("window", (None, "hann"))
@pytest.mark.parametrize("rank", (1, 2))
def test_stft(options: dict[str, Any], window: str | None, rank: int) -> None:
    results = []
    for lib in (torch, rl):
        x = lib.tensor(SIGNAL if rank == 2 else SIGNAL[0]).requires_grad_()
        w = None if window is None else lib.hann_window(options.get("win_length", 8), dtype=lib.float64)
        out = lib.stft(x, 8, window=w, **{"return_complex": True, **options})
        (out.abs() ** 2).sum().backward()
        results.append((out, x.grad))
    (want, want_grad), (got, got_grad) = results
    close(got, want)
    close(got_grad, want_grad)


def test_complex_signals_have_all_frequencies() -> None:
    both = SIGNAL[0] + 1j * SIGNAL[1]
    close(rl.tensor(both).stft(8), torch.tensor(both).stft(8))


@pytest.mark.parametrize("options", ({}, {"length": 45}, {"normalized": True}, {"onesided": False},
                                     {"hop_length": 3}, {"win_length": 6, "hop_length": 2}), ids=str)
@pytest.mark.filterwarnings("ignore")
def test_istft(options: dict[str, Any]) -> None:
    back = {k: v for k, v in options.items() if k != "length"}
    results = []
    for lib in (torch, rl):
        w = lib.ones(options.get("win_length", 8), dtype=lib.float64)
        spectrum = lib.stft(lib.tensor(SIGNAL), 8, window=w, return_complex=True, **back).detach().requires_grad_()
        out = lib.istft(spectrum * (1 + 0.5j), 8, window=w, **options)
        (out * out).sum().backward()
        results.append((out, spectrum.grad))
    close(results[1][0], results[0][0])
    close(results[1][1], results[0][1])


def test_istft_inverts() -> None:
    x = rl.tensor(SIGNAL)
    w = rl.hann_window(8, dtype=rl.float64)
    np.testing.assert_allclose(
        x.stft(8, window=w, return_complex=True).istft(8, window=w, length=50).numpy(), SIGNAL, atol=1e-12)


def test_istft_to_complex_signals() -> None:
    both = SIGNAL[0] + 1j * SIGNAL[1]
    close(rl.tensor(both).stft(8).istft(8, return_complex=True),
          torch.tensor(both).stft(8).istft(8, return_complex=True))


@pytest.mark.filterwarnings("ignore")
def test_a_longer_signal_is_padded() -> None:
    close(rl.stft(rl.tensor(SIGNAL), 8, return_complex=True).istft(8, length=60),
          torch.stft(torch.tensor(SIGNAL), 8, return_complex=True).istft(8, length=60))


BAD: tuple[Any, ...] = (
    lambda lib: lib.stft(lib.ones(20), 8), lambda lib: lib.stft(lib.ones(20, dtype=lib.int64), 8, return_complex=True),
    lambda lib: lib.stft(lib.ones(2, 2, 20), 8, return_complex=True),
    lambda lib: lib.stft(lib.ones(5), 8, center=False, return_complex=True),
    lambda lib: lib.stft(lib.ones(20), 8, hop_length=0, return_complex=True),
    lambda lib: lib.stft(lib.ones(20), 8, win_length=9, return_complex=True),
    lambda lib: lib.stft(lib.ones(20), 8, window=lib.ones(7), return_complex=True),
    lambda lib: lib.stft(lib.ones(20, dtype=lib.complex64), 8, onesided=True), lambda lib: lib.istft(lib.ones(5, 3), 8),
    lambda lib: lib.istft(lib.ones(4, 3, dtype=lib.complex64), 8, onesided=True),
    lambda lib: lib.istft(lib.ones(5, 3, dtype=lib.complex64), 8, hop_length=9),
    lambda lib: lib.istft(lib.ones(5, 3, dtype=lib.complex64), 8, window=lib.zeros(8)),
)


@pytest.mark.parametrize("call", BAD)
@pytest.mark.filterwarnings("ignore")
def test_errors(call: Any) -> None:
    with pytest.raises(Exception) as want:
        call(torch)
    with pytest.raises(type(want.value)) as got:
        call(rl)
    said = re.compile("expected .{15}|window overlap add min|Invalid window|i?stft requires|Cannot have")
    assert said.search(str(got.value)).group() == said.search(str(want.value)).group()
