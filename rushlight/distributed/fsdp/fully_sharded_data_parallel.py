"""FullyShardedDataParallel: a wrapper that keeps a piece of a module's parameters on each rank
(torch.distributed.fsdp)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from rushlight.autograd.grad_mode import no_grad
from rushlight.distributed.collectives import _array
from rushlight.distributed.fsdp import api, state_dicts
from rushlight.distributed.fsdp.api import *  # noqa: F403
from rushlight.distributed.fsdp.api import BackwardPrefetch, CPUOffload, MixedPrecision, ShardingStrategy
from rushlight.distributed.fsdp.construct import (
    HYBRID,
    FlatParameter,
    add_norm,
    check_options,
    clean,
    collect,
    groups_of,
    ignored_of,
    local_norm,
    over_ranks,
    own_modules,
    same_everywhere,
)
from rushlight.distributed.fsdp.slots import Slot
from rushlight.distributed.fsdp.state_dicts import FLAT
from rushlight.distributed.fsdp.unit import Unit, cast_floats
from rushlight.distributed.fsdp.saving import Saving
from rushlight.distributed.fsdp.wrap import CustomPolicy, ModuleWrapPolicy, wrap_by_policy
from rushlight.distributed.fsdp.wrapper import Wrapper
from rushlight.nn.parameter import Parameter
from rushlight.tensor.core import wrap

INNER = "_fsdp_wrapped_module"
KEEPS = (ShardingStrategy.SHARD_GRAD_OP, ShardingStrategy._HYBRID_SHARD_ZERO2, ShardingStrategy.NO_SHARD)


class FullyShardedDataParallel(Saving, Wrapper):
    """``module`` on this rank's part of each batch, with each parameter's values spread over the ranks.

    Before forward, and before backward, the whole parameters are gathered; afterwards gradients are averaged over the
    ranks and each keeps its piece, and the optimizer works on pieces. Submodules wrapped before, or by
    ``auto_wrap_policy``, are units of their own, so that only one unit's parameters are whole at a time. All ranks
    must make, call and save the module together.

    With ``use_orig_params`` parameters() gives this rank's piece of each parameter (possibly empty), without it one
    flat parameter per unit. ``param_init_fn`` is for modules on the meta device, which is not there.
    ``backward_prefetch``, ``forward_prefetch`` and ``limit_all_gathers`` order PyTorch's streams and change nothing
    here. ValueError for devices other than the CPU and for groups that do not fit the strategy.
    """

    def __init__(
        self,
        module: Any,
        process_group: Any = None,
        sharding_strategy: ShardingStrategy | None = None,
        cpu_offload: CPUOffload | None = None,
        auto_wrap_policy: Any = None,
        backward_prefetch: BackwardPrefetch | None = BackwardPrefetch.BACKWARD_PRE,
        mixed_precision: MixedPrecision | None = None,
        ignored_modules: Iterable[Any] | None = None,
        param_init_fn: Callable[[Any], None] | None = None,
        device_id: Any = None,
        sync_module_states: bool = False,
        forward_prefetch: bool = False,
        limit_all_gathers: bool = True,
        use_orig_params: bool = False,
        ignored_states: Iterable[Any] | None = None,
        device_mesh: Any = None,
    ):
        super().__init__()
        check_options(process_group, device_mesh, device_id, mixed_precision, ignored_modules, ignored_states)
        self.sharding_strategy = sharding_strategy or ShardingStrategy.FULL_SHARD
        self.process_group, self._replicas, self._device_mesh = groups_of(
            process_group, device_mesh, self.sharding_strategy
        )
        self.cpu_offload, self.mixed_precision = cpu_offload or CPUOffload(), mixed_precision or MixedPrecision()
        self.backward_prefetch, self._use_orig_params = backward_prefetch, use_orig_params
        ignored = ignored_of(ignored_modules, ignored_states)
        if auto_wrap_policy is not None:
            inner = dict(
                process_group=process_group,
                sharding_strategy=sharding_strategy,
                cpu_offload=cpu_offload,
                backward_prefetch=backward_prefetch,
                mixed_precision=mixed_precision,
                param_init_fn=param_init_fn,
                device_id=device_id,
                sync_module_states=sync_module_states,
                use_orig_params=use_orig_params,
                ignored_states=list(ignored[1]) or None,
                device_mesh=device_mesh,
            )
            wrap_by_policy(module, auto_wrap_policy, FullyShardedDataParallel, *ignored, inner)
        if sync_module_states:
            same_everywhere(module, FullyShardedDataParallel, self.process_group, self._replicas)
        self._fsdp_wrapped_module = module
        self._is_root: bool | None = None
        self._summoned = False
        self._state_dict_type, self._state_dict_config, self._optim_state_dict_config = (
            StateDictType.FULL_STATE_DICT,
            FullStateDictConfig(),
            FullOptimStateDictConfig(),
        )
        self.__dict__["_unit"] = self._make_unit(module, *ignored)
        self._mixed(module)
        self._register_state_dict_hook(state_dicts.after_saving)
        self.register_load_state_dict_pre_hook(state_dicts.before_loading)

    # --- making ---------------------------------------------------------------------------------------------------
    def _make_unit(self, module: Any, ignored_modules: set[Any], ignored_params: set[Any]) -> Unit | None:
        keep = (
            tuple(self.mixed_precision._module_classes_to_ignore)
            if self.mixed_precision.param_dtype is not None
            else ()
        )
        slots, originals = collect(module, FullyShardedDataParallel, ignored_modules, ignored_params, keep)
        if not slots:
            return None
        flat = not self._use_orig_params
        if flat and len({s.requires_grad for s in slots}) > 1:
            raise ValueError("Must flatten tensors with uniform `requires_grad` when `use_orig_params=False`")
        if flat and len({s.dtype.name for s in slots}) > 1:
            raise ValueError(
                "Must flatten tensors with uniform dtype but got "
                + " and ".join(sorted({f"torch.{s.dtype.name}" for s in slots}))
            )
        sharded = self.process_group if self.sharding_strategy is not ShardingStrategy.NO_SHARD else None
        copies = self._replicas if sharded is not None else self.process_group
        reduce_dtype = self.mixed_precision.reduce_dtype
        unit = Unit(
            slots, sharded, copies, flat=flat, param_dtype=self.mixed_precision.param_dtype, reduce_dtype=reduce_dtype
        )
        unit.reshard_after_forward = self.sharding_strategy not in KEEPS

        def leaf(slot: Slot | None, piece: Any) -> Any:
            return (
                FlatParameter(piece, slots[0].requires_grad) if slot is None else Parameter(piece, slot.requires_grad)
            )

        unit.adopt([_array(p) for p in originals], leaf)
        for s, original in zip(slots, originals):
            for m, name in s.owners:
                if flat:
                    del m._parameters[name]
            if not flat:
                unit.leaves[slots.index(s)].__dict__.update(
                    {k: v for k, v in original.__dict__.items() if not k.startswith("_") and k != "grad"}
                )
            original.__dict__["_fsdp_sharded"] = True
        if flat:
            module._parameters[FLAT] = unit.leaves[0]
        unit.hide()
        return unit

    def _mixed(self, module: Any) -> None:
        """Buffers in their dtype, and the modules that keep their own."""
        mp = self.mixed_precision
        keep: tuple[type[Any], ...] = tuple(mp._module_classes_to_ignore)
        modules: list[Any] = own_modules(module, FullyShardedDataParallel)
        for m in modules:
            if mp.buffer_dtype is not None and not isinstance(m, keep):
                for name, b in m._buffers.items():
                    if b is not None and b.dtype.is_floating_point:
                        m._buffers[name] = b.to(mp.buffer_dtype)
            if mp.param_dtype is not None and isinstance(m, keep):
                own = next((p.dtype for p in m._parameters.values() if p is not None), None) or next(
                    (b.dtype for b in m._buffers.values() if b is not None and b.dtype.is_floating_point), None
                )
                if own is not None:
                    m.register_forward_pre_hook(lambda mod, args, own=own: cast_floats(args, own))
                    m.register_forward_hook(lambda mod, args, out: cast_floats(out, mp.param_dtype))

    @property
    def module(self) -> Any:
        """The wrapped module."""
        return self._fsdp_wrapped_module

    @property
    def _flat_param(self) -> Any:
        """This rank's flat parameter, None with use_orig_params or without parameters of its own."""
        return self._unit.leaves[0] if self._unit is not None and self._unit.flat else None

    @property
    def _has_params(self) -> bool:
        return self._unit is not None

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == INNER or INNER not in self.__dict__.get("_modules", ()):
                raise
            return getattr(self._fsdp_wrapped_module, name)

    def __getitem__(self, key: int) -> Any:
        container: Any = self._fsdp_wrapped_module
        return container[key]

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError(
            "FullyShardedDataParallel cannot be copied: "
            "copy the module before wrapping it, or save and load its state_dict"
        )

    def check_is_root(self) -> bool:
        """Whether no other unit contains this one: known once forward has run, or a whole-model method was called."""
        self._find_root()
        return bool(self._is_root)

    def _find_root(self) -> None:
        """The outermost unit is the root: its parameters stay whole until backward, which needs them first."""
        if self._is_root is None:
            for m in self.fsdp_modules(self):
                m._is_root = m is self
            if self._unit is not None:
                self._unit.reshard_after_forward = False

    # --- computing ------------------------------------------------------------------------------------------------
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's forward on whole parameters."""
        self._find_root()
        mp, unit = self.mixed_precision, self._unit
        if mp.param_dtype is not None and (mp.cast_root_forward_inputs if self._is_root else mp.cast_forward_inputs):
            args, kwargs = cast_floats(args, mp.param_dtype), cast_floats(kwargs, mp.param_dtype)
        if unit is None or self._summoned:
            return self._fsdp_wrapped_module(*args, **kwargs)
        unit.unshard()
        try:
            out = self._fsdp_wrapped_module(*args, **kwargs)
        except BaseException:
            unit.hide()
            raise
        unit.forward_ended(out)
        return out

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """In the block, backward passes keep whole gradients on each rank;
        the first one after it averages what has accumulated."""
        units = [m._unit for m in self.fsdp_modules(self) if m._unit is not None]
        before = [u.sync for u in units]
        for u in units:
            u.sync = False
        try:
            yield
        finally:
            for u, b in zip(units, before):
                u.sync = b

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Any:
        """Scale all gradients so that the norm of the whole ones is at most max_norm; that norm. Every rank must call
        it on the root.

        RuntimeError on a unit that is not the root.
        """
        if not self.check_is_root():
            raise RuntimeError("`clip_grad_norm_()` should only be called on the root FSDP instance")
        norm_type, sums = float(norm_type), 0.0
        grads: list[Any] = []
        known: set[int] = set()
        for m in self.fsdp_modules(self):
            mine = [] if m._unit is None else [g for leaf in m._unit.leaves if (g := leaf.grad) is not None]
            grads += mine
            known.update(id(leaf) for leaf in (m._unit.leaves if m._unit is not None else ()))
            if m._unit is not None:
                sums = add_norm(
                    sums, over_ranks(local_norm(mine, norm_type), m._unit.shard_group, norm_type), norm_type
                )
        outside = [p.grad for p in self.parameters() if p.grad is not None and id(p) not in known]
        total = add_norm(sums, local_norm(outside, norm_type), norm_type)
        total = total if norm_type == float("inf") else total ** (1 / norm_type)
        scale = min(1.0, float(max_norm) / (total + 1e-6))
        with no_grad():
            for g in (*grads, *outside):
                g.mul_(scale)
        return wrap(np.array(total, np.float32))

    def register_comm_hook(self, state: Any, hook: Callable[..., Any]) -> None:
        """Let a hook reduce gradients: hook(state, gradient) in place for NO_SHARD, else hook(state, gradient, output
        piece), both flat.

        AssertionError on a unit that is not the root or has a hook, for hybrid strategies.
        """
        if not self.check_is_root():
            raise AssertionError("register_comm_hook can only be called on a root instance.")
        for m in self.fsdp_modules(self):
            if m.sharding_strategy in HYBRID:
                raise AssertionError(
                    f"Communication hook is not supported for hybrid strategies: {m.sharding_strategy}"
                )
            if m._unit is not None:
                if m._unit.hook is not None:
                    raise AssertionError("A communication hook is already registered")
                m._unit.hook = (state, hook)

    # --- names ----------------------------------------------------------------------------------------------------
    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """The parameters with their names: without the wrappers where the parameters are the original ones."""
        for name, p in super().named_parameters(*args, **kwargs):
            if self._use_orig_params or self._summoned:
                name = name.replace(f"{INNER}.", "")
            yield name, p

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """The buffers with their names."""
        for name, b in super().named_buffers(*args, **kwargs):
            if self._use_orig_params or self._summoned:
                name = name.replace(f"{INNER}.", "")
            yield name, b

    def apply(self, fn: Callable[[Any], None]) -> Any:
        """Call fn(module) for every module with whole parameters in place; what it changes is kept."""
        if self._summoned:
            return super().apply(fn)
        with self.summon_full_params(self, recurse=True, writeback=True):
            return super().apply(fn)

__all__ = [*api.__all__, "CustomPolicy", "FlatParameter", "FullyShardedDataParallel", "ModuleWrapPolicy", "clean"]
