"""TestCase and run_tests: unittest with comparisons of tensors."""

from __future__ import annotations

import unittest
from typing import Any

from rushlight.testing.comparison import assert_close


class TestCase(unittest.TestCase):
    """unittest's TestCase whose assertEqual compares tensors and nests of them within
    tolerances; each test starts from one seed."""

    __test__ = False

    def setUp(self) -> None:
        from rushlight.random import manual_seed
        manual_seed(1234)

    def assertEqual(self, x: Any, y: Any, msg: Any = None, *, atol: float | None = None, rtol: float | None = None,
                    equal_nan: bool = True,
                    exact_dtype: bool = True, exact_device: bool = False) -> None:
        """`assert_close`, with == for what it cannot compare."""
        try:
            assert_close(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=exact_dtype,
                         check_device=exact_device, msg=msg)
        except TypeError:
            super().assertEqual(x, y, msg)

    def assertNotEqual(self, x: Any, y: Any, msg: Any = None, *, atol: float | None = None,
                       rtol: float | None = None) -> None:
        """The opposite of assertEqual."""
        with self.assertRaises(AssertionError, msg=msg):
            self.assertEqual(x, y, atol=atol, rtol=rtol)


def run_tests(argv: Any = None) -> None:
    """unittest.main, as PyTorch's test files call it."""
    unittest.main(argv=argv)
