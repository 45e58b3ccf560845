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
    "compile": "takes every option by name and compiles nothing",
    "asarray": "requires_grad=None means False",
    "set_num_threads": "the parameter has a name", "set_num_interop_threads": "the parameter has a name",
    "variable": "a class",
    "einsum": "names its parameters",
    "meshgrid": "indexing=None and 'ij' mean the same; None warns in PyTorch",
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


# method of a class -> why its signature is another one
OTHER_METHODS = {
    "DataParallel": "one CPU has no replicas", "RemovableHandle": "the handle of rushlight's own hooks",
}


@pytest.mark.parametrize("namespace", signatures.CLASSES)
def test_signatures_of_classes(namespace: str) -> None:
    home = importlib.import_module("rushlight." + namespace)
    found = {}
    for name, kind in signatures.classes(namespace):
        if hasattr(home, name) and name not in OTHER_METHODS:
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
