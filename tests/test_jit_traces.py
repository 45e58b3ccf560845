"""torch.jit: traces."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from jit_oracle import R, check, round_trip, same

import rushlight as rl
import rushlight.nn as nn
import rushlight.nn.functional as F
from rushlight.vision import models


class States(nn.Module):
    """Nested arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)
        self.register_buffer("scale", rl.ones(2), persistent=False)

    def forward(self, x: Any, state: Any) -> Any:
        y, state = self.rnn(x, state)
        return {"y": self.head(y) * self.scale, "state": state}


TRACED: dict[str, tuple[Any, list[tuple[Any, ...]]]] = {
    "resnet": (models.resnet18, [(R(1, 3, 64, 64),), (R(2, 3, 64, 64),)]),
    "encoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
        [(R(2, 3, 8),), (R(1, 5, 8),)],
    ),
    "states": (States, [(R(2, 3, 3), (R(1, 2, 4), R(1, 2, 4))), (R(4, 2, 3), (R(1, 4, 4), R(1, 4, 4)))]),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.GELU(), nn.Flatten()),
        [(rl.tensor([[1, 2]]),), (rl.tensor([[0, 4], [3, 3]]),)],
    ),
}


@pytest.mark.parametrize("name", TRACED)
def test_traced_modules(name: str) -> None:
    make, inputs = TRACED[name]
    model = make().eval()
    traced = rl.jit.trace(model, inputs[0])
    for args in inputs:
        same(traced(*args), model(*args))
    loaded = check(traced, *inputs)
    assert isinstance(loaded, rl.jit.ScriptModule) and loaded.original_name == type(model).__name__
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert [n for n, _ in loaded.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert "def forward(self" in loaded.code and str(loaded.graph)


def test_a_traced_module_follows_its_parameters_and_trains() -> None:
    model = nn.Linear(2, 1)
    traced = rl.jit.trace(model, R(1, 2))
    with rl.no_grad():
        model.weight.fill_(3.0)
    assert traced(rl.ones(1, 2)).item() == pytest.approx(6 + model.bias.item())
    loaded = round_trip(traced)
    loaded(rl.ones(1, 2)).sum().backward()
    assert loaded.weight.grad.tolist() == [[1.0, 1.0]]
    loaded.load_state_dict({"weight": rl.zeros(1, 2), "bias": rl.ones(1)})
    assert loaded(rl.ones(1, 2)).item() == 1.0


def test_traces_are_fixed_with_a_warning() -> None:
    def way(x: Any) -> Any:
        return x + 1 if x.sum() > 0 else x - 1

    with pytest.warns(rl.jit.TracerWarning, match="treated as a constant"):
        traced = rl.jit.trace(way, rl.ones(2))
    assert traced(-rl.ones(2)).tolist() == [0.0, 0.0]
    same(round_trip(traced)(-rl.ones(2)), rl.zeros(2))


def test_functions_and_methods() -> None:
    traced = rl.jit.trace(lambda a, b: {"s": a + b.shape[0], "t": (a, [b])}, (rl.ones(2), rl.ones(2)))
    assert isinstance(traced, rl.jit.ScriptFunction)
    check(traced, (R(3), R(3)))

    class Two(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2

        def third(self, x: Any) -> Any:
            return x / 3

    both = rl.jit.trace_module(Two(), {"forward": R(2), "third": (R(2),)})
    loaded = round_trip(both)
    x = R(4)
    same((both(x), both.third(x)), (loaded(x), loaded.third(x)))
    same(loaded.third(x), x / 3)


def test_shared_parameters_stay_shared() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Embedding(4, 3), nn.Linear(3, 4, bias=False)
            self.b.weight = self.a.weight

        def forward(self, i: Any) -> Any:
            return self.b(self.a(i))

    i = rl.tensor([1, 2])
    loaded = check(rl.jit.trace(Tied(), i), (i,))
    assert loaded.a.weight is loaded.b.weight


def test_names_of_functions_from_before() -> None:
    """Functions that a program put away before tracing are seen all the same."""
    table = {"relu": getattr(F.relu, "__wrapped__", F.relu)}

    class Kept(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.acts = table["relu"], [table["relu"]]

        def forward(self, x: Any) -> Any:
            return self.acts[0](self.act(x) - 1)

    traced = rl.jit.trace(Kept(), R(3))
    assert traced.code.count("relu") >= 2
    check(traced, (R(5),))


def test_programs_know_that_they_are_traced() -> None:
    traced = rl.jit.trace(lambda x: x + 1 if rl.jit.is_tracing() else x - 1, R(2), check_trace=False)
    assert traced(rl.zeros(1)).item() == 1 and not rl.jit.is_tracing()


def test_doctests() -> None:
    from rushlight import _subclasses, export, jit, nested
    from rushlight.onnx import exporting, modes, operators

    modules = [
        export,
        export.dynamic_shapes,
        export.exporting,
        jit,
        nested,
        nested.creation,
        exporting,
        modes,
        operators,
        _subclasses.fake_tensor,
    ]
    results = [doctest.testmod(m) for m in modules]
    assert sum(r.failed for r in results) == 0 and sum(r.attempted for r in results) > 20


def test_errors_of_trace() -> None:
    with pytest.raises(RuntimeError, match="Only tensors, lists, tuples of tensors"):
        rl.jit.trace(lambda x: {1, 2}, R(1))
    with pytest.raises(RuntimeError, match="Only tensors, lists, tuples of tensors"):
        rl.jit.trace(lambda x: 3, R(1))
    with pytest.raises(TypeError):
        rl.jit.trace(lambda x: x, 3)
    traced = rl.jit.trace(nn.Linear(2, 2), R(1, 2))
    with pytest.raises(RuntimeError, match="Declaration: forward"):
        traced(R(1, 2), 2)


def test_numbers_that_outlive_the_trace() -> None:
    class Remembers(nn.Module):
        def forward(self, x: Any) -> Any:
            self.rows = x.shape[0]
            return x * self.rows

    model = Remembers()
    rl.jit.trace(model, R(3, 2), check_trace=False)
    assert (rl.ones(2) * model.rows).tolist() == [3.0, 3.0] and rl.zeros(model.rows).shape == (3,)
    assert type(model.rows + 1) is int and model.rows == 3
