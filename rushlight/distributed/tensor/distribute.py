"""Plain tensors and modules made distributed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rushlight.distributed import exchange
from rushlight.distributed.device_mesh import DeviceMesh, current_mesh
from rushlight.distributed.tensor.dtensor import DTensor, make, without_grad
from rushlight.distributed.tensor.move import pieces
from rushlight.distributed.tensor.placement import Partial, Placement, Replicate, Shard, normal


def distribute_tensor(
    tensor: Any,
    device_mesh: DeviceMesh | None = None,
    placements: Sequence[Placement] | None = None,
    *,
    src_data_rank: int | None = 0,
) -> DTensor:
    """A leaf tensor, the same shape on every rank, spread over a mesh: its values are those of the member
    ``src_data_rank`` of each group.

    With None every rank cuts its piece out of its own values and nothing moves. RuntimeError for a tensor with history,
    ValueError for a DTensor with other placements. A Parameter becomes a Parameter.
    """
    from rushlight.nn.parameter import Parameter

    mesh = device_mesh or current_mesh()
    chosen = normal(placements, mesh, tensor.ndim)
    if isinstance(tensor, DTensor):
        if tensor.device_mesh != mesh:
            raise ValueError(
                f"Cannot distribute a DTensor with device mesh {tensor.device_mesh} to a different device mesh {mesh}."
            )
        if tensor.placements != chosen:
            raise ValueError(
                f"Cannot distribute a DTensor with placements {tensor.placements} to a different placements "
                f"{list(chosen)}. do you want to call `redistribute` instead?"
            )
        return tensor
    if not tensor.is_leaf:
        raise RuntimeError("`distribute_tensor` should be used to distribute leaf tensors! but found non-leaf tensor!")
    with without_grad():
        t = tensor.detach()
        for d, p in enumerate(chosen):
            t = _spread(t, mesh.get_group(d), p, src_data_rank)
        if t._storage is tensor._storage:
            t = t.clone()
    out = make(t.requires_grad_(tensor.requires_grad), mesh, chosen, tuple(tensor.shape))
    if isinstance(tensor, Parameter):
        out = Parameter(out, tensor.requires_grad)
    return out


def _spread(t: Any, g: Any, p: Placement, source: int | None) -> Any:
    """One dimension of the mesh's share of distributing."""
    if isinstance(p, Shard):
        parts = pieces(t, g.size(), p.dim)
        part = parts[g.rank()] if source is None or g.size() == 1 else exchange.scattered(parts, t.dtype, g, source)
        return part.contiguous()
    if isinstance(p, Partial):
        whole = t if source is None else exchange.from_member(t, g, source)
        if p.reduce_op == "sum":
            return whole / g.size()
        return whole
    return t if source is None or g.size() == 1 else exchange.from_member(t, g, source)


def distribute_module(
    module: Any,
    device_mesh: DeviceMesh | None = None,
    partition_fn: Callable[..., None] | None = None,
    input_fn: Callable[..., Any] | None = None,
    output_fn: Callable[..., Any] | None = None,
) -> Any:
    """Make the parameters and buffers of a module DTensors: by ``partition_fn(name,
    submodule, mesh)`` where given, replicated otherwise.

    ``input_fn(module, inputs, mesh)`` and ``output_fn(module, outputs, mesh)`` run before and after forward.
    RuntimeError the second time.
    """
    mesh = device_mesh or current_mesh()
    if module.__dict__.get("_distribute_module_applied"):
        raise RuntimeError(
            "distribute_module should only be called once on a module, but it has already been called on this module!"
        )
    for name, sub in module.named_modules():
        if partition_fn is not None:
            partition_fn(name, sub, mesh)
        for key, p in list(sub._parameters.items()):
            if p is not None and not isinstance(p, DTensor):
                sub.register_parameter(key, distribute_tensor(p, mesh, [Replicate()] * mesh.ndim))
        for key, b in list(sub._buffers.items()):
            if b is not None and not isinstance(b, DTensor):
                sub._buffers[key] = distribute_tensor(b, mesh, [Replicate()] * mesh.ndim)
    if input_fn is not None:
        module.register_forward_pre_hook(lambda mod, inputs: input_fn(mod, inputs, mesh))
    if output_fn is not None:
        module.register_forward_hook(lambda mod, inputs, outputs: output_fn(mod, outputs, mesh))
    module.__dict__["_distribute_module_applied"] = True
    return module
