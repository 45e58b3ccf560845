"""New DTensors: each rank makes its piece only, except of random numbers,
which are those of the whole in one process."""

from __future__ import annotations

from collections.abc import Callable
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


def _factory(name: str, what: str) -> Callable[..., DTensor]:
    """The factory of that name whose only operands are sizes."""

    def made(
        *size: Any,
        dtype: Any = None,
        layout: Any = None,
        requires_grad: bool = False,
        device_mesh: Any = None,
        placements: Any = None,
    ) -> DTensor:
        return _made(name, size, dict(dtype=dtype, layout=layout, requires_grad=requires_grad), device_mesh, placements)

    made.__name__ = made.__qualname__ = name
    made.__doc__ = what
    return made


zeros = _factory("zeros", "Zeros of the whole shape ``size``.")
ones = _factory("ones", "Ones of the whole shape ``size``.")
empty = _factory("empty", "Uninitialised values of the whole shape ``size``.")
rand = _factory("rand", "Uniform numbers of [0, 1): the ranks' generators must stand equal (the same `manual_seed`).")
randn = _factory("randn", "Standard normal numbers, under the same condition as `rand`'s.")


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
