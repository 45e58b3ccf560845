"""torch.nn.utils.prune: parameters multiplied with masks that a method chooses.

A pruned parameter `weight` lies in `weight_orig`, its mask in the buffer `weight_mask`, and
`weight` itself is their product, made anew before each forward by a hook, which is the method.
Methods applied one after another are joined in a container.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import rushlight as rl

__all__ = ["BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer",
           "RandomStructured", "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity",
           "is_pruned", "l1_unstructured", "ln_structured", "random_structured", "random_unstructured", "remove"]


class BasePruningMethod(ABC):
    """A way to choose a mask. Subclasses say in ``PRUNING_TYPE`` whether it
    works on elements, channels or all parameters."""

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Any, inputs: Any) -> None:
        """Before forward: the parameter under its name is the masked one."""
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """A mask like t, zero where `default_mask` is and where this method prunes."""

    def apply_mask(self, module: Any) -> Any:
        """The parameter times its mask."""
        if self._tensor_name is None:
            raise AssertionError(f"Module {module} has to be pruned")
        mask, original = (getattr(module, self._tensor_name + end) for end in ("_mask", "_orig"))
        return mask.to(dtype=original.dtype) * original

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Any = None,
              **kwargs: Any) -> BasePruningMethod:
        """Prunes a parameter of a module with cls(*args, **kwargs), after the methods that pruned it before; the hook
        that does so."""
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        earlier = _hook_of(module, name)
        if earlier is None:
            original = getattr(module, name)
            mask = rl.ones_like(original)
        else:
            key, old = earlier
            del module._forward_pre_hooks[key]
            joined = PruningContainer(old)
            joined.add_pruning_method(method)
            method = joined
            original, mask = getattr(module, name + "_orig"), getattr(module, name + "_mask").detach().clone()
        scores = original if importance_scores is None else importance_scores
        if tuple(scores.shape) != tuple(original.shape):
            raise AssertionError(f"importance_scores should have the same shape as parameter {name} of {module}")
        if earlier is None:
            module.register_parameter(name + "_orig", original)
            del module._parameters[name]
        try:
            module.register_buffer(name + "_mask", method.compute_mask(scores, default_mask=mask))
            setattr(module, name, method.apply_mask(module))
        except Exception:
            if earlier is None:
                module.register_parameter(name, original)
                del module._parameters[name + "_orig"]
            raise
        module.register_forward_pre_hook(method)
        return method  # type: ignore[no-any-return]

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """t times the mask that this method computes for it (or for importance scores in its place)."""
        scores = t if importance_scores is None else importance_scores
        if tuple(scores.shape) != tuple(t.shape):
            raise AssertionError("importance_scores should have the same shape as tensor t")
        mask = rl.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=mask)

    def remove(self, module: Any) -> None:
        """Makes the pruning permanent: the masked values become the parameter. The hook itself stays; `prune.remove`
        takes it away."""
        name = self._tensor_name
        if name is None:
            raise AssertionError(f"Module {module} has to be pruned before pruning can be removed")
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(name + "_orig")
        original.data = weight.data
        del module._buffers[name + "_mask"]
        setattr(module, name, original)


class PruningContainer(BasePruningMethod):
    """Several methods in order: each chooses among what those before it left."""

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        methods = tuple(args[0]) if len(args) == 1 and not isinstance(args[0], BasePruningMethod) else args
        if methods:
            self._tensor_name = methods[0]._tensor_name
        for method in methods:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Appends a method of the same parameter. TypeError for another type, ValueError for another parameter."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError("Can only add pruning methods acting on the parameter named "
                             f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'")
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, index: Any) -> Any:
        return self._pruning_methods[index]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        method = self._pruning_methods[-1]
        mask = default_mask.clone().to(dtype=t.dtype)
        part = self._left(method, mask)
        mask[part] = method.compute_mask(t[part], default_mask=mask[part]).to(mask.dtype)
        return mask

    @staticmethod
    def _left(method: Any, mask: Any) -> Any:
        """What a method may choose from: elements, or whole channels, that are not pruned yet."""
        if method.PRUNING_TYPE == "unstructured":
            return mask == 1
        if method.PRUNING_TYPE == "global":
            return (slice(None),) * mask.ndim
        if method.PRUNING_TYPE != "structured":
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        if not hasattr(method, "dim"):
            raise AttributeError('Pruning methods of PRUNING_TYPE "structured" need to have the '
                                 f'attribute `dim` defined; {type(method).__name__} has none')
        dim = method.dim % mask.ndim
        others = tuple(d for d in range(mask.ndim) if d != dim)
        kept = (mask.sum(dim=others) if others else mask) != 0
        return (*(slice(None),) * dim, kept)


class Identity(BasePruningMethod):
    """Prunes nothing, and makes the mask."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        return default_mask


