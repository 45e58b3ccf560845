"""torch.utils.data.datapipes.map."""

from rushlight.data.pipes import MapDataPipe, SequenceWrapper  # noqa: F401
