"""What weights_only=True accepts and refuses, and what its errors say."""

from __future__ import annotations

import argparse
import collections
import io
import pickle

import numpy as np
import pytest
import serialization_corpus as corpus

import rushlight as rl
from rushlight import serialization
from rushlight.serialization import CheckpointError


class Point:
    def __init__(self, x: int):
        self.x = x


class Slotted:
    __slots__ = ("a",)


@pytest.fixture(autouse=True)
def nothing_allowed():
    serialization.clear_safe_globals()
    yield
    serialization.clear_safe_globals()


def load(data: bytes, **kwargs):
    return rl.load(io.BytesIO(data), **kwargs)


def round_trip(obj, **kwargs):
    return load(corpus.saved(obj), **kwargs)


def test_the_exception_is_what_programs_expect():
    assert issubclass(CheckpointError, pickle.UnpicklingError) and issubclass(CheckpointError, RuntimeError)
    with pytest.raises(CheckpointError, match=r"^Weights only load failed\. .*") as caught:
        round_trip(argparse.Namespace(lr=1))
    assert "Unsupported global: GLOBAL argparse.Namespace was not an allowed global by default." in str(caught.value)
    assert "add_safe_globals([argparse.Namespace])" in str(caught.value)
    assert caught.value.record == "data.pkl"


def test_safe_globals():
    data = corpus.saved({"args": argparse.Namespace(lr=0.1), "p": Point(3)})
    serialization.add_safe_globals([argparse.Namespace])
    assert serialization.get_safe_globals() == [argparse.Namespace]
    with pytest.raises(CheckpointError, match="Point"):
        load(data)
    with serialization.safe_globals([Point]):
        found = load(data)
        assert found["args"] == argparse.Namespace(lr=0.1) and found["p"].x == 3
    with pytest.raises(CheckpointError):
        load(data)
    serialization.clear_safe_globals()
    with serialization.safe_globals([(Point, "old.module.Spot")]):
        assert load(corpus.checkpoint(b"\x80\x02cold.module\nSpot\nK\x05\x85R.")).x == 5
    slotted = Slotted()
    slotted.a = [1]
    with serialization.safe_globals([Slotted]):
        assert round_trip(slotted).a == [1]


def test_some_modules_stay_blocked():
    import os

    serialization.add_safe_globals([os.system, (os.system, "os.system")])
    with pytest.raises(CheckpointError, match="whose module os is blocked"):
        load(corpus.checkpoint(b"\x80\x02cos\nsystem\n."))


def test_unsafe_loading_only_on_request():
    data = corpus.saved(Point(3))
    with pytest.raises(CheckpointError):
        load(data, weights_only=None)
    assert load(data, weights_only=False).x == 3
    assert load(corpus.saved({"p": Point(4), "t": rl.ones(2)}, legacy=True), weights_only=False)["p"].x == 4
    with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_module is specified"):
        load(data, weights_only=True, pickle_module=pickle)
    assert load(data, pickle_module=pickle).x == 3


def test_environment(monkeypatch):
    data = corpus.saved(Point(3))
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.warns(UserWarning, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        assert load(data).x == 3
    with pytest.raises(CheckpointError):
        load(data, weights_only=True)
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(RuntimeError, match="Only one of"):
        load(data)
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    with pytest.raises(CheckpointError):
        load(data, weights_only=False)


def test_unsafe_globals_are_listed_without_running_them():
    data = corpus.checkpoint(
        b"\x80\x04"
        + corpus.glob("os system")
        + corpus.text("true")
        + b"\x85R"
        + corpus.text("a.b")
        + corpus.text("C")
        + b"\x93"
        + corpus.glob("torch Size")
        + b"\x87."
    )
    assert serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == ["a.b.C", "os.system"]
    serialization.add_safe_globals([(Point, "a.b.C")])
    assert serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == ["os.system"]
    assert serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(corpus.saved(corpus.state()))) == []


