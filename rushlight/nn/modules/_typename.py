"""Names of types as PyTorch's error texts spell them."""

from __future__ import annotations

from rushlight.tensor.core import Tensor


def typename(value: object) -> str:
    """``torch.FloatTensor`` for a tensor, ``int`` for 3, ``package.Class`` for other objects."""
    if isinstance(value, Tensor):
        return value.type()
    home = value if hasattr(value, "__qualname__") else type(value)
    module = getattr(home, "__module__", None)
    return home.__qualname__ if module in (None, "builtins") else f"{module}.{home.__qualname__}"
