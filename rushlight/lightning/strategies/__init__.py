"""How many processes train a model, and how (pytorch_lightning.strategies)."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.environment import Environment
from rushlight.lightning.strategies.absent import (
    Absent,
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    SingleDeviceXLAStrategy,
    XLAStrategy,
)
from rushlight.lightning.strategies.ddp import DDPStrategy, ParallelStrategy
from rushlight.lightning.strategies.launchers import is_interactive
from rushlight.lightning.strategies.strategy import SingleDeviceStrategy, Strategy
from rushlight.lightning.utilities.exceptions import MisconfigurationException

__all__ = ["DDPStrategy", "DeepSpeedStrategy", "FSDPStrategy", "ModelParallelStrategy", "ParallelStrategy", "SingleDeviceStrategy",
           "SingleDeviceXLAStrategy", "Strategy", "XLAStrategy", "strategy_of"]

# the names of data parallelism: how processes start, and whether gradients may be missing
_DDP: dict[str, dict[str, Any]] = {
    start + suffix: {"start_method": method, **({"find_unused_parameters": suffix.endswith("true")} if suffix else {})}
    for start, method in (("ddp", "popen"), ("ddp_spawn", "spawn"), ("ddp_fork", "fork"), ("ddp_notebook", "fork"))
    for suffix in ("", "_find_unused_parameters_true", "_find_unused_parameters_false")}
_NEED_MORE = {"fsdp": "FSDP", "deepspeed": "DeepSpeed", "xla": "XLA", "single_xla": "XLA", "hpu": "HPU",
              "model_parallel": "model parallelism"}


def strategy_of(value: Any, environment: Environment) -> Strategy:
    """The strategy that an argument names, for a process in its place; MisconfigurationException for one that cannot be here,
    ValueError for no name."""
    if isinstance(value, Absent):
        value = value.strategy_name
    if isinstance(value, Strategy):
        return _placed(value, environment)
    name = str(value)
    if name in _DDP or name == "auto":
        if environment.world_size == 1:
            return SingleDeviceStrategy()
        return _placed(DDPStrategy(**_DDP["ddp_fork" if name == "auto" and is_interactive() else name.replace("auto", "ddp")]), environment)
    kind = next((kind for start, kind in _NEED_MORE.items() if name == start or name.startswith(start + "_")), None)
    if kind is not None:
        raise MisconfigurationException(f"strategy={name!r} needs several accelerators ({kind}); this machine trains"
                                        " on its CPU: leave `strategy` out, or choose 'auto' or 'ddp'")
    raise ValueError(f"You selected an invalid strategy name: `strategy={value!r}`. It must be either a string or an"
                     f" instance of `Strategy`. Choose one of: auto, {', '.join(_DDP)}")


def _placed(strategy: Strategy, environment: Environment) -> Strategy:
    if strategy.root_device.type != "cpu":
        raise MisconfigurationException(f"{type(strategy).__name__} on {strategy.root_device} cannot run here: this"
                                        " machine trains on its CPU")
    if isinstance(strategy, ParallelStrategy):
        strategy.place(environment)
    elif environment.world_size > 1:
        raise MisconfigurationException(f"{type(strategy).__name__} is one process, but there are {environment.world_size}: choose strategy='ddp'")
    return strategy
