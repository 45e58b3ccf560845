"""Seeds and states of random numbers (torch.random)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from rushlight import rng
from rushlight.rng import Engine
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.device import check_device
from rushlight.tensor.device import device as Device

__all__ = ["set_rng_state", "get_rng_state", "manual_seed", "seed", "initial_seed", "fork_rng", "thread_safe_generator"]


class Generator:
    """A stream of random numbers of its own, seeded with 67280421310721 until told otherwise.

    ``engine`` is the `rushlight.rng.Engine` that draws; operations with a ``generator=`` argument use it. Copies and
    pickles go on from the same place. RuntimeError for a device that rushlight cannot use.

    >>> Generator().manual_seed(3).initial_seed()
    3
    """

    def __init__(self, device: Any = "cpu"):
        check_device(device)
        self._device = Device(device)
        self.engine = Engine()

    @property
    def device(self) -> Device:
        """The device that the generator was made for."""
        return self._device

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of that seed (-2**63 … 2**64 - 1, ValueError beyond) and return the generator."""
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        self.engine.manual_seed(int(seed))
        return self

    def seed(self) -> int:
        """Start from the system's entropy and return that seed."""
        return self.engine.seed()

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self.engine.initial_seed()

    def get_state(self) -> Tensor:
        """The state, a uint8 tensor of PyTorch's 5,056 bytes."""
        return wrap(self.engine.get_state())

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from a state of ``get_state``, ours or PyTorch's, and return the generator.

        TypeError when it is no uint8 tensor, RuntimeError when its size or contents are wrong.
        """
        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        self.engine.set_state(unwrap(new_state))
        return self

    def clone_state(self) -> Generator:
        """Another generator at the same place of the same stream."""
        copy = Generator(self._device)
        copy.engine = self.engine.clone()
        return copy

    def graphsafe_get_state(self) -> Generator:
        """Another generator at the same place: what stands for a state where PyTorch captures graphs."""
        return self.clone_state()

    def graphsafe_set_state(self, state: Generator) -> Generator:
        """Go on from where another generator is."""
        return self.set_state(state.get_state())

    def get_offset(self) -> int:
        """Only generators of accelerators count an offset: RuntimeError."""
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset: int) -> Generator:
        """Only generators of accelerators count an offset: RuntimeError."""
        raise RuntimeError("CPU Generator does not use offset")

    def __getstate__(self) -> tuple[str, np.ndarray]:
        return str(self._device), self.engine.get_state()

    def __setstate__(self, state: tuple[str, np.ndarray]) -> None:
        self._device, self.engine = Device(state[0]), Engine()
        self.engine.set_state(state[1])


class _GlobalGenerator(Generator):
    """The generator of draws that name none: of the whole program, and in a loader's worker of that worker."""

    def __init__(self) -> None:
        self._device = Device("cpu")

    @property
    def engine(self) -> Engine:  # type: ignore[override]
        return rng.current()

    def __reduce__(self) -> tuple[Any, ...]:
        return Generator, (), self.__getstate__()


default_generator = _GlobalGenerator()


def manual_seed(seed: int) -> Generator:
    """Start the global stream of that seed and return its generator; the same numbers as PyTorch's on the CPU.

    >>> import rushlight as rl
    >>> _ = rl.manual_seed(0); rl.rand(2)
    tensor([0.4963, 0.7682])
    """
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Start the global stream from the system's entropy and return that seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the global stream was started with."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the global stream, a uint8 tensor of 5,056 elements."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Let the global stream go on from a state of ``get_rng_state``, ours or PyTorch's."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices: Any = None, enabled: bool = True, _caller: str = "fork_rng", _devices_kw: str = "devices",
             device_type: Any = None) -> Iterator[None]:
    """Put the global stream back to where it was at the end of the block, also after an exception.

    ``devices`` and ``device_type`` choose further generators in PyTorch; here every device draws from the one stream,
    so they change nothing. ``enabled=False`` makes the block an ordinary one.
    """
    if not enabled:
        yield
        return
    engine = rng.current()
    before = engine.get_state()
    try:
        yield
    finally:
        engine.set_state(before)


def thread_safe_generator() -> Generator | None:
    """The generator of the calling thread where it draws from a stream of its own,
    as a loader's worker does; else None."""
    engine = rng.current()
    if engine is rng.default:
        return None
    own = Generator()
    own.engine = engine
    return own
