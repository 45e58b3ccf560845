"""Automatic differentiation (torch.autograd)."""

from __future__ import annotations

import importlib.util
from typing import Any

from rushlight.autograd.api import backward, grad
from rushlight.autograd.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

_LAZY = {"Function": "function", "FunctionCtx": "function", "once_differentiable": "function",
         "detect_anomaly": "anomaly", "set_detect_anomaly": "anomaly", "Variable": "variable", "graph": "",
         "function": "", "variable": "", "grad_mode": "", "anomaly": "", "gradcheck": "check", "gradgradcheck": "check",
         "GradcheckError": "check", "functional": "", "forward_ad": "", "profiler": ""}


def __getattr__(name: str) -> Any:
    home = _LAZY.get(name)
    if home is None or (not home and importlib.util.find_spec(f"rushlight.autograd.{name}") is None):
        raise AttributeError(f"module 'rushlight.autograd' has no attribute {name!r}; "
                             f"rushlight does not provide torch.autograd.{name}")
    if not home:
        return importlib.import_module(f"rushlight.autograd.{name}")
    value = getattr(importlib.import_module(f"rushlight.autograd.{home}"), name)
    globals()[name] = value
    return value


__all__ = ["backward", "grad", "no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "Function", "Variable",
           "detect_anomaly", "set_detect_anomaly",
           "gradcheck", "gradgradcheck"]
