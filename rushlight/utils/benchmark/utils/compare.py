"""torch.utils.benchmark.utils.compare."""

from rushlight.utils.benchmark.compare import Compare  # noqa: F401
