"""torch.utils.benchmark.utils.timer."""

from rushlight.utils.benchmark.timer import Timer, timer  # noqa: F401
