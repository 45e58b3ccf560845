"""torch.utils.benchmark.utils.common."""

from rushlight.utils.benchmark.measurement import (  # noqa: F401
    Measurement, TaskSpec, select_unit, trim_sigfig, unit_to_english)
