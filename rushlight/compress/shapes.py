"""A network traced, with the shape of every intermediate result for given inputs."""

from __future__ import annotations

from typing import Any

import rushlight as rl
from rushlight import fx


class _Shapes(fx.Interpreter):
    """Runs a graph and keeps the shapes of its tensors."""

    def __init__(self, module: Any):
        super().__init__(module)
        self.shapes: dict[Any, tuple[int, ...]] = {}

    def run_node(self, n: Any) -> Any:
        out = super().run_node(n)
        if isinstance(out, rl.Tensor):
            self.shapes[n] = tuple(out.shape)
        return out


def traced(model: Any, example_inputs: Any) -> tuple[Any, dict[Any, tuple[int, ...]]]:
    """The graph of a model and the shape of each node's result.
    fx's TraceError where the model's way depends on values."""
    inputs = example_inputs if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    before = [(m, m.training) for m in model.modules()]
    model.eval()  # so that running it leaves no trace in statistics
    try:
        module = fx.symbolic_trace(model)
        runner = _Shapes(module)
        with rl.no_grad():
            runner.run(*inputs)
    finally:
        for m, mode in before:
            m.training = mode
    return module.graph, runner.shapes
