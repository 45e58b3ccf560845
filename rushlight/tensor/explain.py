"""explain: what a function records, what that is in primitives, and the plan that runs."""

from __future__ import annotations

from typing import Any

from rushlight.exec.numpy import executor
from rushlight.exec.realize import _summary, to_program
from rushlight.ir.graph import Graph
from rushlight.passes import pipeline
from rushlight.tensor.core import realize_pending
from rushlight.tensor.state import state


def explain(fn: Any, *args: Any, to: str = "plan", **kwargs: Any) -> None:
    """Run fn(*args) and print the recorded graph, its decomposition into primitives and the NumPy plan.

    Types read as ``f32[64,10]``; each line ends with the user's source line. With ``to="kernel"`` the
    native plan is printed instead, each fused kernel as loops with the operations that it stands for;
    ``to="llvm"`` and ``to="asm"`` print its code.
    ValueError for another `to`, RuntimeError where no native executor is there.
    """
    if to not in ("plan", "kernel", "llvm", "asm"):
        raise ValueError(f"explain(): to must be plan, kernel, llvm or asm, not {to!r}")
    realize_pending()
    outer, lines = state.graph, state.lines
    state.graph, state.lines = Graph(), True
    try:
        kept = fn(*args, **kwargs)  # keeps the results alive, so that they are part of the plan
        nodes = list(state.graph.nodes)
        if not nodes:
            print("# fn recorded nothing, or everything it recorded has run already")
            return
        key, _, live, inputs, given = _summary(nodes)
        program = to_program(nodes, [cell for cell, _ in live], [*inputs, *given[len(inputs):]], key[-1])
        if to != "plan":
            _native(program, to)
            realize_pending()
            return
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


def _native(program: Any, to: str) -> None:
    """Print the steps of the native plan."""
    from rushlight.exec.cpu import executor as native
    if not native.available():
        raise RuntimeError("explain(): this machine has no native executor (llvmlite is missing "
                           "or does not know the processor); to='plan' works")
    from rushlight.exec.cpu import listing
    plan: Any = native.compile_program(program, lambda: None, anew=True)
    for number, step in enumerate(plan.steps):
        print(f"\n# step {number}")
        print(listing.shown(step, to))
