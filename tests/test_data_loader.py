"""DataLoader and samplers against PyTorch's: orders, batches, options, errors."""

from __future__ import annotations

import collections
import os
import threading
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realdata import path

import rushlight as rl
from rushlight.utils import data as ours
from rushlight.vision import transforms
from rushlight.vision.datasets import MNIST

torch = pytest.importorskip("torch")
theirs = torch.utils.data

WORKERS: list[dict[str, Any]] = [{}, {"num_workers": 2}, {"num_workers": 2, "multiprocessing_context": "fork"}]
IDS = ["main", "threads", "processes"]
Point = collections.namedtuple("Point", "x y")


class Squares:
    """Samples without tensors, the same for both."""

    def __init__(self, n: int = 23):
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[int, float]:
        if not 0 <= i < self.n:
            raise IndexError(i)
        return i, i * i / 2


def plain(value: Any) -> Any:
    """Tensors of either library as (type, dtype, numbers), containers as they are."""
    if isinstance(value, (rl.Tensor, torch.Tensor)):
        return "tensor", str(value.dtype).removeprefix("torch.").removeprefix("rushlight."), value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(v) for v in value]
    return value


def epochs(kit: Any, module: Any, make: Any, times: int = 2) -> list[Any]:
    """All batches of some epochs from seed 5, and a random number drawn afterwards."""
    module.manual_seed(5)
    loader = make(kit)
    found = [[plain(batch) for batch in loader] for _ in range(times)]
    return [*found, module.rand(3).tolist()]


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "drop_last": True},
                                     {"batch_size": 4}, {"batch_size": 4, "drop_last": True},
                                     {"batch_size": 64, "shuffle": True}, {"batch_size": None},
                                     {"batch_size": None, "shuffle": True}, {"batch_size": 64, "drop_last": True}])
def test_order_and_batches_are_pytorchs(options: dict[str, Any], workers: dict[str, Any]) -> None:
    expected = epochs(theirs, torch, lambda kit: kit.DataLoader(Squares(), **options))
    assert epochs(ours, rl, lambda kit: kit.DataLoader(Squares(), **options, **workers)) == expected


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
def test_a_generator_of_its_own(workers: dict[str, Any]) -> None:
    def make(kit: Any) -> Any:
        module = rl if kit is ours else torch
        generator = module.Generator().manual_seed(99)
        return kit.DataLoader(Squares(), 5, True, generator=generator, **(workers if kit is ours else {}))
    assert epochs(ours, rl, make) == epochs(theirs, torch, make)


SAMPLERS = {
    "sequential": lambda kit, module: kit.SequentialSampler(range(11)),
    "random": lambda kit, module: kit.RandomSampler(range(70)),
    "with replacement": lambda kit, module: kit.RandomSampler(range(70), replacement=True),
    "with replacement, 100": lambda kit, module: kit.RandomSampler(range(7), replacement=True, num_samples=100),
    "more than there are": lambda kit, module: kit.RandomSampler(range(7), num_samples=17),
    "own generator": lambda kit, module: kit.RandomSampler(range(70), generator=module.Generator().manual_seed(1)),
    "subset": lambda kit, module: kit.SubsetRandomSampler([3, 1, 4, 1, 5, 9, 2, 6]),
    "weighted": lambda kit, module: kit.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7, 3.0, 0.6], 50),
    "weighted, once": lambda kit, module: kit.WeightedRandomSampler([0.1, 0.9, 0.4,
                                                                     0.7, 3.0, 0.6], 5, replacement=False),
    "batches": lambda kit, module: kit.BatchSampler(kit.RandomSampler(range(10)), 4, False),
    "whole batches": lambda kit, module: kit.BatchSampler(kit.SequentialSampler(range(10)), 4, True),
    "distributed": lambda kit, module: kit.distributed.DistributedSampler(range(23), 4, 3, seed=2),
    "distributed, whole": lambda kit, module: kit.distributed.DistributedSampler(range(23), 4, 1, drop_last=True),
    "distributed, few": lambda kit, module: kit.distributed.DistributedSampler(range(3), 8, 7, shuffle=False),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers(name: str) -> None:
    found = []
    for kit, module in ((ours, rl), (theirs, torch)):
        module.manual_seed(17)
        sampler = SAMPLERS[name](kit, module)
        orders = [[len(sampler), *sampler], list(sampler)]
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(3)
            orders.append(list(sampler))
        found.append([orders, module.rand(2).tolist()])
    assert found[0] == found[1]


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
@pytest.mark.parametrize("name", ["weighted", "subset", "more than there are", "own generator"])
def test_samplers_in_loaders(name: str, workers: dict[str, Any]) -> None:
    def make(kit: Any) -> Any:
        sampler = SAMPLERS[name](kit, rl if kit is ours else torch)
        return kit.DataLoader(Squares(70), 4, sampler=sampler, **(workers if kit is ours else {}))
    assert epochs(ours, rl, make) == epochs(theirs, torch, make)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(0, 2**40))
