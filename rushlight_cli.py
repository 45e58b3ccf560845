"""The command `rushlight`. It stands beside the package, so that `rushlight --help` imports nothing of the framework."""

from __future__ import annotations

import argparse
import sys


def parser() -> argparse.ArgumentParser:
    """The options of every command."""
    p = argparse.ArgumentParser(prog="rushlight", description="PyTorch's API on a lazy graph, small and fast on ordinary CPUs.")
    commands = p.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="run a PyTorch program: rushlight run SCRIPT [ARGS…], -m MODULE or -c CODE",
                              description="Run a program in which torch, torchvision and lightning are rushlight's.")
    run.add_argument("-m", dest="module", action="store_true", help="the program is a module")
    run.add_argument("-c", dest="code", action="store_true", help="the program is Python code")
    run.add_argument("program")
    run.add_argument("args", nargs=argparse.REMAINDER)
    demo = commands.add_parser("demo", help="train a network on handwritten digits, or let it read a picture")
    demo.add_argument("--predict", metavar="FILE", help="read the digit on a picture with the checkpoint that a demo wrote")
    demo.add_argument("--epochs", type=int, default=30, help="passes over the training pictures (default 30)")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--folder", default=".", help="where the picture and the checkpoint go (default: here)")
    commands.add_parser("info", help="versions, executors and threads")
    bench = commands.add_parser("bench", help="time import, recording and planning")
    bench.add_argument("--steps", type=int, default=300)
    return p


def main(argv: list[str] | None = None) -> int:
    """Entry point; the exit code."""
    args = parser().parse_args(argv)
    if args.command == "run":
        from rushlight.cli.run import run
        return run(args.program, args.args, "module" if args.module else "code" if args.code else "script")
    if args.command == "demo":
        from rushlight.cli import demo
        return demo.predict(args.predict, args.folder) if args.predict else demo.train(args.epochs, args.seed, args.folder)
    if args.command == "bench":
        from rushlight.cli.bench import bench
        return bench(args.steps)
    from rushlight.cli.info import info
    return info()


if __name__ == "__main__":
    sys.exit(main())
