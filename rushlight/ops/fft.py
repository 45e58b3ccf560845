"""Discrete Fourier transforms along one dimension. n is the length of the signal, the input already has it."""

from __future__ import annotations

from rushlight.ops.table import row

FFT = row("fft", "library", "x", lambda x, dim, norm: ((x.dtype, x.shape),),
          attrs="dim norm", grad_name="FftC2CBackward0",
          vjp={"x": lambda F, g, dim, norm: F.fft_back(g, "ifft", dim, norm)}, sample="complex")
IFFT = row("ifft", "library", "x", lambda x, dim, norm: ((x.dtype, x.shape),),
           attrs="dim norm", grad_name="FftC2CBackward0",
           vjp={"x": lambda F, g, dim, norm: F.fft_back(g, "fft", dim, norm)}, sample="complex")
