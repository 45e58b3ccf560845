"""Changing all tensors of a module: dtype, device, memory format, training mode, gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import rushlight as rl
from rushlight.ir.dtype import DType
from rushlight.tensor.core import Tensor

from ..parameter import Parameter, is_lazy
from ._fields import Fields

COMPLEX_MODULES = (
    "Complex modules are a new feature under active development whose design may change, and some modules might not "
    "work as expected when using complex tensors as parameters or buffers."
)


def parse_to(*args: Any, device: Any = None, dtype: Any = None, tensor: Any = None,
             non_blocking: Any = False, copy: Any = False, memory_format: Any = None) -> Any:
    """The arguments of ``to`` in their three forms (device and dtype, dtype, other tensor), sorted out.

    Returns ``(device, dtype, non_blocking, memory_format)``. Raises TypeError for anything else.
    """
    rest = list(args)
    if rest and isinstance(rest[0], Tensor):
        tensor = rest.pop(0)
    elif rest and isinstance(rest[0], DType):
        dtype = rest.pop(0)
    elif rest:
        device = rest.pop(0)
        if rest and (rest[0] is None or isinstance(rest[0], DType)):
            dtype = rest.pop(0)
    if rest:
        non_blocking = rest.pop(0)
    if rest:
        copy = rest.pop(0)
    if rest or not isinstance(non_blocking, bool) or not isinstance(copy, bool):
        raise TypeError(f"to() received an invalid combination of arguments: {args}")
    if tensor is not None:
        device, dtype = tensor.device, tensor.dtype
    return (None if device is None else rl.device(device)), dtype, non_blocking, memory_format


class ConvertMethods(Fields):
    """``to``, ``float``, ``cuda`` …, ``train``, ``requires_grad_``, ``zero_grad`` of Module."""

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        """Replaces every parameter's data, its gradient and every buffer by ``fn`` of it."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, param in self._parameters.items():
            if param is None:
                continue
            with rl.no_grad():
                changed = fn(param)
                grad = None if param.grad is None else fn(param.grad)
            self._parameters[name] = self._with_data(param, changed, grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    @staticmethod
    def _with_data(param: Parameter, changed: Tensor, grad: Tensor | None) -> Parameter:
        """``param`` itself with new data, so that optimizers made before keep working."""
        if changed is param:
            return param
        if is_lazy(changed):
            return changed
        param.grad = None
        param.data = changed
        if grad is not None:
            param.grad = grad.detach()
        return param

    def apply(self, fn: Callable[..., Any]) -> Any:
        """Calls ``fn(module)`` for every module of the tree, children first; returns self."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Moves and casts in place: ``to(device, dtype)``, ``to(dtype)``, ``to(tensor)``, ``memory_format=``.

        Only floating point and complex tensors change their dtype. Returns self.
        """
        device, dtype, non_blocking, memory_format = parse_to(*args, **kwargs)
        if dtype is not None:
            if not (dtype.is_floating_point or dtype.is_complex):
                raise TypeError(
                    f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
                )
            if dtype.is_complex:
                warnings.warn(COMPLEX_MODULES, stacklevel=2)

        def convert(t: Tensor) -> Tensor:
            wanted = {"device": device} if device is not None else {}
            if dtype is not None and (t.is_floating_point() or t.is_complex()):
                wanted["dtype"] = dtype
            if memory_format is not None and t.dim() in (4, 5):
                wanted["memory_format"] = memory_format
            if not wanted:
                return t
            try:
                return t.to(non_blocking=non_blocking, **wanted)
            except NotImplementedError as error:
                if str(error) != "Cannot copy out of meta tensor; no data!":
                    raise
                raise NotImplementedError(
                    f"{error} Please use torch.nn.Module.to_empty() instead of torch.nn.Module.to() when moving module "
                    "from meta to a different device."
                ) from None

        return self._apply(convert)

    def _cast_floats(self, dtype: DType) -> Any:
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def float(self) -> Any:
        """Casts the floating point tensors to float32."""
        return self._cast_floats(rl.float32)

    def double(self) -> Any:
        """Casts the floating point tensors to float64."""
        return self._cast_floats(rl.float64)

    def half(self) -> Any:
        """Casts the floating point tensors to float16."""
        return self._cast_floats(rl.float16)

    def bfloat16(self) -> Any:
        """Casts the floating point tensors to bfloat16."""
        return self._cast_floats(rl.bfloat16)

    def type(self, dst_type: Any) -> Any:
        """Casts all tensors to one type."""
        return self._apply(lambda t: t.type(dst_type))

    def cuda(self, device: Any = None) -> Any:
        """Moves the tensors to a GPU."""
        return self._apply(lambda t: t.cuda(device))

    def cpu(self) -> Any:
        """Moves the tensors to the CPU."""
        return self._apply(lambda t: t.cpu())

    def to_empty(self, *, device: Any, recurse: bool = True) -> Any:
        """Moves to ``device`` without the values."""
        return self._apply(lambda t: rl.empty_like(t, device=device), recurse=recurse)

    def share_memory(self) -> Any:
        """Puts the tensors where other processes can see them."""
        return self._apply(lambda t: t.share_memory_())

    def train(self, mode: bool = True) -> Any:
        """Sets ``training`` in the whole tree; Dropout and BatchNorm act on it. Returns self."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Any:
        """``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Freezes or unfreezes all parameters. Returns self."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters, or sets them to zero."""
        for param in self.parameters():
            if param.grad is None:
                continue
            if set_to_none:
                param.grad = None
                continue
            if param.grad.grad_fn is not None:
                param.grad.detach_()
            else:
                param.grad.requires_grad_(False)
            param.grad.zero_()
