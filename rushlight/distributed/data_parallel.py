"""DistributedDataParallel: one copy of a module per process, gradients averaged in the backward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rushlight.autograd import engine
from rushlight.autograd.grad_mode import no_grad
from rushlight.distributed.collectives import ReduceOp, all_reduce, broadcast
from rushlight.distributed.groups import get_global_rank, member
from rushlight.nn.modules.module import Module

UNUSED = ("Expected to have finished reduction in the prior iteration before starting a new one. "
          "This error indicates that your module has parameters that were not used in producing loss. "
          "You can enable unused parameter detection by passing the keyword argument `find_unused_parameters=True` "
          "to `torch.nn.parallel.DistributedDataParallel`, and by making sure all `forward` function "
          "outputs participate in calculating loss. Parameters without a gradient: {}.")


class DistributedDataParallel(Module):
    """``module`` on this rank's part of each batch: forward as it is; backward leaves on every rank the gradients' mean
    over all ranks.

    Parameters and buffers start as rank 0's; buffers are broadcast before a forward that follows training (``broadcast_buffers``), in
    evaluation as well.
    Gradients are averaged in one message when a backward pass ends. Parameters that a pass does not reach are an error
    in the next forward, unless ``find_unused_parameters`` (they count as zeros) is set. ``device_ids`` must be None
    here (there are no GPUs); ``bucket_cap_mb``, ``gradient_as_bucket_view`` and ``static_graph`` change how PyTorch
    buckets gradients, not what is computed, and are kept as attributes.
    """

    def __init__(self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
                 broadcast_buffers: bool = True, init_sync: bool = True, process_group: Any = None,
                 bucket_cap_mb: float | None = None, find_unused_parameters: bool = False,
                 check_reduction: bool = False, gradient_as_bucket_view: bool = False, static_graph: bool = False,
                 delay_all_reduce_named_params: Any = None, param_to_hook_all_reduce: Any = None,
                 mixed_precision: Any = None, device_mesh: Any = None, skip_all_reduce_unused_params: bool = False):
        super().__init__()
        if device_mesh is not None:
            if process_group is not None:
                raise RuntimeError("Cannot specify both process_group and device_mesh arguments.")
            if device_mesh.ndim != 1:
                raise RuntimeError(f"Only 1D device mesh is supported, but got {device_mesh}.")
            process_group = device_mesh.get_group(0)
        self.process_group = member(process_group)
        chosen = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        if not chosen:
            raise RuntimeError("DistributedDataParallel is not needed when a module doesn't "
                               "have any parameter that requires a gradient.")
        if device_ids or output_device is not None:
            raise ValueError("DistributedDataParallel device_ids and output_device arguments only "
                             "work with single-device/multiple-device GPU modules or CPU modules, "
                             f"but got device_ids {device_ids}, output_device {output_device}, "
                             f"and module parameters {{device(type='cpu')}}.")
        if mixed_precision is not None:
            raise NotImplementedError("DistributedDataParallel: mixed_precision is not there; "
                                      "use torch.autocast inside the module")
        self.module, self.device_ids, self.output_device, self.dim = module, None, None, dim
        self.broadcast_buffers, self.find_unused_parameters = broadcast_buffers, find_unused_parameters
        self.static_graph = static_graph
        self.bucket_bytes_cap = int((25 if bucket_cap_mb is None else bucket_cap_mb) * 1024 * 1024)
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        self._chosen, self._waiting, self._missing = chosen, False, []  # type: ignore[var-annotated]
        self._comm_hook: Any = None
        self.__dict__["_join"] = None
        self._working: int | None = None  # see distributed.algorithms.join
        if init_sync:
            for t in (*module.parameters(), *module.buffers()):
                self._from_first(t)
        self.__dict__["_hooks"] = [p.register_post_accumulate_grad_hook(self._arrived) for _, p in chosen]

    def release(self) -> None:
        """Leave the module as it was: gradients are not averaged any more."""
        for hook in self._hooks:
            hook.remove()

    def _from_first(self, t: Any) -> None:
        broadcast(t.detach(), get_global_rank(self.process_group, 0), group=self.process_group)

    def _arrived(self, p: Any) -> None:
        """The first gradient of a pass asks to be told when the pass ends."""
        if self.require_backward_grad_sync and not self._waiting:
            self._waiting = True
            engine.current().at_end.append(self._average)

    def _average(self) -> None:
        from rushlight.tensor.functions.joining import cat
        self._waiting = False
        self._missing = [n for n, p in self._chosen if p.grad is None]
        if self._missing and not self.find_unused_parameters and not self.static_graph:
            return  # said in the next forward, as PyTorch does
        from rushlight.tensor.creation import zeros_like
        with no_grad():
            have = [p if p.grad is not None else None for _, p in self._chosen]
            flat = cat([(zeros_like(p) if p.grad is None else p.grad).reshape(-1).to(self._chosen[0][1].dtype)
                        for _, p in self._chosen])
            flat = self._reduce(flat)
            start = 0
            for (_, p), known in zip(self._chosen, have):
                part = flat[start:start + p.numel()].reshape(p.shape).to(p.dtype)
                start += p.numel()
                if known is not None:
                    p.grad.copy_(part)
                elif bool(part.any()):  # another rank has used it
                    p.grad = part.clone()
        self._missing = []

    def _reduce(self, flat: Any) -> Any:
        if self._comm_hook is None:
            all_reduce(flat, ReduceOp.AVG, group=self.process_group)
            return flat if self._working is None else flat * (self.process_group.size() / self._working)
        state, hook = self._comm_hook
        return hook(state, GradBucket(flat, [p for _, p in self._chosen])).wait()

    def register_comm_hook(self, state: Any, hook: Any) -> None:
        """Let ``hook(state, bucket)`` average the gradients: it gets a `GradBucket`
        and returns a Future of the flat tensor."""
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        self._comm_hook = (state, hook)

    # --- ranks with fewer batches -----------------------------------------------------------------------------------
    def join(self, divide_by_initial_world_size: bool = True, enable: bool = True,
             throw_on_early_termination: bool = False) -> Any:
        """A context for ranks with different numbers of batches: see `distributed.algorithms.join.Join`.

        Gradients are divided by the number of ranks, or, without ``divide_by_initial_world_size``,
        of those that still have batches.
        """
        from rushlight.distributed.algorithms.join import Join
        return Join([self], enable, throw_on_early_termination,
                    divide_by_initial_world_size=divide_by_initial_world_size)

    def join_hook(self, divide_by_initial_world_size: bool = True, **kwargs: Any) -> Any:
        """What this rank does when it has no batches left."""
        from rushlight.distributed.algorithms.join import JoinHook
        net, self._divide_by_all = self, divide_by_initial_world_size

        class Hook(JoinHook):
            """Buffers as in forward, and gradients of 0 as in backward."""

            def main_hook(self) -> None:
                net._sync_buffers()
                net._take_part()

            def post_hook(self, is_last_joiner: bool) -> None:
                net._from_last(is_last_joiner)
        return Hook()

    @property
    def join_device(self) -> Any:
        """The CPU."""
        from rushlight.tensor.device import device
        return device("cpu")

    @property
    def join_process_group(self) -> Any:
        """The group whose ranks average gradients."""
        return self.process_group

    def _take_part(self) -> None:
        from rushlight.tensor.creation import zeros
        if self.require_backward_grad_sync:
            self._working = None
            self._reduce(zeros(sum(p.numel() for _, p in self._chosen), dtype=self._chosen[0][1].dtype))

    def _from_last(self, mine: bool) -> None:
        """All ranks end with the parameters of the highest one that computed to the end."""
        import numpy as np

        from rushlight.distributed import exchange
        said = exchange.gather_arrays(np.array([self.process_group.rank() if mine else -1]), self.process_group)
        source = max(int(a[0]) for a in said)
        for t in (*self.module.parameters(), *self.module.buffers()):
            broadcast(t.detach(), get_global_rank(self.process_group, source), group=self.process_group)

    def _sync_buffers(self) -> None:
        if self.broadcast_buffers and self.require_forward_param_sync:
            for b in self.module.buffers():
                self._from_first(b)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """In the block, backward passes keep their own gradients;
        the first one after it averages what has accumulated."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def pre_forward(self) -> None:
        """What comes before the module's forward: buffers as on rank 0, and an error where a backward pass missed parameters."""
        from rushlight.tensor.state import state
        if self._missing and state.grad:
            missing, self._missing = self._missing, []
            raise RuntimeError(UNUSED.format(", ".join(missing)))
        if self.__dict__["_join"] is not None and state.grad and self.require_backward_grad_sync:
            from rushlight.distributed.algorithms.join import Join
            working = Join.notify_join_context(self)
            self._working = None if self._divide_by_all else working
        self._sync_buffers()
        self.require_forward_param_sync = state.grad and self.require_backward_grad_sync

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's own forward."""
        self.pre_forward()
        return self.module(*inputs, **kwargs)


class GradBucket:
    """What a communication hook gets: all gradients as one flat tensor."""

    def __init__(self, flat: Any, parameters: list[Any]):
        self._flat, self._parameters = flat, parameters

    def buffer(self) -> Any:
        """The flat tensor."""
        return self._flat

    def set_buffer(self, tensor: Any) -> None:
        """Replace it."""
        self._flat = tensor

    def gradients(self) -> list[Any]:
        """The gradients as views of the flat tensor."""
        out, start = [], 0
        for p in self._parameters:
            out.append(self._flat[start:start + p.numel()].reshape(p.shape))
            start += p.numel()
        return out

    def parameters(self) -> list[Any]:
        """The parameters they belong to."""
        return list(self._parameters)

    def index(self) -> int:
        """0: there is one bucket."""
        return 0

    def is_last(self) -> bool:
        """True."""
        return True
