"""Data pipes against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
pytest.importorskip("torch.utils.data.datapipes.iter")


def wrapped(lib, items):
    module = __import__(f"{lib.__name__}.utils.data.datapipes.iter", fromlist=["IterableWrapper"])
    return module.IterableWrapper(items)


CHAINS = {
    "map": lambda p: p(range(5)).map(lambda x: x * 2),
    "columns": lambda p: p([(1, 2, 3), (4, 5, 6)]).map(lambda a, b: a + b, input_col=[0, 2]),
    "into": lambda p: p([(1, 2), (3, 4)]).map(lambda a: -a, input_col=0, output_col=-1),
    "dict": lambda p: p([{"a": 1}]).map(lambda a: a + 1, input_col="a", output_col="b"),
    "filter": lambda p: p(range(9)).filter(lambda x: x % 3 == 0),
    "batch": lambda p: p(range(7)).batch(3), "dropped": lambda p: p(range(7)).batch(3, drop_last=True),
    "unbatch": lambda p: p([[1, 2], [3]]).unbatch(),
    "deep": lambda p: p([[[1], [2, 3]], [[4]]]).unbatch(unbatch_level=2),
    "all": lambda p: p([[[1], [2, 3]], [[4]]]).unbatch(unbatch_level=-1),
    "shuffle": lambda p: p(range(30)).shuffle(), "buffer": lambda p: p(range(30)).shuffle(buffer_size=5),
    "seed": lambda p: p(range(9)).shuffle().set_seed(3),
    "off": lambda p: p(range(9)).shuffle().set_shuffle(False),
    "shard": lambda p: p(range(9)).sharding_filter(), "concat": lambda p: p(range(3)).concat(p(range(2))),
    "zip": lambda p: p(range(3)).zip(p("ab")), "mux": lambda p: p(range(3)).mux(p(range(10, 12))),
    "group": lambda p: p(range(9)).groupby(lambda x: x % 3, group_size=2),
    "fork": lambda p: p(range(4)).fork(2)[1], "demux": lambda p: p(range(9)).demux(3, lambda x: x % 3)[1],
    "chain": lambda p: p(range(10)).shuffle().map(str).batch(4),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains(name):
    found = []
    for lib in (rl, torch):
        lib.manual_seed(3)
        found.append([list(CHAINS[name](lambda items, lib=lib: wrapped(lib, items))) for _ in range(2)])
    assert found[0] == found[1]


def test_lengths_and_names():
    for lib in (rl, torch):
        p = wrapped(lib, range(7))
        assert [len(p), len(p.batch(3)), len(p.batch(3, drop_last=True)), len(p.map(str)), len(p.zip(p))] == [7, 3, 2, 7, 7]
        with pytest.raises(AttributeError):
            p.nothing
        with pytest.raises(AssertionError):
            p.batch(0)


def test_own_pipes_and_loader():
    @rl.utils.data.functional_datapipe("doubled_for_a_test")
    class Doubled(rl.utils.data.IterDataPipe):
        def __init__(self, source):
            self.source = source

        def __iter__(self):
            return (2 * x for x in self.source)
    pipe = wrapped(rl, range(6)).doubled_for_a_test()
    batches = list(rl.utils.data.DataLoader(pipe, batch_size=4))
    np.testing.assert_array_equal(batches[0].numpy(), [0, 2, 4, 6])
    np.testing.assert_array_equal(batches[1].numpy(), [8, 10])
    with pytest.raises(Exception, match="already taken"):
        rl.utils.data.functional_datapipe("map")(Doubled)
    with pytest.raises(TypeError, match="can only decorate IterDataPipe"):
        rl.utils.data.functional_datapipe("other")(int)
