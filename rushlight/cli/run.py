"""`rushlight run`: a PyTorch program, unchanged."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
import types
from typing import Any

FULL = "RUSHLIGHT_FULL_TRACEBACK"


def run(program: str, args: list[str], kind: str) -> int:
    """Run a script, module or piece of code as __main__ with PyTorch's names; the exit code."""
    import rushlight
    rushlight.as_torch()
    if args[:1] == ["--"]:
        args = args[1:]
    try:
        if kind == "module":
            sys.argv = [program, *args]
            sys.path.insert(0, os.getcwd())
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        elif kind == "code":
            sys.argv = ["-c", *args]
            sys.path.insert(0, "")
            _execute(program, "<string>")
        else:
            sys.argv = [program, *args]
            sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
            try:
                with open(program, "rb") as f:
                    text: Any = f.read()
            except OSError as e:
                print(f"rushlight run: can't open file {program!r}: {e.strerror}", file=sys.stderr)
                return 2
            _execute(text, program)
    except SystemExit:
        raise
    except BaseException as e:
        report(e)
        return 130 if isinstance(e, KeyboardInterrupt) else 1
    return 0


def _execute(text: Any, name: str) -> None:
    """Run source text as the module __main__."""
    module = types.ModuleType("__main__")
    module.__file__ = name
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = module
    exec(compile(text, name, "exec"), module.__dict__)


def report(error: BaseException) -> None:
    """Print a traceback with the frames of the user's program only."""
    if os.environ.get(FULL):
        traceback.print_exception(error)
        return
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    hidden = 0
    shown = traceback.TracebackException.from_exception(error)
    for part in _chain(shown):
        kept = [f for f in part.stack if not f.filename.startswith((here, "<frozen", "<rushlight"))]
        hidden += len(part.stack) - len(kept)
        part.stack = traceback.StackSummary.from_list(kept)
    print("".join(shown.format()), end="", file=sys.stderr)
    if hidden:
        print(f"({hidden} frames inside rushlight are hidden; set {FULL}=1 to see them)", file=sys.stderr)


def _chain(e: Any) -> Any:
    while e is not None:
        yield e
        e = e.__cause__ or e.__context__
