"""torch.jit: programs that script or trace their models get the same behaviour; graphs are compiled by the plan cache anyway.

`script` and `trace` return modules and functions that run as the originals do (with PyTorch's types around them).
Archives of TorchScript programs are neither written nor run.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, Final

from rushlight.jit.scripted import RecursiveScriptModule, ScriptFunction, ScriptModule, TopLevelTracedModule, TracerWarning

Attribute = Final


def is_scripting() -> bool:
    """False: Python runs."""
    return False


is_tracing = is_scripting


def script(obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None) -> Any:
    """A module as a `ScriptModule`, a function as a `ScriptFunction`, a class as it is: all run as before.

    >>> import rushlight as rl
    >>> script(rl.nn.ReLU())(rl.tensor([-1., 2.]))
    tensor([0., 2.])
    """
    from rushlight.nn import Module
    if optimize is not None:
        warnings.warn("`optimize` is deprecated and has no effect. Use `with torch.jit.optimized_execution()` instead", FutureWarning, stacklevel=2)
    if isinstance(obj, (ScriptModule, ScriptFunction)) or inspect.isclass(obj):
        return obj
    if isinstance(obj, Module):
        return RecursiveScriptModule(obj)
    if callable(obj):
        return ScriptFunction(obj)
    raise RuntimeError(f"torch.jit.script expects a module, a function or a class, got {type(obj).__name__}")


def trace(func: Any, example_inputs: Any = None, optimize: Any = None, check_trace: bool = True, check_inputs: Any = None, check_tolerance: float = 1e-5,
          strict: bool = True, _force_outplace: bool = False, _module_class: Any = None, _compilation_unit: Any = None, example_kwarg_inputs: Any = None,
          _store_inputs: bool = True) -> Any:
    """The function or module after one run on the example inputs; with ``check_trace`` a second run must agree (TracerWarning where it does not).

    Unlike PyTorch's, the result still follows the Python code for other inputs.
    """
    from rushlight.nn import Module
    from rushlight.tensor.core import Tensor
    from rushlight.testing import assert_close
    if example_inputs is None and example_kwarg_inputs is None:
        raise RuntimeError("example_kwarg_inputs should be a dict when example_inputs is None")
    args = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs or ())
    kwargs = dict(example_kwarg_inputs or {})
    for inputs in (args, *(check_inputs or ())):
        given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        first = func(*given, **kwargs)
        if check_trace:
            try:
                assert_close(func(*given, **kwargs), first, rtol=check_tolerance, atol=check_tolerance, equal_nan=True)
            except (AssertionError, TypeError) as e:
                warnings.warn(f"Output of the traced function is not the same when it runs again: {e}", TracerWarning, stacklevel=2)
    return TopLevelTracedModule(func) if isinstance(func, Module) else ScriptFunction(func)


def trace_module(mod: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """`trace` of the methods named in ``inputs``."""
    for name, given in inputs.items():
        trace(getattr(mod, name) if name != "forward" else mod, given, *args, **kwargs)
    return TopLevelTracedModule(mod)


def _same(fn: Any = None, **_: Any) -> Any:
    """The function itself."""
    return fn


unused = export = script_method = interface = _overload = _overload_method = _same


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
        raise RuntimeError("Freezing is currently only implemented for modules in eval mode. Please call .eval() on your module before freezing.")
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """The module; graphs are fused when plans are built."""
    return mod


def save(m: Any, f: Any, _extra_files: Any = None) -> None:
    """RuntimeError: TorchScript archives hold compiled programs, which rushlight does not write. Save the state_dict."""
    raise RuntimeError("torch.jit.save: rushlight writes no TorchScript archives; use torch.save(model.state_dict(), path) and load it into the model's class")


def load(f: Any, map_location: Any = None, _extra_files: Any = None, _restore_shapes: bool = False) -> Any:
    """RuntimeError: programs in TorchScript archives are not run. FileNotFoundError-like ValueError where there is no file."""
    import os
    if not hasattr(f, "read") and not os.path.exists(f):
        raise ValueError(f"The provided filename {f} does not exist")
    raise RuntimeError("torch.jit.load: rushlight does not run TorchScript programs; build the model's class and load its weights with "
                       "torch.load(..., weights_only=True)")


def enable_onednn_fusion(enabled: bool) -> None:
    """Remembered: graphs are fused whenever plans are built."""
    _fusion[0] = enabled


def onednn_fusion_enabled() -> bool:
    """What `enable_onednn_fusion` said."""
    return _fusion[0]


_fusion = [False]

__all__ = ["Attribute", "Final", "RecursiveScriptModule", "ScriptFunction", "ScriptModule", "TopLevelTracedModule", "TracerWarning", "annotate", "export",
           "fork", "freeze", "ignore", "is_scripting", "is_tracing", "load", "optimize_for_inference", "save", "script", "script_method", "trace",
           "trace_module", "unused", "wait"]
