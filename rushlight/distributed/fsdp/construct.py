"""Parts of FullyShardedDataParallel's constructor: its options, its groups, the parameters that are its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from rushlight.autograd.grad_mode import no_grad
from rushlight.distributed import exchange
from rushlight.distributed.collectives import _array
from rushlight.distributed.fsdp.api import MixedPrecision, ShardingStrategy
from rushlight.distributed.fsdp.slots import Slot
from rushlight.distributed.fsdp.unit import Unit
from rushlight.distributed.groups import ProcessGroup, member
from rushlight.nn import Module
from rushlight.nn.parameter import Parameter
from rushlight.tensor.core import wrap

WRAPPERS = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")
HYBRID = (ShardingStrategy.HYBRID_SHARD, ShardingStrategy._HYBRID_SHARD_ZERO2)


def clean(name: str) -> str:
    """A name without the wrappers around modules."""
    for w in WRAPPERS:
        name = name.replace(w, "")
    return name


class FlatParameter(Parameter):
    """This rank's stretch of all parameters of a unit, laid end to end."""


def check_options(
    group: Any, mesh: Any, device_id: Any, mp: MixedPrecision | None, ignored_modules: Any, ignored_states: Any
) -> None:
    if group is not None and mesh is not None:
        raise ValueError(
            "Cannot pass both process_group and device_mesh at the same time. Please just pass only one of them."
        )
    if device_id is not None and not str(device_id).startswith("cpu"):
        raise ValueError(
            f"FullyShardedDataParallel: there is no device {device_id!r} here; leave device_id out, or give "
            "torch.device('cpu')"
        )
    if mp is not None and mp.keep_low_precision_grads:
        raise NotImplementedError(
            "MixedPrecision(keep_low_precision_grads=True) is not there: a gradient has its parameter's dtype"
        )
    if ignored_modules is not None and ignored_states is not None:
        raise ValueError(
            "Cannot pass both ignored_modules and ignored_states at the same time. Please just pass ignored_states."
        )


def groups_of(group: Any, mesh: Any, strategy: ShardingStrategy) -> tuple[ProcessGroup, ProcessGroup | None, Any]:
    """(the group that shards, the group that replicates, the mesh)."""
    if mesh is not None:
        if strategy in HYBRID:
            if mesh.ndim != 2:
                raise ValueError(f"Expected device_mesh to have ndim=2 but got {mesh.ndim}")
            return mesh.get_group(1), mesh.get_group(0), mesh
        if mesh.ndim != 1:
            raise ValueError(
                f"device_mesh must have one dimension for {strategy}, got {mesh.ndim}: slice it, as in mesh['dp']"
            )
        return mesh.get_group(0), None, mesh
    if strategy in HYBRID:
        if group is None:
            return member(), None, None  # one machine: sharded over all its ranks, replicated across one
        if not isinstance(group, tuple) or len(group) != 2:
            raise ValueError(
                "Expected process_group to be passed in as either None or Tuple[dist.ProcessGroup, "
                f"dist.ProcessGroup] for strategy {strategy}."
            )
        return group[0], group[1], None
    if isinstance(group, tuple):
        raise ValueError(f"a pair of process groups is for hybrid strategies, not for {strategy}")
    return member(group), None, None


def ignored_of(modules: Iterable[Any] | None, states: Iterable[Any] | None) -> tuple[set[Any], set[Any]]:
    """The modules and parameters to leave alone."""
    given = [*(modules or ()), *(states or ())]
    roots = [m for m in given if isinstance(m, Module)]
    params = {p for p in given if isinstance(p, Parameter)} | {p for m in roots for p in m.parameters()}
    return {x for m in roots for x in m.modules()}, params


def own_modules(root: Any, kind: type) -> list[Any]:
    """root and its submodules, without those inside further units."""
    out, stack = [], [root]
    while stack:
        m = stack.pop()
        out.append(m)
        stack += [c for c in reversed(list(m._modules.values())) if c is not None and not isinstance(c, kind)]
    return out


def collect(
    root: Any, kind: type, ignored_modules: set[Any], ignored_params: set[Any], keep: tuple[type, ...] = ()
) -> tuple[list[Slot], list[Any]]:
    """The parameters of a unit: slots in the order of the tree, and the parameters themselves. ValueError for one that
    another unit has taken."""
    slots: dict[int, Slot] = {}
    originals = []
    paths = {id(m): name for name, m in root.named_modules()}
    for m in own_modules(root, kind):
        if m in ignored_modules:
            continue
        for name, p in m._parameters.items():
            if p is None or p in ignored_params or isinstance(p, FlatParameter):
                continue
            path = clean(f"{paths[id(m)]}.{name}" if paths[id(m)] else name)
            if p.__dict__.get("_fsdp_sharded"):
                raise ValueError(
                    f"parameter {path} is shared with a module that is a unit of its own: modules that share "
                    "parameters must lie in one unit, "
                    "so wrap only a module that contains both"
                )
            if id(p) in slots:
                slots[id(p)].owners.append((m, name))
                continue
            slots[id(p)] = Slot([(m, name)], path, tuple(p.shape), p.dtype, p.requires_grad, isinstance(m, keep))
            originals.append(p)
    return list(slots.values()), originals


def same_everywhere(module: Any, kind: type, shards: ProcessGroup, copies: ProcessGroup | None) -> None:
    """Values of the first rank for all."""
    with no_grad():
        for m in own_modules(module, kind):
            for t in (*m._parameters.values(), *m._buffers.values()):
                if t is not None:
                    for g in (shards, copies):
                        if g is not None and g.size() > 1:
                            t.copy_(exchange.from_member(t, g))


def unit_write(unit: Unit, wholes: list[np.ndarray]) -> None:
    """Whole values into the leaves."""
    pieces = [unit.layout.piece(s, w, unit.rank) for s, w in zip(unit.slots, wholes)]
    with no_grad():
        if unit.flat:
            unit.leaves[0].copy_(wrap(np.concatenate(pieces)))
            return
        for j, (s, p) in enumerate(zip(unit.slots, pieces)):
            unit.leaves[j].copy_(wrap(np.array(p).reshape(unit.layout.shape(s, unit.rank))))


# --- norms --------------------------------------------------------------------------------------------------------
def local_norm(grads: list[Any], p: float) -> float:
    """The sum of p-th powers (for infinity the maximum)."""
    arrays = [np.abs(_array(g).astype(np.float64)) for g in grads if g.numel()]
    if p == float("inf"):
        return max((float(a.max()) for a in arrays), default=0.0)
    return float(sum((a**p).sum() for a in arrays))


def over_ranks(value: float, group: Any, p: float) -> float:
    """Over the ranks that hold the pieces."""
    if group is None or group.size() == 1:
        return value
    found = exchange.gather_arrays(np.array([value]), group)
    return float(max(f[0] for f in found)) if p == float("inf") else float(sum(f[0] for f in found))


def add_norm(a: float, b: float, p: float) -> float:
    return max(a, b) if p == float("inf") else a + b