class _ByAmount(BasePruningMethod):
    """Prunes a number of units (an int) or a fraction of them (a float)."""

    def __init__(self, amount: Any) -> None:
        _check_amount(amount)
        self.amount = amount

    def units(self, size: int) -> int:
        """How many of `size` units go. ValueError for more than there are."""
        count = self.amount if isinstance(self.amount, numbers.Integral) else round(self.amount * size)
        if count > size:
            raise ValueError(f"amount={count} should be smaller than the number of parameters to prune={size}")
        return int(count)


class _Unstructured(_ByAmount):
    """Prunes the elements of smallest score."""

    PRUNING_TYPE = "unstructured"

    def scores(self, t: Any) -> Any:
        """A number for each element."""
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        count = self.units(t.nelement())
        mask = default_mask.clone()
        if count:
            mask.view(-1)[rl.topk(self.scores(t).reshape(-1), count, largest=False).indices] = 0
        return mask


class RandomUnstructured(_Unstructured):
    """Prunes elements at random."""

    def scores(self, t: Any) -> Any:
        return -rl.rand_like(t)  # topk's largest numbers: the same elements as PyTorch with the same seed


class L1Unstructured(_Unstructured):
    """Prunes the elements of smallest absolute value."""

    def scores(self, t: Any) -> Any:
        return t.detach().abs()


