"""What `torch.jit.script` and `trace` return."""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from rushlight.nn import Module


class TracerWarning(Warning):
    """A traced function did something else when it ran again."""


def _source(f: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(f))
    except (OSError, TypeError):
        return ""


class ScriptFunction:
    """A function with PyTorch's attributes around it: ``code`` is its source."""

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def code(self) -> str:
        """The Python source."""
        return _source(self._function)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """`torch.jit.save` of this."""
        from rushlight import jit
        jit.save(self, *args, **kwargs)


class ScriptModule(Module):
    """The base of scripted modules; a subclass of its own is an ordinary module."""

    def save(self, f: Any, _extra_files: Any = None) -> None:
        """`torch.jit.save` of this."""
        from rushlight import jit
        jit.save(self, f, _extra_files)


class RecursiveScriptModule(ScriptModule):
    """A module seen through PyTorch's wrapper: the same parameters, buffers, children, names and results."""

    def __init__(self, module: Module):
        object.__setattr__(self, "_module", module)
        object.__setattr__(self, "__dict__", {**module.__dict__, "_module": module})

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own forward."""
        return self._module(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        module = self.__dict__.get("_module")
        if module is None:
            raise AttributeError(name)
        return getattr(module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)
        self.__dict__.update(self._module.__dict__)

    def train(self, mode: bool = True) -> Any:
        """As `Module.train`."""
        self._module.train(mode)
        self.__dict__.update(self._module.__dict__)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._module(*args, **kwargs)

    def __len__(self) -> int:
        return len(self._module)

    def __iter__(self) -> Any:
        return iter(self._module)

    def __getitem__(self, key: Any) -> Any:
        return self._module[key]

    @property
    def original_name(self) -> str:
        """The name of the module's class."""
        return type(self._module).__name__

    @property
    def code(self) -> str:
        """The Python source of forward."""
        return _source(type(self._module).forward)

    def extra_repr(self) -> str:
        return f"original_name={self.original_name}"
