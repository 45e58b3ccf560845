"""torch.utils.data.datapipes.iter."""

from rushlight.data.pipes import (  # noqa: F401
    Batcher, Collator, Concater, Demultiplexer, Filter, Forker, Grouper, IterableWrapper, IterDataPipe, Mapper,
    Multiplexer, ShardingFilter, Shuffler, UnBatcher, Zipper)
