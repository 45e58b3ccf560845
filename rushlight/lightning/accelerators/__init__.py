"""What computes (pytorch_lightning.accelerators): the CPU."""

from __future__ import annotations

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
    """The cores of this machine: one device for each process."""

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


def count_of(devices: Any) -> int | None:
    """How many processes of a machine an argument asks for, None for "auto". MisconfigurationException for anything but that and a
    number of at least one."""
    if devices in ("auto", None):
        return None
    if isinstance(devices, (int, str)) and str(devices).isdigit() and int(devices) > 0 and not isinstance(devices, bool):
        return int(devices)
    raise MisconfigurationException(f"`devices` selected with `CPUAccelerator` should be an int > 0, not {devices!r}.")
