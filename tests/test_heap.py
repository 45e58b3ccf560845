"""Memory that NumPy frees stays with the process, so that its pages need not come anew."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import rushlight as rl
from rushlight.exec.heap import keep_freed_memory
x = rl.ones(600, 600)
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        (x > 0).nonzero().sum().item()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / times
faults(5)
print(keep_freed_memory(), faults(20))
"""


def run(**settings: str) -> tuple[bool, float]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"} | settings
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, env=env, check=True)
    kept, faults = done.stdout.split()
    return kept == "True", float(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_freed_memory_is_kept_unless_the_environment_says_otherwise() -> None:
    kept, faults = run()
    assert kept and faults < 50
    kept, faults = run(MALLOC_TRIM_THRESHOLD_="0", MALLOC_MMAP_THRESHOLD_="65536")
    assert not kept and faults > 500
