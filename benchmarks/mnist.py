"""An unmodified PyTorch program, end to end: one epoch of MNIST under PyTorch with torchvision and under `rushlight run`.

    python benchmarks/mnist.py --root ../shared/data --rounds 5

runs examples/mnist.py in turn under both (A B A B …) from the same seed, and prints the medians, the median of the rounds'
ratios, and the largest relative difference of the losses over the first 100 steps. Then runs benchmarks/mnist_epochs.py in turn:
the epoch of the data pipeline alone, and the training epoch, inside a process that has started and warmed up. ``--root`` is
torchvision's root, the folder that holds MNIST/raw; packed files are unpacked into a temporary folder first. Exit code 1 where a
limit is missed: ``--least`` for the ratio end to end, ``--least-loader`` and ``--least-training`` for those of the epochs,
``--tolerance`` for the losses.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PROGRAM = PROJECT / "examples" / "mnist.py"
EPOCHS = {"loader": "epoch of the data pipeline alone", "training": "training epoch inside the process"}
FIRST = 100  # steps whose losses are compared


def main() -> int:
    """Run the rounds and judge them."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--root", default=os.environ.get("MNIST_ROOT", PROJECT.parent / "shared" / "data"), type=Path)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--python", default=sys.executable, help="a Python with torch and torchvision (default: this one)")
    p.add_argument("--least", type=float, default=0, help="the least ratio of the times that is no failure")
    for name, what in EPOCHS.items():
        p.add_argument(f"--least-{name}", type=float, default=0, help=f"the same of the {what}")
    p.add_argument("--tolerance", type=float, default=1e-3, help="of the losses (default %(default)s)")
    args = p.parse_args()
    commands = {"PyTorch": [args.python, __file__, "--under-pytorch"], "rushlight": [sys.executable, "-m", "rushlight", "run"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    losses: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        unpack(args.root, Path(folder))
        for number in range(args.rounds):
            for name, command in commands.items():
                taken, losses[name], said = run(command, Path(folder))
                seconds[name].append(taken)
                print(f"round {number + 1}  {name:9} {taken:6.2f} s  {said}", flush=True)
        inside = [{name: epochs(command, Path(folder)) for name, command in commands.items()} for _ in range(args.rounds)]
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = statistics.median(a / b for a, b in zip(seconds["PyTorch"], seconds["rushlight"], strict=True))
    off = difference(losses["PyTorch"], losses["rushlight"])
    print(f"PyTorch {middle['PyTorch']:.2f} s, rushlight {middle['rushlight']:.2f} s (medians): {ratio:.1f} times faster")
    print(f"largest relative difference of the losses over the first {FIRST} steps: {off:.1e}")
    fast_enough = [ratio >= args.least]
    for part, what in EPOCHS.items():
        middle = {name: statistics.median(taken[name][part] for taken in inside) for name in commands}
        ratio = statistics.median(taken["PyTorch"][part] / taken["rushlight"][part] for taken in inside)
        print(f"{what}: PyTorch {middle['PyTorch']:.2f} s, rushlight {middle['rushlight']:.3f} s: {ratio:.1f} times faster")
        fast_enough.append(ratio >= getattr(args, f"least_{part}"))
    return int(not all(fast_enough) or off > args.tolerance)


def unpack(root: Path, folder: Path) -> None:
    """The data set's files as torchvision wants them: unpacked."""
    source, target = root / "MNIST" / "raw", folder / "MNIST" / "raw"
    if not source.is_dir():
        sys.exit(f"{source} is not here; --root names the folder that holds it")
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.suffix != ".gz":
            shutil.copyfile(file, target / file.name)
        elif not (source / file.stem).exists():
            with gzip.open(file) as packed, (target / file.stem).open("wb") as plain:
                shutil.copyfileobj(packed, plain)


def run(command: list[str], folder: Path) -> tuple[float, list[float], str]:
    """Seconds from start to end of the process, the losses of all steps, and the last line printed."""
    out = folder / "losses.json"
    start = time.perf_counter()
    said = last_line([*command, str(PROGRAM), "--root", str(folder), "--losses", str(out)])
    taken = time.perf_counter() - start
    return taken, json.loads(out.read_text()), said


def epochs(command: list[str], folder: Path) -> dict[str, float]:
    """Seconds of the epochs named in EPOCHS, inside a process."""
    return json.loads(last_line([*command, str(PROJECT / "benchmarks" / "mnist_epochs.py"), str(folder)]))


def last_line(command: list[str]) -> str:
    """What a command that succeeds prints last."""
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout.splitlines()[-1]


def difference(a: list[float], b: list[float]) -> float:
    """The largest relative difference of the first losses."""
    return max(abs(x - y) / abs(x) for x, y in zip(a[:FIRST], b[:FIRST], strict=True))


def under_pytorch(program: str, *args: str) -> None:
    """Run a program as `python` does, also where torchvision lacks its native operators: it wants two declared to be imported."""
    import torch
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        sys.exit("torchvision is not installed")
    try:
        for native in Path(spec.origin).parent.glob("_C*.so"):
            torch.ops.load_library(native)
    except OSError:
        library = torch.library.Library("torchvision", "FRAGMENT")  # has to live as long as the program
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    sys.argv = [program, *args]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--under-pytorch"]:
        under_pytorch(*sys.argv[2:])
    else:
        sys.exit(main())
