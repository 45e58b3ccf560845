"""Pruning: entries of parameters masked to zero while training goes on (torch.nn.utils.prune).

A pruned parameter NAME becomes a parameter NAME_orig and a buffer NAME_mask; before each forward NAME is their product.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from rushlight.nn.parameter import Parameter


# --- amounts ------------------------------------------------------------------------------------------------------
def _validate_pruning_amount_init(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if (isinstance(amount, numbers.Integral) and amount < 0) or (not isinstance(amount, numbers.Integral) and not 0.0 <= float(amount) <= 1.0):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _validate_pruning_amount(amount: Any, tensor_size: int) -> None:
    if isinstance(amount, numbers.Integral) and amount > tensor_size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={tensor_size}")


def _compute_nparams_toprune(amount: Any, tensor_size: int) -> int:
    return int(amount) if isinstance(amount, numbers.Integral) else round(float(amount) * tensor_size)


def _validate_structured_pruning(t: Any) -> None:
    if t.ndim <= 1:
        raise ValueError(f"Structured pruning can only be applied to multidimensional tensors. Found tensor of shape {t.shape} with {t.ndim} dims.")


def _channel(dim: int, n: int) -> int:
    if not -n <= dim < n:
        raise IndexError(f"Invalid index {dim} for tensor of size {n}")
    return dim % n


# --- methods ------------------------------------------------------------------------------------------------------
class BasePruningMethod(ABC):
    """A way to choose a mask; subclasses give PRUNING_TYPE ("unstructured", "structured", "global") and compute_mask."""

    _tensor_name: str
    PRUNING_TYPE = "unstructured"

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask for a tensor, given the mask that it has."""

    def apply_mask(self, module: Any) -> Any:
        """The parameter times its mask."""
        mask = getattr(module, self._tensor_name + "_mask")
        return mask.to(dtype=getattr(module, self._tensor_name + "_orig").dtype) * getattr(module, self._tensor_name + "_orig")

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> Any:
        """Prune a parameter of a module; pruning again masks further entries of what is left."""
        found = [k for k, h in module._forward_pre_hooks.items() if isinstance(h, BasePruningMethod) and h._tensor_name == name]
        if len(found) > 1:
            raise AssertionError(f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. Use a PruningContainer.")
        old = module._forward_pre_hooks[found[0]] if found else None
        method = cls(*args, **kwargs)
        method._tensor_name = name
        if old is not None:
            box = old if isinstance(old, PruningContainer) else PruningContainer(old)
            box._tensor_name = name
            box.add_pruning_method(method)
            method = box
        orig = getattr(module, name)
        if importance_scores is not None and importance_scores.shape != orig.shape:
            raise AssertionError(f"importance_scores should have the same shape as parameter {name} of {module}")
        scores = orig if importance_scores is None else importance_scores
        default = orig.detach().new_ones(orig.shape) if old is None else getattr(module, name + "_mask").detach().clone()
        mask = method.compute_mask(scores.detach(), default_mask=default)
        if old is not None:
            del module._forward_pre_hooks[found[0]]
        else:
            del module._parameters[name]
            module.register_parameter(name + "_orig", orig)
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """A pruned copy of a tensor."""
        if importance_scores is not None and importance_scores.shape != t.shape:
            raise AssertionError("importance_scores should have the same shape as tensor t")
        default = t.detach().new_ones(t.shape) if default_mask is None else default_mask
        return t * self.compute_mask(t if importance_scores is None else importance_scores, default_mask=default)

    def remove(self, module: Any) -> None:
        """Make the pruning permanent: the parameter holds the masked values."""
        name = self._tensor_name
        masked = self.apply_mask(module).detach()
        orig = module._parameters.pop(name + "_orig")
        orig.data = masked
        del module._buffers[name + "_mask"]
        if hasattr(module, name):
            delattr(module, name)
        module.register_parameter(name, orig)


class PruningContainer(BasePruningMethod):
    """Methods applied to one tensor one after the other, each to what the earlier ones have left."""

    def __init__(self, *args: Any):
        self._pruning_methods: tuple[Any, ...] = ()
        if len(args) == 1 and isinstance(args[0], Iterable):
            args = tuple(args[0])
        for method in args:
            self._tensor_name = getattr(self, "_tensor_name", method._tensor_name)
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """One more; TypeError for anything else, ValueError for another tensor's."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer {self}. "
                             f"Found '{method._tensor_name}'")
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, i: Any) -> Any:
        return self._pruning_methods[i]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The last method's mask of the entries (or channels) that are left."""
        method, mask = self._pruning_methods[-1], default_mask.to(dtype=t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            where: Any = mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = _channel(method.dim, t.ndim)
            kept = mask.sum([d for d in range(t.ndim) if d != dim]) != 0
            where = [slice(None)] * t.ndim
            where[dim] = kept
            where = tuple(where)
        elif method.PRUNING_TYPE == "global":
            where = tuple([slice(None)] * t.ndim)
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        part = method.compute_mask(t[where], default_mask=mask[where])
        out = mask.clone()
        out[where] = part.to(dtype=out.dtype)
        return out


class Identity(BasePruningMethod):
    """Masks nothing: a pruning whose mask is all ones."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return default_mask

    @classmethod
    def apply(cls, module: Any, name: str) -> Any:  # type: ignore[override]
        """Give the parameter a mask of ones."""
        return super().apply(module, name)


class _Amount(BasePruningMethod):
    def __init__(self, amount: Any):
        _validate_pruning_amount_init(amount)
        self.amount = amount

    def _count(self, t: Any) -> int:
        _validate_pruning_amount(self.amount, t.numel())
        return _compute_nparams_toprune(self.amount, t.numel())


class RandomUnstructured(_Amount):
    """Masks random entries: ``amount`` of them, or that part of them."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        from rushlight.tensor.creation import rand_like
        n, mask = self._count(t), default_mask.clone()
        if n:
            mask.view(-1)[rand_like(t).view(-1).topk(k=n).indices] = 0
        return mask

    @classmethod
    def apply(cls, module: Any, name: str, amount: Any) -> Any:  # type: ignore[override]
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Amount):
    """Masks the entries of least absolute value."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        n, mask = self._count(t), default_mask.clone()
        if n:
            mask.view(-1)[t.abs().reshape(-1).topk(k=n, largest=False).indices] = 0
        return mask

    @classmethod
    def apply(cls, module: Any, name: str, amount: Any, importance_scores: Any = None) -> Any:  # type: ignore[override]
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Channels(BasePruningMethod):
    PRUNING_TYPE = "structured"
    amount: Any
    dim: int

    def _scores(self, t: Any) -> Any:
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with whole channels of the dimension gone, those of least score."""
        _validate_structured_pruning(t)
        dim = _channel(self.dim, t.ndim)
        size = t.shape[dim]
        n = _compute_nparams_toprune(self.amount, size)
        _validate_pruning_amount(n, size)
        if n == 0:
            return default_mask
        keep = self._scores(t).topk(k=size - n, largest=True).indices
        mask = t.detach().new_zeros(t.shape)
        where: list[Any] = [slice(None)] * t.ndim
        where[dim] = keep
        mask[tuple(where)] = 1
        return mask * default_mask.to(dtype=mask.dtype)


class RandomStructured(_Channels):
    """Masks random channels along dimension ``dim``."""

    def __init__(self, amount: Any, dim: int = -1):
        _validate_pruning_amount_init(amount)
        self.amount, self.dim = amount, dim

    def _scores(self, t: Any) -> Any:
        from rushlight.tensor.creation import rand
        return rand(t.shape[self.dim])

    @classmethod
    def apply(cls, module: Any, name: str, amount: Any, dim: int = -1) -> Any:  # type: ignore[override]
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Channels):
    """Masks the channels along ``dim`` of least n-norm."""

    def __init__(self, amount: Any, n: Any, dim: int = -1):
        _validate_pruning_amount_init(amount)
        self.amount, self.n, self.dim = amount, n, dim

    def _scores(self, t: Any) -> Any:
        from rushlight.tensor.functions.linalg import norm
        dim = _channel(self.dim, t.ndim)
        rows = t.movedim(dim, 0).reshape(t.shape[dim], -1)
        return norm(rows, self.n, dim=1)

    @classmethod
    def apply(cls, module: Any, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None) -> Any:  # type: ignore[override]
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """A mask that is given."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any):
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if default_mask.shape != self.mask.shape:
            raise AssertionError("the mask must have the shape of the parameter")
        return default_mask * self.mask.to(dtype=default_mask.dtype)

    @classmethod
    def apply(cls, module: Any, name: str, mask: Any) -> Any:  # type: ignore[override]
        return super().apply(module, name, mask=mask)


# --- functions ----------------------------------------------------------------------------------------------------
def identity(module: Any, name: str) -> Any:
    """Give a parameter a mask of ones. Returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: Any) -> Any:
    """Mask random entries: a number of them, or (a float in [0, 1]) a part. Returns the module.

    >>> import rushlight as rl
    >>> int(random_unstructured(rl.nn.Linear(2, 3), "weight", 0.5).weight_mask.sum())
    3
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: Any, importance_scores: Any = None) -> Any:
    """Mask the entries of least absolute value (or of least ``importance_scores``). Returns the module."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: Any, dim: int) -> Any:
    """Mask random channels along a dimension. Returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Any, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None) -> Any:
    """Mask the channels along a dimension of least n-norm. Returns the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any) -> None:
    """Prune several parameters, pairs of (module, name), as if they were one tensor, with an unstructured method."""
    from rushlight.tensor.functions.shape import cat
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    parameters = list(parameters)
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    relevant = cat([scores.get((m, n), getattr(m, n)).detach().reshape(-1) for m, n in parameters])
    default = cat([getattr(m, n + "_mask", getattr(m, n).detach().new_ones(getattr(m, n).shape)).reshape(-1) for m, n in parameters])
    box = PruningContainer()
    box._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    box.add_pruning_method(method)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(f'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method {pruning_method} of type {method.PRUNING_TYPE}')
    final, start = box.compute_mask(relevant, default), 0
    for m, n in parameters:
        p = getattr(m, n)
        custom_from_mask(m, n, mask=final[start:start + p.numel()].reshape(p.shape))
        start += p.numel()


def custom_from_mask(module: Any, name: str, mask: Any) -> Any:
    """Mask a parameter with a given mask. Returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: Any, name: str) -> Any:
    """Make the pruning of a parameter permanent. ValueError where it is not pruned. Returns the module."""
    for k, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[k]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Any) -> bool:
    """Whether a parameter of the module or of a submodule is pruned."""
    return any(isinstance(hook, BasePruningMethod) for m in module.modules() for hook in m._forward_pre_hooks.values())


__all__ = ["BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "Parameter", "PruningContainer", "RandomStructured",
           "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned", "l1_unstructured", "ln_structured", "random_structured",
           "random_unstructured", "remove"]
