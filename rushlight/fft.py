"""torch.fft."""

from rushlight.tensor.fourier import *  # noqa: F403
