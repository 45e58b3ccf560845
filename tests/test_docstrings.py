"""The examples in the docstrings of tensor functions, modules and losses, and that the most used names have one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from typing import Any

import pytest

import rushlight as rl
from rushlight.nn import functional, modules
from rushlight.tensor import functions

PACKAGES: tuple[Any, ...] = (functional, modules, functions)
MODULES = [f"{p.__name__}.{m.name}" for p in PACKAGES for m in pkgutil.iter_modules(p.__path__)]
MODULES += [f"rushlight.{n}" for n in ("tensor.creation", "tensor.drawing", "tensor.sequences", "tensor.coarse",
                                       "autograd.grad_mode", "nn.init", "nn.utils.clip_grad")]
SHOWN = """zeros ones randn rand arange stack max min where mean abs clamp linspace argmax topk full randperm all einsum
    allclose as_tensor pow sort mm multinomial equal gather eye bmm flatten unsqueeze exp log sqrt sin cos tanh sigmoid
    """.split()


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_is_shown(name: str) -> None:
    assert ">>> rl." in getattr(rl, name).__doc__
