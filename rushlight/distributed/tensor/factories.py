"""New DTensors: each rank makes its piece only, except of random numbers, which are those of the whole in one
process."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.device_mesh import current_mesh
from rushlight.distributed.tensor.dtensor import DTensor, make
from rushlight.distributed.tensor.layout import local_box
from rushlight.distributed.tensor.move import redistribute
from rushlight.distributed.tensor.placement import Partial, Replicate, normal


def _made(name: str, size: Any, options: dict[str, Any], device_mesh: Any, placements: Any, *values: Any) -> DTensor:
    import rushlight as rl

    shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else tuple(size)
    mesh = device_mesh or current_mesh()
    chosen = normal(placements, mesh, len(shape))
    if any(isinstance(p, Partial) for p in chosen):
        raise ValueError(f"torch.distributed.tensor.{name}: placements must be Shard or Replicate, got {chosen}")
    gradients = options.pop("requires_grad", False)
    options = {k: v for k, v in options.items() if v is not None}
    if name in ("rand", "randn"):
        local = redistribute(getattr(rl, name)(shape, **options), mesh, (Replicate(),) * mesh.ndim, chosen)
    else:
        local = getattr(rl, name)(local_box(shape, mesh, chosen)[0], *values, **options)
    return make(local.requires_grad_(gradients), mesh, chosen, shape)


def zeros(
    *size: Any,
    requires_grad: bool = False,
    dtype: Any = None,
    layout: Any = None,
    device_mesh: Any = None,
    placements: Any = None,
) -> DTensor:
    """Zeros of the whole shape ``size``."""
    return _made("zeros", size, dict(dtype=dtype, layout=layout, requires_grad=requires_grad), device_mesh, placements)


def ones(
    *size: Any,
    dtype: Any = None,
    layout: Any = None,
    requires_grad: bool = False,
    device_mesh: Any = None,
    placements: Any = None,
) -> DTensor:
    """Ones of the whole shape ``size``."""
    return _made("ones", size, dict(dtype=dtype, layout=layout, requires_grad=requires_grad), device_mesh, placements)


def empty(
    *size: Any,
    dtype: Any = None,
    layout: Any = None,
    requires_grad: bool = False,
    device_mesh: Any = None,
    placements: Any = None,
) -> DTensor:
    """Uninitialised values."""
    return _made("empty", size, dict(dtype=dtype, layout=layout, requires_grad=requires_grad), device_mesh, placements)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    requires_grad: bool = False,
    device_mesh: Any = None,
    placements: Any = None,
) -> DTensor:
    """One number everywhere."""
    return _made(
        "full",
        (size,),
        dict(dtype=dtype, layout=layout, requires_grad=requires_grad),
        device_mesh,
        placements,
        fill_value,
    )


def rand(
    *size: Any,
    requires_grad: bool = False,
    dtype: Any = None,
    layout: Any = None,
    device_mesh: Any = None,
    placements: Any = None,
) -> DTensor:
    """Uniform numbers of [0, 1): the ranks' generators must stand equal (the same `manual_seed`)."""
    return _made("rand", size, dict(dtype=dtype, layout=layout, requires_grad=requires_grad), device_mesh, placements)


def randn(
    *size: Any,
    dtype: Any = None,
    layout: Any = None,
    requires_grad: bool = False,
    device_mesh: Any = None,
    placements: Any = None,
) -> DTensor:
    """Standard normal numbers, under the same condition."""
    return _made("randn", size, dict(dtype=dtype, layout=layout, requires_grad=requires_grad), device_mesh, placements)
