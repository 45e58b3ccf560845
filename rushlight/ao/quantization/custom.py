"""Configurations of modules and backends of a user's own, which quantization here does not have."""

from __future__ import annotations

from typing import Any


def refuse(function: str, **given: Any) -> None:
    """NotImplementedError for a configuration that would change the result.

    >>> refuse("prepare_fx", backend_config=None, prepare_custom_config={})
    """
    for name, value in given.items():
        if value:
            raise NotImplementedError(f"{function}({name}=...): rushlight quantizes the layers of torch.nn by the qconfig mapping alone; "
                                      f"leave {name} out, and give modules that should stay as they are a qconfig of None.")
