"""What computes (pytorch_lightning.accelerators): the CPU."""

from __future__ import annotations

import os
from typing import Any

from rushlight.lightning.utilities.exceptions import MisconfigurationException


class Accelerator:
    """A kind of device."""

    name = ""

    @staticmethod
    def is_available() -> bool:
        """Whether there is one."""
        return False

    @staticmethod
    def auto_device_count() -> int:
        """How many there are."""
        return 0


class CPUAccelerator(Accelerator):
    """All cores of this machine as one device."""

    name = "cpu"

    @staticmethod
    def is_available() -> bool:
        """Always."""
        return True

    @staticmethod
    def auto_device_count() -> int:
        """One."""
        return 1


class CUDAAccelerator(Accelerator):
    """NVIDIA's."""

    name = "cuda"


class MPSAccelerator(Accelerator):
    """Apple's."""

    name = "mps"


class XLAAccelerator(Accelerator):
    """TPUs."""

    name = "tpu"


ABSENT: dict[str, type[Accelerator]] = {"cuda": CUDAAccelerator, "mps": MPSAccelerator, "tpu": XLAAccelerator}
_AVAILABLE = (
    "The following accelerator(s) is available and can be passed into `accelerator` argument of `Trainer`: ['cpu']."
)


BY_HAND = "torch.distributed and DistributedDataParallel train a hand-written loop in several processes"


def find_usable_cuda_devices(num_devices: int = -1) -> list[int]:
    """The free GPUs: there are none."""
    if num_devices == 0:
        return []
    raise ValueError(f"You requested to find {num_devices} devices but there are no "
                     "visible CUDA devices on this machine.")


def accelerator_of(value: Any) -> Accelerator:
    """The accelerator that an argument names. MisconfigurationException for
    one that is not here, ValueError for no name."""
    if isinstance(value, Accelerator):
        if not value.is_available():
            raise MisconfigurationException(f"`{type(value).__name__}` can not run on your system since the"
                                            f" accelerator is not available. {_AVAILABLE}")
        return value
    if value in ("auto", "cpu", None):
        return CPUAccelerator()
    if value == "gpu":
        raise MisconfigurationException(f"No supported gpu backend found! {_AVAILABLE} "
                                        "accelerator='auto' takes what there is.")
    if value in ABSENT:
        raise MisconfigurationException(f"`{ABSENT[value].__name__}` can not run on your system since the accelerator "
                                        f"is not available. {_AVAILABLE} accelerator='auto' takes what there is.")
    raise ValueError(f"You selected an invalid accelerator name: `accelerator={value!r}`. Available names are: auto,"
                     " cpu, cuda, mps, tpu.")


def check_devices(devices: Any, num_nodes: int) -> None:
    """MisconfigurationException for anything but one device on one machine, and in one of several processes of a launcher."""
    if devices in ("auto", None):
        count = 1
    elif (
        isinstance(devices, (int, str))
        and str(devices).lstrip("-").isdigit()
        and int(devices) > 0
        and not isinstance(devices, bool)
    ):
        count = int(devices)
    else:
        raise MisconfigurationException("`devices` selected with `CPUAccelerator` should "
                                        f"be an int > 0, not {devices!r}.")
    if count > 1 or num_nodes > 1:
        raise MisconfigurationException(
            f"Trainer(devices={devices!r}, num_nodes={num_nodes}) asks for {count * num_nodes} processes; a Trainer"
            f" of rushlight runs one, which uses all cores: pass devices=1 ({BY_HAND})")
    size = os.environ.get("WORLD_SIZE", "")
    if size.isdigit() and int(size) > 1:  # each would train on all data, and write the same files
        raise MisconfigurationException(
            f"This is one of {size} processes (WORLD_SIZE), which Trainers of rushlight do not train in together: start the program as"
            f" one process, which uses all cores ({BY_HAND})")
