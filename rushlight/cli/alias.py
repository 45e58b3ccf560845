"""Programs written for PyTorch find rushlight under PyTorch's names."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Any

# A module stands for the longest name here that its own begins with.
STANDS_FOR = {
    "torch": "rushlight",
    "torchvision": "rushlight.vision",
    "pytorch_lightning": "rushlight.lightning",
    "lightning": "rushlight.lightning",
    "lightning.pytorch": "rushlight.lightning",
    "functorch": "rushlight.functorch",
}


def own_name(name: str) -> str | None:
    """rushlight's name of a module of PyTorch's, None for any other module.

    >>> own_name("torch.nn.functional"), own_name("lightning.pytorch.callbacks"), own_name("torchaudio")
    ('rushlight.nn.functional', 'rushlight.lightning.callbacks', None)
    """
    head, rest = name, ""
    while head:
        if head in STANDS_FOR:
            return STANDS_FOR[head] + rest
        head, dot, last = head.rpartition(".")
        rest = dot + last + rest
    return None


def torch_name(name: str) -> str:
    """PyTorch's name of one of rushlight's modules.

    >>> torch_name("rushlight.nn"), torch_name("rushlight.vision.datasets")
    ('torch.nn', 'torchvision.datasets')
    """
    for theirs, ours in sorted(STANDS_FOR.items(), key=lambda pair: -len(pair[1])):
        if name == ours or name.startswith(ours + "."):
            return theirs + name[len(ours):]
    return name


class AliasFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes ``import torch.x`` give the very module object ``rushlight.x``."""

    def find_spec(self, name: str, path: Sequence[str] | None = None,
                  target: types.ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        ours = own_name(name)
        if ours is None:
            return None
        module = _load(name, ours)
        spec = importlib.machinery.ModuleSpec(name, self, origin=getattr(module, "__file__", None))
        spec.loader_state = (module, module.__spec__)
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module: types.ModuleType = spec.loader_state[0]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """The module has run already under its own name; only its spec,
        which the import system has replaced, is put back."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state[1]


def _load(name: str, ours: str) -> types.ModuleType:
    try:
        return importlib.import_module(ours)
    except ModuleNotFoundError as e:
        if e.name is None or not (ours + ".").startswith(e.name + "."):
            raise  # something else that rushlight's module imports is missing
    parent, _, last = ours.rpartition(".")
    attribute = getattr(sys.modules.get(parent), last, None)
    if isinstance(attribute, types.ModuleType):
        return attribute
    raise ModuleNotFoundError(f"No module named {name!r}: "
                              f"rushlight does not provide it (there is no {ours})", name=name)


FINDER = AliasFinder()


def as_torch() -> Any:
    """From now on ``import torch`` (and torchvision, pytorch_lightning,
    lightning) gives rushlight's modules; returns ``torch``.

    RuntimeError where one of them was imported before.

    >>> import rushlight
    >>> rushlight.as_torch() is rushlight
    True
    """
    import rushlight
    from rushlight.version import __version__ as version
    if FINDER not in sys.meta_path:
        foreign = [name for name in STANDS_FOR if name in sys.modules]
        if foreign:
            raise RuntimeError(f"{foreign[0]} was imported before rushlight.as_torch(); call as_torch() first")
        sys.meta_path.insert(0, FINDER)
        rushlight.__version__ = version
    return importlib.import_module("torch")
