"""torch.testing: messages and numbers as PyTorch's."""

from __future__ import annotations

import unittest
from typing import Any

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
nan, inf = float("nan"), float("inf")

# (actual, expected, options), written with the module that makes the tensors
CASES: list[Any] = [
    lambda t: (t.tensor([1., 2.]), t.tensor([1., 2.]), {}),
    lambda t: (t.tensor([1., 2.]), t.tensor([1., 2.000002]), {}),
    lambda t: (t.tensor([1., 2., 3.]), t.tensor([1., 2.5, 5.]), {}),
    lambda t: (t.tensor([[1., 2.], [3., 4.]]), t.tensor([[1., 2.], [3., 0.]]), {}),
    lambda t: (t.tensor([1, 2, 3]), t.tensor([1, 2, 5]), {}),
    lambda t: (t.tensor([1, 2, 3]), t.tensor([1, 2, 5]), {"rtol": 0.5, "atol": 0.1}),
    lambda t: (t.tensor([True, False]), t.tensor([True, True]), {}),
    lambda t: (t.tensor(1.), t.tensor(2.), {}),
    lambda t: (t.tensor(1), t.tensor(2), {}),
    lambda t: (t.tensor([1., nan]), t.tensor([1., nan]), {}),
    lambda t: (t.tensor([1., nan]), t.tensor([1., nan]), {"equal_nan": True}),
    lambda t: (t.tensor([inf, 1.]), t.tensor([inf, 2.]), {}),
    lambda t: (t.tensor([inf, 1.]), t.tensor([-inf, 1.]), {}),
    lambda t: (t.tensor([1.]), t.tensor([1., 2.]), {}),
    lambda t: (t.tensor([1.]), t.tensor([1.], dtype=t.float64), {}),
    lambda t: (t.tensor([1.]), t.tensor([1.], dtype=t.float64), {"check_dtype": False}),
    lambda t: (t.ones(2, 3), t.ones(3, 2).t(), {"check_stride": True}),
    lambda t: (t.ones(2, 3), t.ones(3, 2).t(), {}),
    lambda t: (t.tensor([1 + 2j]), t.tensor([1 + 3j]), {}),
    lambda t: (t.tensor([1., 2.], dtype=t.bfloat16), t.tensor([1., 2.01], dtype=t.bfloat16), {}),
    lambda t: (t.tensor([1., 2.], dtype=t.float16), t.tensor([1., 2.1], dtype=t.float16), {}),
    lambda t: (1.0, 1.0 + 1e-9, {}),
    lambda t: (1.0, 1.1, {}),
    lambda t: (1, 2, {}),
    lambda t: (1, 1.0, {}),
    lambda t: (1, 1.0, {"check_dtype": False}),
    lambda t: (nan, nan, {}),
    lambda t: (1 + 1j, 1 + 2j, {}),
    lambda t: (True, False, {}),
    lambda t: (None, None, {}),
    lambda t: (None, 1, {}),
    lambda t: ([1, 2], [1, 2, 3], {}),
    lambda t: ([1, (2, 3)], [1, (2, 4)], {}),
    lambda t: ({"a": t.ones(2), "b": 1}, {"a": t.zeros(2), "b": 1}, {}),
    lambda t: ({"a": 1, "b": 1}, {"a": 1, "c": 1}, {}),
    lambda t: ("a", "a", {}),
    lambda t: (t.ones(2), "b", {}),
    lambda t: (t.ones(2), np.ones(2, np.float32), {}),
    lambda t: (np.ones(2), np.zeros(2), {}),
    lambda t: (t.ones(1), t.zeros(1), {"msg": "mine"}),
    lambda t: ([t.ones(1)], [t.zeros(1)], {"msg": lambda text: "before " + text}),
    lambda t: (t.ones(1), t.zeros(1), {"rtol": 1e-3}),
    lambda t: (t.ones(0), t.ones(0), {}),
]


def outcome(module: Any, case: Any) -> Any:
    a, e, options = case(module)
    try:
        module.testing.assert_close(a, e, **options)
    except (AssertionError, TypeError, ValueError) as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize("number", range(len(CASES)))
def test_assert_close_says_what_pytorch_says(number: int) -> None:
    want, got = outcome(torch, CASES[number]), outcome(rl, CASES[number])
    if want is None or got is None:
        assert got == want
        return
    assert got[0] is want[0]
    assert got[1].replace("rushlight.tensor.core", "torch") == want[1], (got[1], want[1])


def test_assert_allclose() -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        rl.testing.assert_allclose(rl.ones(2), [1., 1.])
    with pytest.warns(FutureWarning), pytest.raises(AssertionError, match="not close"):
        rl.testing.assert_allclose(rl.ones(2), rl.zeros(2, dtype=rl.float64))


DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16",
          "float32", "float64", "complex64", "complex128"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_make_tensor_draws_pytorchs_numbers(dtype: str) -> None:
    for options in ({}, {"noncontiguous": True},
                    {"low": 1, "high": 2 if dtype == "bool" else 5}, {"exclude_zero": True}):
        torch.manual_seed(3)
        rl.manual_seed(3)
        want = torch.testing.make_tensor(3, 4, dtype=getattr(torch, dtype), device="cpu", **options)
        got = rl.testing.make_tensor(3, 4, dtype=getattr(rl, dtype), device="cpu", **options)
        assert got.is_contiguous() == want.is_contiguous() and got.tolist() == want.tolist()


def test_make_tensor_refuses_what_cannot_be() -> None:
    for options, text in (({"low": 3, "high": 3}, "must be less than"), ({"low": 400}, "must be less than"),
                          ({"low": 300, "high": 400}, "only supports"), ({"requires_grad": True}, "requires_grad"),
                          ({"noncontiguous": True, "memory_format": rl.channels_last}, "mutually exclusive"),
                          ({"low": nan}, "NaN")):
        with pytest.raises(ValueError, match=text):
            rl.testing.make_tensor(2, dtype=rl.uint8, device="cpu", **options)
    x = rl.testing.make_tensor((1, 2, 3, 4), dtype=rl.float32, device="cpu",
                               memory_format=rl.channels_last, requires_grad=True)
    assert x.requires_grad and x.is_contiguous(memory_format=rl.channels_last)


def test_test_case_compares_tensors() -> None:
    from rushlight.testing._internal.common_utils import TestCase

    class Tests(TestCase):
        def runTest(self) -> None:
            self.assertEqual(rl.ones(2), rl.ones(2))
            self.assertEqual("a", "a")
            self.assertNotEqual(rl.ones(2), rl.zeros(2))
            self.assertEqual(rl.ones(2), rl.zeros(2))
    result = unittest.TestResult()
    Tests().run(result)
    assert len(result.failures) == 1 and "not close" in result.failures[0][1]
