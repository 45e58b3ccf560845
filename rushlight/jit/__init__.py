"""torch.jit: programs that script or trace their models get the same behaviour;
graphs are compiled by the plan cache anyway.

`script` returns modules and functions that run as the originals do (with PyTorch's types around them); `trace` gives
the graph of what was called.
`save` and `load` keep both in files of their own format, which hold no code but
checked source; PyTorch's archives are not run.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from rushlight.jit.scripted import RecursiveScriptModule, ScriptFunction, ScriptModule, TracerWarning
from rushlight.jit.traced import LoadedModule, TopLevelTracedModule, Traced, TracedFunction

Attribute = Final


def is_scripting() -> bool:
    """False: Python runs."""
    return False


def is_tracing() -> bool:
    """Whether a program runs to be traced (by `trace` or torch.onnx.export).

    >>> is_tracing()
    False
    """
    import sys
    capture = sys.modules.get("rushlight.export.capture")
    return capture is not None and bool(capture.RUNNING)


def script(obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None) -> Any:
    """A module as a `ScriptModule`, a function as a `ScriptFunction`, a class as it is: all run as before.

    >>> import rushlight as rl
    >>> script(rl.nn.ReLU())(rl.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    from rushlight.nn import Module
    if optimize is not None:
        warnings.warn("`optimize` is deprecated and has no effect. Use `with torch.jit.optimized_execution()` instead",
                      FutureWarning, stacklevel=2)
    if isinstance(obj, (ScriptModule, ScriptFunction)) or inspect.isclass(obj):
        return obj
    if isinstance(obj, Module):
        return RecursiveScriptModule(obj)
    if callable(obj):
        return ScriptFunction(obj)
    raise RuntimeError(f"torch.jit.script expects a module, a function or a class, got {type(obj).__name__}")


def trace(func: Any, example_inputs: Any = None, optimize: Any = None, check_trace: bool = True,
          check_inputs: Any = None, check_tolerance: float = 1e-5, strict: bool = True, _force_outplace: bool = False,
          _module_class: Any = None, _compilation_unit: Any = None, example_kwarg_inputs: Any = None,
          _store_inputs: bool = True) -> Any:
    """A module or function as the graph of what it calls on the example inputs; it runs on inputs of other sizes, but
    goes the same way.

    Values that the program reads (``if x.sum() > 0``) are fixed, with a TracerWarning. With ``check_trace`` the graph's
    results must agree with the program's, on ``check_inputs`` too (TracerWarning where they do not). Programs that no
    graph can hold stay Python functions, and cannot be saved.
    RuntimeError for results that are no nests of tensors.

    >>> import rushlight as rl
    >>> trace(lambda x: x * x.shape[0], rl.ones(2))(rl.ones(3))
    tensor([3., 3., 3.])
    """
    from rushlight.nn import Module
    from rushlight.tensor.core import Tensor
    if example_inputs is None and example_kwarg_inputs is None:
        raise RuntimeError("example_kwarg_inputs should be a dict when example_inputs is None")
    args = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs or ())
    captured, problem = _captured(func, args, dict(example_kwarg_inputs or {}))
    if captured is None:
        out = RecursiveScriptModule(func) if isinstance(func, Module) else ScriptFunction(func)
        out.__dict__["_trace_error"] = problem
    elif isinstance(func, Module):
        out = TopLevelTracedModule(func, Traced({"forward": captured}))
    else:
        out = TracedFunction(func, captured)
    if check_trace:
        _check(func, out, args, dict(example_kwarg_inputs or {}), check_inputs, check_tolerance)
    return out


