"""A small float64 sample for every row of the table: operands and attributes, by the row's name or its domain."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.ir.dtype import complex128, float64, int64
from rushlight.ir.spec import spec
from rushlight.ops.table import Op
from rushlight.tensor.core import Tensor, wrap

Sample = tuple[tuple[Any, ...], tuple[Any, ...]]  # operands, attributes


class Draw:
    """Random operands; the same ones for the same row."""

    def __init__(self, name: str):
        self.random = np.random.default_rng(zlib.crc32(name.encode()))

    def real(self, *shape: int) -> Tensor:
        return wrap(np.asarray(self.random.uniform(-2, 2, shape)))

    def positive(self, *shape: int) -> Tensor:
        return wrap(np.asarray(self.random.uniform(0.3, 2, shape)))

    def unit(self, *shape: int) -> Tensor:
        return wrap(np.asarray(self.random.uniform(-0.8, 0.8, shape)))

    def above(self, *shape: int) -> Tensor:
        return wrap(np.asarray(self.random.uniform(1.2, 3, shape)))

    def probability(self, *shape: int) -> Tensor:
        return wrap(np.asarray(self.random.uniform(0.1, 0.9, shape)))

    def complex(self, *shape: int) -> Tensor:
        return wrap(np.asarray(self.random.uniform(-2, 2, shape) + 1j * self.random.uniform(-2, 2, shape)))

    def distinct(self, *shape: int) -> Tensor:
        """Values at least 0.3 apart, so that no order changes within a finite difference."""
        n = int(np.prod(shape))
        return wrap(self.random.permutation(n).reshape(shape) * 0.3 - 0.15 * n + 0.05)

    def ints(self, high: int, *shape: int) -> Tensor:
        return wrap(np.asarray(self.random.integers(0, high, shape)))

    def bools(self, *shape: int) -> Tensor:
        return wrap(np.asarray(self.random.integers(0, 2, shape) > 0))

    def definite(self, n: int) -> Tensor:
        """A symmetric positive definite matrix with well separated eigenvalues."""
        q, _ = np.linalg.qr(self.random.standard_normal((n, n)))
        return wrap(np.ascontiguousarray((q * np.arange(1.0, n + 1)) @ q.T))

    def square(self, n: int) -> Tensor:
        return wrap(self.random.standard_normal((n, n)) + 2 * np.eye(n))


DOMAINS: dict[str, Callable[..., Any]] = {"real": Draw.real, "positive": Draw.positive,
                                          "unit": Draw.unit, "above one": Draw.above,
                                          "probability": Draw.probability, "complex": Draw.complex}
STRIDED = spec(float64, (3, 2), (1, 3))
CONV = ((2,), (1,), (1,), 2)  # stride, padding, dilation, groups
WINDOW = ((2, 2), (1, 2), (1, 0))
MAXIMA = np.array([0, 2, 1, 7, 4, 6, 8, 11] * 2).reshape(1, 2, 4, 2)  # a position within each of its windows

BY_NAME: dict[str, Callable[[Draw], Sample]] = {
    "real": lambda d: ((d.complex(3),), ()), "imag": lambda d: ((d.complex(3),), ()),
    "angle": lambda d: ((d.complex(3),), ()),
    "conj": lambda d: ((d.complex(3),), ()),
    "ndtri": lambda d: ((d.probability(3),), ()), "igamma": lambda d: ((d.positive(3), d.positive(3)), ()),
    "igammac": lambda d: ((d.positive(3), d.positive(3)), ()), "polygamma": lambda d: ((2, d.positive(3)), ()),
    "xlogy": lambda d: ((d.real(3), d.positive(3)), ()), "xlog1py": lambda d: ((d.real(3), d.positive(3)), ()),
    "remainder": lambda d: ((d.real(3) * 3, wrap(np.array([1.7, -2.3, 0.9]))), ()),
    "fmod": lambda d: ((d.real(3) * 3, wrap(np.array([1.7, -2.3, 0.9]))), ()),
    "floor_divide": lambda d: ((d.real(3) * 3, d.above(3)), ()),
    "trunc_divide": lambda d: ((d.real(3) * 3, d.above(3)), ()),
    "where": lambda d: ((d.bools(2, 3), d.real(3), d.real(2, 1)), ()),
    "cast": lambda d: ((d.real(3),), (complex128,)),
    "nan_to_num": lambda d: ((d.real(3), 0.0, 1.0, -1.0), ()),
    "cumsum": lambda d: ((d.real(2, 3),), (1,)), "cumprod": lambda d: ((d.real(2, 3),), (1,)),
    "logcumsumexp": lambda d: ((d.real(2, 3),), (1,)),
    "sort": lambda d: ((d.distinct(2, 3),), (1, True)), "topk": lambda d: ((d.distinct(2, 4),), (2, 1, True, True)),
    "kthvalue": lambda d: ((d.distinct(2, 3),), (2, 1, False)),
    "copy": lambda d: ((d.real(2, 3),), ()),
    "unview": lambda d: ((d.real(3, 2),), (7, spec(float64, (3, 2), (1, 3), 1))),
    "cat": lambda d: ((d.real(2, 1), d.real(2, 3)), (1,)),
    "constant_pad": lambda d: ((d.real(2, 3), 1.5), (((1, 0), (-1, 2)),)),
    "flip": lambda d: ((d.real(2, 3),), ((0, 1),)), "roll": lambda d: ((d.real(2, 3),), ((1, -1), (0, 1))),
    "matmul": lambda d: ((d.real(2, 2, 3), d.real(3, 2)), ()),
    "convolution": lambda d: ((d.real(2, 4, 5), d.real(2, 2, 3)), CONV),
    "convolution_bias": lambda d: ((d.real(2, 4, 5), d.real(2, 2, 3), d.real(2)), CONV),
    "convolution_input_grad": lambda d: ((d.real(2, 2, 3), d.real(2, 2, 3)), ((2, 4, 5), *CONV)),
    "convolution_weight_grad": lambda d: ((d.real(2, 2, 3), d.real(2, 4, 5)), ((2, 2, 3), *CONV)),
    "embedding": lambda d: ((d.real(4, 2), d.ints(4, 2, 3)), ()),
    "embedding_grad": lambda d: ((d.real(2, 3, 2), d.ints(4, 2, 3)), (4,)),
    "gather": lambda d: ((d.real(3, 3), d.ints(3, 2, 3)), (0,)),
    "scatter": lambda d: ((d.real(3, 3), wrap(np.array([[0, 2, 1]])), d.real(1, 3)), (0,)),
    "scatter_add": lambda d: ((d.real(3, 3), d.ints(3, 2, 3), d.real(2, 3)), (0,)),
    "scatter_reduce": lambda d: ((d.positive(3, 3), d.ints(3, 2, 3), d.positive(2, 3)), (0, "prod", True)),
    "index": lambda d: ((d.real(3, 2, 4), d.ints(3, 2, 1), d.ints(4, 3)), ((0, 2),)),
    "index_put": lambda d: ((d.real(3, 4), d.real(2, 1), wrap(np.array([2, 0]))), ((0,), True)),
    "dropout": lambda d: ((d.real(4), 0.5, 7), ()),
    "fft": lambda d: ((d.complex(3),), (0, "backward")), "ifft": lambda d: ((d.complex(3),), (0, "ortho")),
    "cholesky": lambda d: ((d.definite(3),), (False,)), "inv": lambda d: ((d.square(3),), ()),
    "solve": lambda d: ((d.square(3), d.real(3, 2)), ()),
    "solve_triangular": lambda d: ((d.square(3), d.real(3, 2)), (True, False)),
    # of larger factors, PyTorch's gradient does not leave out the triangle that is not read (test_triangular.py)
    "cholesky_solve": lambda d: ((d.real(3, 1, 2), d.above(3, 1, 1)), (True,)),
    "cholesky_inverse": lambda d: ((d.above(3, 1, 1),), (False,)),
    "det": lambda d: ((d.square(3),), ()), "slogdet": lambda d: ((d.square(3),), ()),
    "qr": lambda d: ((d.real(3, 2),), ("reduced",)),
    "svd": lambda d: ((d.real(3, 2),), ()), "eigh": lambda d: ((d.definite(3),), ("L",)),
    "matrix_exp": lambda d: ((d.real(2, 2),), ()),
    "cholesky_ex": lambda d: ((d.definite(3),), (False,)),
    "inv_ex": lambda d: ((d.square(3),), ()), "eig": lambda d: ((d.square(3),), ()),
    "solve_ex": lambda d: ((d.square(3), d.real(3, 2)), ()), "lu_factor": lambda d: ((d.square(3),), ()),
    "pinv": lambda d: ((d.real(3, 2), 0.0, 1e-9), (False,)),
    "reorder": lambda d: ((d.real(3, 2),), ((1, 0),)),
    "linear": lambda d: ((d.real(2, 2, 3), d.real(2, 3), d.real(2)), ()),
    "linear_no_bias": lambda d: ((d.real(2, 3), d.real(2, 3)), ()),
    "softmax": lambda d: ((d.real(2, 3),), (1,)), "softmax_grad": lambda d: ((d.real(2, 3), d.real(2, 3)), (1,)),
    "log_softmax": lambda d: ((d.real(2, 3),), (0,)),
    "log_softmax_grad": lambda d: ((d.real(2, 3), d.real(2, 3)), (0,)),
    "cross_entropy_rows": lambda d: ((d.real(3, 4), wrap(np.array([1, -100, 3]))), (-100,)),
    "cross_entropy_rows_grad": lambda d: ((d.real(3), d.real(3, 4), wrap(np.array([1, -100, 3]))), (-100,)),
    "cross_entropy_mean": lambda d: ((d.real(3, 4), wrap(np.array([1, -100, 3]))), (-100,)),
    "cross_entropy_mean_grad": lambda d: ((d.real(), d.real(3, 4), wrap(np.array([1, -100, 3]))), (-100,)),
    "nll_rows": lambda d: ((d.real(3, 4), wrap(np.array([1, -100, 3]))), (-100,)),
    "nll_rows_grad": lambda d: ((d.real(3), d.real(3, 4), wrap(np.array([1, -100, 3]))), (-100,)),
    "nll_mean": lambda d: ((d.real(3, 4), wrap(np.array([1, -100, 3]))), (-100,)),
    "nll_mean_grad": lambda d: ((d.real(), d.real(3, 4), wrap(np.array([1, -100, 3]))), (-100,)),
    "smooth_l1": lambda d: ((d.real(3),), (0.7,)), "smooth_l1_grad": lambda d: ((d.real(3), d.real(3)), (0.7,)),
    "huber": lambda d: ((d.real(3),), (0.7,)), "huber_grad": lambda d: ((d.real(3), d.real(3)), (0.7,)),
    "lstm_layer": lambda d: ((d.unit(5, 2), d.unit(3, 2), d.unit(3, 3), d.unit(12, 2), d.unit(12, 2),
                              d.unit(12), d.unit(12), d.unit(2, 3)), ((3, 2), True, True)),
    "gru_layer": lambda d: ((d.unit(3, 2, 2), d.unit(2, 3), d.unit(9, 2), d.unit(9, 3),
                             d.unit(9), d.unit(9)), (None, False, True)),
    "sdpa": lambda d: ((d.real(1, 2, 3, 2), d.real(1, 1, 4, 2), d.real(1, 1, 4, 3),
                        d.real(1, 2, 3, 4)), (0.7, True, True)),
    "rnn_layer": lambda d: ((d.unit(3, 2, 2), d.unit(2, 3), d.unit(3, 2), d.unit(3, 3)), ("tanh", None, True)),
    "gelu": lambda d: ((d.real(3),), ("tanh",)), "gelu_grad": lambda d: ((d.real(3), d.real(3)), ("none",)),
    "batch_norm": lambda d: ((d.real(2, 3, 2), d.real(3), d.real(3), 1e-5), (1,)),
    "batch_norm_given": lambda d: ((d.real(2, 3, 2), d.real(3), d.positive(3), d.real(3), d.real(3), 1e-5), (1,)),
    "group_norm": lambda d: ((d.real(2, 4, 3), d.real(4), d.real(4), 1e-5), (2,)),
    "normalize": lambda d: ((d.real(2, 3), 1e-5), ((1,),)),
    "normalize_grad": lambda d: ((d.real(2, 3), d.real(2, 3), d.real(2, 1), d.positive(2, 1)), ((1,),)),
    "ctc": lambda d: ((d.real(4, 2, 5), wrap(np.zeros((2, 5), bool)), wrap(np.array([4, 3])), wrap(np.array([2, 1]))), ()),
    "ctc_grad": lambda d: ((d.real(2), d.real(4, 2, 5), wrap(np.zeros((2, 5), bool)), wrap(np.array([4, 3])), wrap(np.array([2, 1]))), ()),
    "logsumexp": lambda d: ((d.real(2, 3),), ((1,), False)),
    "max_pool": lambda d: ((d.distinct(1, 2, 3, 4),), (*WINDOW, (1, 1), False)),
    "max_pool_grad": lambda d: ((d.real(1, 2, 4, 2), wrap(MAXIMA)), ((1, 2, 3, 4), *WINDOW, (1, 1))),
    "avg_pool": lambda d: ((d.real(1, 2, 3, 4),), (*WINDOW, False, True, None)),
    "avg_pool_grad": lambda d: ((d.real(1, 2, 4, 2),), ((1, 2, 3, 4), *WINDOW, False, True, None)),
}
REDUCTIONS = ("sum", "prod", "amax", "amin")
SELECTIONS = ("cummax", "cummin")
PICKS = ("median", "nanmedian", "mode", "max_dim", "min_dim")
BY_NAME.update({n: lambda d: ((d.distinct(2, 3),), ((1,), False)) for n in REDUCTIONS})
BY_NAME.update({n: lambda d: ((d.distinct(2, 3),), (1,)) for n in SELECTIONS})
BY_NAME.update({n: lambda d: ((d.distinct(2, 3),), (1, False)) for n in PICKS})
# Differentiable rows that have no sample, and why. (Rows without a gradient need none.)
REASONS: dict[str, str] = {"fake_quantize": "rounding counts as the identity: "
                           "its gradient is not the limit of differences"}


def sample(op: Op) -> Sample | None:
    """Operands and attributes for a row, or None where neither its name nor its kind says what it takes."""
    d = Draw(op.name)
    if op.name in BY_NAME:
        return BY_NAME[op.name](d)
    if op.attrs or op.variadic or op.kind not in ("map", "coarse"):
        return None
    domain = DOMAINS.get(op.sample)
    if domain is None:
        return None
    if len(op.inputs) == 1:
        return (domain(d, 3),), ()
    if op.kind == "map" and len(op.inputs) == 2:
        return (domain(d, 2, 1), domain(d, 3)), ()
    return tuple(domain(d, 3) for _ in op.inputs), ()


__all__ = ["BY_NAME", "REASONS", "Draw", "sample", "int64"]
