"""A wrapped module whose parameters can be made whole for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from rushlight.distributed.collectives import _array
from rushlight.distributed.fsdp.construct import unit_write
from rushlight.distributed.fsdp.state_dicts import FLAT
from rushlight.nn.modules.module import Module
from rushlight.nn.parameter import Parameter
from rushlight.tensor.core import wrap


class Wrapper(Module):
    """What FullyShardedDataParallel is apart from computing and saving:
    units among modules, and their whole parameters."""

    _unit: Any
    _use_orig_params: bool
    _summoned: bool
    _fsdp_wrapped_module: Module

    @staticmethod
    def fsdp_modules(module: Any, root_only: bool = False) -> list[Any]:
        """All units in a module, itself included; with root_only those that no other unit contains."""
        found = [m for m in module.modules() if isinstance(m, Wrapper)]
        if root_only:
            inner = {id(x) for m in found for x in m.modules() if x is not m}
            found = [m for m in found if id(m) not in inner]
        return found

    @staticmethod
    @contextlib.contextmanager
    def summon_full_params(
        module: Any,
        recurse: bool = True,
        writeback: bool = True,
        rank0_only: bool = False,
        offload_to_cpu: bool = False,
        with_grads: bool = False,
    ) -> Iterator[None]:
        """In the block, the module's parameters are whole, under their own names;
        what is written to them is kept (``writeback``).

        ``rank0_only``: on the other ranks they stay pieces. ``with_grads``: with whole gradients (only for
        use_orig_params, as in PyTorch).
        All ranks must enter it. Not within forward or backward.
        """
        if rank0_only and writeback:
            raise NotImplementedError("writeback=True and rank0_only=True is not supported yet.")
        units = [m for m in Wrapper.fsdp_modules(module) if recurse or m is module]
        if with_grads and any(not m._use_orig_params for m in units):
            raise NotImplementedError("with_grads=True requires use_orig_params=True")
        shown = [(m, m._summon(rank0_only, with_grads)) for m in units if m._unit is not None]
        roots = [m for m in Wrapper.fsdp_modules(module)]
        for m in roots:
            m._summoned = True
        try:
            yield
        finally:
            for m in roots:
                m._summoned = False
            for m, whole in shown:
                m._unsummon(whole, writeback, with_grads)

    def _summon(self, rank0_only: bool, with_grads: bool) -> list[Any] | None:
        unit = self._unit
        if unit.shown is not None:
            raise AssertionError("Cannot manually unshard parameters during forward/backward")
        whole = [Parameter(wrap(a), s.requires_grad) for s, a in zip(unit.slots, unit.gathered(cast=False))]
        if with_grads:
            import rushlight as rl

            have = [leaf.grad if leaf.grad is not None else rl.zeros_like(leaf) for leaf in unit.leaves]
            for p, s, g, leaf in zip(whole, unit.slots, unit.gathered(have, cast=False), unit.leaves):
                p.grad = wrap(g) if s.requires_grad and (leaf.grad is not None or not leaf.numel()) else None
        if rank0_only and unit.rank != 0:
            return None
        if unit.flat:
            self._fsdp_wrapped_module._parameters.pop(FLAT, None)
        for s, p in zip(unit.slots, whole):
            for m, name in s.owners:
                m.__dict__.pop(name, None)
                m._parameters[name] = p
        return whole

    def _unsummon(self, whole: list[Any] | None, writeback: bool, with_grads: bool) -> None:
        unit = self._unit
        if whole is None:
            return
        if writeback:
            now = [s.owners[0][0]._parameters[s.owners[0][1]] for s in unit.slots]
            unit_write(unit, [_array(p) for p in now])
            if with_grads:
                for j, (s, p) in enumerate(zip(unit.slots, now)):
                    piece = None if p.grad is None else unit.layout.piece(s, _array(p.grad), unit.rank)
                    if piece is not None and piece.size:
                        unit.leaves[j].grad = wrap(np.array(piece).reshape(unit.layout.shape(s, unit.rank)))
        if unit.flat:
            for s in unit.slots:
                for m, name in s.owners:
                    m._parameters.pop(name, None)
            self._fsdp_wrapped_module._parameters[FLAT] = unit.leaves[0]
        unit.hide()
