"""Data parallelism: each process trains on its part of every batch, and gradients are averaged."""

from __future__ import annotations

import inspect
import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

from rushlight.lightning.environment import Environment
from rushlight.lightning.strategies.launchers import ForkLauncher, ScriptLauncher
from rushlight.lightning.strategies.strategy import Strategy
from rushlight.lightning.utilities.data import apply_to_collection
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_only

_REDUCTIONS = {"mean": "AVG", "avg": "AVG", "sum": "SUM", "max": "MAX", "min": "MIN"}
_LAUNCHERS: dict[str, Any] = {"popen": ScriptLauncher, "fork": ForkLauncher, "spawn": ForkLauncher, "forkserver": ForkLauncher}


class ParallelStrategy(Strategy):
    """Several processes that tell each other what they have, through ``torch.distributed``.

    Args:
        process_group_backend: "gloo" or None.
        timeout: how long a process waits for the others.
        start_method: how the other processes start, where no launcher has started them: "popen" runs the program again in each;
            "fork" (also under the names "spawn" and "forkserver") runs the Trainer's method alone, in copies of this process.
        accelerator, parallel_devices, cluster_environment, checkpoint_io, precision_plugin: must be left out.

    MisconfigurationException for other backends, devices and start methods.
    """

    strategy_name = "ddp"

    def __init__(self, accelerator: Any = None, parallel_devices: Any = None, cluster_environment: Any = None, checkpoint_io: Any = None,
                 precision_plugin: Any = None, process_group_backend: str | None = None, timeout: timedelta | None = None,
                 start_method: str = "popen", **kwargs: Any):
        super().__init__("cpu", **kwargs)
        given = {"accelerator": accelerator, "parallel_devices": parallel_devices, "cluster_environment": cluster_environment,
                 "checkpoint_io": checkpoint_io, "precision_plugin": precision_plugin}
        unknown = [name for name, value in given.items() if value is not None]
        if unknown:
            raise MisconfigurationException(f"{type(self).__name__}({unknown[0]}=...) cannot be set here; the Trainer's arguments say what"
                                            " there is to say")
        if process_group_backend not in (None, "gloo"):
            raise MisconfigurationException(f"process_group_backend={process_group_backend!r} is not there: processes on CPUs talk by 'gloo'")
        if start_method not in _LAUNCHERS:
            raise MisconfigurationException(f"start_method={start_method!r} should be one of {', '.join(map(repr, _LAUNCHERS))}")
        self._timeout, self._start_method = timeout, start_method

    def place(self, environment: Environment) -> None:
        """Take this process's place; where the others do not run yet, something will have to start them."""
        self.environment = environment
        self.launcher = None if environment.world_size == 1 or (environment.started and self._start_method != "popen") else (
            _LAUNCHERS[self._start_method](self))
        rank_zero_only.rank = environment.global_rank  # type: ignore[attr-defined]

    @property
    def distributed_sampler_kwargs(self) -> dict[str, int]:
        """The part of data sets that this process trains on."""
        return {"num_replicas": self.world_size, "rank": self.global_rank}

    def setup_environment(self) -> None:
        """Join the process group, and share the processors of this machine."""
        from rushlight import distributed as dist
        if self.world_size == 1:
            return
        if not dist.is_initialized():
            os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
            dist.init_process_group("gloo", timeout=self._timeout, world_size=self.world_size, rank=self.global_rank)
        elif dist.get_world_size() != self.world_size:
            raise MisconfigurationException(f"The process group has {dist.get_world_size()} processes, the Trainer {self.world_size}")
        if "OMP_NUM_THREADS" not in os.environ and self.num_processes > 1:
            from rushlight.tensor.settings import get_num_threads, set_num_threads
            set_num_threads(max(1, get_num_threads() // self.num_processes))

    # --- what processes tell each other ----------------------------------------------------------------------------
    @property
    def _silent(self) -> bool:
        """Whether this process is on its own: before the others are there, and once a failure has ended the run, since they wait elsewhere."""
        from rushlight import distributed as dist
        return self.world_size == 1 or not dist.is_initialized() or (self.trainer is not None and self.trainer.interrupted)

    def barrier(self, name: str | None = None) -> None:
        from rushlight import distributed as dist
        if not self._silent:
            dist.barrier()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        from rushlight import distributed as dist
        if self._silent:
            return obj
        told = [obj]
        dist.broadcast_object_list(told, src)
        return told[0]

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        from rushlight import distributed as dist
        from rushlight.lightning.trainer.results import as_tensor
        if self._silent:
            return tensor
        name = str(getattr(reduce_op, "name", reduce_op) or "mean").lower()
        if name not in _REDUCTIONS:
            raise ValueError(f"reduce_op={reduce_op!r} should be one of {', '.join(_REDUCTIONS)}")

        def reduced(t: Any) -> Any:
            out = t.detach().clone()
            if name == "mean" and not out.dtype.is_floating_point:
                out = out.float()
            dist.all_reduce(out, getattr(dist.ReduceOp, _REDUCTIONS[name]), group)
            return out
        from rushlight.tensor.core import Tensor
        return apply_to_collection(tensor if not isinstance(tensor, (int, float)) else as_tensor(float(tensor)), Tensor, reduced)

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        agreeing = int(self.reduce(int(bool(decision)), reduce_op="sum"))
        if self._silent:
            return bool(decision)
        return agreeing == self.world_size if all else agreeing > 0

    def all_gather(self, tensor: Any, group: Any = None, sync_grads: bool = False) -> Any:
        from rushlight.autograd.grad_mode import no_grad
        from rushlight.distributed.nn.functional import all_gather
        from rushlight.tensor.core import Tensor
        from rushlight.tensor.creation import tensor as as_tensor
        from rushlight.tensor.functions.joining import stack

        def gathered(t: Any) -> Any:
            t = t if isinstance(t, Tensor) else as_tensor(t)
            if self._silent:
                return t.unsqueeze(0)
            with nullcontext() if sync_grads else no_grad():
                return stack(all_gather(t.contiguous(), group))
        return apply_to_collection(tensor, (Tensor, int, float), gathered)


class DDPStrategy(ParallelStrategy):
    """`DistributedDataParallel` over all processes.

    Args:
        ddp_comm_hook, ddp_comm_state: a communication hook of ``register_comm_hook``.
        find_unused_parameters, static_graph, gradient_as_bucket_view, broadcast_buffers, bucket_cap_mb: `DistributedDataParallel`'s.
        others: ParallelStrategy's.
    """

    def __init__(self, *args: Any, ddp_comm_hook: Any = None, ddp_comm_state: Any = None, ddp_comm_wrapper: Any = None,
                 model_averaging_period: int | None = None, **kwargs: Any):
        names = inspect.signature(ParallelStrategy.__init__).parameters
        self._ddp_kwargs = {k: v for k, v in kwargs.items() if k not in names}
        super().__init__(*args, **{k: v for k, v in kwargs.items() if k in names})
        if ddp_comm_wrapper is not None or model_averaging_period is not None:
            raise MisconfigurationException("DDPStrategy: ddp_comm_wrapper and model_averaging_period are not there; use ddp_comm_hook")
        self._comm_hook, self._comm_state = ddp_comm_hook, ddp_comm_state
        self._ddp: Any = None

    @property
    def model(self) -> Any:
        return self.lightning_module if self._ddp is None else self._ddp

    def wrapped(self, module: Any) -> Any:
        from rushlight.nn.parallel import DistributedDataParallel
        if self.world_size == 1 or not any(p.requires_grad for p in module.parameters()):
            return None
        out = DistributedDataParallel(module, **self._ddp_kwargs)
        if self._comm_hook is not None:
            out.register_comm_hook(self._comm_state, self._comm_hook)
        return out

    def wrap(self, module: Any, sync_batchnorm: bool = False) -> None:
        from rushlight.nn.modules.batchnorm import SyncBatchNorm
        if sync_batchnorm and self.world_size > 1:
            SyncBatchNorm.convert_sync_batchnorm(module)
        self._ddp = self.wrapped(module)

    def teardown(self) -> None:
        if self._ddp is not None:
            self._ddp.release()
            self._ddp = None

    def before_forward(self) -> None:
        if self._ddp is not None:
            self._ddp.pre_forward()
            module = self.lightning_module
            if module is not None and not module.automatic_optimization:  # as in Lightning, buffers are then each process's own
                self._ddp.require_forward_param_sync = False

    def block_backward_sync(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._ddp is None else self._ddp.no_sync()
