"""Public functions have PyTorch's signatures: names, order and defaults of parameters.

Functions that PyTorch writes in Python must agree exactly; of built-in ones an overload or the documented form must be
callable in the same way (more may be accepted: `axis=` beside `dim=`).
"""

from __future__ import annotations

import importlib

import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
signatures = pytest.importorskip("signatures")

# function -> why its signature is another one
DIFFERENT = {
    **dict.fromkeys(("set_num_threads", "set_num_interop_threads"),
                    "PyTorch names a type, int, where the parameter's name belongs"),
    "variable": "the module torch.autograd.variable; PyTorch hides it behind a function that always raises",
}


def ours(namespace: str) -> object:
    if namespace in ("", "Tensor"):
        return rl.Tensor if namespace else rl
    return importlib.import_module("rushlight." + namespace)


@pytest.mark.parametrize("namespace", signatures.NAMESPACES)
def test_signatures(namespace: str) -> None:
    home = ours(namespace)
    found = {}
    for name, f in signatures.functions(namespace):
        if hasattr(home, name) and name not in DIFFERENT:
            difference = signatures.differences(namespace, name, f, getattr(home, name))
            if difference:
                found[name] = difference
    assert not found


@pytest.mark.parametrize("name", signatures.MODULES)
def test_signatures_of_modules(name: str) -> None:
    home, found, seen = importlib.import_module("rushlight." + name), {}, 0
    for key, f in signatures.of_module(name):
        if hasattr(home, key):
            seen += 1
            difference = signatures.differences(name, key, f, getattr(home, key))
            if difference:
                found[key] = difference
    assert not found and seen


@pytest.mark.parametrize("namespace", signatures.CLASSES)
def test_signatures_of_classes(namespace: str) -> None:
    home = importlib.import_module("rushlight." + namespace)
    found = {}
    for name, kind in signatures.classes(namespace):
        if hasattr(home, name):
            differences = signatures.method_differences(kind, getattr(home, name))
            if differences:
                found[name] = differences
    assert not found


def test_a_difference_is_seen() -> None:
    assert signatures.differences("", "add", torch.add, lambda input, other, out=None: None)
    assert signatures.differences("", "add", torch.add, lambda input, other, *, alpha=2, out=None: None)
    assert signatures.differences("", "add", torch.add, lambda other, input, *, alpha=1, out=None: None)
    assert signatures.differences("nn.functional", "relu", torch.nn.functional.relu, lambda input, inplace=True: None)
    assert not signatures.differences("", "add", torch.add, lambda input, other, *, alpha=1, out=None: None)
