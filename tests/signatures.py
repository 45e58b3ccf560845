"""Signatures of the oracle's public functions, and how another package's function differs from them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

# namespace of PyTorch -> prefix of its operators' schemas
NAMESPACES = {"": "", "linalg": "linalg_", "fft": "fft_", "special": "special_", "Tensor": "", "nn.functional": "",
              "signal.windows": "", "masked": "", "nn.init": "", "nn.utils": "", "nn.utils.rnn": "",
              "nn.utils.parametrize": "", "nn.utils.parametrizations": "", "nn.utils.stateless": "",
              "autograd": "", "autograd.functional": "", "func": ""}
CLASSES = ("nn", "optim", "optim.lr_scheduler", "optim.swa_utils", "utils.data",
           "distributions", "distributions.transforms", "nn.utils.rnn", "nn.utils.prune",
           "nn.parameter", "nn.utils.parametrize", "utils.hooks")
# what a function on the CPU may leave out: they say where and how memory lies
PLACEMENT = frozenset(("layout", "pin_memory", "device", "memory_format", "generator", "names"))
# modules whose own public functions are compared
MODULES = """sparse nested random amp amp.autocast_mode autograd.forward_ad autograd.graph compiler cpu cuda cuda.amp
    cuda.memory cuda.random distributed distributions.kl export futures fx hub jit library mps multiprocessing
    nn.attention nn.parallel nn.utils.convert_parameters nn.utils.fusion nn.utils.prune onnx overrides profiler
    quantization serialization testing utils utils.benchmark utils.checkpoint utils.data utils.dlpack utils._pytree
    """.split()
NO_DEFAULT = "(none)"


class Parameter(NamedTuple):
    name: str
    default: str
    keyword: bool


def classes(namespace: str) -> Iterator[tuple[str, type]]:
    """The public classes of a namespace of PyTorch."""
    home: Any = importlib.import_module("torch." + namespace)
    for name in sorted(getattr(home, "__all__", dir(home))):
        kind = getattr(home, name)
        if not name.startswith("_") and inspect.isclass(kind) and kind.__module__.startswith("torch"):
            yield name, kind


def method_differences(kind: type, other: type) -> list[str]:
    """How the constructor and the methods that a class defines differ from those of the class of the same name."""
    found = []
    for name, f in kind.__dict__.items():
        g = getattr(other, name, None)
        if (name.startswith("_") and name != "__init__") or not inspect.isfunction(f) or g is None:
            continue
        want, have = written(f), written(g)
        if want is None or have is None or [p.name for p in want][-2:] == ["*args", "**kwargs"]:
            continue
        found += [f"{name}: {d}" for d in exact(want, have)]
    return found


def of_module(name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions that a module of PyTorch, or of its folder, defines."""
    home = importlib.import_module("torch." + name)
    listed = getattr(home, "__all__", None)
    for key, f in functions(name):
        if (listed is None or key in listed) and str(f.__module__).startswith("torch." + name):
            yield key, f


