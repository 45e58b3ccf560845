"""fully_shard: a module's parameters become DTensors that are whole only while it computes
(torch.distributed.fsdp.fully_shard)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

from rushlight.distributed import groups
from rushlight.distributed.collectives import _array
from rushlight.distributed.device_mesh import DeviceMesh, init_device_mesh
from rushlight.distributed.fsdp.construct import clean
from rushlight.distributed.fsdp.slots import Slot
from rushlight.distributed.fsdp.unit import Unit, cast_floats, watch
from rushlight.distributed.tensor.dtensor import DTensor, make
from rushlight.distributed.tensor.placement import Placement, Replicate, Shard, StridedShard
from rushlight.nn import Module
from rushlight.nn.parameter import Parameter
from rushlight.tensor.state import state


@dataclasses.dataclass(frozen=True)
class MixedPrecisionPolicy:
    """Dtypes: of whole parameters and computation, of the gradients' reduction, of outputs;
    whether inputs are cast to ``param_dtype``."""

    param_dtype: Any = None
    reduce_dtype: Any = None
    output_dtype: Any = None
    cast_forward_inputs: bool = True


@dataclasses.dataclass
class OffloadPolicy:
    """Parameters stay where they are computed with."""


@dataclasses.dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Parameters live on the CPU: here they always do. ``pin_memory`` is about
    copies to devices, of which there are none."""

    pin_memory: bool = True


class UnshardHandle:
    """What ``unshard(async_op=True)`` returns."""

    def wait(self) -> None:
        """The parameters are whole already."""


class ModuleState:
    """What fully_shard knows of a module."""

    def __init__(self, modules: list[Any], unit: Unit | None, policy: MixedPrecisionPolicy, reshard: bool | None):
        self.modules, self.unit, self.policy, self.reshard = modules, unit, policy, reshard
        self.is_root: bool | None = None
        self.held = False  # by unshard()
        self.pending: set[int] = set()

    def before(self, module: Any, args: Any, kwargs: Any) -> Any:
        """Before forward: whole parameters."""
        if self.is_root is None:
            self._find_root()
        if self.unit is not None and not self.pending:
            if self.unit.shown is not None and not self.held:
                self.unit.hide()  # a forward that failed has left them
            self.unit.unshard()
        if not self.pending:
            self.pending = {id(m) for m in self.modules}
        if self.policy.param_dtype is not None and self.policy.cast_forward_inputs:
            return cast_floats(args, self.policy.param_dtype), cast_floats(kwargs, self.policy.param_dtype)
        return args, kwargs

    def after(self, module: Any, args: Any, out: Any) -> Any:
        """After forward of the last of the modules: pieces again."""
        if self.policy.output_dtype is not None:
            out = cast_floats(out, self.policy.output_dtype)
        self.pending.discard(id(module))
        if self.unit is not None:
            if self.pending and state.grad and self.unit.shown is not None:
                watch(out, self.unit.shown)
            elif not self.pending:
                self.held = False
                self.unit.forward_ended(out)
        return out

    def _find_root(self) -> None:
        """The first module whose forward runs is the root: its parameters stay
        whole until backward unless told otherwise."""
        for m in self.modules:
            for inner in m.modules():
                found = inner.__dict__.get("_fsdp_state")
                if found is not None and found is not self and found.is_root is None:
                    found.is_root = False
        self.is_root = True
        if self.unit is not None and self.reshard is None:
            self.unit.reshard_after_forward = False


