"""Layers, losses, containers and their helpers, by PyTorch's names."""

from __future__ import annotations

import importlib
from typing import Any

from . import functional as functional
from . import init as init
from . import parameter as parameter
from .modules import *  # noqa: F403
from .parameter import Buffer as Buffer
from .parameter import Parameter as Parameter
from .parameter import UninitializedBuffer as UninitializedBuffer
from .parameter import UninitializedParameter as UninitializedParameter

# Submodules that few programs use are imported when they are asked for.
_ON_USE = ("utils", "attention", "parallel", "recurrent", "common_types", "grad", "quantized", "intrinsic", "qat")


def factory_kwargs(kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """The device, dtype and memory_format of a layer's keyword arguments, for the tensors it makes.

    >>> factory_kwargs({"dtype": None, "factory_kwargs": {"device": "cpu"}})
    {'dtype': None, 'device': 'cpu'}
    """
    if kwargs is None:
        return {}
    allowed = {"device", "dtype", "memory_format"}
    unknown = set(kwargs) - allowed - {"factory_kwargs"}
    if unknown:
        raise TypeError(f"unexpected kwargs {unknown}")
    inner = kwargs.get("factory_kwargs", {})
    twice = set(inner) & set(kwargs)
    if twice:
        raise TypeError(f"{sorted(twice)} specified twice, in **kwargs and in factory_kwargs")
    if set(inner) - allowed:
        raise TypeError(f"unexpected factory_kwargs {set(inner) - allowed}")
    return {key: value for key, value in kwargs.items() if key != "factory_kwargs"} | inner


def __getattr__(name: str) -> Any:
    if name == "DataParallel":
        return importlib.import_module(f"{__name__}.parallel").DataParallel
    if name in _ON_USE:
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
