"""Random programs agree with PyTorch line by line: errors, values, dtypes, shapes, strides, aliasing, gradients.

`python tests/test_random_programs.py --examples 10000 --seed 1` runs many and shrinks what fails.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
torch = pytest.importorskip("torch")

import program_strategy as programs  # noqa: E402
import rushlight  # noqa: E402


def report(lines: list[str], why: str) -> str:
    return "the libraries disagree on this program at: " + why + "\n\nimport numpy as np, torch\nread = print\n" + "\n".join(lines)


def check(choices: programs.Choices, length: int = 24) -> str | None:
    lines, session = programs.build(torch, choices, length)
    why = programs.disagreement(lines, torch, rushlight, session.watch, session)
    return None if why is None else report(lines, why)


def smallest(choices: programs.Choices, length: int = 24) -> tuple[list[str], str] | None:
    """A failing program shrunk by leaving out lines, and what is wrong with it."""
    lines, session = programs.build(torch, choices, length)
    if programs.disagreement(lines, torch, rushlight, session.watch) is None:
        return None
    fewer = programs.shrink(lines, lambda p: programs.disagreement(p, torch, rushlight, session.watch) is not None)
    return fewer, str(programs.disagreement(fewer, torch, rushlight, session.watch))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--length", type=int, default=24)
    parser.add_argument("--stop-after", type=int, default=20, help="failures after which to stop")
    options = parser.parse_args()
    failures = 0
    for i in range(options.start, options.examples):
        if check(programs.seeded(options.seed * 10_000_019 + i), options.length) is None:
            continue
        failures += 1
        lines, why = smallest(programs.seeded(options.seed * 10_000_019 + i), options.length) or ([], "only when built")
        print(f"--- program {i}\n" + "\n".join(lines) + f"\n# {why}", flush=True)
        if failures >= options.stop_after:
            break
    print(f"{i + 1 - options.start} programs, {failures} disagree")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
