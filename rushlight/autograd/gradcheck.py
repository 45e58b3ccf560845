"""PyTorch's name of both the module and the function: ``torch.autograd.gradcheck``."""

from __future__ import annotations

import inspect
import sys
import types
from typing import Any

from rushlight.autograd.check import GradcheckError, gradcheck, gradgradcheck


class _CallableModule(types.ModuleType):
    """A module that is also its main function, as ``from torch.autograd import
    gradcheck`` must give what can be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> bool:
        return gradcheck(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
__signature__ = inspect.signature(gradcheck)  # what the module shows when it stands for the function
__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]
