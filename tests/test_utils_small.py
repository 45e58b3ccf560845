"""Small modules: pytrees, DLPack, devices that are not there, attributes of tensors."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

import rushlight as rl
import rushlight.utils._pytree as tree
import rushlight.utils.dlpack as dlpack

torch = pytest.importorskip("torch")
import torch.utils._pytree as their_tree

Point = namedtuple("Point", "x y")
NESTS: list[Any] = [1, [1, 2], (1, [2, {"a": 3}]), {"b": 1, "a": [2]}, Point(1, (2,)),
                    OrderedDict(z=1, y=2), [], {}, None, [None, 1]]


@pytest.mark.parametrize("number", range(len(NESTS)))
def test_pytrees(number: int) -> None:
    nest = NESTS[number]
    leaves, structure = tree.tree_flatten(nest)
    want, _ = their_tree.tree_flatten(nest)
    assert leaves == want and structure.num_leaves == len(want)
    assert tree.tree_unflatten(leaves, structure) == nest and type(tree.tree_unflatten(leaves, structure)) is type(nest)
    assert tree.tree_map(lambda x: (x, 0), nest) == their_tree.tree_map(lambda x: (x, 0), nest)
    assert tree.tree_map_only(int, lambda x: x + 1, nest) == their_tree.tree_map_only(int, lambda x: x + 1, nest)
    assert [(tree.keystr(p), x) for p, x in tree.tree_flatten_with_path(nest)[0]] == \
        [(their_tree.keystr(p), x) for p, x in their_tree.tree_flatten_with_path(nest)[0]]


def test_pytrees_of_own_classes() -> None:
    class Pair:
        def __init__(self, a: Any, b: Any):
            self.a, self.b = a, b
    assert tree.tree_leaves(pair := Pair(1, 2)) == [pair]
    tree.register_pytree_node(Pair, lambda p: ([p.a, p.b], None), lambda children, context: Pair(*children))
    assert tree.tree_leaves([Pair(1, (2, 3))]) == [1, 2, 3]
    doubled = rl.func.vmap(lambda p: p.a * p.b)(Pair(rl.ones(3), rl.arange(3.)))  # function transforms know it too
    assert doubled.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="already registered"):
        tree.register_pytree_node(Pair, lambda p: ([], None), lambda children, context: Pair(0, 0))


def test_pytree_errors() -> None:
    with pytest.raises(ValueError, match="holds 2 items"):
        tree.tree_unflatten([1], tree.tree_structure([1, 2]))
    with pytest.raises(ValueError, match="mismatch"):
        tree.tree_map(max, [1, 2], [1, (2, 3)])
    assert tree.tree_all(bool, [1, [1]]) and tree.tree_any(bool, [0, [1]])
    assert not tree.tree_all_only(int, bool, [0, "a"])
    assert tree.tree_flatten([1, (2, 3)], is_leaf=lambda x: isinstance(x, tuple))[0] == [1, (2, 3)]


def test_dlpack_shares_memory() -> None:
    x = rl.zeros(3)
    y = dlpack.from_dlpack(dlpack.to_dlpack(x))
    x[0] = 5.0
    assert y.tolist() == [5.0, 0.0, 0.0]
    array = np.arange(3.0)
    z = dlpack.from_dlpack(array)
    array[1] = 9.0
    assert z.tolist() == [0.0, 9.0, 2.0]
    assert torch.utils.dlpack.from_dlpack(dlpack.to_dlpack(rl.ones(2))).tolist() == [1.0, 1.0]
    assert dlpack.from_dlpack(torch.ones(2)).tolist() == [1.0, 1.0]


ABSENT: list[Any] = [
    lambda t: t.cuda.cudart(), lambda t: t.cuda.graph(t),
    lambda t: t.cuda.nvtx.range_push("a"), lambda t: t.cuda.nvtx.range_pop(),
    lambda t: t.cuda.profiler.start(), lambda t: t.cuda._is_in_bad_fork(), lambda t: t.cuda.set_sync_debug_mode(1),
    lambda t: t.mps.current_allocated_memory(),
    lambda t: t.mps.driver_allocated_memory(), lambda t: t.xpu.current_device(),
    lambda t: t.xpu.synchronize(), lambda t: t.xpu.manual_seed_all(1),
    lambda t: t.xpu.is_bf16_supported(), lambda t: t.xpu.device_count(),
    lambda t: t.zeros(1).name, lambda t: t.zeros(1)._backward_hooks,
    lambda t: str(t.zeros(1).layout), lambda t: t.accelerator.current_accelerator(),
]


@pytest.mark.parametrize("number", range(len(ABSENT)))
def test_absent_devices_answer_as_pytorchs(number: int) -> None:
    def outcome(t: Any) -> Any:
        try:
            return ABSENT[number](t)
        except (RuntimeError, AssertionError) as e:
            return type(e), str(e)[:25]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert outcome(rl) == outcome(torch)
