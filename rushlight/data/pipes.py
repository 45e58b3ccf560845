"""Data pipes: iterable datasets that are chained by methods (torch.utils.data.datapipes), the ones in common use.

Each class that `functional_datapipe` names becomes a method of every pipe: ``IterableWrapper(x).map(f).batch(2)``.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rushlight.data.collate import default_collate
from rushlight.data.dataset import Dataset, IterableDataset

__all__ = ["Batcher", "Collator", "Concater", "Filter", "Grouper", "IterDataPipe",
           "IterableWrapper", "MapDataPipe", "Mapper",
           "Multiplexer", "SequenceWrapper", "ShardingFilter", "Shuffler", "UnBatcher", "Zipper", "functional_datapipe"]


class _Chained:
    """Methods that were registered by name."""

    functions: dict[str, Callable[..., Any]]

    def __getattr__(self, name: str) -> Any:
        found = type(self).functions.get(name)
        if found is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}")
        return functools.partial(found, self)

    @classmethod
    def register_datapipe_as_function(cls, function_name: str, cls_to_register: Any,
                                      enable_df_api_tracing: bool = False) -> None:
        """Make a class a method of all pipes. Exception where the name is taken."""
        if function_name in cls.functions:
            raise Exception(f"Unable to add DataPipe function name {function_name} as it is already taken")
        cls.functions[function_name] = cls_to_register

    register_function = register_datapipe_as_function

    def __repr__(self) -> str:
        return type(self).__qualname__


class IterDataPipe(_Chained, IterableDataset[Any]):
    """A dataset that is iterated and has the registered methods. Subclasses define ``__iter__``."""

    functions: dict[str, Callable[..., Any]] = {}

    def reset(self) -> None:
        """Called by nobody here: every iteration starts anew."""


class MapDataPipe(_Chained, Dataset[Any]):
    """A dataset with keys and the registered methods. Subclasses define ``__getitem__``."""

    functions: dict[str, Callable[..., Any]] = {}


class functional_datapipe:
    """A decorator that makes a class of pipes a method of all pipes. TypeError for a class that is no pipe.

    >>> list(IterableWrapper([1, 2]).map(lambda x: x + 1))
    [2, 3]
    """

    def __init__(self, name: str, enable_df_api_tracing: bool = False):
        self.name = name

    def __call__(self, cls: Any) -> Any:
        if not isinstance(cls, type) or not issubclass(cls, (IterDataPipe, MapDataPipe)):
            raise TypeError("`functional_datapipe` can only decorate IterDataPipe")
        (IterDataPipe if issubclass(cls, IterDataPipe) else MapDataPipe).register_datapipe_as_function(self.name, cls)
        return cls


class IterableWrapper(IterDataPipe):
    """A pipe of an iterable, which is copied for every iteration unless ``deepcopy`` is False."""

    def __init__(self, iterable: Iterable[Any], deepcopy: bool = True):
        self.iterable, self.deepcopy = iterable, deepcopy

    def __iter__(self) -> Iterator[Any]:
        source = self.iterable
        if self.deepcopy:
            import copy
            try:
                source = copy.deepcopy(source)
            except TypeError:
                import warnings
                warnings.warn("The input iterable can not be deepcopied, "
                              "please be aware of in-place modification would affect source data.", stacklevel=2)
        yield from source

    def __len__(self) -> int:
        return len(self.iterable)  # type: ignore[arg-type]


def _applied(f: Callable[..., Any], row: Any, inputs: Any, output: Any) -> Any:
    """f on a row, or on some of its columns with the result in a column."""
    if inputs is None:
        return f(row)
    columns = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    result = f(*[row[c] for c in columns])
    if isinstance(row, dict):
        return {**row, (columns[0] if output is None else output): result}
    out = list(row)
    if output is None:
        for c in sorted(columns[1:], reverse=True):
            del out[c]
        out[columns[0]] = result
    elif output == -1:
        out.append(result)
    else:
        out[output] = result
    return type(row)(out)


@functional_datapipe("map")
class Mapper(IterDataPipe):
    """``fn`` of every row, or of columns ``input_col`` with the result in ``output_col`` (-1 appends)."""

    def __init__(self, datapipe: Any, fn: Callable[..., Any], input_col: Any = None, output_col: Any = None):
        if input_col is None and output_col is not None:
            raise ValueError("`output_col` must be None when `input_col` is None.")
        self.datapipe, self.fn, self.input_col, self.output_col = datapipe, fn, input_col, output_col

    def __iter__(self) -> Iterator[Any]:
        return (_applied(self.fn, row, self.input_col, self.output_col) for row in self.datapipe)

    def __len__(self) -> int:
        return len(self.datapipe)


@functional_datapipe("collate")
class Collator(Mapper):
    """`Mapper` with the default collate function."""

    def __init__(self, datapipe: Any, conversion: Any = None, collate_fn: Any = None):
        super().__init__(datapipe, fn=collate_fn or conversion or default_collate)


@functional_datapipe("filter")
class Filter(IterDataPipe):
    """The rows for which ``filter_fn`` (of columns ``input_col``) is true."""

    def __init__(self, datapipe: Any, filter_fn: Callable[..., Any], input_col: Any = None):
        self.datapipe, self.filter_fn, self.input_col = datapipe, filter_fn, input_col

    def __iter__(self) -> Iterator[Any]:
        for row in self.datapipe:
            columns = (self.input_col if isinstance(self.input_col, (list, tuple)) else
                       None if self.input_col is None else [self.input_col])
            if self.filter_fn(row) if columns is None else self.filter_fn(*[row[c] for c in columns]):
                yield row


@functional_datapipe("batch")
class Batcher(IterDataPipe):
    """Lists of ``batch_size`` rows; the last may be shorter, or is dropped."""

    def __init__(self, datapipe: Any, batch_size: int, drop_last: bool = False, wrapper_class: Any = list):
        if batch_size <= 0:
            raise AssertionError("Batch size is required to be larger than 0!")
        self.datapipe, self.batch_size = datapipe, batch_size
        self.drop_last, self.wrapper_class = drop_last, wrapper_class

    def __iter__(self) -> Iterator[Any]:
        rows = iter(self.datapipe)
        while batch := list(itertools.islice(rows, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield self.wrapper_class(batch)

    def __len__(self) -> int:
        n = len(self.datapipe)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


@functional_datapipe("unbatch")
class UnBatcher(IterDataPipe):
    """The elements of lists, ``unbatch_level`` levels deep (-1: all)."""

    def __init__(self, datapipe: Any, unbatch_level: int = 1):
        if unbatch_level < -1:
            raise ValueError("unbatch_level must be -1 or >= 0")
        self.datapipe, self.unbatch_level = datapipe, unbatch_level

    def _flat(self, value: Any, level: int) -> Iterator[Any]:
        if level == 0 or not isinstance(value, list):
            if level > 0:
                raise IndexError(f"unbatch_level {self.unbatch_level} exceeds the depth of the DataPipe")
            yield value
            return
        for v in value:
            yield from self._flat(v, level - 1)

    def __iter__(self) -> Iterator[Any]:
        for row in self.datapipe:
            yield from self._flat(row, self.unbatch_level)


@functional_datapipe("shuffle")
class Shuffler(IterDataPipe):
    """The rows in random order, drawn from a buffer of ``buffer_size``;
    the same order as PyTorch's from the same seed."""

    def __init__(self, datapipe: Any, *, buffer_size: int = 10000, unbatch_level: int = 0):
        if buffer_size <= 0:
            raise ValueError("buffer_size should be larger than 0")
        self.datapipe = datapipe if unbatch_level == 0 else datapipe.unbatch(unbatch_level=unbatch_level)
        self.buffer_size, self._enabled = buffer_size, True
        self._seed: int | None = None

    def set_shuffle(self, shuffle: bool = True) -> Shuffler:
        """Switch shuffling on or off."""
        self._enabled = shuffle
        return self

    def set_seed(self, seed: int) -> Shuffler:
        """The seed of the next iteration."""
        self._seed = seed
        return self

    def __iter__(self) -> Iterator[Any]:
        if not self._enabled:
            yield from self.datapipe
            return
        if self._seed is None:
            from rushlight.tensor.creation import empty
            self._seed = int(empty((), dtype=_int64()).random_().item())
        order = random.Random(self._seed)
        self._seed = None
        buffer: list[Any] = []
        for row in self.datapipe:
            if len(buffer) == self.buffer_size:
                at = order.randint(0, len(buffer) - 1)
                out, buffer[at] = buffer[at], row
                yield out
            else:
                buffer.append(row)
        while buffer:
            yield buffer.pop(order.randint(0, len(buffer) - 1))

    def __len__(self) -> int:
        return len(self.datapipe)


