"""torch.utils.data.datapipes."""

from rushlight.utils.data.datapipes import iter, map  # noqa: F401
