"""torch.utils.data.datapipes.iter."""

from rushlight.data.pipes import (Batcher, Collator, Concater, Demultiplexer, Filter, Forker, Grouper, IterableWrapper, IterDataPipe,  # noqa: F401
                                  Mapper, Multiplexer, ShardingFilter, Shuffler, UnBatcher, Zipper)