class FSDPModule:
    """What modules become a subclass of by `fully_shard`."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        plain: Any = cls.__mro__[2]  # a slice of a container is a container, not a sharded one
        out = plain.__new__(plain)
        plain.__init__(out, *args, **kwargs)
        return out

    def _get_fsdp_state(self) -> ModuleState:
        return self.__dict__["_fsdp_state"]  # type: ignore[no-any-return]

    def _reached(self, recurse: bool) -> list[Any]:
        module: Any = self
        return list(module.modules()) if recurse else [module]

    def _units(self, recurse: bool = True) -> list[Unit]:
        found = [
            m.__dict__["_fsdp_state"].unit
            for m in self._reached(recurse)
            if "_fsdp_state" in m.__dict__
        ]
        return list(dict.fromkeys(u for u in found if u is not None))

    def unshard(self, async_op: bool = False) -> UnshardHandle | None:
        """Gather this module's own parameters now; `reshard` or the next forward's end gives them up."""
        own = self._get_fsdp_state()
        if own.unit is not None:
            own.unit.unshard()
            own.held = True
        return UnshardHandle() if async_op else None

    def reshard(self) -> None:
        """Give the whole parameters up."""
        own = self._get_fsdp_state()
        if own.unit is not None and own.unit.shown is not None:
            use = own.unit.shown
            own.held = False
            own.unit.hide()
            use.release()

    def set_requires_gradient_sync(self, requires_gradient_sync: bool, *, recurse: bool = True) -> None:
        """Whether backward reduces gradients; while not, whole gradients accumulate on each rank."""
        for u in self._units(recurse):
            u.sync = requires_gradient_sync

    def set_requires_all_reduce(self, requires_all_reduce: bool, *, recurse: bool = True) -> None:
        """Whether backward also reduces over replicas: only True. Use set_requires_gradient_sync for accumulation."""
        if not requires_all_reduce and any(u.copies > 1 for u in self._units(recurse)):
            raise NotImplementedError(
                "set_requires_all_reduce(False) is not there; accumulate with set_requires_gradient_sync(False)"
            )

    def set_reshard_after_forward(self, reshard_after_forward: bool, recurse: bool = True) -> None:
        """Whether whole parameters are given up between forward and backward."""
        for m in self._reached(recurse):
            if "_fsdp_state" in m.__dict__:
                m._fsdp_state.reshard = reshard_after_forward
        for u in self._units(recurse):
            u.reshard_after_forward = reshard_after_forward

    def set_reshard_after_backward(self, reshard_after_backward: bool, *, recurse: bool = True) -> None:
        """Whether whole parameters are given up after backward."""
        for u in self._units(recurse):
            u.reshard_after_backward = reshard_after_backward

    def set_gradient_divide_factor(self, factor: float) -> None:
        """Divide gradients' sums by this instead of the number of ranks."""
        for u in self._units(False):
            u.divide = float(factor)

    set_reduce_scatter_divide_factor = set_gradient_divide_factor

    def set_is_last_backward(self, is_last_backward: bool) -> None:
        """Accepted: nothing waits here."""

    def set_modules_to_forward_prefetch(self, modules: list[Any]) -> None:
        """Accepted: units are gathered when they are needed."""

    def set_modules_to_backward_prefetch(self, modules: list[Any]) -> None:
        """Accepted: units are gathered when they are needed."""

    def set_post_optim_event(self, event: Any) -> None:
        """Accepted: there are no streams."""

    def set_unshard_in_backward(self, unshard_in_backward: bool) -> None:
        """Only True: a unit is gathered when a gradient reaches it, and only then."""
        if not unshard_in_backward:
            raise NotImplementedError("set_unshard_in_backward(False) is not there")

    def set_all_reduce_hook(self, hook: Any, *, stream: Any = None) -> None:
        """Not there."""
        raise NotImplementedError("set_all_reduce_hook is not there: gradients are reduced over replicas by the sum")

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.reshard()
        return super()._apply(*args, **kwargs)  # type: ignore[misc]

    def __deepcopy__(self, memo: Any) -> Any:
        raise AssertionError("FSDP does not support deepcopy. Please use state dict for serialization.")


@functools.cache
def _sharded_class(plain: type) -> type:
    return type(f"FSDP{plain.__name__}", (FSDPModule, plain), {})


def fully_shard(
    module: Any,
    *,
    mesh: DeviceMesh | None = None,
    reshard_after_forward: bool | int | None = None,
    shard_placement_fn: Callable[[Any], Shard | None] | None = None,
    mp_policy: MixedPrecisionPolicy | None = None,
    offload_policy: OffloadPolicy | None = None,
    ignored_params: set[Any] | None = None,
) -> Any:
    """Cut, in place, the parameters of a module that no inner `fully_shard` has cut: apply it to the inner modules
    first, then to the root.

    Each becomes a DTensor cut along dimension 0 (``shard_placement_fn(param)``: along another) of the mesh
    (one dimension; two: the first replicates). Optimizers are made afterwards. ``reshard_after_forward``:
    give whole parameters up until backward (by default all but the root do). A list of modules is one unit.
    Returns the module, whose class is now also an `FSDPModule`.
    """
    modules = list(module) if isinstance(module, (list, tuple)) else [module]
    for m in modules:
        if not isinstance(m, Module):
            raise ValueError(f"fully_shard expects nn.Module(s), got {type(m).__name__}")
        if type(m).forward is Module.forward:
            raise ValueError(f"fully_shard does not support containers that do not implement forward: {m}")
        if "_fsdp_state" in m.__dict__:
            raise AssertionError(
                "Each distinct composable distributed API can only be applied to a module once: fully_shard was "
                "applied to it already"
            )
    if reshard_after_forward is not None and not isinstance(reshard_after_forward, bool):
        raise NotImplementedError(
            "fully_shard(reshard_after_forward=<int>): resharding to fewer ranks is not there; give True or False"
        )
    mesh = mesh or init_device_mesh("cpu", (groups.get_world_size(),))
    if mesh.ndim not in (1, 2):
        raise ValueError(f"fully_shard expects a 1D or 2D DeviceMesh but got {mesh}")
    policy = mp_policy or MixedPrecisionPolicy()
    unit = _unit(modules, mesh, ignored_params or set(), shard_placement_fn, policy)
    if unit is not None:
        unit.reshard_after_forward = True if reshard_after_forward is None else bool(reshard_after_forward)
    own = ModuleState(modules, unit, policy, reshard_after_forward)
    for m in modules:
        m.__dict__["_fsdp_state"] = own
        m.register_forward_pre_hook(own.before, prepend=True, with_kwargs=True)
        m.register_forward_hook(own.after)
        kind: Any = type(m)
        m.__class__ = _sharded_class(kind)
    return module


