"""einsum as a sequence of pairwise contractions."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.common import unify

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def contract(equation: str, operands: list[Tensor]) -> Tensor:
    """Parse the equation, choose an order (NumPy's greedy path), contract pair by pair."""
    terms, output = parse(equation, tuple([len(t._spec.shape) for t in operands]))
    operands = [diagonal_of(t, labels) for t, labels in zip(operands, terms)]
    inputs = ["".join(dict.fromkeys(labels)) for labels in terms]
    sizes: dict[str, int] = {}
    for t, labels in zip(operands, inputs):
        for c, n in zip(labels, t._spec.shape):
            if sizes.setdefault(c, n) == 1:
                sizes[c] = n
            if n not in (1, sizes[c]):
                raise RuntimeError(f"einsum(): subscript {c} has size {n} for operand, "
                                   f"but previously seen size {sizes[c]} has been established; "
                                   f"the shapes are {[list(o._spec.shape) for o in operands]}")
    while len(operands) > 1:
        i, j = next_pair(inputs, sizes) if len(operands) > 2 else (0, 1)
        b, bl = operands.pop(j), inputs.pop(j)
        a, al = operands.pop(i), inputs.pop(i)
        keep = set(output).union(*inputs)
        t, labels = pair(a, al, b, bl, keep)
        operands.append(t)
        inputs.append(labels)
    t, labels = operands[0], inputs[0]
    gone = tuple(d for d, c in enumerate(labels) if c not in output)
    if gone:
        t = t.sum(gone)
        labels = "".join(c for c in labels if c in output)
    order = [labels.index(c) for c in output]
    return t.reshape(()) if not output else turned(t, order) if len(terms) > 1 else t.permute(order)  # of one operand a view


def equation_of(parts: tuple[Any, ...]) -> tuple[str, tuple[Tensor, ...]]:
    """The equation of the sublist format: tensor, labels, tensor, labels …, and perhaps the labels of the result."""
    def text(labels: Any) -> str:
        for c in labels:
            if c is not Ellipsis and not 0 <= c < len(LETTERS):
                raise RuntimeError(f"einsum(): not within the valid range [0, {len(LETTERS)}): subscript {c}")
        return "".join("..." if c is Ellipsis else LETTERS[c] for c in labels)
    pairs = len(parts) // 2
    left = ",".join(text(parts[2 * i + 1]) for i in range(pairs))
    return left + ("->" + text(parts[-1]) if len(parts) % 2 else ""), parts[:2 * pairs:2]


@lru_cache(512)
def parse(equation: str, ranks: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """Labels of each operand, of so many dimensions, and of the result; an ellipsis becomes letters of its own."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) < len(ranks):
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    if len(terms) > len(ranks):
        raise RuntimeError("einsum(): fewer operands were provided than specified in the equation")
    for c in text.replace("->", "").replace(",", "").replace(".", ""):
        if c not in LETTERS:
            raise RuntimeError(f"einsum(): invalid subscript given at index {equation.index(c)} in "
                               "the equation string, subscripts must be in [a-zA-Z]")
    free = [c for c in LETTERS if c not in text]
    dots = 0
    counts = []
    for term, rank in zip(terms, ranks):
        have = rank - len(term.replace("...", ""))
        if "..." not in term and have:
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(term)}) "
                               f"does not match the number of dimensions ({rank}) "
                               f"for operand {len(counts)} and no ellipsis was given")
        if have < 0:
            raise RuntimeError("einsum(): the number of subscripts in the equation "
                               f"({len(term.replace('...', ''))}) is more than the number of dimensions "
                               f"({rank}) for operand {len(counts)}")
        counts.append(have)
        dots = max(dots, have)
    ellipsis = "".join(free[:dots])
    inputs = tuple([term.replace("...", ellipsis[dots - have:]) for term, have in zip(terms, counts)])
    if arrow:
        output = right.replace("...", ellipsis)
        for c in output:
            if output.count(c) > 1:
                raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
            if not any(c in i for i in inputs):
                raise RuntimeError(f"einsum(): output subscript {c} does not appear in the "
                                   "equation for any input operand")
    else:
        joined = "".join(inputs)
        output = ellipsis + "".join(sorted(c for c in set(joined) if joined.count(c) == 1 and c not in ellipsis))
    return inputs, output


def turned(t: Tensor, order: list[int]) -> Tensor:
    """The dimensions in another order, if it is another one."""
    return t if order == [*range(len(order))] else t.permute(order)


def shaped(t: Tensor, shape: list[int]) -> Tensor:
    """Another shape, if it is another one."""
    return t if t._spec.shape == tuple(shape) else t.reshape(shape)


def diagonal_of(t: Tensor, labels: str) -> Tensor:
    """Repeated labels of one operand taken as its diagonal."""
    if len({*labels}) == len(labels):
        return t
    names = list(labels)
    for c in dict.fromkeys(labels):
        while names.count(c) > 1:
            i = names.index(c)
            j = names.index(c, i + 1)
            if t._spec.shape[i] != t._spec.shape[j]:
                raise RuntimeError(f"einsum(): subscript {c} is repeated for operand but the sizes don't match, "
                                   f"{t._spec.shape[j]} != {t._spec.shape[i]}")
            t = t.diagonal(0, i, j).movedim(-1, i)
            names.pop(j)
    return t


def next_pair(inputs: list[str], sizes: dict[str, int]) -> tuple[int, int]:
    """The pair whose contraction costs least."""
    best: tuple[float, int, int] | None = None
    for i in range(len(inputs)):
        for j in range(i + 1, len(inputs)):
            joint = set(inputs[i]) | set(inputs[j])
            cost = prod([float(sizes[c]) for c in joint])
            if best is None or cost < best[0]:
                best = (cost, i, j)
    assert best is not None
    return best[1], best[2]


def pair(a: Tensor, al: str, b: Tensor, bl: str, keep: set[str]) -> tuple[Tensor, str]:
    """Two operands contracted over the labels that nobody needs any more, by one batched matrix product; where there are none, by
    products of elements, which autocast leaves as they are."""
    for labels, other, which in ((al, bl, 0), (bl, al, 1)):
        alone = tuple(d for d, c in enumerate(labels) if c not in other and c not in keep)
        if alone:
            t = (a, b)[which].sum(alone)
            rest = "".join(c for c in labels if c in other or c in keep)
            if which == 0:
                a, al = t, rest
            else:
                b, bl = t, rest
    shared = [c for c in al if c in bl]
    size = {c: max(a._spec.shape[al.index(c)], b._spec.shape[bl.index(c)]) for c in shared}
    if any([n != size.get(c, n) for labels, t in ((al, a), (bl, b)) for c, n in zip(labels, t._spec.shape)]):
        a, b = (t.expand([size.get(c, n) for c, n in zip(labels, t._spec.shape)]) for labels, t in ((al, a), (bl, b)))
    batch = [c for c in shared if c in keep]
    inner = [c for c in shared if c not in keep]
    left, right = [c for c in al if c not in shared], [c for c in bl if c not in shared]
    n: dict[str, int] = {**dict(zip(al, a._spec.shape)), **dict(zip(bl, b._spec.shape))}
    if a._spec.dtype is not b._spec.dtype:  # a sum of small integers is wider
        a, b = unify(a, b)
    many, rows, depth, columns = (prod([n[c] for c in names]) for names in (batch, left, inner, right))
    x = shaped(turned(a, [al.index(c) for c in batch + left + inner]), [many, rows, depth])
    y = shaped(turned(b, [bl.index(c) for c in batch + inner + right]), [many, depth, columns])
    names = batch + left + right
    return shaped(x @ y if depth != 1 else x * y, [n[c] for c in names]), "".join(names)
