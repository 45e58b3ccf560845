"""torch.autograd.backward and grad of DTensors: those of the pieces."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.tensor.dtensor import DTensor, gradient_placements, make
from rushlight.tensor.core import Tensor


def listed(value: Any) -> list[Any]:
    """One tensor or several as a list."""
    return [value] if isinstance(value, Tensor) or not isinstance(value, (list, tuple)) else list(value)


def among(*values: Any) -> bool:
    """Whether there are DTensors among tensors and lists of tensors."""
    return any(isinstance(t, DTensor) for v in values for t in listed(v))


def local(value: Any) -> Any:
    """The pieces of DTensors, everything else as it is."""
    return None if value is None else [t._local_tensor if isinstance(t, DTensor) else t for t in listed(value)]


def local_gradients(outputs: Any, grads: Any) -> Any:
    """Pieces of given gradients, placed as those of the outputs."""
    if grads is None:
        return None
    return [
        g.placed(gradient_placements(o.placements)) if isinstance(g, DTensor) and isinstance(o, DTensor) else g
        for o, g in zip(listed(outputs), listed(grads))
    ]


def distributed(inputs: Any, found: tuple[Any, ...]) -> tuple[Any, ...]:
    """Gradients of pieces as DTensors, placed as their tensors."""
    return tuple(
        make(g, x.device_mesh, gradient_placements(x.placements), x.shape)
        if g is not None and isinstance(x, DTensor)
        else g
        for x, g in zip(listed(inputs), found)
    )
