"""Parameters that are computed from others whenever they are used."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import rushlight as rl
from rushlight.tensor.core import Tensor

from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Parameter

__all__ = [
    "cached",
    "ParametrizationList",
    "register_parametrization",
    "is_parametrized",
    "remove_parametrizations",
    "type_before_parametrizations",
    "transfer_parametrizations_and_params",
]

_cache_enabled = 0
_cache: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Any:
    """Within the ``with``, each parametrized tensor is computed once."""
    global _cache_enabled
    _cache_enabled += 1
    try:
        yield
    finally:
        _cache_enabled -= 1
        if not _cache_enabled:
            _cache.clear()


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _require_same(new: Tensor, old: Tensor, complaint: str, new_name: str,
                  old_name: str, what: tuple[Any, ...]) -> None:
    """Raises ValueError if dtype, shape or device of two tensors differ."""
    for attribute in what:
        if getattr(new, attribute) != getattr(old, attribute):
            raise ValueError(
                f"{complaint.format(attribute)}\n{old_name.format(attribute)}: {getattr(old, attribute)}\n"
                f"{new_name.format(attribute)}: {getattr(new, attribute)}"
            )


def _require_tensor(value: object, complaint: str, end: str = ".") -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{complaint} {type(value).__name__}{end}")


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor in order, and the original tensor or tensors it is computed from."""

    def __init__(self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original.detach()
        new = self._invert(original)
        if not isinstance(new, (Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            self._keep_one(original, new)
        else:
            self._keep_several(original, new)
        if not unsafe:
            self._check_result(before)

    def _invert(self, value: Any) -> Any:
        """What the parametrizations map to ``value``, as far as they say so."""
        with rl.no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    try:
                        value = module.right_inverse(value)
                    except NotImplementedError:
                        pass
        return value

    def _keep_one(self, original: Tensor, new: Tensor) -> None:
        complaint = "When `right_inverse` outputs one tensor, it may not change the {}."
        _require_same(new, original, complaint, "right_inverse(original).{}", "original.{}", ("dtype", "device"))
        with rl.no_grad():
            if new is not original:
                original.set_(new)
        _register(self, "original", original)

    def _keep_several(self, original: Tensor, new: Sequence[Any]) -> None:
        for i, tensor in enumerate(new):
            if not isinstance(tensor, Tensor):
                raise ValueError(
                    "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                    f"Got element {i} of the sequence with type {type(tensor).__name__}."
                )
            if isinstance(original, Parameter):
                tensor = Parameter(tensor.detach(), original.requires_grad)
            tensor.requires_grad_(original.requires_grad)
            _register(self, f"original{i}", tensor)

    def _check_result(self, before: Tensor) -> None:
        result = self()
        _require_tensor(result, "A parametrization must return a tensor. Got")
        complaint = (
            "Registering a parametrization may not change the {} of the tensor, unless `unsafe` flag is enabled."
        )
        _require_same(result, before, complaint, "parametrized {}", "unparametrized {}", ("dtype", "shape"))

    def right_inverse(self, value: Tensor) -> None:
        """Changes the originals so that the parametrized tensor becomes ``value``."""
        with rl.no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                value = module.right_inverse(value)
            if self.is_tensor:
                _require_tensor(value, "`right_inverse` should return a tensor. Got", end="")
                self._set_original("original", value, "The tensor")
                return
            if not isinstance(value, Sequence):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}.")
            if len(value) != self.ntensors:
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. "
                    f"Got a sequence of length {len(value)}."
                )
            for i, tensor in enumerate(value):
                if not isinstance(tensor, Tensor):
                    raise ValueError(
                        "'right_inverse' must return a sequence of tensors. "
                        f"Got element {i} of type {type(tensor).__name__}."
                    )
                self._set_original(f"original{i}", tensor, f"Tensor {i}")

    def _set_original(self, name: str, value: Tensor, subject: str) -> None:
        original = getattr(self, name)
        if value.dtype != original.dtype:
            raise ValueError(
                f"{subject} returned by `right_inverse` has dtype {value.dtype} "
                f"while `{name}` has dtype {original.dtype}"
            )
        original.set_(value)

    def forward(self) -> Tensor:
        first, *others = self
        if self.is_tensor:
            result = first(self.original)
        else:
            result = first(*[getattr(self, f"original{i}") for i in range(self.ntensors)])
        for module in others:
            result = module(result)
        return result


def _copy_parametrized(self: Any, memo: dict[int, Any]) -> Any:
    """Deepcopy without ``__getstate__``, which refuses."""
    if id(self) in memo:
        return memo[id(self)]
    replica = self.__new__(type(self))
    memo[id(self)] = replica
    replica.__dict__ = deepcopy(self.__dict__, memo)
    return replica


def _no_pickling(self: Any) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(). See:\n"
        "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
        "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
    )


