"""What a scripted module's methods need, as text and plain data: their source,
the functions that they call, constants, attributes."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import textwrap
import types
from typing import Any

from rushlight.export.files import FormatError, encode
from rushlight.jit.language import BUILTINS, LanguageError, Namespace, check, reachable
from rushlight.nn import Module

LIBRARY = (
    "rushlight.nn.",
    "rushlight.vision.models.",
    "rushlight.vision.ops.",
)  # classes that files name instead of holding their source
TYPES = (
    "Optional",
    "List",
    "Dict",
    "Tuple",
    "Union",
    "Any",
    "Final",
    "Tensor",
    "Callable",
    "Sequence",
    "Iterable",
    "Type",
)
MODULES = {"rushlight": "torch", "torch": "torch", "math": "math"}


def library_name(cls: type) -> str | None:
    """The place of a class of the package, None for a program's own."""
    if not cls.__module__.startswith(LIBRARY):
        return None
    home = importlib.import_module(cls.__module__)
    return f"{cls.__module__}:{cls.__qualname__}" if getattr(home, cls.__qualname__, None) is cls else None


def library_class(name: str) -> type:
    """The class at such a place; LanguageError for anything but a module class of the package."""
    home, _, last = name.partition(":")
    if not home.startswith(LIBRARY) or not last.isidentifier() or not all(p.isidentifier() for p in home.split(".")):
        raise LanguageError(f"{name!r} is no class of the library")
    try:
        found = getattr(importlib.import_module(home), last, None)
    except ModuleNotFoundError:
        found = None
    if not (isinstance(found, type) and issubclass(found, Module)) or not found.__module__.startswith(LIBRARY):
        raise LanguageError(f"{name!r} is no class of the library")
    return found


def names_used(cls: type) -> set[str]:
    """The names that methods of a class use, but those that run when an instance is made."""
    out: set[str] = set()

    def walk(code: types.CodeType) -> None:
        out.update(code.co_names)
        for c in code.co_consts:
            if isinstance(c, types.CodeType):
                walk(c)

    for kind in cls.__mro__:
        if kind is not Module and kind is not object:
            for name, f in vars(kind).items():
                f = f.fget if isinstance(f, property) else f
                if isinstance(f, types.FunctionType) and name not in (
                    "__init__",
                    "_make_layer",
                    "reset_parameters",
                    "_reset_parameters",
                    "__setstate__",
                ):
                    walk(f.__code__)
    return out


def source_of(f: Any) -> ast.FunctionDef:
    """The syntax tree of a function. RuntimeError where its source is not to be had."""
    try:
        text = textwrap.dedent(inspect.getsource(f))
        tree = ast.parse(text)
    except (OSError, TypeError, SyntaxError) as e:
        raise RuntimeError(
            f"jit.save: the source of {getattr(f, '__qualname__', f)} is not available ({e}); "
            "define it in a file, or trace the module"
        ) from None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        raise RuntimeError(
            f"jit.save: {getattr(f, '__qualname__', f)} is no ordinary function; trace the module instead"
        )
    return tree.body[0]


class Sources:
    """Collects the functions of one class (or of a scripted function) and what their names stand for."""

    def __init__(self, title: str):
        self.title = title
        self.functions: dict[str, str] = {}
        self.names: dict[str, Any] = {}
        self.attributes: set[str] = set()  # read from self

    def method(self, cls: type, name: str) -> None:
        """Take in a method of a class, and those that it calls."""
        if name in self.functions:
            return
        f = inspect.unwrap(getattr(cls, name))
        tree = source_of(f)
        self._add(name, tree, f)
        owner = tree.args.args[0].arg if tree.args.args else None
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == owner:
                found = inspect.getattr_static(cls, node.attr, None)
                if isinstance(found, (property, staticmethod, classmethod)):
                    raise RuntimeError(
                        f"jit.save: {self.title}.{node.attr} is a {type(found).__name__}; files of scripted modules "
                        "hold methods only. "
                        "Make it a method or an attribute, or trace the module"
                    )
                if isinstance(found, types.FunctionType) and not hasattr(Module, node.attr):
                    self.method(cls, node.attr)
                else:
                    self.attributes.add(node.attr)

    def function(self, name: str, f: Any) -> None:
        """Take in a function of the program's own."""
        if name not in self.functions:
            self._add(name, source_of(f), f)

    def _add(self, name: str, tree: ast.FunctionDef, f: Any) -> None:
        tree.name, tree.decorator_list = name, []
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.returns = None
            elif isinstance(node, ast.arg):
                node.annotation = None
            elif isinstance(node, ast.Try | ast.ClassDef | ast.Import | ast.ImportFrom):
                raise RuntimeError(
                    f"jit.save: {self.title}.{name} holds {type(node).__name__.lower()}, which files of scripted "
                    "modules cannot; trace the module instead"
                )
        text = ast.unparse(tree)
        try:
            check(text)
        except LanguageError as e:
            raise RuntimeError(
                f"jit.save: {self.title}.{name} cannot be saved: {e}. Write it otherwise, or trace the module"
            ) from None
        self.functions[name] = text
        known = {**f.__globals__, **{k: c.cell_contents for k, c in zip(f.__code__.co_freevars, f.__closure__ or ())}}
        own = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} | {
            a.arg for a in ast.walk(tree) if isinstance(a, ast.arg)
        }
        for used in sorted({n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - own):
            if used in known:
                self._name(used, known[used])
            elif used == "super":
                raise RuntimeError(
                    f"jit.save: {self.title}.{name} calls super(), "
                    "which files of scripted modules cannot; trace the module instead"
                )
            elif hasattr(builtins, used) and used not in BUILTINS and used not in ("getattr", "hasattr"):
                raise RuntimeError(
                    f"jit.save: {self.title}.{name} uses {used}(), which is not available to scripted modules in files"
                )

    def _name(self, name: str, value: Any) -> None:
        """What a global name stands for."""
        from rushlight.jit.scripted import ScriptFunction

        value = inspect.unwrap(value._function) if isinstance(value, ScriptFunction) else value
        if name in TYPES or name in self.names:
            return
        row = named(value)
        if row is not None:
            self.names[name] = row
        elif isinstance(value, types.FunctionType):
            self.names[name] = {"function": name}
            self.function(name, value)
        else:
            raise RuntimeError(
                f"jit.save: {self.title} uses the global {name!r} of type {type(value).__name__}, which files of "
                "scripted modules cannot hold"
            )


def named(value: Any) -> Any:
    """A module or function of torch, or a constant, as plain data; None for anything else."""
    if isinstance(value, types.ModuleType):
        head, _, rest = value.__name__.partition(".")
        path = MODULES.get(head, "?") + ("." + rest if rest else "")
        return {"torch": path} if path in ("torch", "math") or isinstance(reachable().get(path), Namespace) else None
    for path, f in reachable().items():
        if f is value or getattr(f, "__wrapped__", f) is value and callable(value):
            return {"torch": path}
    try:
        return {"value": encode(value)}
    except FormatError:
        return None


__all__ = ["Sources", "library_class", "library_name", "named"]
