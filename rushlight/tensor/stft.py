"""Short-time Fourier transforms: frames of a signal under a window,
each transformed; and back by weighted overlap-add."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rushlight.tensor import fourier
from rushlight.tensor.autocast import full
from rushlight.tensor.core import Tensor, wrap
from rushlight.tensor.functions.combined import constant_pad_nd
from rushlight.tensor.functions.common import need_tensor
from rushlight.tensor.functions.shape import view_as_real


def _call(name: str, x: Tensor, **options: Any) -> str:
    """How the call reads in messages."""
    shown = ", ".join(f"{k}={list(v.shape) if isinstance(v, Tensor) else v}" for k, v in options.items())
    return f"{name}({x.type()}{list(x.shape)}, {shown})"


def _window(call: str, window: Tensor | None, win_length: int, n_fft: int, message: str, like: Tensor) -> Tensor | None:
    """The window with zeros on both sides up to n_fft."""
    if window is None:
        if win_length == n_fft:
            return None
        window = like.new_ones(win_length)
    if window.ndim != 1 or window.shape[0] != win_length:
        raise RuntimeError(f"{call}: {message}, but got window with size {list(window.shape)}")
    left = (n_fft - win_length) // 2
    return constant_pad_nd(window, (left, n_fft - win_length - left)) if win_length < n_fft else window


@full
def stft(input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
         window: Tensor | None = None, center: bool = True, pad_mode: str = "reflect", normalized: bool = False,
         onesided: bool | None = None, return_complex: bool | None = None,
         align_to_window: bool | None = None) -> Tensor:
    """X[f, t] = Σ_k window[k] input[t hop + k] exp(-2πi f k / n_fft) of signals (…, length): (…, frequencies, frames).

    Real signals give n_fft // 2 + 1 frequencies unless onesided=False; with return_complex=False the parts of each
    number stand in a last dimension of size 2. With center the signal is padded so that frame t is centred at t hop.
    RuntimeError where sizes do not fit, or where return_complex is missing for a real signal.

    >>> import rushlight as rl
    >>> rl.stft(rl.ones(8), 4, window=rl.ones(4), return_complex=True).shape
    torch.Size([3, 9])
    """
    need_tensor("stft", 1, "input", input)
    hop, size = n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length
    call = _call("stft", input, n_fft=n_fft, hop_length=hop, win_length=size, window=window,
                 normalized=int(bool(normalized)), onesided=onesided)
    complex_fft = input.dtype.is_complex or window is not None and window.dtype.is_complex
    if return_complex is None:
        if not complex_fft:
            raise RuntimeError("stft requires the return_complex parameter be given for real inputs, "
                               "and will further require that return_complex=True in a future PyTorch release.")
        return_complex = True
    if input.dtype.kind not in "fc":
        raise RuntimeError(f"{call}: expected a tensor of floating point or complex values")
    if not 1 <= input.ndim <= 2:
        raise RuntimeError(f"{call}: expected a 1D or 2D tensor")
    if center and align_to_window:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    x = input if input.ndim == 2 else input.unsqueeze(0)
    if center:
        from rushlight.nn.functional.padding import pad
        x = pad(x.unsqueeze(0), (n_fft // 2, n_fft // 2), pad_mode).squeeze(0)
    elif align_to_window:
        x = constant_pad_nd(x, ((n_fft - size) // 2,) * 2)
    length = x.shape[-1]
    if not 0 < n_fft <= length:
        raise RuntimeError(f"{call}: expected 0 < n_fft < {length}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"{call}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < size <= n_fft:
        raise RuntimeError(f"{call}: expected 0 < win_length <= n_fft, but got win_length={size}")
    if onesided is None:
        onesided = not complex_fft
    if onesided and complex_fft:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    weights = _window(call, window, size, n_fft, f"expected a 1D window tensor of size equal to win_length={size}", x)
    frames = x.unfold(-1, n_fft, hop)
    frames = frames if weights is None else frames * weights
    norm = "ortho" if normalized else "backward"
    out = (fourier.rfft if onesided else fourier.fft)(frames, norm=norm).transpose(1, 2)
    out = out if input.ndim == 2 else out.squeeze(0)
    return out if return_complex else view_as_real(out)


def istft(input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
          window: Tensor | None = None, center: bool = True, normalized: bool = False, onesided: bool | None = None,
          length: int | None = None, return_complex: bool = False) -> Tensor:
    """The signals whose `stft` is nearest to input (…, frequencies, frames):
    overlap-add of windowed frames over that of window².

    Griffin and Lim (1984), "Signal estimation from modified short-time Fourier transform".
    RuntimeError where sizes do not fit, or where the windows leave a sample uncovered.

    >>> import rushlight as rl
    >>> x = rl.arange(8.)
    >>> rl.istft(rl.stft(x, 4, window=rl.ones(4), return_complex=True), 4, window=rl.ones(4))
    tensor([0., 1., 2., 3., 4., 5., 6., 7.])
    """
    need_tensor("istft", 1, "input", input)
    if not input.dtype.is_complex:
        raise RuntimeError("istft requires a complex-valued input tensor matching the "
                           "output from stft with return_complex=True.")
    hop, size = n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length
    call = _call("istft", input, n_fft=n_fft, hop_length=hop, win_length=size, window=window, center=int(center),
                 normalized=int(bool(normalized)), onesided=onesided, length=length, return_complex=int(return_complex))
    onesided = _check_spectrum(call, input, n_fft, hop, size, onesided)
    if return_complex and onesided:
        raise RuntimeError("cannot have onesided output if window or input is complex")
    if not return_complex and window is not None and window.dtype.is_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    weights = _window(call, window, size, n_fft,
                      "Invalid window shape. window has to be 1D and length of `win_length`", input.real)
    spectrum = (input if input.ndim == 3 else input.unsqueeze(0)).transpose(1, 2)
    norm = "ortho" if normalized else "backward"
    if return_complex:
        frames = fourier.ifft(spectrum, norm=norm)
    else:
        frames = fourier.irfft(spectrum[..., :n_fft // 2 + 1], n_fft, norm=norm)
    if weights is None:
        weights = frames.new_ones(n_fft)
    signal = _overlap(frames * weights, hop)
    envelope = _overlap((weights * weights).expand(1, frames.shape[1], n_fft), hop)
    total = signal.shape[-1]
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - n_fft // 2 if center else total
    signal, envelope = signal[:, start:end], envelope[:, start:end]
    lowest = float(envelope.abs().min()) if envelope.numel() else 1.0
    if not lowest > 1e-11:
        raise RuntimeError(f"{call}window overlap add min: {lowest:g}. Some samples lie under no window; "
                           "take a smaller hop_length or another window.")
    out = signal / envelope
    if end > total:
        warnings.warn("The length of signal is shorter than the length parameter. Result is being padded with "
                      "zeros in the tail. Please check your center and hop_length settings.", stacklevel=2)
        out = constant_pad_nd(out, (0, end - total))
    return out if input.ndim == 3 else out.squeeze(0)


def _check_spectrum(call: str, x: Tensor, n_fft: int, hop: int, size: int, onesided: bool | None) -> bool:
    """Whether the spectrum is onesided; RuntimeError where its sizes do not fit."""
    if not x.numel():
        raise RuntimeError(f"{call}: input tensor cannot be empty.")
    if x.ndim not in (2, 3):
        raise RuntimeError(f"{call}: expected a tensor with 3 or 4 dimensions, but got {x.ndim + 1}")
    have = x.shape[-2]
    onesided = have != n_fft if onesided is None else bool(onesided)
    want, text = (n_fft // 2 + 1,
                  "n_fft / 2 + 1 when onesided=True") if onesided else (n_fft, "n_fft when onesided=False")
    if have != want:
        raise RuntimeError(f"{call}: expected the frequency dimension (3rd to the last) of the "
                           f"input tensor to match {text}, but got {have}")
    if not 0 < hop <= size:
        raise RuntimeError(f"{call}: expected 0 < hop_length <= win_length")
    if not 0 < size <= n_fft:
        raise RuntimeError(f"{call}: expected 0 < win_length <= n_fft")
    return onesided


def _overlap(frames: Tensor, hop: int) -> Tensor:
    """Frames (n, count, size) added at multiples of hop."""
    n, count, size = frames.shape
    place = (np.arange(count)[:, None] * hop + np.arange(size)).reshape(-1)
    zero = frames.new_zeros(n, size + hop * (count - 1))
    return zero.index_add(1, wrap(place), frames.reshape(n, -1))
