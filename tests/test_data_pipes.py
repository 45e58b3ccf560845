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


def outcome(f):
    """What a call gives, or the kind of its error."""
    try:
        return f()
    except Exception as e:
        return type(e).__name__


def forked(lib, items, *args, **kwargs):
    return wrapped(lib, items).fork(*args, **kwargs)


def void(a, b):
    """An iterator, after another one of the same reader was made, and what the others still get."""
    first = iter(a)
    next(first)
    second = iter(a)
    return outcome(lambda: next(first)), next(second), list(b)


READERS = {
    "one after the other": lambda lib: (lambda a, b: (list(a), list(b), list(a), list(a)))(*forked(lib, range(5), 2)),
    "side by side": lambda lib: list(zip(*forked(lib, range(20), 3, buffer_size=1))),
    "too far ahead": lambda lib: list(forked(lib, range(10), 2, buffer_size=3)[0]), "any number": lambda lib: list(forked(lib, range(1500), 2, buffer_size=-1)[0]),
    "too many": lambda lib: list(forked(lib, range(1500), 2)[0]), "void": lambda lib: void(*forked(lib, range(6), 2)),
    "the same objects": lambda lib: [[x is y for x, y in zip(*forked(lib, [[1], [2]], 2, copy=how))] for how in (None, "shallow", "deep")],
    "no such copy": lambda lib: forked(lib, range(3), 2, copy="x"), "none": lambda lib: forked(lib, range(3), 0),
    "shuffled once": lambda lib: [x == y for x, y in zip(*wrapped(lib, range(50)).shuffle().fork(2))],
    "classes": lambda lib: (lambda a, b: (list(a), list(b), list(zip(a, b))))(*wrapped(lib, range(9)).demux(2, lambda x: x % 2)),
    "in the middle": lambda lib: (lambda a, b: (lambda i: (next(i), list(b), list(i), list(a), list(b)))(iter(a)))(*wrapped(lib, range(9)).demux(2, lambda x: x % 2)),
    "waiting": lambda lib: list(wrapped(lib, range(6)).demux(2, lambda x: x % 2, buffer_size=1)[0]), "no readers": lambda lib: wrapped(lib, range(6)).demux(0, bool),
    "no class": lambda lib: list(wrapped(lib, range(6)).demux(2, lambda x: 3)[0]), "no length": lambda lib: len(wrapped(lib, range(6)).demux(2, bool)[0]),
    "left out": lambda lib: [list(p) for p in wrapped(lib, range(6)).demux(2, lambda x: None if x < 3 else x % 2, drop_none=True)],
}


@pytest.mark.parametrize("name", READERS)
def test_several_readers_of_one_pipe(name):
    """Pictures and labels that come from one shuffled pipe belong together."""
    assert outcome(lambda: READERS[name](rl)) == outcome(lambda: READERS[name](torch))


def test_readers_ask_once_and_can_be_pickled():
    import pickle
    asked = []
    a, b = wrapped(rl, range(4)).demux(2, lambda x: asked.append(x) or x % 2)
    assert (list(a), list(b), asked) == ([0, 2], [1, 3], [0, 1, 2, 3])
    c, d = wrapped(rl, range(4)).fork(2)
    next(iter(c))
    c, d = pickle.loads(pickle.dumps((c, d)))
    assert list(zip(c, d)) == [(i, i) for i in range(4)]
