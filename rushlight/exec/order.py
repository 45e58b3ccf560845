"""In which order numbers are added up, one rule for all executors: docs/design.md, "The order of summation".

Rounding makes the order part of the result. For what is small it is the order of PyTorch's CPU build on x86-64
(measured there, element by element), so that a small program gives its numbers to the last bit; for what is large the
order that is fast. It never depends on the number of threads, nor on what else is in a plan.

Sums over adjacent elements (`exec.numpy.sums.total`): rounds of four groups of as many numbers as 32 bytes hold,
a sum for each place in a round. After 16 rounds the sums are added to those of a second level, after 16 times
that to those of a third, and so on. In the end the levels are added up, then the groups that make no whole round
(to the first of the four), then the four groups. The result is what is left over, one by one, and then the places
of the group one by one. Fewer numbers than a group has go in rounds of four.

Sums over a dimension with another one inside (`exec.numpy.sums.columns`): rows in order, with the same levels.
Columns beyond the last whole round (or, with fewer columns than a group has, beyond the last whole four) have four
sums for row mod 4; they are added up like the four groups.

Products of float32 (`product`): ``apart`` is Σ over k in order, products and sums rounded each for itself. ``lanes``
likewise, with four sums for k mod 4 that are added as (0 + 2) + (1 + 3), and then what is left of k in order;
columns beyond the last whole four have eight sums for k mod 8, added in halves before. ``dot`` is one sum of
products (`exec.numpy.sums.dot`); ``chain`` is Σ over k in order by fused multiply-adds, at any size.
"""

from __future__ import annotations

GROUP_BYTES = 32  # numbers that fill so much memory are added side by side
GROUPS = 4  # of a round
LEVEL = 16  # rounds, and times of a level, after which the next one takes over
LEVELS = 4
FEW = 1 << 13  # numbers of which tanh is rounded correctly; it takes twice the time
SMALL = 1 << 14  # multiply-adds of a product that is added up as PyTorch does
FUSED_ROWS, FUSED_COLUMNS = 4, 12  # a product with both has fused multiply-adds in PyTorch
LANES = 4  # sums for k mod 4, and columns that have so many


def group(itemsize: int) -> int:
    """How many numbers a group has; half precision is added up in float32."""
    return GROUP_BYTES // max(itemsize, 4)


def product(m: int, n: int, k: int, a_strides: tuple[int, int], b_strides: tuple[int, int]) -> str:
    """The order of (m, k) · (k, n) in float32, from sizes and strides in elements: apart, lanes, dot or chain."""
    along_k = (k == 1 or a_strides[1] == 1) and (k == 1 or b_strides[0] == 1)
    if m == n == 1 and along_k:
        return "dot"
    if m * n * k > SMALL or (m >= FUSED_ROWS and n >= FUSED_COLUMNS) or (along_k and k >= LANES and 1 in (m, n)):
        return "chain"
    return "lanes" if along_k else "apart"
