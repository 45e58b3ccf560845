"""The command `rushlight`. It stands beside the package, so that `rushlight --help` imports nothing of the framework."""

from __future__ import annotations

import argparse
import sys

KINDS = {"-m": "module", "-c": "code"}


def parser() -> argparse.ArgumentParser:
    """The options of every command."""
    p = argparse.ArgumentParser(prog="rushlight", description="PyTorch's API on a lazy graph, small and fast on ordinary CPUs.")
    p.add_argument("--version", action="store_true", help="print the version")
    commands = p.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run", help="run a PyTorch program, unchanged", usage="rushlight run [-h] (SCRIPT | -m MODULE | -c CODE) [ARG ...]",
                              description="Run a program in which torch, torchvision, pytorch_lightning and lightning are rushlight's.")
    what = run.add_mutually_exclusive_group(required=True)
    what.add_argument("script", nargs="?", metavar="SCRIPT", help="the program's file, - for standard input")
    what.add_argument("-m", dest="module", metavar="MODULE", help="the program is a module")
    what.add_argument("-c", dest="code", metavar="CODE", help="the program itself")
    run.add_argument_group("arguments after it are the program's own", "they appear in its sys.argv")
    demo = commands.add_parser("demo", help="train a network on handwritten digits, or let it read a picture")
    demo.add_argument("--predict", metavar="FILE", help="read the digit on a picture with the checkpoint that a demo wrote")
    demo.add_argument("--epochs", type=int, default=30, help="passes over the training scans (default %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="of the weights and of the order (default %(default)s)")
    demo.add_argument("--folder", default=".", help="where the picture and the checkpoint go (default: here)")
    commands.add_parser("info", help="versions, executors and threads")
    bench = commands.add_parser("bench", help="time import, recording and planning")
    bench.add_argument("--steps", type=int, default=300, help="training steps to time (default %(default)s)")
    return p


def split_run(argv: list[str]) -> tuple[list[str], list[str]]:
    """The arguments of `run` itself, and those of the program, which may look like options of ours.

    >>> split_run(["-m", "train", "--help"]), split_run(["train.py", "-m", "x"])
    ((['-m', 'train'], ['--help']), (['train.py'], ['-m', 'x']))
    """
    for i, word in enumerate(argv):
        if word in KINDS:
            return argv[:i + 2], argv[i + 2:]
        if word == "-" or not word.startswith("-") or word[:2] in KINDS:
            return argv[:i + 1], argv[i + 1:]
    return argv, []


def main(argv: list[str] | None = None) -> int:
    """Entry point; the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    own, program_args = argv, []
    if argv[:1] == ["run"]:
        own, program_args = split_run(argv[1:])
        own = ["run", *own]
    p = parser()
    args = p.parse_args(own)
    if args.version:
        from rushlight.cli.info import version
        print(f"rushlight {version()}")
        return 0
    if args.command is None:
        p.print_help()
        return 2
    return COMMANDS[args.command](args, program_args)


def _run(args: argparse.Namespace, program_args: list[str]) -> int:
    from rushlight.cli.run import run
    for kind in ("script", "module", "code"):
        program = getattr(args, kind)
        if program is not None:
            return run(kind, program, program_args)
    raise AssertionError("argparse asks for one of them")


def _demo(args: argparse.Namespace, _: list[str]) -> int:
    from rushlight.cli import demo
    return demo.predict(args.predict, args.folder) if args.predict else demo.train(args.epochs, args.seed, args.folder)


def _info(args: argparse.Namespace, _: list[str]) -> int:
    from rushlight.cli.info import info
    return info()


def _bench(args: argparse.Namespace, _: list[str]) -> int:
    from rushlight.cli.bench import bench
    return bench(args.steps)


COMMANDS = {"run": _run, "demo": _demo, "info": _info, "bench": _bench}

if __name__ == "__main__":
    sys.exit(main())
