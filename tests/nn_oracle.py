"""Runs one function with rushlight and with PyTorch and compares what comes out."""

from __future__ import annotations

import warnings
from collections import OrderedDict

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")


def plain(value):
    """A value of either library as NumPy arrays and Python objects."""
    if isinstance(value, (rushlight.Tensor, torch.Tensor)):
        array = np.array(value.detach().numpy())
        return ("tensor", str(value.dtype), tuple(value.shape), array)
    if isinstance(value, (dict, OrderedDict)):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def assert_same(ours, theirs, exact=False, where="result"):
    """Equal structure, types and shapes; numbers equal to rounding, or bit for bit."""
    if type(ours) is not type(theirs):
        raise AssertionError(f"{where}: {ours!r}, PyTorch has {theirs!r}")
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key in theirs:
            assert_same(ours[key], theirs[key], exact, f"{where}[{key!r}]")
    elif isinstance(theirs, tuple) and theirs and theirs[0] == "tensor":
        assert ours[1:3] == theirs[1:3], where
        if exact:
            np.testing.assert_array_equal(ours[3], theirs[3], err_msg=where)
        else:
            np.testing.assert_allclose(ours[3], theirs[3], rtol=1e-4, atol=1e-5, err_msg=where)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, exact, f"{where}[{i}]")
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5), where
    else:
        assert ours == theirs, f"{where}: {ours!r}, PyTorch has {theirs!r}"


def run(function, lib):
    """The function's result, or the kind and text of its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lib.manual_seed(0)
        try:
            return plain(function(lib))
        except Exception as error:
            return {"error": type(error).__name__, "text": str(error).replace("rushlight.", "torch.")}


def both(function, exact=False):
    """Asserts that a function of the library gives the same with both."""
    theirs = run(function, torch)
    assert_same(run(function, rushlight), theirs, exact)
    return theirs


def both_fail(function, whole_text=True):
    """Asserts that both libraries raise the same kind of error with the same text (or first sentence)."""
    theirs = run(function, torch)
    assert isinstance(theirs, dict) and "error" in theirs, f"PyTorch raised nothing, but returned {theirs!r}"
    ours = run(function, rushlight)
    assert isinstance(ours, dict) and "error" in ours, f"rushlight raised nothing, but returned {ours!r}"
    if not whole_text:
        ours["text"], theirs["text"] = (d["text"].split(".")[0] for d in (ours, theirs))
    assert ours == theirs, f"{ours}, PyTorch raises {theirs}"
