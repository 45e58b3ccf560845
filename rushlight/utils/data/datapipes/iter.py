"""torch.utils.data.datapipes.iter."""

from rushlight.data.forks import Demultiplexer, Forker  # noqa: F401
from rushlight.data.pipes import (  # noqa: F401
    Batcher, Collator, Concater, Filter, Grouper, IterableWrapper, IterDataPipe, Mapper, Multiplexer, ShardingFilter, Shuffler, UnBatcher,
    Zipper)
