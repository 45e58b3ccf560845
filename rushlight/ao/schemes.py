"""How the integers of a quantized tensor stand for real numbers: torch.qscheme and its values."""

from __future__ import annotations

from typing import Any


class qscheme:
    """A way of quantizing: ``per_tensor_affine`` and its relatives, the only instances."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return by_name, (self.name,)


per_tensor_affine, per_tensor_symmetric, per_channel_affine, per_channel_symmetric, per_channel_affine_float_qparams = (
    qscheme(n) for n in ("per_tensor_affine", "per_tensor_symmetric", "per_channel_affine", "per_channel_symmetric",
                         "per_channel_affine_float_qparams"))
ALL = {s.name: s for s in (per_tensor_affine, per_tensor_symmetric, per_channel_affine, per_channel_symmetric,
                           per_channel_affine_float_qparams)}


def by_name(name: str) -> qscheme:
    """The scheme of that name; KeyError where there is none."""
    return ALL[name]