def _inject_new_class(module: Module) -> None:
    """Gives one module a class of its own, where properties can stand for its tensors."""
    cls = type(module)
    members: dict[str, Any] = {"__getstate__": _no_pickling}
    if not hasattr(cls, "__deepcopy__"):
        members["__deepcopy__"] = _copy_parametrized
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), members)


def _inject_property(module: Module, name: str) -> None:
    """Makes ``name`` compute its value, and an assignment to it change the originals."""

    def get(self: Any) -> Tensor:
        parametrization = self.parametrizations[name]
        if not _cache_enabled:
            return parametrization()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = parametrization()
        return _cache[key]

    def put(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, put))


def _check_further(module: Module, name: str, parametrization: Module) -> None:
    """That one more parametrization keeps dtype and shape, and that its inverse does."""
    present = getattr(module, name)
    result = parametrization(present)
    _require_tensor(result, "A parametrization must return a tensor. Got")
    complaint = (
        "Registering a parametrization may not change the {} of the tensor, unless the `unsafe` flag is enabled."
    )
    new, old, what = f"parametrization(module.{name}).{{}}", f"module.{name}.{{}}", ("dtype", "shape")
    _require_same(result, present, complaint, new, old, what)
    if not hasattr(parametrization, "right_inverse"):
        return
    try:
        inverse = parametrization.right_inverse(result)
    except NotImplementedError:
        return
    _require_tensor(inverse, "parametrization.right_inverse must return a tensor. Got:", end="")
    complaint = (
        f"The tensor returned by parametrization.right_inverse must have the same {{}} as module.{name}, "
        "unless the `unsafe` flag is enabled."
    )
    _require_same(inverse, present, complaint, "returned {}", old, what)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Makes ``module.tensor_name`` the output of ``parametrization`` of the present tensor, at each use.

    Several are applied in the order they were registered. ``right_inverse`` of the parametrization, if it has one,
    says which original gives a wanted value; it may return several tensors. Unless ``unsafe``, shape and dtype must
    stay. Raises ValueError if they change or if there is no such tensor.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_further(module, tensor_name, parametrization)
        parametrizations = module.parametrizations[tensor_name]
        parametrizations.append(parametrization)
        parametrizations.unsafe |= unsafe
        return module
    if tensor_name not in module._buffers and tensor_name not in module._parameters:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    parametrizations = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _inject_new_class(module)
        module.parametrizations = ModuleDict()
    _inject_property(module, tensor_name)
    module.parametrizations[tensor_name] = parametrizations
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has parametrizations, of one tensor or of any."""
    parametrizations = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Makes the tensor an ordinary one again, with its computed value or (not ``leave_parametrized``) the original."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    parametrizations = module.parametrizations[tensor_name]
    if parametrizations.is_tensor:
        tensor = parametrizations.original
        if leave_parametrized:
            with rl.no_grad():
                tensor.set_(getattr(module, tensor_name))
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        tensor = Parameter(value.detach()) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, tensor)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before its first parametrization."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Gives ``to_module`` the parametrizations of ``from_module`` and the originals they use."""
    if not is_parametrized(from_module):
        return to_module
    for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
        for parametrization in source:
            register_parametrization(to_module, name, parametrization)
        originals = ["original"] if source.is_tensor else [f"original{i}" for i in range(source.ntensors)]
        for original in originals:
            setattr(to_module.parametrizations[name], original, getattr(source, original))
    return to_module
