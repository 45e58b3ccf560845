"""explain: what a function records, what that is in primitives, and the plan that runs."""

from __future__ import annotations

from typing import Any

from rushlight.exec.numpy import executor
from rushlight.exec.realize import _summary, to_program
from rushlight.ir.graph import Graph
from rushlight.passes import pipeline
from rushlight.tensor.core import realize_pending
from rushlight.tensor.state import state


def explain(fn: Any, *args: Any, **kwargs: Any) -> None:
    """Run fn(*args) and print the recorded graph, its decomposition into primitives and the NumPy plan.

    Types read as ``f32[64,10]``; each line ends with the user's source line.
    """
    realize_pending()
    outer, lines = state.graph, state.lines
    state.graph, state.lines = Graph(), True
    try:
        kept = fn(*args, **kwargs)  # keeps the results alive, so that they are part of the plan
        nodes, live = list(state.graph.nodes), []
        if not nodes:
            print("# fn recorded nothing, or everything it recorded has run already")
            return
        _, inputs, donated = _summary(nodes, live)
        program = to_program(nodes, live, inputs, donated)
        print("# recorded")
        print(program)
        print("\n# primitives")
        print(pipeline.lower(program, lambda instr: instr.op.kind != "coarse" or instr.op.decompose is None))
        print("\n# plan (numpy)")
        print(executor.source(pipeline.lower(program, executor.claims))[0])
        realize_pending()
        del kept
    finally:
        state.graph, state.lines = outer, lines
