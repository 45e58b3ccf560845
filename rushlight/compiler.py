"""torch.compiler: rushlight compiles every graph as it comes, so there is nothing to switch on; the switches work where
they mean something."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

BACKENDS = ("inductor", "eager", "aot_eager", "cudagraphs", "openxla", "tvm")
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs", "lite")
_STANCES = ("default", "force_eager", "eager_on_recompile", "fail_on_recompile", "eager_then_compile",
            "aot_eager_then_compile")


def compile(model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = None,
            mode: str | None = None, options: dict[str, Any] | None = None, name: str | None = None,
            disable: bool = False, recompile_limit: int | None = None, isolate_recompiles: bool = False,
            shapes_spec: Any = None) -> Any:
    """The model or function itself: its graphs are compiled by the plan cache anyway, with every ``mode`` and in full.

    Without a model, a decorator. RuntimeError for unknown modes and backends, and where mode and options are both
    given; ``options`` tune PyTorch's own code generator and are an error here. ``dynamic``, ``recompile_limit``,
    ``isolate_recompiles`` and ``shapes_spec`` say when PyTorch compiles again, ``name`` what its logs call the result:
    here a plan is found by the graph that it runs, and none of them makes a difference.

    >>> compile(abs)(-2)
    2
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if mode is not None and mode not in MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(MODES)}")
    if isinstance(backend, str) and backend not in BACKENDS:
        raise RuntimeError(f"Invalid backend: '{backend}', expected one of {sorted(BACKENDS)}")
    if options:
        raise RuntimeError(f"torch.compile(options={options}): "
                           "rushlight's compiler has none of these options; leave them out")
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode,
                                 options=options, name=name,
                                 disable=disable, recompile_limit=recompile_limit,
                                 isolate_recompiles=isolate_recompiles, shapes_spec=shapes_spec)
    if not callable(model):
        raise RuntimeError(f"torch.compile expects a module or a function, got {type(model).__name__}")
    return model


def is_compiling() -> bool:
    """False: programs run as they are, and graphs are compiled behind them."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def reset() -> None:
    """Forget all plans: the next run of each graph builds its own."""
    from rushlight.exec.realize import clear_plans
    clear_plans()


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function itself (or a decorator): nothing is traced, so there is nothing to keep out."""
    return fn if fn is not None else (lambda f: f)


def allow_in_graph(fn: Any) -> Any:
    """The function itself."""
    return fn


assume_constant_result = allow_in_graph


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The names that ``compile(backend=…)`` takes; without tags to exclude those for finding faults too.

    >>> list_backends()
    ['cudagraphs', 'inductor', 'openxla', 'tvm']
    """
    return sorted(set(BACKENDS) - ({"eager", "aot_eager"} if "debug" in (exclude_tags or ()) else set()))


def cudagraph_mark_step_begin() -> None:
    """Nothing: there are no CUDA graphs."""


class set_stance:
    """How graphs run: "force_eager" runs plans on NumPy, without the native compiler; the others compile. At once, or
    for a block.

    RuntimeError for unknown stances.
    """

    def __init__(self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: Any = None):
        import os
        if stance not in _STANCES:
            raise RuntimeError(f"invalid torch.compile stance '{stance}', expected one of {_STANCES}")
        self._stance, self._before = stance, os.environ.get("RUSHLIGHT_EXEC")
        self._set("numpy" if stance == "force_eager" else None if self._before == "numpy" else self._before)

    @staticmethod
    def _set(value: str | None) -> None:
        import os
        if value is None:
            os.environ.pop("RUSHLIGHT_EXEC", None)
        else:
            os.environ["RUSHLIGHT_EXEC"] = value
        reset()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: Any) -> None:
        self._set(self._before)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self._set(self._before)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with set_stance(self._stance):
                return function(*args, **kwargs)
        return wrapper