def _own(modules: list[Any]) -> list[Any]:
    """The modules and their submodules, without those that are units already."""
    out, stack, seen = [], list(reversed(modules)), set()
    while stack:
        m = stack.pop()
        if id(m) in seen or "_fsdp_state" in m.__dict__:
            continue
        seen.add(id(m))
        out.append(m)
        stack += [c for c in reversed(list(m._modules.values())) if c is not None]
    return out


def _unit(
    modules: list[Any],
    mesh: DeviceMesh,
    ignored: set[Any],
    choose: Callable[[Any], Shard | None] | None,
    policy: MixedPrecisionPolicy,
) -> Unit | None:
    """The unit of the modules' own parameters, which become DTensors."""
    slots: dict[int, Slot] = {}
    originals: list[Any] = []
    dims: list[int] = []
    paths = {id(m): name for root in modules for name, m in root.named_modules()}
    for m in _own(modules):
        for name, p in m._parameters.items():
            if p is None or p in ignored:
                continue
            path = clean(f"{paths[id(m)]}.{name}" if paths[id(m)] else name)
            if p.__dict__.get("_fsdp_sharded"):
                raise ValueError(
                    f"parameter {path} is shared with a module that is a unit of its own: modules that share "
                    "parameters must lie in one unit"
                )
            if id(p) in slots:
                slots[id(p)].owners.append((m, name))
                continue
            if not p.ndim:
                raise ValueError(
                    "fully_shard doesn't support scalar parameters. "
                    f"Change {path} to a 1D tensor with numel equal to 1."
                )
            local = p._local_tensor if isinstance(p, DTensor) else p
            spread = (p.device_mesh, p.placements, tuple(p.shape)) if isinstance(p, DTensor) else None
            placed = choose(p) if choose is not None else None
            if placed is not None and not isinstance(placed, Shard):
                raise ValueError(f"shard_placement_fn must return a Shard or None, got {placed!r}")
            slots[id(p)] = Slot([(m, name)], path, tuple(local.shape), p.dtype, p.requires_grad, spread=spread)
            originals.append(p)
            dims.append(placed.dim % p.ndim if placed is not None else 0)
    if not slots:
        return None
    found = list(slots.values())
    unit = Unit(
        found,
        mesh.get_group(mesh.ndim - 1),
        mesh.get_group(0) if mesh.ndim == 2 else None,
        dims=dims,
        param_dtype=policy.param_dtype,
        reduce_dtype=policy.reduce_dtype,
    )

    def leaf(slot: Slot | None, piece: Any) -> Any:
        assert slot is not None
        return Parameter(_distributed(slot, piece, mesh, unit.layout.dim(slot)), slot.requires_grad)

    unit.adopt([_array(p._local_tensor if isinstance(p, DTensor) else p) for p in originals], leaf)
    for p, new in zip(originals, unit.leaves):
        new.__dict__.update({k: v for k, v in p.__dict__.items() if not k.startswith("_") and k != "grad"})
        p.__dict__["_fsdp_sharded"] = new.__dict__["_fsdp_sharded"] = True
    unit.hide()
    return unit


def _distributed(slot: Slot, piece: Any, mesh: DeviceMesh, dim: int) -> DTensor:
    """A piece as a DTensor over the mesh, and over that of tensor parallelism where the parameter has one."""
    mine: tuple[Placement, ...] = (Replicate(), Shard(dim)) if mesh.ndim == 2 else (Shard(dim),)
    if slot.spread is None:
        return make(piece, mesh, mine, slot.shape)
    other, placements, shape = slot.spread
    root = mesh._root or mesh
    if (other._root or other) is not root or mesh.mesh_dim_names is None or other.mesh_dim_names is None:
        raise ValueError(
            f"fully_shard of a parameter that is spread over {other}: both meshes must be slices of one mesh with "
            f"names, got {mesh}"
        )
    if any(isinstance(p, Shard) and p.dim == dim for p in placements):  # it was cut by the other mesh first
        cut = 1
        for n, p in zip(other.shape, placements):
            cut *= n if isinstance(p, Shard) and p.dim == dim else 1
        mine = (*mine[:-1], StridedShard(dim, split_factor=cut))
    return make(piece, root[(*mesh.mesh_dim_names, *other.mesh_dim_names)], (*mine, *placements), shape)


def register_fsdp_forward_method(module: Any, method_name: str) -> None:
    """Let another method of a sharded module, as ``generate``, run on whole parameters
    as forward does. Nothing for other modules."""
    own = module.__dict__.get("_fsdp_state")
    if own is None:
        return
    if not hasattr(module, method_name):
        raise ValueError(f"{type(module)} does not have a method {method_name}")
    plain = getattr(type(module), method_name)

    @functools.wraps(plain)
    def method(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = own.before(module, args, kwargs)
        return own.after(module, args, plain(module, *args, **kwargs))

    module.__dict__[method_name] = method


def share_comm_ctx(modules: Iterable[Any]) -> None:
    """Accepted: there are no streams to share."""