class _Structured(_ByAmount):
    """Prunes some of the channels along a dimension."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def kept(self, t: Any, size: int, count: int) -> Any:
        """For each of ``size`` channels whether it stays, which ``count`` do not."""
        raise NotImplementedError

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        _check_channels(t, self.dim)
        size = t.shape[self.dim]
        count = self.units(size)
        if not count:
            return default_mask
        return _channel_mask(t, self.dim, self.kept(t, size, count)) * default_mask.to(t.dtype)


class RandomStructured(_Structured):
    """Prunes channels of a dimension at random."""

    def kept(self, t: Any, size: int, count: int) -> Any:
        draws = rl.rand(size)
        return draws > rl.kthvalue(draws, count).values


class LnStructured(_Structured):
    """Prunes the channels of a dimension whose n-norm is smallest."""

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def kept(self, t: Any, size: int, count: int) -> Any:
        others = [d for d in range(t.ndim) if d != self.dim % t.ndim]
        norms = rl.norm(t.detach(), p=self.n, dim=others)
        kept = rl.zeros(size, dtype=rl.bool)
        kept[rl.topk(norms, size - count).indices] = True
        return kept


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask that is given."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        if tuple(default_mask.shape) != tuple(self.mask.shape):
            raise AssertionError(f"mask shape mismatch: the parameter has shape {list(default_mask.shape)}, "
                                 f"the mask {list(self.mask.shape)}")
        return default_mask * self.mask.to(dtype=default_mask.dtype)


# --- functions ----------------------------------------------------------------------------------------------------
def identity(module: Any, name: str) -> Any:
    """The module with a mask of ones for the parameter.

    >>> identity(rl.nn.Linear(2, 1), "weight").weight_mask
    tensor([[1., 1.]])
    """
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: Any) -> Any:
    """The module with `amount` elements of the parameter (an int, or a fraction) pruned at random.

    >>> random_unstructured(rl.nn.Linear(2, 2), "weight", 0.25).weight_mask.sum()
    tensor(3.)
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: Any, importance_scores: Any = None) -> Any:
    """The module with the `amount` smallest elements of the parameter (or of importance scores) pruned.

    >>> l1_unstructured(rl.nn.Linear(2, 2), "weight", 1).weight_mask.sum()
    tensor(3.)
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: Any, dim: int) -> Any:
    """The module with `amount` channels of a dimension of the parameter pruned at random.

    >>> random_structured(rl.nn.Linear(3, 2), "weight", 1, 0).weight_mask.sum()
    tensor(3.)
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Any, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None) -> Any:
    """The module with the `amount` channels of a dimension pruned whose n-norm is smallest.

    >>> ln_structured(rl.nn.Linear(3, 2), "weight", 0.5, 2, 0).weight_mask.sum()
    tensor(3.)
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Any, name: str, mask: Any) -> Any:
    """The module with the parameter pruned by a mask.

    >>> custom_from_mask(rl.nn.Linear(2, 1), "weight", rl.tensor([[1, 0]])).weight_mask
    tensor([[1., 0.]])
    """
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any) -> None:
    """Prunes elements of several parameters, (module, name) pairs, as if they were one.

    TypeError for a method that does not work on elements.

    >>> a, b = rl.nn.Linear(2, 2), rl.nn.Linear(2, 2)
    >>> global_unstructured([(a, "weight"), (b, "weight")], L1Unstructured, amount=3)
    >>> a.weight_mask.sum() + b.weight_mask.sum()
    tensor(5.)
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    pairs = list(parameters)
    given = {} if importance_scores is None else importance_scores
    if not isinstance(given, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError('Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. '
                        f"Found method {pruning_method} of type {method.PRUNING_TYPE}")
    container = PruningContainer()
    container._tensor_name = method._tensor_name = "temp"
    container.add_pruning_method(method)
    flat = rl.cat([given.get(p, getattr(*p)).detach().reshape(-1) for p in pairs])
    before = rl.cat([getattr(m, n + "_mask", rl.ones_like(getattr(m, n))).detach().reshape(-1) for m, n in pairs])
    mask = container.compute_mask(flat, before)
    at = 0
    for module, name in pairs:
        parameter = getattr(module, name)
        custom_from_mask(module, name, mask[at:at + parameter.numel()].view_as(parameter))
        at += parameter.numel()


def remove(module: Any, name: str) -> Any:
    """The module with the pruning of a parameter made permanent. ValueError where it is not pruned.

    >>> m = remove(l1_unstructured(rl.nn.Linear(2, 2), "weight", 1), "weight")
    >>> sorted(n for n, _ in m.named_parameters()), int((m.weight == 0).sum())
    (['bias', 'weight'], 1)
    """
    found = _hook_of(module, name)
    if found is None:
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    key, hook = found
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module: Any) -> bool:
    """Whether some parameter of the module, or of one in it, is pruned.

    >>> is_pruned(rl.nn.Linear(1, 1))
    False
    """
    return any(isinstance(hook, BasePruningMethod) for m in module.modules() for hook in m._forward_pre_hooks.values())


def _hook_of(module: Any, name: str) -> tuple[int, Any] | None:
    """The hook that prunes a parameter, with its key."""
    return next(((k, h) for k, h in module._forward_pre_hooks.items() if isinstance(h, BasePruningMethod)
                 and h._tensor_name == name), None)


def _check_amount(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or not isinstance(amount, numbers.Integral) and amount > 1:
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _check_channels(t: Any, dim: int) -> None:
    if t.ndim <= 1:
        raise ValueError("Structured pruning can only be applied to multidimensional tensors. "
                         f"Found tensor of shape {t.shape} with {t.ndim} dims")
    if dim >= t.ndim:
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")


def _channel_mask(t: Any, dim: int, kept: Any) -> Any:
    """1 in the channels that are kept."""
    return rl.zeros_like(t) + kept.to(t.dtype).reshape([-1 if d == dim % t.ndim else 1 for d in range(t.ndim)])
