"""Parts of a network that are computed again in the backward pass, so that their intermediate results need no memory.

Two ways, as in PyTorch. With ``use_reentrant=False`` a part is recorded with hooks on saved tensors that keep nothing;
the first tensor that backward asks for runs the part again and keeps what it saves, by position. With
``use_reentrant=True`` the part is one node of the graph whose backward runs it again and goes backward through it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from rushlight.autograd.function import Function
from rushlight.autograd.grad_mode import enable_grad, no_grad
from rushlight.autograd.graph_tools import saved_tensors_hooks
from rushlight.tensor.core import Tensor, user_line



class CheckpointError(RuntimeError):
    """The part did something else when it ran again."""


_settings: dict[str, Any] = {"debug": None, "early_stop": True}


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """In the block, ``checkpoint(debug=…)`` is this (None: as each call says)."""
    before = _settings["debug"]
    _settings["debug"] = enabled
    try:
        yield
    finally:
        _settings["debug"] = before


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """In the block, running a part again stops (or not) once everything needed is there."""
    before = _settings["early_stop"]
    _settings["early_stop"] = enable
    try:
        yield
    finally:
        _settings["early_stop"] = before


def noop_context_fn() -> tuple[Any, Any]:
    """Two contexts that do nothing: for the first run and for the second."""
    return contextlib.nullcontext(), contextlib.nullcontext()


class Again:
    """The state in which the part is to run again: random numbers, autocast."""

    def __init__(self, preserve_rng_state: bool):
        from rushlight.random import get_rng_state
        self.rng = get_rng_state() if preserve_rng_state else None

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        from rushlight.random import fork_rng, set_rng_state
        if self.rng is None:
            yield
            return
        with fork_rng(devices=[]):
            set_rng_state(self.rng)
            yield


# --- use_reentrant=False ------------------------------------------------------------------------------------------
class _Enough(Exception):
    """Everything that was saved the first time has been saved again."""


class _Frame:
    """One call of a part: how many tensors it saved, and what was kept of the second run."""

    def __init__(self, again: Callable[[], Any], check: Callable[[Any], Any], debug: bool, early_stop: bool):
        self.again, self.check, self.debug, self.early_stop = again, check, debug, early_stop
        self.types: list[Any] = []
        self.lines: list[str] = []
        self.kept: dict[int, Any] = {}

    def pack(self, tensor: Tensor) -> int:
        self.types.append(self.check(tensor))
        if self.debug:
            self.lines.append(user_line())
        return len(self.types) - 1

    def unpack(self, number: int) -> Tensor:
        if number not in self.kept:
            self._run_again()
        if number not in self.kept:
            raise CheckpointError("torch.utils.checkpoint: A different number of tensors was saved during the "
                                  "original forward and recomputation.\nNumber of tensors saved during forward: "
                                  f"{len(self.types)}\nNumber of tensors saved during "
                                  f"recomputation: {len(self.kept)}.\n{HINT}")
        kept: Tensor = self.kept.pop(number)
        return kept

    def where(self, number: int) -> str:
        """With debug=True, the lines that saved a tensor the first time and now."""
        if not self.debug:
            return " checkpoint(..., debug=True) names the lines."
        first = self.lines[number] if number < len(self.lines) else "nothing"
        return f" Saved the first time: {first}; the second time: {user_line()}."

    def _run_again(self) -> None:
        count = 0
        self.kept = {}

        def pack(tensor: Tensor) -> Tensor:
            nonlocal count
            number, count = count, count + 1
            if number >= len(self.types):
                raise CheckpointError("torch.utils.checkpoint: trying to save more tensors during recomputation "
                                      "than during the original forward pass.\n" + HINT + self.where(number))
            got = self.check(tensor)
            if got != self.types[number]:
                raise CheckpointError("torch.utils.checkpoint: "
                                      "Recomputed values for the following tensors have different metadata than "
                                      f"during the forward pass.\ntensor at position {number}:\nsaved metadata: "
                                      f"{self.types[number]}\nrecomputed metadata: {got}\n{HINT}{self.where(number)}")
            self.kept[number] = tensor.detach()
            if self.early_stop and count == len(self.types):
                raise _Enough
            return tensor.detach()
        with saved_tensors_hooks(pack, lambda kept: kept), enable_grad(), contextlib.suppress(_Enough):
            self.again()


HINT = ("The part that is checkpointed must do the same when it runs again: "
        "look for conditions on global state, caches, and random numbers.")


def _metadata(tensor: Tensor) -> dict[str, Any]:
    return {"shape": tuple(tensor.shape), "dtype": tensor.dtype, "device": str(tensor.device)}


CHECKS: dict[str, Callable[[Any], Any]] = {"default": _metadata, "none": lambda tensor: None}


def _without_reentry(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], preserve: bool, context_fn: Any,
                     check: str, debug: bool, early_stop: bool) -> Any:
    first, second = context_fn()
    if check not in CHECKS:
        raise ValueError(f"determinism_check should be one of {list(CHECKS)}, got {check}.")
    state = Again(preserve)

    def again() -> None:
        with state.restored(), second:
            function(*args, **kwargs)
    frame = _Frame(again, CHECKS[check], debug, early_stop)
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        return function(*args, **kwargs)


# --- use_reentrant=True -------------------------------------------------------------------------------------------
def check_backward_validity(inputs: Any) -> None:
    """A warning where no input requires gradients: the part's own parameters would get none."""
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None")


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same values without history, which require gradients where they did."""
    if not isinstance(inputs, tuple):
        raise RuntimeError("Only tuple of tensors is supported. Got Unsupported input type: ", type(inputs).__name__)
    return tuple(x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in inputs)


class CheckpointFunction(Function):
    """The part as one node."""

    @staticmethod
    def forward(ctx: Any, run_function: Any, preserve_rng_state: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.run_function, ctx.state = run_function, Again(preserve_rng_state)
        ctx.save_for_backward(*[a for a in args if isinstance(a, Tensor)])
        ctx.template = [None if isinstance(a, Tensor) else (a,) for a in args]
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        from rushlight.autograd.api import backward
        tensors = iter(ctx.saved_tensors)
        inputs = detach_variable(tuple(next(tensors) if t is None else t[0] for t in ctx.template))
        with ctx.state.restored(), enable_grad():
            outputs = ctx.run_function(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *(x.grad if isinstance(x, Tensor) else None for x in inputs))


# --- the public functions -----------------------------------------------------------------------------------------
def checkpoint(function: Any, *args: Any, use_reentrant: bool | None = None,
               context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn, determinism_check: str = "default",
               debug: bool = False, early_stop: bool = True, **kwargs: Any) -> Any:
    """``function(*args, **kwargs)``, whose intermediate results are not kept for backward but computed again there.

    Random numbers are the same both times unless ``preserve_rng_state=False``. ``use_reentrant`` should be given; True
    takes no keyword arguments, works only with ``backward()`` (not ``autograd.grad``) and wants an input that requires
    gradients. ``context_fn`` returns two contexts, for the first run and for the second. ``determinism_check``
    "default" compares shapes, dtypes and devices of what is saved (CheckpointError), "none" nothing.
    ``early_stop=False`` runs the part to its end the second time.

    >>> import rushlight as rl
    >>> x = rl.tensor(2., requires_grad=True)
    >>> checkpoint(lambda v: v.exp() * v, x, use_reentrant=False).backward()
    >>> x.grad
    tensor(22.1672)
    """
    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. "
                      "use_reentrant=False is recommended; "
                      "the default is use_reentrant=True here, as in the PyTorch of today.", stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    debug = debug if _settings["debug"] is None else _settings["debug"]
    return _without_reentry(function, args, kwargs, preserve, context_fn, determinism_check, debug,
                            early_stop and _settings["early_stop"])


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool | None = None,
                          **kwargs: Any) -> Any:
    """A chain of functions (or a Sequential) in ``segments`` parts of equal length, each but the last one checkpointed.

    >>> import rushlight as rl
    >>> checkpoint_sequential([rl.exp, rl.sin, rl.cos], 2, rl.zeros(1), use_reentrant=False)
    tensor([0.6664])
    """
    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint.checkpoint_sequential: "
                      "the use_reentrant parameter should be passed explicitly.", stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    chain = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(chain) // segments

    def part(start: int, end: int) -> Any:
        def run(x: Any) -> Any:
            for f in chain[start:end]:
                x = f(x)
            return x
        return run
    end = 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(part(start, end), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return part(end, len(chain))(input)


__all__ = ["CheckpointError", "CheckpointFunction", "check_backward_validity", "checkpoint", "checkpoint_sequential",
           "detach_variable", "noop_context_fn", "set_checkpoint_debug_enabled", "set_checkpoint_early_stop"]
