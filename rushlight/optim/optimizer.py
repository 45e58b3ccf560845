"""The base class of optimizers."""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from rushlight.autograd.grad_mode import enable_grad, is_grad_enabled
from rushlight.autograd.graph import RemovableHandle
from rushlight.optim import fused
from rushlight.tensor.core import Tensor, start_pending, unwrap, wrap
from rushlight.tensor.inplace import old_values
from rushlight.tensor.state import state as thread


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()
_global_hooks: dict[str, OrderedDict[int, Any]] = {"pre": OrderedDict(), "post": OrderedDict()}


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call hook(optimizer, args, kwargs) before the step of every optimizer."""
    return RemovableHandle.holding(_global_hooks["pre"], hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call hook(optimizer, args, kwargs) after the step of every optimizer."""
    return RemovableHandle.holding(_global_hooks["post"], hook)


def number(value: Any) -> Any:
    """A hyper-parameter as a Python number; a tensor that gradients are wanted for (in a recorded step) as it is."""
    if value.__class__ is float or not isinstance(value, Tensor):
        if isinstance(value, str):
            raise TypeError(f"a number was expected, but got the text {value!r}")
        return float(value)
    return value if value.requires_grad and is_grad_enabled() else float(value.item())


class Optimizer:
    """Base class: parameter groups, state, and a ``step`` that subclasses define by `_update`."""

    def __init__(self, params: Any, defaults: dict[str, Any]):
        self.defaults = defaults
        self._hooks: dict[str, OrderedDict[int, Any]] = {k: OrderedDict() for k in (
            "pre", "post", "state_dict_pre", "state_dict_post", "load_pre", "load_post")}
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or dicts, but got " + params.type())
        self.state: dict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = _with_hooks(vars(cls)["step"])  # type: ignore[method-assign]

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__.setdefault("_hooks", {k: OrderedDict() for k in ("pre", "post", "state_dict_pre", "state_dict_post", "load_pre", "load_post")})

    def __repr__(self) -> str:
        lines = [self.__class__.__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will change between runs. "
                            "Please use a list instead.")
        params = list(params)
        names = None
        if params and isinstance(params[0], tuple):
            names, params = [n for n, _ in params], [p for _, p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is " + type(p).__name__)
            if not self.defaults.get("differentiable", None) and not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        param_group["params"] = params
        if names is not None:
            param_group["param_names"] = names
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len({id(p) for p in params}) != len(params):
            import warnings
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; see "
                          "github.com/pytorch/pytorch/issues/40967 for more information", stacklevel=3)
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in seen for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients: None, or zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if set_to_none:
                    p.grad = None
                else:
                    p.grad = p.grad.detach()
                    p.grad.zero_()

    # --- one step -------------------------------------------------------------------------------------------------
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters by their gradients; closure recomputes the loss first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        before, thread.grad = thread.grad, self._recorded
        try:
            for group in self.param_groups:
                params = [p for p in group["params"] if p.grad is not None]
                sparse = [p for p in params if p.grad.__class__ is not Tensor and p.grad.is_sparse]
                if sparse:
                    self._update_sparse(group, sparse)
                    params = [p for p in params if not p.grad.is_sparse]
                if params:
                    self._update(group, params)
        finally:
            thread.grad = before
        start_pending()
        return loss

    @property
    def _recorded(self) -> bool:
        """Whether autograd records the step (differentiable=True): then the parameters may not be leaves."""
        return bool(self.defaults.get("differentiable"))

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        raise NotImplementedError

    def _update_sparse(self, group: dict[str, Any], params: list[Tensor]) -> None:
        name = type(self).__name__
        raise RuntimeError("Adam does not support sparse gradients, please consider SparseAdam instead" if name in ("Adam", "AdamW") else
                           f"{name} does not support sparse gradients")

    def _ready(self, p: Tensor, **parts: Any) -> dict[str, Any]:
        """The state of a parameter, made at its first step: ``step``, tensors like the parameter (True), and numbers that change (floats)."""
        state: dict[str, Any] = self.state[p]
        if not state:
            from rushlight import zeros_like  # the public one: parameters may be DTensors
            state["step"] = wrap(np.zeros((), np.float32))
            for name, part in parts.items():
                if part is not False:
                    state[name] = zeros_like(p) if part is True else wrap(np.array(part, np.float32))
        return state

    def _by_step(self, params: list[Tensor]) -> dict[float, list[Tensor]]:
        """Count one step for each parameter; the parameters by how many they have taken."""
        out: dict[float, list[Tensor]] = {}
        for p in params:
            state = self.state[p]
            counter = state["step"]
            if not isinstance(counter, Tensor):
                counter = state["step"] = wrap(np.array(float(counter), np.float32))
            memory = counter._storage.memory()
            at = counter._spec.offset
            steps = memory.item(at) + 1
            memory[at] = steps  # the counter's own memory: no node, no pending value
            some = out.get(steps)
            if some is None:
                out[steps] = [p]
            else:
                some.append(p)
        return out

    def _by_numbers(self, params: list[Tensor], *names: str) -> Iterator[tuple[tuple[float, ...], list[Tensor]]]:
        """The parameters by steps taken and numbers in their states; who missed a step under a scheduler has others."""
        for steps, some in self._by_step(params).items():
            alike: dict[tuple[float, ...], list[Tensor]] = {}
            for p in some:
                alike.setdefault((steps, *(float(unwrap(self.state[p][name])) for name in names)), []).append(p)
            yield from alike.items()

    def _write_numbers(self, params: list[Tensor], **numbers: float) -> None:
        """Set numbers in the states of parameters."""
        for p in params:
            for name, value in numbers.items():
                unwrap(self.state[p][name])[...] = value

    def _apply(self, rule: Any, params: list[Tensor], names: tuple[str, ...], numbers: tuple[float, ...], flags: tuple[Any, ...] = ()) -> None:
        """Record the rule for parameters and the named parts of their state."""
        if self._recorded:
            for p in params:
                state = self.state[p]
                new, *kept = rule(old_values(p), *(state[n] for n in names), p.grad, *numbers, *flags)
                p.copy_(new)
                state.update(zip(names, kept))
            return
        states = [self.state[p] for p in params] if names else []
        fused.update(rule, [params, *[[s[n] for s in states] for n in names]], [p.grad for p in params], numbers, flags)

    # --- saving ---------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """State and settings in PyTorch's layout, parameters by number."""
        for hook in self._hooks["state_dict_pre"].values():
            hook(self)
        index: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            for p in group["params"]:
                index.setdefault(id(p), len(index))
            packed["params"] = [index[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {(index[id(k)] if isinstance(k, Tensor) else k): v for k, v in self.state.items()}
        out = {"state": state, "param_groups": groups}
        for hook in self._hooks["state_dict_post"].values():
            changed = hook(self, out)
            out = out if changed is None else changed
        return out

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over state and settings of `state_dict`."""
        state_dict = dict(state_dict)
        for hook in self._hooks["load_pre"].values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        groups, saved = self.param_groups, copy.deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        by_number = dict(zip(chain.from_iterable(g["params"] for g in saved), chain.from_iterable(g["params"] for g in groups)))
        state: dict[Any, Any] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            p = by_number.get(key)
            if p is None:
                state[key] = value
            else:
                state[p] = {k: _adopted(k, v, p) for k, v in value.items()}
        merged = [{**s, "params": g["params"]} for g, s in zip(groups, saved)]
        self.__setstate__({"state": state, "param_groups": merged})
        for hook in self._hooks["load_post"].values():
            hook(self)

    # --- hooks ----------------------------------------------------------------------------------------------------
    def _register(self, kind: str, hook: Any, first: bool = False) -> RemovableHandle:
        handle = RemovableHandle.holding(self._hooks[kind], hook)
        if first:
            self._hooks[kind].move_to_end(handle.id, last=False)
        return handle

    def register_step_pre_hook(self, hook: Any) -> RemovableHandle:
        """Call hook(optimizer, args, kwargs) before each step."""
        return self._register("pre", hook)

    def register_step_post_hook(self, hook: Any) -> RemovableHandle:
        """Call hook(optimizer, args, kwargs) after each step."""
        return self._register("post", hook)

    def register_state_dict_pre_hook(self, hook: Any, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer) before state_dict."""
        return self._register("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(self, hook: Any, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer, state_dict) after state_dict."""
        return self._register("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Any, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer, state_dict) before load_state_dict."""
        return self._register("load_pre", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Any, prepend: bool = False) -> RemovableHandle:
        """Call hook(optimizer) after load_state_dict."""
        return self._register("load_post", hook, prepend)


def _adopted(name: str, value: Any, p: Tensor) -> Any:
    """A loaded piece of state as a copy in the parameter's dtype."""
    if isinstance(value, Tensor):
        if name == "step":
            return value.detach().to(value.dtype).clone()
        return value.detach().to(p.dtype).clone() if p.dtype.is_floating_point and value.dtype.is_floating_point else value.detach().clone()
    return copy.deepcopy(value)


def _with_hooks(function: Any) -> Any:
    """The step of a subclass with the hooks around it."""
    import functools

    @functools.wraps(function)
    def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        hooks = self._hooks
        if _global_hooks["pre"] or hooks["pre"]:
            args, kwargs = _before_step(self, args, kwargs, function)
        out = function(self, *args, **kwargs)
        if _global_hooks["post"] or hooks["post"]:
            for hook in (*hooks["post"].values(), *_global_hooks["post"].values()):
                hook(self, args, kwargs)
        return out
    return step


def _before_step(self: Optimizer, args: Any, kwargs: Any, function: Any) -> tuple[Any, Any]:
    """Call the hooks before a step; the arguments that it gets."""
    for hook in (*_global_hooks["pre"].values(), *self._hooks["pre"].values()):
        changed = hook(self, args, kwargs)
        if changed is not None:
            if not isinstance(changed, tuple) or len(changed) != 2:
                raise RuntimeError(f"{function} must return None or a tuple of (new_args, new_kwargs), but got {changed}.")
            args, kwargs = changed
    return args, kwargs


Optimizer.step = _with_hooks(Optimizer.step)  # type: ignore[method-assign]


def check(condition: bool, name: str, value: Any) -> None:
    """ValueError in PyTorch's words for a setting out of range."""
    if not condition:
        raise ValueError(f"Invalid {name}: {value}")


def at_least(value: Any, least: float, name: str) -> None:
    """ValueError for a setting that is less than it may be, in the words of PyTorch's newer optimizers."""
    if value < least:
        raise ValueError(f"{name} should be >= {least} but is: {value}")


def check_rate(lr: Any) -> None:
    """That a learning rate is one number, and not negative."""
    check(one_number(lr) >= 0, "learning rate", lr)


def one_number(lr: Any) -> Any:
    """A learning rate, which may be a tensor of one element."""
    if isinstance(lr, Tensor) and lr._spec.numel != 1:
        raise ValueError(f"Tensor lr must be 1-element, but its shape is {list(lr._spec.shape)}")
    return number(lr)


def check_switches(foreach: Any, fused_: Any, differentiable: bool) -> None:
    """foreach and fused only choose an implementation in PyTorch; both at once are an error there too."""
    if foreach and fused_:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    if fused_ and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
