"""oneDNN, its threads, and forked children."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rushlight.exec.cpu.onednn import library

pytestmark = pytest.mark.skipif(not library.available(), reason="oneDNN is not installed")

FORK = """
import os, sys, time
import numpy as np
from rushlight.exec.cpu.onednn import library, primitives
from rushlight.exec.cpu.onednn.memory import Desc
from rushlight.exec.cpu.onednn.primitive import Bound
from rushlight.ir import dtype as dt

library.set_threads(2)
a, b, c, scratch = (np.ones(s, np.float32) for s in ((300, 300), (300, 300), (300, 300), (1 << 20,)))
desc = Desc.of(a.shape, dt.float32)
bound = Bound(primitives.matmul(desc, desc, desc))
assert bound.primitive.descs["scratchpad"].size < scratch.nbytes
for name, array in zip(("src", "weights", "dst", "scratchpad"), (a, b, c, scratch)):
    bound.set(name, array.ctypes.data)
for repetition in range(20):
    bound.execute()
    assert (c == 300).all()
    child = os.fork()
    if not child:
        c[:] = 0
        bound.execute()
        os._exit(0 if (c == 300).all() else 3)
    end = time.monotonic() + 1
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(child, 9)
            sys.exit(f"child {repetition} hangs")
        time.sleep(0.001)
    assert os.waitstatus_to_exitcode(done[1]) == 0, done
print(library.omp().name)
"""


def child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=120)


def test_a_forked_child_computes() -> None:
    done = child(FORK)
    assert done.returncode == 0, done.stderr


def test_a_forked_child_computes_under_libgomp() -> None:
    """Another runtime in front, whose threads do not survive: the child works with one."""
    done = child("import ctypes; ctypes.CDLL('libgomp.so.1', mode=ctypes.RTLD_GLOBAL)\n" + FORK)
    if "cannot open" in done.stderr:
        pytest.skip("libgomp is not installed")
    assert done.returncode == 0 and done.stdout.strip() == "global", done.stderr


def test_a_forked_child_computes_whatever_other_packages_set() -> None:
    """scikit-learn switches the runtime's handlers at fork off for the whole process."""
    done = child("import os\nos.environ['KMP_INIT_AT_FORK'] = 'FALSE'\n" + FORK + "\nassert "
                 "os.environ['KMP_INIT_AT_FORK'] == 'FALSE'\n")
    assert done.returncode == 0, done.stderr


def test_without_libgomp() -> None:
    """An empty stand-in of that name is enough, because the functions come from the runtime in front."""
    done = child("from rushlight.exec.cpu.onednn import openmp\nassert openmp.runtime().fork_safe\nopenmp.stand_in()\n"
                 "from pathlib import Path\n" + FORK + "\nmaps = Path('/proc/self/maps').read_text()\n"
                 "assert '/libgomp.so.1' not in maps.replace('/memfd:libgomp.so.1', ''), maps")
    assert done.returncode == 0, done.stderr


def test_switched_off() -> None:
    done = child("from rushlight.exec.cpu.onednn import library as l\nassert not "
                 "l.available()\nl.library()", RUSHLIGHT_ONEDNN="off")
    assert "OneDNNError" in done.stderr and "pip install" in done.stderr


def test_set_threads() -> None:
    usual = library.omp().threads()
    library.set_threads(1)
    assert library.omp().threads() == 1
    library.set_threads(usual)
    with pytest.raises(ValueError):
        library.set_threads(0)
    assert library.omp().address("GOMP_parallel")
