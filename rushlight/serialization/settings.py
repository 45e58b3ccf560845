"""Switches of torch.serialization and of the environment."""

from __future__ import annotations

import os
import sys
import warnings
from enum import Enum
from typing import Any


class LoadEndianness(Enum):
    """The byte order of files that do not say theirs. rushlight takes them as little-endian, as PyTorch does."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


_state: dict[str, Any] = {"endianness": None, "crc32": True}


def get_default_load_endianness() -> LoadEndianness | None:
    """What `set_default_load_endianness` set; None means little-endian."""
    chosen: LoadEndianness | None = _state["endianness"]
    return chosen


def set_default_load_endianness(endianness: LoadEndianness | None) -> None:
    """The byte order of files that do not say theirs."""
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    _state["endianness"] = endianness


def unmarked_order() -> bytes:
    """The byte order of a file without a mark."""
    chosen = _state["endianness"]
    if chosen is LoadEndianness.BIG:
        return b"big"
    return sys.byteorder.encode() if chosen is LoadEndianness.NATIVE else b"little"


def get_crc32_options() -> bool:
    """Whether `save` writes checksums."""
    return bool(_state["crc32"])


def set_crc32_options(compute_crc32: bool) -> None:
    """Whether `save` computes checksums (the default). Without them a damaged file loads without a word."""
    _state["crc32"] = bool(compute_crc32)


def flag(name: str) -> bool:
    return os.environ.get(name, "0").lower() in ("1", "y", "yes", "true")


def resolve_weights_only(weights_only: bool | None, pickle_module: Any) -> bool:
    """The argument, or its default: True unless a pickle module is given; PyTorch's two variables are obeyed."""
    force, force_not = flag("TORCH_FORCE_WEIGHTS_ONLY_LOAD"), flag("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    if force and force_not:
        raise RuntimeError("Only one of `TORCH_FORCE_WEIGHTS_ONLY_LOAD` or `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` should "
                           "be set, but both were set.")
    if force:
        return True
    if weights_only is None and force_not:
        warnings.warn("Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD detected, since the `weights_only` "
                      "argument was not explicitly passed to `torch.load`, forcing weights_only=False.", stacklevel=3)
        return False
    return pickle_module is None if weights_only is None else bool(weights_only)
