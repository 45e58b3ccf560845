"""Programs written for PyTorch find rushlight under PyTorch's names."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from typing import Any

ROOTS = {"torch": "rushlight", "torchvision": "rushlight.vision", "pytorch_lightning": "rushlight.lightning", "lightning": "rushlight.lightning"}


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports ``torch.x`` as the module ``rushlight.x`` itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] not in ROOTS:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> Any:
        head, _, rest = spec.name.partition(".")
        real = ROOTS[head] + (f".{rest}" if rest else "")
        try:
            module = importlib.import_module(real)
        except ModuleNotFoundError as e:
            if e.name is None or not (real == e.name or real.startswith(e.name + ".")):
                raise
            raise ModuleNotFoundError(f"No module named '{spec.name}': rushlight does not provide it", name=spec.name) from None
        self._names = (module.__name__, module.__spec__, module.__loader__, module.__package__)
        spec.rushlight = (module.__spec__, module.__loader__, module.__package__)
        return module

    def exec_module(self, module: Any) -> None:
        alias = module.__spec__
        real = getattr(alias, "rushlight", None)
        if real is not None:  # the import system has put the alias's own facts on the shared module: put the real ones back
            module.__spec__, module.__loader__, module.__package__ = real


_finder = Finder()
VERSION = "2.13.0+rushlight"


def as_torch() -> Any:
    """From now on ``import torch`` (and torchvision, lightning) gives rushlight's modules; the ``torch`` module.

    >>> import rushlight
    >>> rushlight.as_torch() is rushlight
    True
    """
    import rushlight
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
        for name in [m for m in sys.modules if m.partition(".")[0] in ROOTS]:
            if not getattr(sys.modules[name], "__name__", "").startswith("rushlight"):
                raise RuntimeError(f"{name} was imported before rushlight.as_torch(); call as_torch() first")
    rushlight.__version__ = VERSION
    sys.modules["torch"] = rushlight
    return rushlight
