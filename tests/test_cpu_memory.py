"""Where plans keep their values (rushlight.exec.cpu.memory)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rushlight.exec.cpu import memory

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

BESIDE_A_CHILD = """
import os, time
import numpy as np
import rushlight as rl

x = rl.from_numpy(np.random.default_rng(0).standard_normal((64, 300), np.float32))
layers = [rl.nn.Linear(300, 300) for _ in range(3)]

def ask():
    with rl.no_grad():
        h = x
        for layer in layers:
            h = layer(h).tanh().softmax(1) * 3
        return h.sum(0).tolist()
wanted = ask()
assert all(ask() == wanted for _ in range(5))
child = os.fork()
end = time.monotonic() + 1
wrong = asked = 0
while time.monotonic() < end:
    wrong += ask() != wanted
    asked += 1
assert asked > 20
if not child:
    os._exit(min(wrong, 100))
print(wrong, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@forks
def test_a_forked_child_has_an_arena_of_its_own():
    arena = memory.Scratch().take(4096)
    arena[:] = 7
    child = os.fork()
    if not child:
        arena[:] = 9
        os._exit(0)
    os.waitpid(child, 0)
    assert (arena == 7).all()


@forks
def test_a_process_and_its_child_compute_at_the_same_time():
    done = subprocess.run([sys.executable, "-c", BESIDE_A_CHILD], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["0", "0"], (done.stdout, done.stderr)