VALUES = [
    None,
    True,
    0,
    -1,
    2**31,
    -(2**40),
    2**200,
    1.5,
    float("inf"),
    "text",
    "ä€😀\udc80",
    b"\x00\xff",
    b"",
    bytearray(b"ab"),
    1 + 2j,
    (),
    (1,),
    (1, 2),
    (1, 2, 3),
    (1, 2, 3, 4),
    [],
    [1, [2]],
    {},
    {"a": 1, 2: None, (1, "x"): 3, 1.5: 4},
    set(),
    {1, 2},
    frozenset((1, 2)),
    collections.OrderedDict(a=1),
    collections.Counter("aab"),
    collections.defaultdict(list, {1: [2]}),
    collections.defaultdict(None),
    np.float64(1.5),
    np.int8(3),
    np.bool_(True),
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value", VALUES, ids=lambda v: f"{type(v).__name__}-{v!r:.12}".encode("ascii", "replace").decode()
)
def test_plain_values(value, protocol):
    found = load(corpus.saved(value, protocol=protocol))
    assert found == value and type(found) is type(value)
    if isinstance(value, collections.defaultdict):
        assert found.default_factory is value.default_factory


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.zeros((0, 3), np.int8),
        np.array(3, np.uint16),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(3, dtype=">i4"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_numpy_arrays(array, protocol):
    found = load(corpus.saved([array, array], protocol=protocol))
    assert found[0] is found[1] and found[0].dtype == pickle.loads(pickle.dumps(array, protocol)).dtype
    np.testing.assert_array_equal(found[0], array)
    assert found[0].flags.f_contiguous == array.flags.f_contiguous


def test_numpy_objects_are_refused():
    with pytest.raises(CheckpointError, match="not a number type"):
        round_trip(np.array([Point(1)], dtype=object))


def test_shared_and_recursive_containers():
    shared: list = [1]
    shared.append(shared)
    found = round_trip({"a": shared, "b": shared})
    assert found["a"] is found["b"] and found["a"][1] is found["a"]


def test_attributes_of_state_dicts_survive():
    state = collections.OrderedDict(w=rl.ones(1))
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    assert round_trip(state)._metadata == {"": {"version": 1}}
    bad = b"\x80\x02" + corpus.glob("collections OrderedDict") + b")R}" + corpus.text("__class__") + b"NsbK\x00\x86."
    with pytest.raises(CheckpointError, match="attributes of an OrderedDict"):
        load(corpus.checkpoint(bad))


def test_memory_limit_can_be_raised():
    data = corpus.checkpoint(pickle.dumps(list(range(1000, 1_600_000)), 2))
    with pytest.raises(CheckpointError, match="set_load_memory_limit"):
        load(data)
    serialization.set_load_memory_limit(1 << 30)
    try:
        assert len(load(data)) == 1_599_000
    finally:
        serialization.set_load_memory_limit(None)
    with pytest.raises(ValueError):
        serialization.set_load_memory_limit(0)


def test_errors_say_where():
    with pytest.raises(CheckpointError, match=r"record data\.pkl, byte \d+ of the pickle \(REDUCE\)"):
        load(corpus.checkpoint(b"\x80\x02" + corpus.tensor(corpus.storage_id(), size=(5,)) + b".", {"0": bytes(16)}))
    with pytest.raises(
        CheckpointError, match=r"record data/0 has 16 bytes, but its storage of 5 elements of torch.float32 takes 20"
    ):
        load(corpus.checkpoint(b"\x80\x02" + corpus.tensor(corpus.storage_id(numel=b"K\x05")) + b".", {"0": bytes(16)}))
    with pytest.raises(CheckpointError, match="failed locating file data/7: file not found"):
        load(corpus.checkpoint(b"\x80\x02" + corpus.tensor(corpus.storage_id(key="7")) + b".", {"0": bytes(16)}))
    with pytest.raises(CheckpointError, match="failed finding central directory"):
        load(corpus.saved(corpus.state())[:-30])
    with pytest.raises(CheckpointError, match="Invalid magic number"):
        load(pickle.dumps({"a": 1}, 2))
    with pytest.raises(CheckpointError, match="sparse tensor"):
        load(corpus.checkpoint(b"\x80\x02" + corpus.glob("torch._utils _rebuild_sparse_tensor") + b"NN\x86R."))


def test_what_is_not_a_binary_seekable_file():
    with pytest.raises(TypeError, match="binary"):
        rl.load(io.StringIO("x"))
    with pytest.raises(AttributeError, match="You can only torch.load from a file that is seekable"):
        rl.load(object())
    with pytest.raises(
        AttributeError, match="expected 'f' to be string, path, or a file-like object with a 'write' attribute"
    ):
        rl.save(1, 5)
