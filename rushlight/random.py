"""Seeds and states of random numbers (torch.random)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rushlight import rng
from rushlight.rng import Engine
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.device import device as Device


class Generator:
    """A stream of random numbers of its own."""

    def __init__(self, device: Any = "cpu"):
        from rushlight.tensor.device import check_device
        check_device(device)
        self.device = Device(device)
        self.engine = Engine()

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of that seed."""
        self.engine.manual_seed(seed)
        return self

    def seed(self) -> int:
        """Start from the system's entropy; the seed."""
        return self.engine.seed()

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self.engine.initial_seed()

    def get_state(self) -> Tensor:
        """The state, as PyTorch's 5,056 bytes."""
        return wrap(self.engine.get_state())

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from a state."""
        self.engine.set_state(unwrap(new_state))
        return self

    def clone_state(self) -> Generator:
        """Another generator at the same place."""
        out = Generator()
        out.engine = self.engine.clone()
        return out

    def __getstate__(self) -> Any:
        return self.engine.get_state()

    def __setstate__(self, state: Any) -> None:
        self.device, self.engine = Device("cpu"), Engine()
        self.engine.set_state(state)


default_generator = Generator()
default_generator.engine = rng.default


def manual_seed(seed: int) -> Generator:
    """Start the global stream of that seed.

    >>> import rushlight as rl
    >>> _ = rl.manual_seed(0); rl.rand(2)
    tensor([0.4963, 0.7682])
    """
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Start the global stream from the system's entropy; the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the global stream."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the global stream."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Go on from a state of the global stream."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, _caller: str = "fork_rng", _devices_kw: str = "devices", device_type: str = "cuda") -> Iterator[None]:
    """Put the global stream back to where it was at the end of the block."""
    before = get_rng_state() if enabled else None
    try:
        yield
    finally:
        if before is not None:
            set_rng_state(before)
