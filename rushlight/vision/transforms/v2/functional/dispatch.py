"""Which function does a transform for which kind of input: one table by name and type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rushlight.tensor.core import Tensor
from rushlight.vision.transforms.functional.pixels import is_pil_image
from rushlight.vision.transforms.interpolation import InterpolationMode, mode_of
from rushlight.vision.tv_tensors.base import TVTensor, plain, wrap

Kernel = Callable[..., Any]
KERNELS: dict[str, dict[type, Kernel]] = {}
STILL = ("rgb_to_grayscale", "grayscale_to_rgb")  # torchvision has these for pictures, not for videos
PICTURES: dict[str, Kernel] = {}  # for PIL images, plain tensors, Image and Video alike


def register(name: str, *kinds: type) -> Callable[[Kernel], Kernel]:
    """Puts a function of one kind of TVTensor into the table."""
    def add(kernel: Kernel) -> Kernel:
        for kind in kinds:
            KERNELS.setdefault(name, {})[kind] = kernel
        return kernel
    return add


def register_kernel(functional: Callable[..., Any], tv_tensor_cls: type) -> Callable[[Kernel], Kernel]:
    """Lets a function of this module treat a kind of TVTensor of one's own with the decorated function.

    ValueError for a function that dispatches nothing, and for the kinds that are built in.
    """
    name = getattr(functional, "__name__", "")
    if name not in PICTURES and name not in KERNELS:
        raise ValueError(f"Kernels can only be registered on functionals from the torchvision.transforms.v2.functional namespace, but got {functional}.")
    if not (isinstance(tv_tensor_cls, type) and issubclass(tv_tensor_cls, TVTensor)) and tv_tensor_cls is not Tensor:
        raise ValueError(f"Kernels can only be registered for subclasses of torchvision.tv_tensors.TVTensor, but got {tv_tensor_cls}.")
    return register(name, tv_tensor_cls)


def is_pure_tensor(inpt: Any) -> bool:
    """Whether it is a tensor that does not know what it shows."""
    return isinstance(inpt, Tensor) and not isinstance(inpt, TVTensor)


def kernel_for(name: str, inpt: Any) -> Kernel | None:
    """The function for an input, None where there is none."""
    from rushlight.vision.tv_tensors.pictures import Image, Video
    for kind in type(inpt).__mro__:
        found = KERNELS.get(name, {}).get(kind)
        if found is not None:
            return found
    if name not in PICTURES or not (is_pure_tensor(inpt) or is_pil_image(inpt) or isinstance(inpt, (Image, Video))):
        return None
    if name in STILL and isinstance(inpt, Video):
        return None
    return on_picture(PICTURES[name])


def on_picture(kernel: Kernel) -> Kernel:
    """A function of PIL images and tensors that keeps the kind of TVTensors, also in tuples."""
    def run(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(inpt, TVTensor):
            return kernel(inpt, *args, **kwargs)
        out = kernel(plain(inpt), *args, **kwargs)
        return tuple(wrap(part, like=inpt) for part in out) if isinstance(out, tuple) else wrap(out, like=inpt)
    return run


def dispatch(name: str, inpt: Any, *args: Any, **kwargs: Any) -> Any:
    """The transform of an input; TypeError where it is not provided for its kind."""
    kernel = kernel_for(name, inpt)
    if kernel is None:
        raise TypeError(f"Functional F.{name} supports inputs of type PIL image, Tensor, Image and Video"
                        f"{''.join(f', {kind.__name__}' for kind in KERNELS.get(name, {}))}, but got {type(inpt)} instead.")
    return kernel(inpt, *args, **kwargs)


def mode_from(interpolation: Any) -> InterpolationMode:
    """The mode that a mode, its name or Pillow's number gives."""
    return InterpolationMode(interpolation) if isinstance(interpolation, str) else mode_of(interpolation)
