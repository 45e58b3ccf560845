"""torch.utils.benchmark.utils.common."""

from rushlight.utils.benchmark.measurement import Measurement, TaskSpec, select_unit, trim_sigfig, unit_to_english  # noqa: F401
