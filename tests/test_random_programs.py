"""Random programs agree with PyTorch line by line: errors, values, dtypes, shapes, strides, aliasing, gradients.

pytest runs 500 programs that Hypothesis generates (RUSHLIGHT_PROGRAMS sets another number). More, faster:

    python tests/test_random_programs.py --examples 10000 --seed 1

generates from a plain random generator, prints each program that fails with the lines that the failure does not need
left out, and exits with 1 where one did. RUSHLIGHT_EXEC=numpy and RUSHLIGHT_TIER=1 choose the executor as always.
"""

from __future__ import annotations

import argparse
import os
import sys
import types
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")

import program_strategy as programs
from hypothesis import strategies as st

import rushlight

PROGRAMS = int(os.environ.get("RUSHLIGHT_PROGRAMS", "500"))
SCRIPT = "import numpy as np, torch\nread = print\n"  # before a program's lines: then it runs under either library


def check(choices: programs.Choices, length: int) -> str | None:
    """Where the libraries disagree on the program that these choices give; None where they agree."""
    lines, session = programs.build(torch, choices, length)
    why = programs.disagreement(lines, torch, rushlight, session.watch, session)
    return why and f"the libraries disagree on this program at: {why}\n\n{SCRIPT}" + "\n".join(lines)


@hypothesis.settings(
    max_examples=PROGRAMS, deadline=None, derandomize=True,
    database=None, suppress_health_check=list(hypothesis.HealthCheck)
)
@hypothesis.given(st.data())
def test_random_programs_agree_with_pytorch(data: st.DataObject) -> None:
    choices = programs.Choices(lambda low, high: data.draw(st.integers(low, high)))
    why = check(choices, 16)
    assert why is None, why


@pytest.mark.parametrize("wrong", ["value", "dtype", "shape", "strides", "error", "aliasing"])
def test_each_kind_of_difference_is_found(wrong: str) -> None:
    ones = rushlight.ones
    broken = {
        "value": lambda t: -t,
        "dtype": lambda t: t.double(),
        "shape": lambda t: t[:1],
        "strides": lambda t: t.t().contiguous().t(),
        "error": lambda t: t.no_such_attribute,
        "aliasing": lambda t: t,
    }
    other = types.SimpleNamespace(Tensor=rushlight.Tensor, ones=ones, clone=broken[wrong])
    program = ["v0 = torch.ones(2, 3)", "v1 = torch.clone(v0)", "v1[0] = 2.0"]
    assert programs.disagreement(program, torch, rushlight, True) is None
    assert programs.disagreement(program, torch, other, True) is not None


def smallest(choices: programs.Choices, length: int) -> tuple[list[str], str]:
    """A failing program shrunk by leaving out lines, and what is wrong with it."""
    lines, session = programs.build(torch, choices, length)

    def fails(candidate: list[str]) -> bool:
        return programs.disagreement(candidate, torch, rushlight, session.watch) is not None

    if not fails(lines):
        return lines, "it failed while it was built, but not when it was run again"
    fewer = programs.shrink(lines, fails)
    return fewer, str(programs.disagreement(fewer, torch, rushlight, session.watch))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="the number of the first program")
    parser.add_argument("--length", type=int, default=24, help="lines of a program, at most")
    parser.add_argument("--stop-after", type=int, default=20, help="failures after which to stop")
    options = parser.parse_args()
    failures = 0
    for i in range(options.start, options.examples):
        seed = options.seed * 10_000_019 + i
        if check(programs.seeded(seed), options.length) is None:
            continue
        failures += 1
        lines, why = smallest(programs.seeded(seed), options.length)
        print(f"--- program {i}\n" + "\n".join(lines) + f"\n# {why}", flush=True)
        if failures >= options.stop_after:
            break
    print(f"{i + 1 - options.start} programs, {failures} disagree")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
