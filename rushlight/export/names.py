"""Which public function or method the protocol hands over, and names that programs gave to functions before the
protocol was on."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from rushlight.nn import Module
from rushlight.tensor import protocol
from rushlight.tensor.core import Tensor

HELPERS = ("wide", "lying_as")  # not PyTorch's names
OWN = ("rushlight.tensor", "rushlight.ops", "rushlight.exec", "rushlight.autograd", "rushlight.ir", "rushlight.export")
_targets: dict[int, tuple[Any, str, str]] = {}


def target(func: Any) -> tuple[str, str]:
    """("method" | "property" | "function", name) of what the protocol hands over."""
    found = _targets.get(id(func))
    if found is None or found[0] is not func:
        index()
        found = _targets.get(id(func)) or (func, "function", getattr(func, "__name__", "function"))
    return found[1], found[2]


def index() -> None:
    """Where each public function and method is found."""
    for path in protocol.NAMESPACES:
        for name, f in list(vars(importlib.import_module(path)).items()):
            if getattr(f, "_overridable", False):
                _targets.setdefault(id(f), (f, "function", f.__name__))
    for name, f in list(vars(Tensor).items()):
        if name in HELPERS:
            continue
        if isinstance(f, property) and f.fget is not None:
            _targets.setdefault(id(f.fget), (f.fget, "property", name))
        elif callable(f) and _targets.get(id(f), (None, "method", ""))[1] == "method":
            _targets.setdefault(id(f), (f, "method", name))


def through() -> dict[int, Any]:
    """The dispatcher of each public function, by the function's id."""
    index()
    return {
        id(f.__wrapped__): f for f, kind, _ in _targets.values() if kind == "function" and hasattr(f, "__wrapped__")
    }


def redirect(root: Module | None, program: Any) -> Callable[[], None]:
    """Let names that a program gave to functions of torch before the protocol was
    on lead through it; the result puts them back.

    Looked at are the globals of modules, attributes of the program's own modules (``self.activation = F.relu``),
    lists and dictionaries among both, and the closure and defaults of a program that is a function.
    """
    known = through()
    undo: list[Callable[[], None]] = []

    def swap(get: Any, put: Callable[[Any], None]) -> None:
        if type(get) is types.FunctionType and id(get) in known and known[id(get)].__wrapped__ is get:
            put(known[id(get)])
            undo.append(lambda: put(get))

    for space in _spaces(root):
        for key, value in list(space.items() if isinstance(space, dict) else enumerate(space)):
            swap(value, lambda new, space=space, key=key: space.__setitem__(key, new))  # type: ignore[misc]
    own = not hasattr(program, "_overridable")  # the closure of a dispatcher is its own affair
    for cell in (getattr(program, "__closure__", None) or ()) if own else ():
        swap(cell.cell_contents, lambda new, cell=cell: setattr(cell, "cell_contents", new))  # type: ignore[misc]
    defaults = getattr(program, "__defaults__", None)
    if defaults and any(id(d) in known for d in defaults):
        program.__defaults__ = tuple(known.get(id(d), d) for d in defaults)
        undo.append(lambda: setattr(program, "__defaults__", defaults))

    def put_back() -> None:
        for step in reversed(undo):
            step()

    return put_back


def _spaces(root: Module | None) -> Iterator[Any]:
    """Dictionaries and lists in which programs keep functions."""
    first = [vars(m) for n, m in list(sys.modules.items()) if isinstance(m, types.ModuleType) and not n.startswith(OWN)]
    first += [m.__dict__ for m in root.modules()] if root is not None else []
    for space in first:
        yield space
        yield from [v for k, v in list(space.items()) if type(v) in (dict, list) and v and not k.startswith("__")]


# methods that do more than compute
METHODS_KEPT_OUT = frozenset(
    """apply_ map_ map2_ numpy tolist register_hook register_post_accumulate_grad_hook
    backward share_memory_ storage untyped_storage data_ptr const_data_ptr module_load set_ reinforce as_subclass cuda
    xpu new_tensor_ is_shared pin_memory""".split()
)
FUNCTIONS_KEPT_OUT = frozenset(
    "from_numpy from_file from_dlpack frombuffer as_tensor_of vmap compile save load".split()
)


def paths() -> dict[str, Any]:
    """The public functions that files may call, by name: ``torch.nn.functional.relu``."""
    index()
    for name in TORCH_LEVEL:  # names that torch itself finds when they are asked for
        import rushlight

        getattr(rushlight, name, None)
    index()
    out: dict[str, Any] = {}
    for path in protocol.NAMESPACES:
        title = {"rushlight.nn.recurrent": "torch"}.get(path, "torch" + path.removeprefix("rushlight"))
        for name, f in vars(importlib.import_module(path)).items():
            if getattr(f, "_overridable", False) and name not in FUNCTIONS_KEPT_OUT and not name.startswith("__"):
                out.setdefault(f"{title}.{name}", f)
    return out


TORCH_LEVEL = (
    "dropout",
    "layer_norm",
    "group_norm",
    "batch_norm",
    "instance_norm",
    "embedding",
    "embedding_bag",
    "stft",
    "istft",
    "native_layer_norm",
    "native_group_norm",
    "native_batch_norm",
    "convolution",
    "feature_dropout",
    "native_dropout",
)
