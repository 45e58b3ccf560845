"""Operators of a program's own (torch.library)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

_operators: dict[str, CustomOpDef] = {}


class CustomOpDef:
    """An operator made by `custom_op`: call it as the function; register_autograd gives it a gradient."""

    def __init__(self, name: str, fn: Callable[..., Any], mutates_args: Any):
        functools.update_wrapper(self, fn)
        self._qualname, self._fn, self._mutates = name, fn, mutates_args
        self._backward: Any = None
        self._setup: Any = None
        self._fake: Any = None
        self._batch: Any = None
        self._function: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        import inspect
        bound = inspect.signature(self._fn).bind(*args, **kwargs)
        bound.apply_defaults()
        if self._backward is None:
            from rushlight.autograd.grad_mode import no_grad
            with no_grad():
                return self._fn(*bound.args, **bound.kwargs)
        return self._function.apply(*bound.args)

    def register_autograd(self, backward: Callable[..., Any], /, *,
                          setup_context: Callable[..., Any] | None = None) -> None:
        """``backward(ctx, *grads)`` gives a gradient for each operand; ``setup_context(ctx, inputs, output)`` saves
        what it needs."""
        from rushlight.autograd.function import Function
        fn, name = self._fn, self._qualname
        self._backward, self._setup = backward, setup_context

        def forward(ctx: Any, *args: Any) -> Any:
            out = fn(*args)
            if setup_context is not None:
                setup_context(ctx, args, out)
            return out
        self._function = type(name.replace("::", "_"), (Function,),
                              {"forward": staticmethod(forward), "backward": staticmethod(backward)})

    def register_fake(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """A function of shapes only, for PyTorch's tracer; kept."""
        self._fake = fn
        return fn

    def register_kernel(self, device_types: Any, fn: Callable[..., Any] | None = None, /) -> Any:
        """Another implementation for a device: for "cpu" it replaces the function; others are never used here."""
        def register(f: Callable[..., Any]) -> Callable[..., Any]:
            wanted = [device_types] if isinstance(device_types, str) or device_types is None else list(device_types)
            if None in wanted or "cpu" in wanted:
                self._fn = f
                if self._backward is not None:
                    self.register_autograd(self._backward, setup_context=self._setup)
            return f
        return register if fn is None else register(fn)

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"


def custom_op(name: str, fn: Callable[..., Any] | None = None, /, *, mutates_args: str | Iterable[str],
              device_types: Any = None, schema: str | None = None, tags: Any = None) -> Any:
    """A function as an operator named ``namespace::name`` (or a decorator): its inside is not differentiated, see
    CustomOpDef.register_autograd.

    ``mutates_args`` names the operands that it writes. ValueError for names without a namespace.

    >>> import rushlight as rl
    >>> @custom_op("mine::twice", mutates_args=())
    ... def twice(x: rl.Tensor) -> rl.Tensor:
    ...     return x * 2
    >>> twice.register_autograd(lambda ctx, g: g * 2)
    >>> x = rl.ones(1, requires_grad=True)
    >>> rl.autograd.grad(twice(x).sum(), x)
    (tensor([2.]),)
    """
    if fn is None:
        return lambda f: custom_op(name, f, mutates_args=mutates_args,
                                   device_types=device_types, schema=schema, tags=tags)
    if name.count("::") != 1:
        raise ValueError(f"Expected `name` to be of the form `namespace::name`, got {name}")
    made = _operators[name] = CustomOpDef(name, fn, mutates_args)
    return made


def _known(op: Any) -> CustomOpDef:
    if isinstance(op, CustomOpDef):
        return op
    if op in _operators:
        return _operators[op]
    raise ValueError(f"there is no operator {op!r} made by torch.library.custom_op")


def register_autograd(op: Any, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None,
                      lib: Any = None) -> None:
    """`CustomOpDef.register_autograd` of an operator by its name."""
    _known(op).register_autograd(backward, setup_context=setup_context)


def register_fake(op: Any, func: Callable[..., Any] | None = None, /, *, lib: Any = None, _stacklevel: int = 1,
                  allow_override: bool = True) -> Any:
    """`CustomOpDef.register_fake` of an operator by its name (or a decorator)."""
    return _known(op).register_fake if func is None else _known(op).register_fake(func)


def register_kernel(op: Any, device_types: Any, func: Callable[..., Any] | None = None, /, *, lib: Any = None) -> Any:
    """`CustomOpDef.register_kernel` of an operator by its name (or a decorator)."""
    return _known(op).register_kernel(device_types, func)
