"""Tracebacks that show the user's lines: frames inside rushlight are left out, with a note how to see them."""

from __future__ import annotations

import os
import re
import sys
import threading
import traceback
import types
from collections.abc import Iterator
from pathlib import Path

from rushlight.cli.alias import torch_name

FULL = "RUSHLIGHT_FULL_TRACEBACK"
PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
COMMAND = str(Path(__file__).resolve().parent) + os.sep
IMPORTING = "<frozen "  # frames of the import system and of runpy


def format_exception(error: BaseException, start: types.FrameType | None = None) -> str:
    """The report of an uncaught exception. Frames above the program, up to ``start``, are never counted as hidden."""
    report = traceback.TracebackException.from_exception(error, compact=True)
    if os.environ.get(FULL, "0") not in ("", "0"):
        return "".join(report.format())
    _drop_above(report, error, start)
    hidden = sum(_hide(part) for part in _parts(report))
    notes = [lacking(error), _count(hidden)]
    return "".join(report.format()) + "".join(note + "\n" for note in notes if note)


def _count(hidden: int) -> str:
    if not hidden:
        return ""
    return (f"({hidden} frame{'s' * (hidden > 1)} inside rushlight {'are' if hidden > 1 else 'is'} "
            f"hidden; set {FULL}=1 to see all)")


def _drop_above(report: traceback.TracebackException, error: BaseException, start: types.FrameType | None) -> None:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if start in frames:
        report.stack = _stack(report.stack[frames.index(start) + 1:])


def _hide(part: traceback.TracebackException) -> int:
    """Leave out what is not the user's; how many frames that were,
    not counting the machinery that starts the program."""
    inside = [frame for frame in part.stack if frame.filename.startswith(PACKAGE)]
    part.stack = _stack([frame for frame in part.stack if not frame.filename.startswith((PACKAGE, IMPORTING))])
    return sum(not frame.filename.startswith(COMMAND) for frame in inside)


def _stack(frames: list[traceback.FrameSummary]) -> traceback.StackSummary:
    """An empty stack is None, so that no heading is printed above nothing."""
    return traceback.StackSummary.from_list(frames) if frames else None  # type: ignore[return-value]


def _parts(report: traceback.TracebackException | None) -> Iterator[traceback.TracebackException]:
    """The report itself, the exceptions it came from and those it groups."""
    if report is not None:
        if report.stack is not None:
            yield report
        yield from _parts(report.__cause__)
        yield from _parts(report.__context__)
        for member in getattr(report, "exceptions", None) or ():
            yield from _parts(member)


def lacking(error: BaseException) -> str:
    """A sentence where the program asked for a name of PyTorch's that rushlight does not have, else nothing."""
    module, name = "", None
    if isinstance(error, ImportError) and error.name:
        found = re.match(r"cannot import name '(\w+)'", str(error))
        module, name = error.name, found and found[1]
    elif isinstance(error, AttributeError) and isinstance(error.obj, types.ModuleType):
        module, name = error.obj.__name__, error.name
    if name and (module + ".").startswith("rushlight."):
        return f"rushlight does not provide {torch_name(module)}.{name}."
    return ""


def install(start: types.FrameType | None = None) -> None:
    """Report uncaught exceptions of this process and its threads in this way."""
    def report(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        sys.stderr.write(format_exception(error.with_traceback(trace), start))

    def report_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit and args.exc_value is not None:
            name = args.thread.name if args.thread is not None else threading.get_ident()
            sys.stderr.write(f"Exception in thread {name}:\n{format_exception(args.exc_value)}")

    sys.excepthook = report
    threading.excepthook = report_thread