def test_random_split_is_pytorchs(n: int, weights: list[int], seed: int) -> None:
    total = sum(weights)
    lengths: list[Any] = [w / total for w in weights] if total else [1.0]
    found = []
    for kit, module in ((ours, rl), (theirs, torch)):
        module.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                parts = [list(part.indices) for part in kit.random_split(range(n), lengths)]
            except ValueError as e:
                parts = str(e)
        found.append([parts, module.rand(1).tolist()])
    assert found[0] == found[1]


def test_random_split_by_lengths_with_a_generator() -> None:
    found = [[list(p.indices) for p in kit.random_split(range(10), [3, 7], module.Generator().manual_seed(42))]
             for kit, module in ((ours, rl), (theirs, torch))]
    assert found[0] == found[1]
    for kit in (ours, theirs):
        with pytest.raises(ValueError, match="Sum of input lengths does not equal the length of the input dataset!"):
            kit.random_split(range(10), [3, 3])


def test_when_numbers_are_drawn() -> None:
    """iter() draws the epoch's seed, the first next() the order's."""
    found = []
    for kit, module in ((ours, rl), (theirs, torch)):
        module.manual_seed(0)
        batches = iter(kit.DataLoader(Squares(), 4, shuffle=True))
        between = module.rand(1).tolist()
        found.append([between, plain(next(batches)), module.rand(1).tolist(), len(batches)])
    assert found[0] == found[1]


SAMPLES: dict[str, Any] = {
    "ints": [1, 2], "floats": [1.5, 2.0], "bools": [True, False], "strings": ["a", "b"], "bytes": [b"a", b"b"],
    "numpy scalars": [np.float32(1), np.float32(2)], "numpy ints": [np.int16(1), np.int16(2)],
    "arrays": [np.arange(3), np.arange(3) + 1], "0-d arrays": [np.array(1.0), np.array(2.0)],
    "tuples": [(1, "a", np.zeros(2)), (2, "b", np.ones(2))], "lists": [[1, 2.0], [3, 4.0]],
    "dicts": [{"x": 1, "y": [np.arange(2)]}, {"x": 2, "y": [np.arange(2) + 5]}],
    "ordered": [collections.OrderedDict(b=1, a=2), collections.OrderedDict(b=3, a=4)],
    "named tuples": [Point(1, 2.0), Point(3, 4.0)],
    "nested": [((1, (2, 3)),), ((4, (5, 6)),)], "empty tuples": [(), ()],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_default_collate(name: str) -> None:
    mine, yours = ours.default_collate(SAMPLES[name]), theirs.default_collate(SAMPLES[name])
    assert plain(mine) == plain(yours) and type(mine).__name__ == type(yours).__name__
    mine, yours = ours.default_convert(SAMPLES[name]), theirs.default_convert(SAMPLES[name])
    assert plain(mine) == plain(yours) and type(mine).__name__ == type(yours).__name__


@pytest.mark.parametrize("samples", [[object(), object()], [None, None], [np.array(["a"]), np.array(["b"])],
                                     [(1, 2), (1,)], [np.zeros(2), np.zeros(3)], [{"a": 1}, {"b": 2}]])
def test_default_collate_errors(samples: list[Any]) -> None:
    with pytest.raises(Exception) as expected:
        theirs.default_collate(samples)
    with pytest.raises(expected.type) as found:
        ours.default_collate(samples)
    assert str(found.value).startswith(str(expected.value).splitlines()[0].split(";")[0])


BAD: list[dict[str, Any]] = [{"num_workers": -1}, {"timeout": -1}, {"prefetch_factor": 2},
                             {"num_workers": 1, "prefetch_factor": -1}, {"persistent_workers": True},
                             {"sampler": [1], "shuffle": True}, {"batch_sampler": [[1]], "batch_size": 3},
                             {"batch_sampler": [[1]], "drop_last": True},
                             {"batch_size": None, "drop_last": True}, {"batch_size": 0},
                             {"batch_size": True}, {"batch_size": 2.5}, {"multiprocessing_context": "fork"},
                             {"num_workers": 1, "multiprocessing_context": "thread"},
                             {"num_workers": 1, "multiprocessing_context": 3}, {"drop_last": 1}]


@pytest.mark.parametrize("options", BAD, ids=str)
def test_bad_arguments(options: dict[str, Any]) -> None:
    with pytest.raises(Exception) as expected:
        theirs.DataLoader(Squares(), **options)
    with pytest.raises(expected.type) as found:
        ours.DataLoader(Squares(), **options)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}], ids=str)
