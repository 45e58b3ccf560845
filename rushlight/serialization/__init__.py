"""Saving and loading: PyTorch's files in both directions, read by a machine that cannot run code."""

from __future__ import annotations

from rushlight.serialization.allowed import add_safe_globals, clear_safe_globals, get_safe_globals, safe_globals
from rushlight.serialization.budget import get_load_memory_limit, set_load_memory_limit
from rushlight.serialization.errors import CheckpointError
from rushlight.serialization.loading import get_unsafe_globals_in_checkpoint, load, load_records
from rushlight.serialization.location import default_restore_location, location_tag
from rushlight.serialization.settings import (
    LoadEndianness,
    get_crc32_options,
    get_default_load_endianness,
    set_crc32_options,
    set_default_load_endianness,
)

__all__ = [
    "CheckpointError", "LoadEndianness", "add_safe_globals", "clear_safe_globals", "default_restore_location",
    "get_crc32_options", "get_default_load_endianness", "get_load_memory_limit", "get_safe_globals",
    "get_unsafe_globals_in_checkpoint", "load", "load_records", "load_safetensors", "location_tag", "safe_globals",
    "save", "save_safetensors", "set_crc32_options", "set_default_load_endianness", "set_load_memory_limit",
]

_LATER = {"save": "saving", "save_safetensors": "safetensors_files", "load_safetensors": "safetensors_files"}


def __getattr__(name: str) -> object:
    # What writes needs the tensors; reading records does not, so it works without them.
    from importlib import import_module
    if name in _LATER:
        return getattr(import_module(f"rushlight.serialization.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
