"""Graphs that are recorded again: their plans are found by how they are wired,
whichever of their operands are one and the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight.exec.realize import clear_plans, realize_cell
from rushlight.exec.wiring import wiring_of
from rushlight.tensor.state import state

Pair = tuple[int, int]


def differences(first: Pair, second: Pair, keep: bool, inputs: list[rl.Tensor]) -> list[list[float]]:
    """Two differences of realized values, the second perhaps of the first; the first is read only where it is kept."""
    tensors = list(inputs)
    for i, j in (first, second):
        tensors.append(tensors[i] - tensors[j])
    kept = tensors[2:] if keep else tensors[3:]
    del tensors
    return [t.tolist() for t in kept]


def test_an_operand_in_two_places_is_another_graph() -> None:
    """The plan for (x - x) - x is not that of (x - y) - y, though all operations and types are the same."""
    clear_plans()
    inputs = [rl.tensor([1.0, 2.0]), rl.tensor([5.0, 7.0])]
    assert differences((0, 1), (2, 1), True, inputs) == [[-4, -5], [-9, -12]]
    assert differences((0, 0), (2, 0), False, inputs) == [[-1, -2]]
    assert differences((0, 1), (2, 1), False, inputs) == [[-9, -12]]


PROGRAM = st.tuples(st.sampled_from([(0, 0), (0, 1), (1, 0)]), st.sampled_from([(2, 0), (2, 1), (1, 0)]), st.booleans())


@settings(deadline=None, max_examples=200)
@given(st.lists(PROGRAM, min_size=3, max_size=8))
def test_graphs_of_the_same_operations(programs: list[tuple[Pair, Pair, bool]]) -> None:
    """Differently wired graphs of the same operations, in any order, give NumPy's values."""
    clear_plans()
    arrays = [np.float32([1, 2]), np.float32([5, 8])]
    inputs = [rl.tensor(a) for a in arrays]
    for first, second, keep in programs:
        values = [*arrays, arrays[first[0]] - arrays[first[1]]]
        values.append(values[second[0]] - values[second[1]])
        assert differences(first, second, keep, inputs) == [a.tolist() for a in (values[2:] if keep else values[3:])]


def test_an_input_that_is_replaced_counts_its_references() -> None:
    """A value that only its storage's next value refers to may be overwritten;
    one that a program still holds may not."""
    x = rl.ones(4) * 1
    x.numpy()
    for _ in range(3):
        held = x.detach().clone()
        x.add_(1)
        assert (x - held).tolist() == [1.0] * 4
    assert x.tolist() == [4.0] * 4


def test_one_wiring_for_a_loop() -> None:
    """The graph of every round of a loop is the same object, so that the plan is found by it."""
    w, seen = rl.ones(3), []
    w.tolist()
    for _ in range(4):
        y = (w * 2 + w).relu()
        seen.append(wiring_of(state.graph.nodes, realize_cell)[0])
        y.tolist()
    assert len(set(seen)) == 1
