"""Kills savers with SIGKILL at random moments; prints as JSON whether the file was always whole and up to date."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

import rushlight as rl

KILLS = 200


def saver(path: str, start: int, report: int) -> None:
    """Overwrite the file for ever, reporting each number whose save has returned."""
    n = start
    while True:
        n += 1
        rl.save({"n": n, "w": rl.full((20_000,), float(n)), "v": rl.full((5_000,), -float(n))}, path)
        os.write(report, b"%d\n" % n)


def last_reported(descriptor: int) -> int:
    lines = os.read(descriptor, 1 << 20).split(b"\n") if descriptor else []
    return max((int(x) for x in lines if x), default=0)


def main(folder: str) -> None:
    path = os.path.join(folder, "model.pt")
    rl.save({"n": 0, "w": rl.full((20_000,), 0.0), "v": rl.full((5_000,), -0.0)}, path)
    rng = random.Random(0)
    result = {"kills": 0, "saves": 0, "strays": 0, "bad": []}
    n = 0
    for _ in range(KILLS):
        read, write = os.pipe()
        os.set_blocking(read, False)
        pid = os.fork()
        if pid == 0:
            saver(path, n, write)
        os.close(write)
        time.sleep(rng.uniform(0.001, 0.012))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        try:
            done = last_reported(read)
        except BlockingIOError:
            done = 0
        os.close(read)
        try:
            found = rl.load(path)
            whole = bool((found["w"] == found["n"]).all()) and bool((found["v"] == -found["n"]).all())
            if not whole or found["n"] < max(done, n):
                result["bad"].append(f"found {found['n']}, whole {whole}, reported {done}")
            n = found["n"]
        except Exception as e:
            result["bad"].append(f"{type(e).__name__}: {e}")
        result["kills"] += 1
        result["strays"] += len(os.listdir(folder)) - 1
    result["saves"] = n
    rl.save(rl.load(path), path)
    result["left"] = sorted(os.listdir(folder))
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
