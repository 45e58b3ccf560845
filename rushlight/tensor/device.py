"""Devices."""

from __future__ import annotations

from typing import Any

KINDS = ("cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy",
         "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone", "tpu")


class device:
    """A place for tensors: ``device("cpu")``, ``device("cuda", 0)``.

    >>> device("cuda:1").index
    1
    """

    __slots__ = ("type", "index")

    def __new__(cls, type: Any = "cpu", index: int | None = None) -> Any:
        if isinstance(type, device):
            return type
        self = object.__new__(cls)
        if isinstance(type, int):
            type, index = "cuda", type
        name, colon, number = str(type).partition(":")
        if name not in KINDS:
            raise RuntimeError("Expected one of cpu, cuda, xla, tpu, mps, "
                               f"meta device type at start of device string: {name}")
        if colon and not number.isdigit():
            raise RuntimeError(f"Invalid device string: '{type}'")
        self.type = name
        self.index = int(number) if number else index
        return self

    def __repr__(self) -> str:
        return (f"device(type='{self.type}')" if self.index is None else
                f"device(type='{self.type}', index={self.index})")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type, self.index)

    def __enter__(self) -> device:
        check_device(self)
        return self

    def __exit__(self, *_: Any) -> None:
        pass


CPU = device("cpu")


def check_device(where: Any) -> None:
    """RuntimeError for a device that this build has not."""
    d = device(where)
    if d.type == "cuda":
        raise AssertionError("Torch not compiled with CUDA enabled. rushlight runs on the CPU here; "
                             "use device='cpu', or guard with torch.cuda.is_available().")
    if d.type != "cpu":
        raise RuntimeError(f"rushlight has no '{d.type}' device here; use device='cpu'")
