"""Names of modules in files: there everything of ours is called as PyTorch calls it."""

from __future__ import annotations

import importlib
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from types import FunctionType
from typing import Any

# Where our folders are PyTorch's folders too, so that a class has the same place in both.
SHARED_FOLDERS = ("nn", "optim", "distributions")
MOVED = {"rushlight.data": "torch.utils.data"}
# Our modules of these folders whose classes lie in another of PyTorch's.
MODULES = {
    "torch.nn.modules.rnn_cells": "torch.nn.modules.rnn", "torch.nn.modules.lazy_conv": "torch.nn.modules.conv",
    "torch.nn.modules.attention": "torch.nn.modules.activation",
    "torch.nn.modules.parameter_container": "torch.nn.modules.container",
    **{f"torch.optim.schedulers_{kind}": "torch.optim.lr_scheduler" for kind in ("base", "simple", "cycle", "combined")},
    "torch.optim.matrix": "torch.optim", "torch.utils.data.loader": "torch.utils.data.dataloader",
    **{f"torch.distributions.{kind}": "torch.distributions.transforms"
       for kind in ("transform", "elementwise_transforms", "composed_transforms", "vector_transforms")},
}
ALONE = ("torch.optim.adam", "torch.optim.adaptive")  # each of their classes has a module of its own name in PyTorch
PUBLIC = ("torch", "torch.nn.functional", "torch.linalg", "torch.special", "torch.fft")  # where functions are looked for
# Modules of PyTorch's compiled part that pickles of functions mention: the public module, and what stands before its names there.
COMPILED = {"torch._C._nn": ("torch.nn.functional", ""), "torch._C._linalg": ("torch.linalg", "linalg_"),
            "torch._C._special": ("torch.special", "special_"), "torch._C._fft": ("torch.fft", "fft_")}
FUNCTIONS = "_VariableFunctionsClass"  # of torch._C; its attributes are the functions of torch


def torch_name(module: str, name: str = "") -> str:
    """The module under which PyTorch knows what we define in this one (the class of that name); unchanged where it has no
    such thing.

    >>> torch_name("rushlight.nn.modules.linear"), torch_name("rushlight.optim.adam", "AdamW"), torch_name("numpy")
    ('torch.nn.modules.linear', 'torch.optim.adamw', 'numpy')
    """
    top, dot, rest = module.partition(".")
    if top != "rushlight":
        return module
    found = module
    if rest.split(".")[0] in SHARED_FOLDERS:
        found = f"torch.{rest}"
    for ours, theirs in MOVED.items():
        if module == ours or module.startswith(ours + "."):
            found = theirs + module[len(ours):]
    return f"torch.optim.{name.lower()}" if name and found in ALONE else MODULES.get(found, found)


def place(obj: Any) -> tuple[str, str]:
    """(module, name) by which PyTorch knows a class or a function of ours: a function's public place where it has one."""
    if isinstance(obj, FunctionType):
        for public in PUBLIC:
            known = sys.modules.get(our_name(public))
            for name in {obj.__qualname__, obj.__name__} if known is not None else ():  # linalg_svd is what handlers know linalg.svd as
                if vars(known).get(name) is obj:
                    return public, name
    return torch_name(obj.__module__, obj.__qualname__), obj.__qualname__


def our_name(module: str) -> str:
    """The module of ours for one of PyTorch's."""
    for ours, theirs in MOVED.items():
        if module == theirs or module.startswith(theirs + "."):
            return ours + module[len(theirs):]
    if module == "torch" or module.startswith("torch."):
        return "rushlight" + module[5:]
    return module


def ours(module: str, name: str) -> Any:
    """The object that we have under one of PyTorch's names, in that module or in the packages that it belongs to; AttributeError
    where there is none."""
    within, dot, rest = name.partition(".")
    if within == "torch" and dot:  # what pickle found by way of a module that had imported torch: torch.channels_last
        module, name = within, rest
    where, prefix = COMPILED.get(module, (module, FUNCTIONS + "."))
    if (module, name) == ("torch._C", FUNCTIONS):
        return importlib.import_module("rushlight")
    while where:
        try:
            found: Any = importlib.import_module(our_name(where))
            for part in name.removeprefix(prefix).split("."):
                found = getattr(found, part)
            return found
        except (ImportError, AttributeError):
            where = where.rpartition(".")[0]
    raise AttributeError(f"the file needs {module}.{name}, which rushlight does not have")


def python3_name(module: str, name: str) -> tuple[str, str]:
    """Protocols 0 to 2 use Python 2's names of modules (``__builtin__``): the names of today."""
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[(module, name)]
    return IMPORT_MAPPING.get(module, module), name
