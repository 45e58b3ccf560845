"""Strategies that need devices which are not here: they can be made, not run."""

from __future__ import annotations

from typing import Any

from rushlight.lightning.strategies.strategy import Strategy


class Absent(Strategy):
    """A strategy that needs several devices."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("cpu", **kwargs)


class FSDPStrategy(Absent):
    """Parameters spread over devices."""

    strategy_name = "fsdp"


class DeepSpeedStrategy(Absent):
    """The DeepSpeed library."""

    strategy_name = "deepspeed"


class ModelParallelStrategy(Absent):
    """Layers spread over devices."""

    strategy_name = "model_parallel"


class SingleDeviceXLAStrategy(Absent):
    """One TPU core."""

    strategy_name = "single_xla"


class XLAStrategy(Absent):
    """Several TPU cores."""

    strategy_name = "xla"
