"""functorch.einops: rearranging dimensions by a pattern of names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any

from rushlight.tensor.core import Tensor

TOKEN = re.compile(r"\s*(->|\.\.\.|[()]|[A-Za-z_]\w*|\d+)")


def rearrange(tensor: Tensor | Sequence[Tensor], pattern: str, **axes_lengths: int) -> Tensor:
    """The dimensions of a tensor named on the left of the pattern,
    in the order on the right; a list of tensors is stacked first.

    Parentheses join dimensions (right) or split one (left: all sizes but one are in ``axes_lengths`` or follow);
    ``1`` is a dimension of size 1, ``...`` all dimensions without a name. ValueError for a pattern that does not fit.

    >>> import rushlight as rl
    >>> rearrange(rl.zeros(2, 12, 5), "b (h w) c -> b c h w", h=3).shape
    torch.Size([2, 5, 3, 4])
    """
    if not isinstance(tensor, Tensor):
        from rushlight.tensor.functions.joining import stack
        tensor = stack(list(tensor))
    if pattern.count("->") != 1:
        raise ValueError(f"invalid pattern, must contain exactly one '->': {pattern!r}")
    left, right = (_groups(side, pattern) for side in pattern.split("->"))
    left, right = _written_out(left, right, tensor.ndim, pattern)
    names = [n for g in left for n in g]
    wanted = [n for g in right for n in g]
    if len(set(names)) != len(names) or len(set(wanted)) != len(wanted):
        raise ValueError(f"a name occurs twice on one side of {pattern!r}")
    if set(names) != set(wanted):
        raise ValueError("identifiers only on one side of expression (should be on both): "
                         f"{sorted(set(names) ^ set(wanted))} in {pattern!r}")
    unknown = axes_lengths.keys() - set(names)
    if unknown:
        raise ValueError(f"identifiers {sorted(unknown)} are not in the pattern {pattern!r}")
    sizes = _sizes(left, tuple(tensor.shape), axes_lengths, pattern)
    parts = tensor.reshape([sizes[n] for n in names]).permute(*[names.index(n) for n in wanted])
    return parts.reshape([prod(sizes[n] for n in g) for g in right])  # type: ignore[no-any-return]


def _groups(side: str, pattern: str) -> list[list[str]]:
    """One list of names per dimension; [] is a dimension of size 1."""
    groups: list[list[str]] = []
    inside: list[str] | None = None
    at = 0
    side = side.strip()
    while at < len(side):
        token = TOKEN.match(side, at)
        if token is None:
            raise ValueError(f"invalid character {side[at]!r} in {pattern!r}")
        word, at = token[1], token.end()
        if word == "(" and inside is None:
            inside = []
        elif word == ")" and inside is not None:
            groups.append(inside)
            inside = None
        elif word in "()" or word.isdigit() and word != "1":
            raise ValueError(f"unexpected {word!r} in {pattern!r}")
        elif inside is not None:
            inside += [word] if word != "1" else []
        else:
            groups.append([word] if word != "1" else [])
    if inside is not None:
        raise ValueError(f"brackets are not balanced in {pattern!r}")
    return groups


def _written_out(left: list[list[str]], right: list[list[str]], ndim: int,
                 pattern: str) -> tuple[list[list[str]], list[list[str]]]:
    """Both sides with names in place of `...`."""
    dots = [k for k, g in enumerate(left) if g == ["..."]]
    if len(dots) > 1 or any("..." in g and len(g) > 1 for g in left) or len(dots) != sum(g.count("...") for g in right):
        raise ValueError(f"`...` stands once on each side, on the left on its own: {pattern!r}")
    if len(left) != ndim and not (dots and len(left) - 1 <= ndim):
        raise ValueError(f"Number of dimensions in pattern ({len(left)}) and tensor ({ndim}) "
                         f"must be equal (no ellipsis): {pattern!r}")
    more = [f".{k}" for k in range(ndim - len(left) + 1)] if dots else []

    def full(groups: list[list[str]]) -> list[list[str]]:
        out: list[list[str]] = []
        for g in groups:
            out += [[n] for n in more] if g == ["..."] else [[m for n in g for m in (more if n == "..." else [n])]]
        return out
    return full(left), full(right)


def _sizes(left: list[list[str]], shape: tuple[int, ...], known: dict[str, int], pattern: str) -> dict[str, int]:
    """The size of each name."""
    sizes: dict[str, Any] = dict(known)
    for group, n in zip(left, shape):
        open_ended = [name for name in group if name not in sizes]
        rest = prod(sizes[name] for name in group if name in sizes)
        if len(open_ended) > 1:
            raise ValueError(f"the sizes of {open_ended} are not known: give all but one of them, for {pattern!r}")
        if open_ended and rest and n % rest == 0:
            sizes[open_ended[0]] = n // rest
        elif open_ended or rest != n:
            raise ValueError(f"dimension of size {n} does not fit ({' '.join(group)}) with {known} in {pattern!r}")
    return sizes


__all__ = ["rearrange"]
