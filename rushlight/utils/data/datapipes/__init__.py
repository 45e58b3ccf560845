"""torch.utils.data.datapipes."""

from rushlight.utils.data.datapipes import iter, map  # noqa: A004, F401