def test_bad_arguments_of_streams(options: dict[str, Any]) -> None:
    messages = []
    for kit in (ours, theirs):
        with pytest.raises(ValueError) as e:
            kit.DataLoader(stream(kit, 3), **options)
        messages.append(str(e.value))
    assert messages[0] == messages[1]


def test_attributes_that_stay() -> None:
    for kit in (ours, theirs):
        loader = kit.DataLoader(Squares(), 4)
        for name in ("batch_size", "sampler", "batch_sampler", "drop_last", "dataset", "persistent_workers"):
            with pytest.raises(ValueError, match=f"{name} attribute should not be set after DataLoader is initialized"):
                setattr(loader, name, None)
        assert (loader.batch_size, loader.drop_last, loader.num_workers, loader.prefetch_factor,
                loader.timeout) == (4, False, 0, None, 0)
        assert kit.DataLoader(Squares(), num_workers=1).prefetch_factor == 2


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9])
@pytest.mark.parametrize("options",
                         [{}, {"batch_size": 4}, {"batch_size": 4, "drop_last": True}, {"batch_size": None}], ids=str)
def test_lengths(n: int, options: dict[str, Any]) -> None:
    assert len(ours.DataLoader(Squares(n), **options)) == len(theirs.DataLoader(Squares(n), **options))
    for kit in (ours, theirs):
        assert len(kit.DataLoader(stream(kit, n), **options)) == len(theirs.DataLoader(Squares(n), **options))


def stream(kit: Any, n: int) -> Any:
    """The numbers below n as a stream, dealt out among the workers."""
    class Stream(kit.IterableDataset):  # type: ignore[name-defined, misc]
        def __iter__(self) -> Any:
            info = kit.get_worker_info()
            return iter(range(n) if info is None else range(info.id, n, info.num_workers))

        def __len__(self) -> int:
            return n
    return Stream()


@pytest.mark.parametrize("kind", [{}, {"multiprocessing_context": "fork"}], ids=["threads", "processes"])
@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("options",
                         [{"batch_size": 2}, {"batch_size": 2, "drop_last": True}, {"batch_size": None}], ids=str)
