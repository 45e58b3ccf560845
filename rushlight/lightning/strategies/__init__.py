"""How many processes train a model, and how (pytorch_lightning.strategies): here one, on all cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.tensor.device import device as Device

ONE_PROCESS = ("auto", "ddp", "ddp_spawn", "ddp_fork", "ddp_notebook")
NEED_MORE = {"fsdp": "FSDP", "deepspeed": "DeepSpeed", "xla": "XLA", "single_xla": "XLA", "hpu": "HPU",
             "model_parallel": "model parallelism"}


class Strategy:
    """The one process of a trainer."""

    strategy_name = "single_device"

    def __init__(self, device: Any = "cpu", **kwargs: Any):
        self.root_device = Device(device)
        self.settings = kwargs
        self.trainer: Any = None

    global_rank = local_rank = node_rank = 0
    world_size = 1
    is_global_zero = True
    handles_gradient_accumulation = False

    @property
    def lightning_module(self) -> Any:
        """The module that the trainer runs."""
        return self.trainer.lightning_module if self.trainer is not None else None

    @property
    def model(self) -> Any:
        """The module that the trainer runs."""
        return self.lightning_module

    @property
    def optimizers(self) -> list[Any]:
        """The trainer's."""
        return self.trainer.optimizers  # type: ignore[no-any-return]

    @property
    def precision_plugin(self) -> Any:
        """The trainer's."""
        return self.trainer.precision_plugin

    def barrier(self, name: str | None = None) -> None:
        """Wait for the other processes: there are none."""

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """What the first process has."""
        return obj

    def reduce(self, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        """The mean over all processes."""
        return tensor

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Whether all processes, or any, say so."""
        return decision

    def all_gather(self, tensor: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """The tensors of all processes."""
        return tensor

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        import os
        if os.path.exists(path):
            os.remove(path)


class SingleDeviceStrategy(Strategy):
    """Trains in this process."""


class DDPStrategy(Strategy):
    """Data parallelism over processes; with one process it is SingleDeviceStrategy."""

    strategy_name = "ddp"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("cpu", **kwargs)

    @contextmanager
    def block_backward_sync(self) -> Iterator[None]:
        """A block whose gradients are not exchanged."""
        yield


class _Absent(Strategy):
    """A strategy that needs several devices; it can be made, not run."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("cpu", **kwargs)


class FSDPStrategy(_Absent):
    """Parameters spread over devices."""

    strategy_name = "fsdp"


class DeepSpeedStrategy(_Absent):
    """The DeepSpeed library."""

    strategy_name = "deepspeed"


class ModelParallelStrategy(_Absent):
    """Layers spread over devices."""

    strategy_name = "model_parallel"


class SingleDeviceXLAStrategy(_Absent):
    """One TPU core."""

    strategy_name = "single_xla"


class XLAStrategy(_Absent):
    """Several TPU cores."""

    strategy_name = "xla"


class ParallelStrategy(DDPStrategy):
    """The base of strategies for several processes."""


def strategy_of(value: Any) -> Strategy:
    """The strategy that an argument names; MisconfigurationException for one that a single process cannot be,
    ValueError for no name."""
    if isinstance(value, _Absent):
        value = value.strategy_name
    if isinstance(value, Strategy):
        if value.root_device.type != "cpu":
            raise MisconfigurationException(f"{type(value).__name__} on {value.root_device} cannot run here: this"
                                            " machine trains on its CPU")
        return value
    name = str(value)
    if name in ONE_PROCESS or name.startswith("ddp_find_unused_parameters"):
        return SingleDeviceStrategy()
    kinds = (kind for start, kind in NEED_MORE.items() if name == start or name.startswith(start + "_"))
    kind = next(kinds, None)
    if kind is not None:
        raise MisconfigurationException(f"strategy={name!r} needs several accelerators ({kind}); this machine trains"
                                        " on its CPU in one process: leave `strategy` out, or choose 'auto' or 'ddp'")
    raise ValueError(f"You selected an invalid strategy name: `strategy={value!r}`. It must be either a string or an"
                     f" instance of `Strategy`. Choose one of: {', '.join(ONE_PROCESS)}")
