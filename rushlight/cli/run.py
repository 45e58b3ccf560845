"""`rushlight run`: a PyTorch program, unchanged, with rushlight under PyTorch's names."""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import io
import os
import sys
import types
from typing import Any

from rushlight.cli import children, tracebacks
from rushlight.cli.alias import as_torch, own_name

CANNOT_OPEN = 2  # Python's exit code for a script that is not there


def run(kind: str, program: str, args: list[str]) -> int:
    """Run a "script", "module" or "code" as ``__main__``, as ``python``,
    ``python -m`` and ``python -c`` do; the exit code.

    What the program raises passes through, so that the interpreter ends as it would have without rushlight.
    """
    as_torch()
    children.follow()
    tracebacks.install(sys._getframe())
    try:
        code, main = PREPARE[kind](program, args)
    except CannotStart as e:
        print(f"rushlight run: {e}", file=sys.stderr)
        return e.exit_code
    sys.modules["__main__"] = main
    exec(code, main.__dict__)
    return 0


class CannotStart(Exception):
    """There is nothing to run under this name."""

    def __init__(self, message: str, exit_code: int = 1):
        super().__init__(message)
        self.exit_code = exit_code


def _main_module(path: str | None, spec: importlib.machinery.ModuleSpec | None = None) -> types.ModuleType:
    """An empty ``__main__`` with the attributes that the interpreter gives it."""
    main: Any = types.ModuleType("__main__")
    main.__builtins__ = builtins
    main.__annotations__ = {}
    main.__spec__ = spec
    main.__loader__ = spec.loader if spec is not None else None
    main.__package__ = spec.parent if spec is not None else None
    if path is not None:
        main.__file__ = path
        main.__cached__ = spec.cached if spec is not None else None
    return main  # type: ignore[no-any-return]


def _set_path(folder: str) -> None:
    """The program's folder takes the place of the command's own at the head of the search path."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _script(program: str, args: list[str]) -> tuple[Any, types.ModuleType]:
    sys.argv = [program, *args]
    if program == "-":
        _set_path("")
        return compile(sys.stdin.read(), "<stdin>", "exec", dont_inherit=True), _main_module(None)
    path = os.path.abspath(program)
    inside = importlib.machinery.PathFinder.find_spec("__main__", [path])
    if inside is not None:  # a folder or zip file with __main__.py
        _set_path(program)
        return _of_spec(inside)
    _set_path(os.path.dirname(os.path.realpath(program)))
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as e:
        raise CannotStart(f"can't open file {path!r}: [Errno {e.errno}] {e.strerror}", CANNOT_OPEN) from None
    main: Any = _main_module(path)
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    return compile(source, path, "exec", dont_inherit=True), main


def _code(program: str, args: list[str]) -> tuple[Any, types.ModuleType]:
    sys.argv = ["-c", *args]
    _set_path("")
    return compile(program, "<string>", "exec", dont_inherit=True), _main_module(None)


def _module(program: str, args: list[str]) -> tuple[Any, types.ModuleType]:
    sys.argv = ["-m", *args]
    _set_path(os.getcwd())
    name = own_name(program) or program
    spec = _find(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = _find(name + ".__main__")
        if spec is None:
            raise CannotStart(f"No module named {program}.__main__; "
                              f"{program!r} is a package and cannot be directly executed")
    if spec is None:
        raise CannotStart(f"No module named {program}")
    code, main = _of_spec(spec)
    sys.argv[0] = str(spec.origin)
    return code, main


def _find(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as e:
        if e.name is not None and (name + ".").startswith(e.name + "."):
            return None
        raise


def _of_spec(spec: importlib.machinery.ModuleSpec) -> tuple[Any, types.ModuleType]:
    code = spec.loader.get_code(spec.name) if hasattr(spec.loader, "get_code") else None  # type: ignore[union-attr]
    if code is None:
        raise CannotStart(f"No code object available for {spec.name}")
    return code, _main_module(spec.origin, spec)


PREPARE = {"script": _script, "code": _code, "module": _module}