def _int64() -> Any:
    from rushlight.ir.dtype import int64
    return int64


@functional_datapipe("sharding_filter")
class ShardingFilter(IterDataPipe):
    """Every n-th row, where `apply_sharding` said of how many parts this is which."""

    def __init__(self, source_datapipe: Any, sharding_group_filter: Any = None):
        self.source_datapipe, self.num_of_instances, self.instance_id = source_datapipe, 1, 0

    def apply_sharding(self, num_of_instances: int, instance_id: int, sharding_group: Any = None) -> None:
        """Keep part ``instance_id`` of ``num_of_instances``. ValueError for a part that there is not."""
        if instance_id >= num_of_instances:
            raise ValueError(f"instance_id({instance_id}) should be smaller than num_of_instances({num_of_instances})")
        self.num_of_instances, self.instance_id = num_of_instances, instance_id

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(iter(self.source_datapipe), self.instance_id, None, self.num_of_instances)

    def __len__(self) -> int:
        return len(range(self.instance_id, len(self.source_datapipe), self.num_of_instances))


class _Several(IterDataPipe):
    def __init__(self, *datapipes: Any):
        if not datapipes:
            raise ValueError("Expected at least one DataPipe, but got nothing")
        if not all(isinstance(p, IterDataPipe) for p in datapipes):
            raise TypeError("Expected all inputs to be `IterDataPipe`")
        self.datapipes = datapipes