def functions(namespace: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions of a namespace of PyTorch."""
    home: Any = torch
    for part in namespace.split(".") if namespace else ():
        home = getattr(home, part)
    for name in sorted(dir(home)):
        f = getattr(home, name)
        if name.startswith("_") or not callable(f) or inspect.isclass(f) or inspect.ismodule(f):
            continue
        if namespace == "Tensor" or str(getattr(f, "__module__", None) or "torch").startswith("torch"):
            yield name, f


def written(f: Callable[..., Any]) -> list[Parameter] | None:
    """The parameters of a function that is written in Python."""
    try:
        found = inspect.signature(f).parameters.values()
    except (ValueError, TypeError):
        return None
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [Parameter(stars.get(p.kind, "") + p.name, NO_DEFAULT if p.default is p.empty else plain(repr(p.default)), p.kind is p.KEYWORD_ONLY) for p in found]


def schemas(name: str) -> list[list[Parameter]]:
    """The parameters of each overload of a built-in function,
    without those that name dimensions or only write to `out`."""
    out = []
    for s in torch._C._jit_get_schemas_for_operator("aten::" + name):
        if s.overload_name.endswith("out") or "dimname" in s.overload_name.lower() or "Dimname" in str(s):
            continue
        out.append([Parameter(a.name, plain(repr(a.default_value)) if a.has_default_value() else NO_DEFAULT, a.kwarg_only) for a in s.arguments])
    return out


def documented(f: Callable[..., Any]) -> list[Parameter] | None:
    """The parameters in the first line of a built-in function's documentation."""
    line = (f.__doc__ or "").strip().split("\n")[0].replace("\\*", "*")
    start = line.find("(")
    if not re.match(r"[\w.]+\(", line):
        return None
    depth, end = 0, start
    for end in range(start, len(line)):
        depth += (line[end] in "([") - (line[end] in ")]")
        if not depth:
            break
    out, keyword = [], False
    for part in re.split(r",\s*(?![^()\[\]]*[)\]])", line[start + 1:end]):
        name, _, default = part.strip().partition("=")
        if name == "*":
            keyword = True
        elif name not in ("", "/"):
            out.append(Parameter(name.split(":")[0].split()[-1], plain(default) if default else NO_DEFAULT, keyword))
    return out


def plain(value: str) -> str:
    """A default without quotes' style and module names, and numbers by value: 1 and 1.0, [] and (), are the same."""
    value = re.sub(r"^<(?:function|class) '?([\w.]+)'?.*>$", r"\1", value.strip())
    value = "an object" if value.startswith("<") else value
    text = re.sub(r"\b(torch|rushlight)\.", "",
                  value.strip()).replace("long", "int64").replace("[", "(").replace("]", ")")
    try:
        number = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return "None" if text == "Size(())" else text
    if isinstance(number, tuple) and number and len(set(number)) == 1:
        number = number[0]  # (0, 0) for a pair is 0
    if number == ():
        number = None  # nothing given
    return repr(float(number)) if isinstance(number, (int, float)) and not isinstance(number, bool) else repr(number)


def exact(want: list[Parameter], have: list[Parameter]) -> list[str]:
    """How parameters differ from those that are wanted; private ones (``_stacklevel``) are PyTorch's own affair."""
    def shown(ps: list[Parameter]) -> list[tuple[str, str, bool]]:
        return [(p.name, p.default, p.keyword) for p in ps if p.name not in PLACEMENT and not p.name.startswith("_")]
    return [] if shown(want) == shown(have) else [f"{shown(want)} became {shown(have)}"]


def accepted(want: list[Parameter], have: list[Parameter], method: bool) -> list[str]:
    """Which of the wanted parameters cannot be given in the same way: at the same place,
    under the same name, with the same default."""
    problems = []
    free = any(p.name.startswith("*") and not p.name.startswith("**") for p in have)
    order = [p for p in have if not p.keyword and not p.name.startswith("*")]
    byname = {p.name: p for p in have}
    if method:
        want = [Parameter("self", NO_DEFAULT, False), *[p for p in want if p.name not in ("self", "input")]]
    for i, p in enumerate(want):
        if i == 0 and method or p.name.startswith("*") or p.name in PLACEMENT and p.name not in byname:
            continue
        names = ("input", "self") if p.name in ("self", "input") else (p.name,)
        found = next((byname[n] for n in names if n in byname), None)
        if found is None and free and not p.keyword:
            continue
        if found is None:
            problems.append(f"{p.name} is missing")
        elif not p.keyword and not free and (i >= len(order) or order[i] != found) and p.name != "out":
            problems.append(f"{p.name} is not number {i}")
        elif p.default not in (NO_DEFAULT, found.default) and p.name not in PLACEMENT:
            problems.append(f"{p.name}={p.default} is {found.default}")
    return problems


def differences(namespace: str, name: str, f: Callable[..., Any], g: Callable[..., Any]) -> list[str]:
    """How the signature of g differs from PyTorch's f; empty where it does not."""
    have, want = written(g), written(f)
    if have is None:
        return ["no signature"]
    if want is not None and [p.name for p in want] == ["args", "kwargs"] or want and want[0].name == "*args":
        return []  # PyTorch chooses among several at the call
    if want is not None:
        if namespace == "Tensor" and have and want:
            have = [want[0], *have[1:]]
        return exact(want, have)
    method = namespace == "Tensor"
    # operators of torch.special and in-place methods have the schema of their own name
    overloads = schemas(NAMESPACES.get(namespace, "") + name) if namespace != "nn.functional" else []
    doc = documented(f)
    found = [accepted(ps, have, method) for ps in (*overloads, *([doc] if doc is not None else []))]
    return min(found, key=len) if found else []
