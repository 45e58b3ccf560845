"""What a plan follows from, as a short text that is the same in every process: the key of a plan kept on disk.

It stands for the program with all its types and attributes, for the sources of everything that plans it, and for what they ask
besides: the processor, the libraries, the number of threads and a few settings.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
from collections.abc import Iterator
from functools import cache, lru_cache, partial
from pathlib import Path
from types import FunctionType
from typing import Any

from rushlight.exec import threads
from rushlight.exec.cpu import jit
from rushlight.exec.cpu.onednn import library, openmp
from rushlight.ir.dtype import DType
from rushlight.ir.graph import ScalarSpec
from rushlight.ir.program import Program
from rushlight.ir.spec import Spec
from rushlight.ops.table import TABLE, Op
from rushlight.passes import pipeline

PACKAGE = Path(__file__).parents[2]
SEEN = os.path.dirname(__file__)
FOLDERS = ("exec", "ir", "nn/functional", "ops", "optim", "passes", "tensor")  # whose code says what a plan is
MODULES = tuple([f"{PACKAGE.name}.{folder.replace('/', '.')}." for folder in FOLDERS])
SETTINGS = ("RUSHLIGHT_CONTRACT", "RUSHLIGHT_ONEDNN")
ATOMS = frozenset((type(None), bool, int, float, complex, str, bytes, type(...)))
VERSION = 2  # of marshal's format: later ones depend on who else refers to a string


class Unknown(Exception):
    """Something that has no name in another process."""


def key(program: Program, changing: frozenset[int]) -> bytes | None:
    """The key of a program's plan, 32 bytes, where `changing` are inputs that are others at each run; None where it has none."""
    try:
        return hashlib.sha256(_setting() + _text(program, changing)).digest()
    except (Unknown, OSError, TypeError, ValueError, RecursionError):  # what has no hash, what marshal does not know, what refers to itself
        return None


def _text(program: Program, changing: frozenset[int]) -> bytes:
    """A program with its types and operations by numbers, and what these are."""
    numbers: dict[Any, int] = {}
    described: list[Any] = []

    def number(x: Any) -> int:
        found = numbers.get(x)
        if found is None:
            found = numbers[x] = len(numbers)
            described.append(_described(x))
        return found

    def attribute(x: Any) -> Any:
        if x.__class__ in ATOMS:
            return x
        if x.__class__ is tuple:
            return tuple([attribute(y) for y in x])
        return "type", number(x)

    rows = [(number(i.op), [x for o in i.operands for x in (o.value, number(o.spec))], attribute(i.attrs), i.results, [number(s) for s in i.outs])
            for i in program.instrs]
    ends = [number(s) for s in program.inputs], program.outputs, sorted(program.donated), sorted(changing), program.values
    return marshal.dumps((rows, ends, described), VERSION)


def _described(x: Any) -> Any:
    kind = x.__class__
    if kind is Spec:
        return x.dtype.name, x.shape, x.strides, x.offset
    if kind is Op:
        return _operation(x)
    if kind is DType:
        return "dtype", x.name
    if kind is ScalarSpec or kind.__name__ == "ScalarResult" and kind.__module__.startswith(MODULES):
        return "number", repr(x)
    raise Unknown(repr(kind))


@lru_cache(4096)
def _operation(op: Op) -> Any:
    """A row of the table by its name, any other by its functions."""
    functions = [_function(f) for f in (op.shape, op.numpy, op.decompose) if f is not None]
    if TABLE.get(op.name) is op:
        return "row", op.name
    return "operation", op.name, op.kind, op.inputs, op.attrs, functions


def _function(f: Any) -> Any:
    """A function of ours by its name and by what it refers to beside that; the key has the sources."""
    if isinstance(f, partial):
        return "partial", _function(f.func), _value(f.args), _value(tuple(sorted(f.keywords.items())))
    if not isinstance(f, FunctionType) or not (f.__module__ or "").startswith(MODULES):
        raise Unknown(repr(f))
    cells = tuple([cell.cell_contents for cell in f.__closure__ or ()])
    place = f.__code__.co_firstlineno, f.__code__.co_code  # of several in one line
    return "function", f.__module__, f.__qualname__, place, _value(cells), _value(f.__defaults__), _value(tuple(sorted((f.__kwdefaults__ or {}).items())))


def _value(x: Any) -> Any:
    """What a function refers to."""
    if x.__class__ in ATOMS:
        return x
    if x.__class__ is tuple:
        return tuple([_value(y) for y in x])
    if x.__class__ in (DType, Spec):
        return _described(x)
    return _function(x)


def _setting() -> bytes:
    """What planning asks besides the program."""
    asked = (threads.count(), threads.single_library, openmp.threads(), [os.environ.get(name) for name in SETTINGS],
             repr(pipeline.setting()))
    return _installed() + repr(asked).encode()


@cache
def _installed() -> bytes:
    """The code that plans, the processor and the libraries."""
    omp = openmp.runtime()
    digest = hashlib.sha256(f"{jit.tag()} {sys.version} {None if omp is None else omp.name} {[_file(path) for path in library.candidates()]}".encode())
    for folder in FOLDERS:
        for source in sorted(_sources(os.path.join(PACKAGE, folder))):
            with open(source, "rb") as file:
                digest.update(file.read())
    return digest.digest()


def _sources(folder: str) -> Iterator[str]:
    """The sources in a folder and below it, but for those that the kernels' tag has seen already."""
    for entry in os.scandir(folder):
        if entry.name.endswith(".py"):
            yield entry.path
        elif entry.name != "__pycache__" and entry.path != SEEN and entry.is_dir():
            yield from _sources(entry.path)


def _file(path: str) -> tuple[Any, ...]:
    """A library, with its size and time where it is a file."""
    try:
        found = Path(path).stat()
    except OSError:
        return path,
    return path, found.st_size, found.st_mtime_ns


