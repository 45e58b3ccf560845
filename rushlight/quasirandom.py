"""Sobol' sequences: points that fill a cube more evenly than random ones (torch.quasirandom)."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.random import Generator
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.tensor.drawing import randint
from rushlight.tensor.settings import get_default_dtype

__all__ = ["SobolEngine"]

BITS = 30
# For dimensions 2 to 64 a primitive polynomial over GF(2), its bits as a number, and the first direction numbers
# (S. Joe and F. Kuo, "Constructing Sobol sequences with better two-dimensional projections", 2008: new-joe-kuo-6).
FIRST = """3:1 7:1,3 11:1,3,1 13:1,1,1 19:1,1,3,3 25:1,3,5,13 37:1,1,5,5,17 41:1,1,5,5,5 47:1,1,7,11,19 55:1,1,5,1,1 59:1,1,1,3,11
61:1,3,5,5,31 67:1,3,3,9,7,49 91:1,1,1,15,21,21 97:1,3,1,13,27,49 103:1,1,1,15,7,5 109:1,3,1,15,13,25 115:1,1,5,5,19,61
131:1,3,7,11,23,15,103 137:1,3,7,13,13,15,69 143:1,1,3,13,7,35,63 145:1,3,5,9,1,25,53 157:1,3,1,13,9,35,107 167:1,3,1,5,27,61,31
171:1,1,5,11,19,41,61 185:1,3,5,3,3,13,69 191:1,1,7,13,1,19,1 193:1,3,7,5,13,19,59 203:1,1,3,9,25,29,41 211:1,3,5,13,23,1,55
213:1,3,7,3,13,59,17 229:1,3,1,3,5,53,69 239:1,1,5,5,23,33,13 241:1,1,7,7,1,61,123 247:1,1,7,9,13,61,49 253:1,3,3,5,3,55,33
285:1,3,1,15,31,13,49,245 299:1,3,5,15,31,59,63,97 301:1,3,1,11,11,11,77,249 333:1,3,1,11,27,43,71,9 351:1,1,7,15,21,11,81,45
355:1,3,7,3,25,31,65,79 357:1,3,1,1,19,11,3,205 361:1,1,5,9,19,21,29,157 369:1,3,7,11,1,33,89,185 391:1,3,3,3,15,9,79,71
397:1,3,7,11,15,39,119,27 425:1,1,3,1,11,31,97,225 451:1,1,1,3,23,43,57,177 463:1,3,7,7,17,17,37,71 487:1,3,1,5,27,63,123,213
501:1,1,3,5,11,43,53,133 529:1,3,5,5,29,17,47,173,479 539:1,3,3,11,3,1,109,9,69 545:1,1,1,5,17,39,23,5,343 557:1,3,1,5,25,15,31,103,499
563:1,1,1,11,11,17,63,105,183 601:1,1,5,11,9,29,97,231,363 607:1,1,5,15,19,45,41,7,383 617:1,3,7,7,31,19,83,137,221
623:1,1,1,3,23,15,111,223,83 631:1,1,5,13,31,15,55,25,161 637:1,1,3,13,25,47,39,87,257"""


def _polynomials(dimension: int) -> list[tuple[int, list[int]]]:
    """Polynomial and first numbers of dimensions 2 to ``dimension``;
    beyond 64 from SciPy's table of the same numbers."""
    known = [(int(p), [int(n) for n in numbers.split(",")])
             for p, numbers in (entry.split(":") for entry in FIRST.split())]
    if dimension <= len(known) + 1:
        return known[:dimension - 1]
    try:
        import scipy.stats
    except ImportError:
        raise ImportError(f"SobolEngine of more than {len(known) + 1} dimensions reads its table from SciPy: "
                          "pip install 'rushlight[scipy]'") from None
    from pathlib import Path
    table = np.load(Path(scipy.stats.__file__).parent / "_sobol_direction_numbers.npz")
    polynomials, numbers = table["poly"][1:dimension].tolist(), table["vinit"][1:dimension].tolist()
    return [(p, row[:p.bit_length() - 1]) for p, row in zip(polynomials, numbers, strict=True)]


def direction_numbers(dimension: int) -> np.ndarray:
    """The direction numbers, (dimension, 30): element j is shifted so that its leading bit is that of 2^-(j+1)."""
    table = np.ones((dimension, BITS), np.int64)
    for row, (polynomial, first) in enumerate(_polynomials(dimension), 1):
        degree = len(first)
        v = list(first)
        for j in range(degree, BITS):
            number = v[j - degree]
            for k in range(degree):
                if polynomial >> (degree - 1 - k) & 1:
                    number ^= v[j - k - 1] << (k + 1)
            v.append(number)
        table[row] = v
    return table << np.arange(BITS - 1, -1, -1)