def test_streams(options: dict[str, Any], workers: int, kind: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more workers than processors
        expected = [plain(b) for b in theirs.DataLoader(stream(theirs, 11), num_workers=workers, **options)]
    kind = kind if workers else {}
    for persistent in (False, True) if workers else (False,):
        loader = ours.DataLoader(stream(ours, 11), num_workers=workers,
                                 persistent_workers=persistent, **options, **kind)
        for _ in range(3):
            assert [plain(b) for b in loader] == expected


def test_a_stream_longer_than_it_said() -> None:
    for kit in (ours, theirs):
        data = stream(kit, 4)
        type(data).__len__ = lambda self: 2
        loader = kit.DataLoader(data)
        assert len(loader) == 2
        with pytest.warns(UserWarning, match="was reported to be 2"):
            assert len(list(loader)) == 4


def test_a_batch_sampler_of_any_kind() -> None:
    batches = [[3, 1], [2], (5, 4, 0)]
    for options in WORKERS:
        found = [plain(b) for b in ours.DataLoader(Squares(), batch_sampler=batches, **options)]
        assert found == [plain(b) for b in theirs.DataLoader(Squares(), batch_sampler=batches)]


def test_keys_need_not_be_numbers() -> None:
    class Words:
        def __getitem__(self, key: str) -> str:
            return key.upper()
    for options in WORKERS:
        assert list(ours.DataLoader(Words(), 2, sampler=["a", "b", "c"], **options)) == [["A", "B"], ["C"]]


class Batched(Squares):
    """Fetches by the batch and remembers what it was asked for."""

    def __getitems__(self, keys: list[int]) -> list[Any]:
        return [(key, tuple(keys)) for key in keys]


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
def test_getitems_is_asked_for_whole_batches(workers: dict[str, Any]) -> None:
    for data in (Batched(5), ours.Subset(Batched(9), range(5))):
        batches = list(ours.DataLoader(data, 3, collate_fn=list, **workers))
        assert batches == [[(i, (0, 1, 2)) for i in (0, 1, 2)], [(i, (3, 4)) for i in (3, 4)]]


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
def test_tensor_datasets_row_by_row_and_at_once(workers: dict[str, Any]) -> None:
    x, y = np.random.default_rng(0).random((13, 2, 3), np.float32), np.arange(13) * 2

    def make(kit: Any) -> Any:
        module = rl if kit is ours else torch
        data = kit.TensorDataset(module.from_numpy(x), module.from_numpy(y))
        return kit.DataLoader(kit.Subset(data, [7, -1, 3, 3, 12, 0, 5]), 3, True, **(workers if kit is ours else {}))
    assert epochs(ours, rl, make) == epochs(theirs, torch, make)


def test_a_subclass_of_a_built_in_data_set_is_asked_itself() -> None:
    class Doubled(ours.TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            return tuple(2 * t for t in super().__getitem__(index))
    assert [b[0].tolist() for b in ours.DataLoader(Doubled(rl.arange(3)), 3)] == [[0, 2, 4]]
    for kit in (ours, theirs):
        class Odd(kit.Subset):  # type: ignore[name-defined, misc]
            def __getitem__(self, index: Any) -> Any:
                return 1
        with pytest.raises(NotImplementedError, match="Odd overrides __getitem__ but not __getitems__"):
            Odd(range(3), [1])


def test_tensor_datasets_keep_gradients() -> None:
    x = rl.arange(4.0).requires_grad_()
    (batch,), = ours.DataLoader(ours.TensorDataset(x), 4)
    (batch * batch).sum().backward()
    assert x.grad.tolist() == [0, 2, 4, 6]


def test_indices_out_of_range() -> None:
    for kit, module in ((ours, rl), (theirs, torch)):
        with pytest.raises(IndexError, match="index 7 is out of bounds for dimension 0 with size 3"):
            list(kit.DataLoader(kit.TensorDataset(module.arange(3)), 2, sampler=[1, 7]))


@pytest.mark.parametrize("make", [lambda kit: kit.ConcatDataset([Squares(3), Squares(4)]),
                                  lambda kit: kit.StackDataset(Squares(4), Batched(4)),
                                  lambda kit: kit.StackDataset(a=Squares(4), b=Squares(4)),
                                  lambda kit: kit.Subset(kit.ConcatDataset([Squares(3), Squares(4)]), [5, 0, 6]),
                                  lambda kit: kit.ChainDataset([stream(kit, 3), stream(kit, 2)])])
def test_data_sets_made_of_others(make: Any) -> None:
    assert [plain(b) for b in ours.DataLoader(make(ours), 3)] == [plain(b) for b in theirs.DataLoader(make(theirs), 3)]


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
def test_sizes_that_differ_are_reported_with_indices(workers: dict[str, Any]) -> None:
    class Ragged(Squares):
        def __getitem__(self, i: int) -> Any:
            return rl.zeros(3 + (i == 17))
    with pytest.raises(RuntimeError) as e:
        list(ours.DataLoader(Ragged(20), 3, sampler=[4, 5, 6, 8, 17, 9], **workers))
    text = str(e.value)
    assert "stack expects each tensor to be equal size, but got [3] at entry 0 and [4] at entry 1" in text
    assert "entry 0 is dataset[8]" in text and "entry 1 is dataset[17]" in text and "indices [8, 17, 9]" in text


def test_the_iterator_goes_on_after_an_error() -> None:
    class Hole(Squares):
        def __getitem__(self, i: int) -> Any:
            if i == 3:
                raise ValueError("hole")
            return i
    for options in WORKERS:
        batches = iter(ours.DataLoader(Hole(8), 2, **options))
        assert next(batches).tolist() == [0, 1]
        with pytest.raises(ValueError, match="hole"):
            next(batches)
        assert [b.tolist() for b in batches] == [[4, 5], [6, 7]]


class Unpicklable(Squares):
    """What cannot be sent anywhere: only threads of this process can use it."""

    def __init__(self, n: int):
        super().__init__(n)
        self.rows = [[i] for i in range(n)]

    def __getitem__(self, i: int) -> Any:
        return self.rows[i]

    def __reduce__(self) -> Any:
        raise TypeError("stays here")


def test_threads_copy_nothing() -> None:
    """Classes and functions made on the spot will do, and a sample is the very object that the data set holds."""
    data = Unpicklable(6)
    loader = ours.DataLoader(data, 2, num_workers=2, collate_fn=lambda samples: samples,
                             worker_init_fn=lambda number: None)
    found = [sample for batch in loader for sample in batch]
    assert len(found) == 6 and all(a is b for a, b in zip(found, data.rows, strict=True))
    x = rl.arange(6.0)
    (batch,) = ours.DataLoader([x], None, num_workers=1)
    assert batch.data_ptr() == x.data_ptr()


def test_workers_are_threads_unless_processes_are_asked_for() -> None:
    class Where(Squares):
        def __getitem__(self, i: int) -> Any:
            return os.getpid(), threading.current_thread() is threading.main_thread(), threading.current_thread().daemon
    for kind, same in (({}, True), ({"multiprocessing_context": "fork"}, False)):
        for pid, main, daemon in ours.DataLoader(Where(4), None, num_workers=2, **kind):
            assert (pid == os.getpid()) == same and main != same and (daemon or not same)


@pytest.mark.parametrize("workers", WORKERS, ids=IDS)
def test_real_scans_are_fetched_and_transformed_by_the_batch(workers: dict[str, Any],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Built-in transforms see whole batches, with the bits of single samples; a transform of one's own sees samples."""
    def scans(*more: Any) -> Any:
        normalize = transforms.Normalize((0.1307,), (0.3081,))
        return MNIST(path("MNIST").parent, train=False,
                     transform=transforms.Compose([transforms.ToTensor(), normalize, *more]))

    def single(self: Any, index: int) -> int:
        raise AssertionError("asked for a sample by itself")
    whole, opaque, order = scans(), scans(lambda x: x), [7, 3, 3, 9_999]
    wanted = [whole[i] for i in order]
    for data in (whole, ours.Subset(whole, range(10_000)), opaque):
        with monkeypatch.context() as patch:
            if data is not opaque:
                patch.setattr(MNIST, "_target", single)
            batches = list(ours.DataLoader(data, 2, sampler=order, **workers))
        for start, (images, labels) in zip((0, 2), batches, strict=True):
            expected = wanted[start:start + 2]
            assert rl.equal(images, rl.stack([x for x, _ in expected])) and labels.tolist() == [y for _, y in expected]