def _captured(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    from rushlight.export.captured import CaptureError, capture
    from rushlight.export.modes import GRADIENTS, drop
    from rushlight.utils._pytree import tree_flatten
    from rushlight.tensor.core import Tensor
    try:
        taken = capture(func, args, kwargs, _read, casts=True)
    except CaptureError as e:
        if str(e).startswith("Only tensors, lists"):
            raise RuntimeError(str(e)) from None
        return None, e
    given = any(isinstance(x, Tensor) for x in tree_flatten((args, kwargs))[0])
    if not given or not any(hasattr(x, "op") for x in taken.outputs):
        raise RuntimeError("Only tensors, lists, tuples of tensors, or dictionary of tensors can be output "
                           "from traced functions")
    drop(taken.graph, GRADIENTS)  # as in PyTorch: a trace can be trained wherever the program has parameters
    return taken, None


def _read(name: str) -> None:
    warnings.warn("Converting a tensor to a Python value might cause the trace to be incorrect. We can't record the "
                  f"data flow of Python values, so this value will be treated as a constant in the future ({name}). "
                  "This means that the trace might not generalize to other inputs!", TracerWarning, stacklevel=6)


def _check(func: Any, traced: Any, args: tuple[Any, ...], kwargs: dict[str, Any], more: Any, tolerance: float) -> None:
    """Run both on the example inputs and on others, and compare."""
    from rushlight.random import get_rng_state, set_rng_state
    from rushlight.tensor.core import Tensor
    from rushlight.testing import assert_close
    for given in (args, *(more or ())):
        inputs = (given,) if isinstance(given, Tensor) else tuple(given)
        before = get_rng_state()
        want = func(*inputs, **kwargs)
        set_rng_state(before)
        try:
            assert_close(traced(*inputs, **kwargs), want, rtol=tolerance, atol=tolerance, equal_nan=True)
        except (AssertionError, TypeError) as e:
            warnings.warn(f"Output of the traced function does not match the output of the Python function: {e}",
                          TracerWarning, stacklevel=3)
            continue
        after = get_rng_state()
        # it drew random numbers: others would give another result
        if not np.array_equal(after.numpy(), before.numpy()):
            try:
                assert_close(traced(*inputs, **kwargs), want, rtol=tolerance, atol=tolerance, equal_nan=True)
            except AssertionError:
                warnings.warn("Trace had nondeterministic nodes. Did you forget call .eval() on your model? The "
                              "result is not the same when it runs again.", TracerWarning, stacklevel=3)
            set_rng_state(after)


def trace_module(mod: Any, inputs: dict[str, Any], optimize: Any = None, check_trace: bool = True,
                 check_inputs: Any = None, check_tolerance: float = 1e-5, strict: bool = True,
                 _force_outplace: bool = False, _module_class: Any = None, _compilation_unit: Any = None,
                 example_inputs_is_kwarg: bool = False, _store_inputs: bool = True) -> Any:
    """A module with the methods named in ``inputs`` traced, each on its example inputs (keyword arguments with
    ``example_inputs_is_kwarg``).

    With ``check_trace`` the graphs' results must agree with the methods', on ``check_inputs`` (a list of dictionaries
    as ``inputs``) too: TracerWarning where they do not.
    """
    methods = {}
    for name, given in inputs.items():
        args, kwargs = _arguments(given, example_inputs_is_kwarg)
        captured, problem = _captured(mod if name == "forward" else getattr(mod, name), args, kwargs)
        if captured is None:
            raise RuntimeError(f"torch.jit.trace_module: {name} cannot be traced: {problem}")
        methods[name] = captured
    out = TopLevelTracedModule(mod, Traced(methods))
    for row in (inputs, *(check_inputs or ())) if check_trace else ():
        for name, given in row.items():
            args, kwargs = _arguments(given, example_inputs_is_kwarg)
            _check(getattr(mod, name), getattr(out, name), args, kwargs, None, check_tolerance)
    return out


def _arguments(given: Any, by_name: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Example inputs as positional and keyword arguments."""
    from rushlight.tensor.core import Tensor
    if by_name:
        return (), dict(given)
    return (given,) if isinstance(given, Tensor) else tuple(given), {}


def _same(fn: Any = None, **_: Any) -> Any:
    """The function itself."""
    return fn


unused = script_method = _overload = _overload_method = _same


def interface(obj: Any) -> Any:
    """The class itself: what PyTorch's compiler checks, Python does not."""
    return obj


def export(fn: Any) -> Any:
    """The method itself; it is saved along with forward."""
    fn._exported = True
    return fn


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """Marks a method that PyTorch's compiler leaves to Python; the function itself here (or a decorator)."""
    return drop if callable(drop) else (lambda fn: fn)


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value."""
    return the_value


def fork(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A future of func(*args), which is computed at once."""
    from rushlight.futures import Future
    out = Future()
    out.set_result(func(*args, **kwargs))
    return out


def wait(future: Any) -> Any:
    """The value of a future."""
    return future.wait()


def freeze(mod: Any, preserved_attrs: Any = None, optimize_numerics: bool = True) -> Any:
    """The module, which must be in evaluation mode (RuntimeError): plans see through it anyway."""
    if mod.training:
        raise RuntimeError("Freezing is currently only implemented for modules in eval mode. "
                           "Please call .eval() on your module before freezing.")
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """The module; graphs are fused when plans are built."""
    return mod


def save(m: Any, f: Any, _extra_files: dict[str, Any] | None = None) -> None:
    """Write a traced or scripted module or function to a path or file,
    so that `load` needs none of the classes that defined it.

    ``_extra_files`` are texts or bytes kept beside it. A traced module is its graph; a scripted one is the source of
    its methods, in a part of Python without imports, classes, try, properties and super(). AttributeError for modules
    that are neither; RuntimeError for what cannot be written.
    """
    from rushlight.jit import archive
    archive.save(m, f, _extra_files)


def load(f: Any, map_location: Any = None, _extra_files: dict[str, Any] | None = None,
         _restore_shapes: bool = False) -> Any:
    """The module that `save` wrote; ``_extra_files`` is filled with the files that it names (as bytes).

    ValueError where there is no file, RuntimeError for other files
    (PyTorch's own archives among them) and for damaged ones.
    """
    from rushlight.jit import archive
    return archive.load(f, map_location, _extra_files, _restore_shapes)


def enable_onednn_fusion(enabled: bool) -> None:
    """Remembered: graphs are fused whenever plans are built."""
    _fusion[0] = enabled


def onednn_fusion_enabled() -> bool:
    """What `enable_onednn_fusion` said."""
    return _fusion[0]


_fusion = [False]

__all__ = ["Attribute", "Final", "LoadedModule", "RecursiveScriptModule", "ScriptFunction", "ScriptModule",
           "TopLevelTracedModule", "TracerWarning", "annotate", "export",
           "fork", "freeze", "ignore", "is_scripting", "is_tracing", "load", "optimize_for_inference", "save", "script",
           "script_method", "trace",
           "trace_module", "unused", "wait"]