def scrambled(directions: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Directions times lower triangular random bit matrices with ones on the diagonal (J. Matoušek, 1998)."""
    bits = lower.copy()
    bits[:, np.arange(BITS), np.arange(BITS)] = 1
    # (dimension, bit, direction), leading bit first
    columns = directions[:, None, :] >> np.arange(BITS - 1, -1, -1)[None, :, None] & 1
    mixed = np.einsum("dij,djk->dik", bits, columns) & 1
    return np.einsum("dik,i->dk", mixed, 1 << np.arange(BITS - 1, -1, -1))


class SobolEngine:
    """Draws points of a Sobol' sequence in [0, 1)^dimension, scrambled if asked for; the same points as PyTorch's.

    ``seed`` seeds the scrambling (the global generator otherwise). ValueError for a dimension outside 1 to 21201,
    ImportError for more than 64 dimensions without SciPy.

    >>> SobolEngine(2).draw(4)
    tensor([[0.0000, 0.0000],
            [0.5000, 0.5000],
            [0.7500, 0.2500],
            [0.2500, 0.7500]])
    """

    MAXBIT = BITS
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None):
        if not 1 <= dimension <= self.MAXDIM:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.dimension, self.scramble, self.seed = dimension, scramble, seed
        self._directions = direction_numbers(dimension)
        self._shift = np.zeros(dimension, np.int64)
        if scramble:
            self._scramble()
        self._at = self._shift.copy()
        self.num_generated = 0

    @property
    def sobolstate(self) -> Tensor:
        """The direction numbers, int64 of shape (dimension, 30)."""
        return wrap(self._directions.copy())

    @property
    def shift(self) -> Tensor:
        """The digital shift of each dimension, int64."""
        return wrap(self._shift.copy())

    @property
    def quasi(self) -> Tensor:
        """The last point as integers, int64."""
        return wrap(self._at.copy())

    def _scramble(self) -> None:
        generator = None if self.seed is None else Generator().manual_seed(self.seed)
        bits = unwrap(randint(2, (self.dimension, BITS), generator=generator))
        self._shift = bits @ (1 << np.arange(BITS))
        lower = unwrap(randint(2, (self.dimension, BITS, BITS), generator=generator))
        self._directions = scrambled(self._directions, np.tril(lower))

    def draw(self, n: int = 1, out: Any = None, dtype: Any = None) -> Tensor:
        """The next ``n`` points, (n, dimension), in ``dtype`` (the default dtype)."""
        points = self._points(n)
        dtype = dtype or get_default_dtype()
        result = wrap((points * 2.0 ** -BITS).astype(dtype.numpy))
        if out is None:
            return result
        out.resize_(result.shape).copy_(result)
        return out  # type: ignore[no-any-return]

    def _points(self, n: int) -> np.ndarray:
        """The next n points as integers: from one to the next the direction of the
        lowest zero bit of the number is exchanged."""
        first = self.num_generated == 0 and n > 0
        count = n - 1 if first else n
        number = np.arange(count) + (0 if first else self.num_generated - 1)
        changed = self._directions.T[_lowest_zero(number)]
        path = np.bitwise_xor.accumulate(np.concatenate([self._at[None], changed]), 0)
        if n:
            self._at = path[-1].copy()
        self.num_generated += n
        return path if first else path[1:]

    def draw_base2(self, m: int, out: Any = None, dtype: Any = None) -> Tensor:
        """The next 2**m points. ValueError unless as many as a power of two have been drawn then."""
        n = 2 ** m
        total = self.num_generated + n
        if total & (total - 1):
            raise ValueError("The balance properties of Sobol' points require n to be a power of 2. "
                             f"{self.num_generated} points have been previously generated, "
                             f"then: n={self.num_generated}+2**{m}={total}. "
                             "If you still want to do this, please use 'SobolEngine.draw()' instead.")
        return self.draw(n, out, dtype)

    def reset(self) -> SobolEngine:
        """Start again from the first point."""
        self._at, self.num_generated = self._shift.copy(), 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Leave out the next ``n`` points."""
        self._points(n)
        return self

    def __repr__(self) -> str:
        parts = [f"dimension={self.dimension}"]
        if self.scramble:
            parts.append("scramble=True")
        if self.seed is not None:
            parts.append(f"seed={self.seed}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _lowest_zero(numbers: np.ndarray) -> np.ndarray:
    """The place of the lowest zero bit of each number."""
    lowest = ~numbers & (numbers + 1)
    return np.log2(lowest.astype(np.float64)).astype(np.int64)