@functional_datapipe("concat")
class Concater(_Several):
    """One pipe after the other."""

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain(*self.datapipes)

    def __len__(self) -> int:
        return sum(map(len, self.datapipes))


@functional_datapipe("zip")
class Zipper(_Several):
    """Tuples of a row of each pipe, up to the shortest."""

    def __iter__(self) -> Iterator[Any]:
        return zip(*self.datapipes, strict=False)

    def __len__(self) -> int:
        return min(map(len, self.datapipes))


@functional_datapipe("mux")
class Multiplexer(_Several):
    """A row of each pipe in turn, until one is exhausted."""

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(zip(*self.datapipes, strict=False))

    def __len__(self) -> int:
        return min(map(len, self.datapipes)) * len(self.datapipes)


@functional_datapipe("groupby")
class Grouper(IterDataPipe):
    """Lists of rows with equal ``group_key_fn``, given out when they have ``group_size`` rows or the buffer is full."""

    def __init__(self, datapipe: Any, group_key_fn: Callable[[Any], Any], *, keep_key: bool = False,
                 buffer_size: int = 10000, group_size: int | None = None, guaranteed_group_size: int | None = None,
                 drop_remaining: bool = False):
        self.datapipe, self.group_key_fn, self.keep_key = datapipe, group_key_fn, keep_key
        self.buffer_size, self.drop_remaining = buffer_size, drop_remaining
        self.group_size, self.guaranteed_group_size = group_size, guaranteed_group_size

    def __iter__(self) -> Iterator[Any]:
        groups: dict[Any, deque[Any]] = {}
        size = 0

        def given(key: Any) -> Any:
            rows = list(groups.pop(key))
            return (key, rows) if self.keep_key else rows
        for row in self.datapipe:
            key = self.group_key_fn(row)
            groups.setdefault(key, deque()).append(row)
            size += 1
            if self.group_size is not None and len(groups[key]) == self.group_size:
                size -= self.group_size
                yield given(key)
            elif size == self.buffer_size:
                largest = max(groups, key=lambda k: len(groups[k]))
                count = len(groups[largest])
                enough = self.guaranteed_group_size is None or count >= self.guaranteed_group_size
                if not enough and not self.drop_remaining:
                    raise RuntimeError("Failed to group items", str(list(groups[largest])))
                size -= count
                rows = given(largest)
                if enough:
                    yield rows
        for key in list(groups):
            if not (self.drop_remaining and len(groups[key]) < (self.guaranteed_group_size or self.group_size or 0)):
                yield given(key)


class SequenceWrapper(MapDataPipe):
    """A pipe with keys of a sequence or a dict."""

    def __init__(self, sequence: Any, deepcopy: bool = True):
        import copy
        self.sequence = copy.deepcopy(sequence) if deepcopy else sequence

    def __getitem__(self, index: Any) -> Any:
        return self.sequence[index]

    def __len__(self) -> int:
        return len(self.sequence)
