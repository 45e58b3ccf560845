"""Sizes that may change: a program is captured twice, with other sizes the second time, and the graphs are compared.

What differs between the two (sizes of results, numbers that were computed from sizes) depends on
the dynamic sizes. Where the graphs themselves differ, the program goes another way for another
size, or has turned a size into a plain number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rushlight.export.capture import CaptureError, Facts
from rushlight.export.captured import Captured, bound, capture, signature_of
from rushlight.fx.node import Node
from rushlight.tensor.core import Tensor
from rushlight.utils._pytree import tree_flatten, tree_unflatten


@dataclass
class Size:
    """A dynamic size: ``root`` names the number it follows from, by ``of``;
    at least ``low`` and at most ``high`` (of the root)."""

    name: str
    root: str = ""
    of: Callable[[int], int] = field(default=lambda n: n)
    low: int = 0
    high: int | None = None

    def __post_init__(self) -> None:
        self.root = self.root or self.name


Sizes = dict[int, dict[int, Size]]  # leaf of the arguments -> dimension -> size


class SizeError(CaptureError):
    """A size that was said to be dynamic is not."""


def capture_dynamic(
    program: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    sizes: Sizes,
    on_read: Callable[[str], Any] = lambda name: None,
) -> Captured:
    """`capture`; every node's ``meta["sizes"]`` is its shape with names for sizes that depend on dynamic
    ones (texts, "?" for unknown sums), and ``meta["dynamic"]`` says whether a number does. SizeError where
    the program does not work for other sizes."""
    taken = capture(program, args, kwargs, on_read)
    other = None
    if any(sizes.values()):
        other = _again(program, args, kwargs, sizes, taken, on_read)
    _mark(taken, other, sizes)
    return taken


def _again(
    program: Any, args: tuple[Any, ...], kwargs: dict[str, Any], sizes: Sizes, taken: Captured, on_read: Any
) -> Captured:
    """The capture with other sizes: a few are tried, since a program may want even ones."""
    signature = signature_of(program)
    flat, tree = tree_flatten(bound(signature, args, kwargs))
    roots = _roots(flat, sizes)
    problem: Exception | None = None
    tried: list[dict[str, int]] = []
    for pick in (
        lambda n, i: n + 1 + i,
        lambda n, i: 2 * n + 2 * i * n,
        lambda n, i: n - 1 - i,
        lambda n, i: n + 2 + 2 * i,
        lambda n, i: 4 * n * (i + 1),
    ):
        now = {}
        for i, (root, (n, size)) in enumerate(roots.items()):
            m = max(pick(n, i), size.low, 1)
            now[root] = min(m, size.high) if size.high is not None else m
        if now in tried or all(now[r] == n for r, (n, _) in roots.items()):
            continue
        tried.append(now)
        leaves = [_resized(x, sizes.get(i, {}), now) if isinstance(x, Tensor) else x for i, x in enumerate(flat)]
        from rushlight.export.captured import _call_form

        positional, named = _call_form(signature, tree_unflatten(leaves, tree))
        try:
            other = capture(program, positional, named, on_read)
            _compare(taken, other)
            return other
        except SizeError:
            raise
        except Exception as e:
            problem = problem or e
    if problem is None:
        raise SizeError(f"no other sizes lie within the bounds of {', '.join(roots)}")
    text = ", ".join(f"{r} = {n}" for r, n in tried[0].items())
    raise SizeError(
        f"the program does not run with other sizes ({text}): {type(problem).__name__}: {problem}"
    ) from problem


def _roots(flat: list[Any], sizes: Sizes) -> dict[str, tuple[int, Size]]:
    """Each root's number in the example."""
    out: dict[str, tuple[int, Size]] = {}
    for leaf, dims in sizes.items():
        for d, size in dims.items():
            n = flat[leaf].shape[d]
            if size.of(7) == 7 and size.name == size.root:
                if size.root in out and out[size.root][0] != n:
                    raise SizeError(f"{size.root} is {out[size.root][0]} in one input and {n} in another")
                out[size.root] = (n, size)
    for leaf, dims in sizes.items():
        for d, size in dims.items():
            n = flat[leaf].shape[d]
            if size.root not in out:
                out[size.root] = (next((r for r in range(1, n + 1) if size.of(r) == n), n), size)
            if size.of(out[size.root][0]) != n:
                raise SizeError(
                    f"Constraints violated ({size.root})! {size.name} should be {size.of(out[size.root][0])} where "
                    f"{size.root} is {out[size.root][0]}, but dimension {d} of the example input has size {n}"
                )
    return out


def _resized(t: Tensor, dims: dict[int, Size], now: dict[str, int]) -> Tensor:
    """The tensor with other sizes: its last elements again, or fewer of them."""
    import rushlight as rl

    for d, size in dims.items():
        n, m = t.shape[d], size.of(now[size.root])
        t = t.detach().index_select(d, rl.arange(m).clamp(max=n - 1))
    return t


def _compare(a: Captured, b: Captured) -> None:
    """SizeError where two graphs are not the same program."""
    one, two = list(a.graph.nodes), list(b.graph.nodes)
    place = {n: i for i, n in enumerate(one)}
    other = {n: i for i, n in enumerate(two)}
    for p, q in zip(one, two):
        if p.op != q.op or p.target != q.target:
            raise SizeError(
                "the program goes another way when sizes change: "
                f"it calls {_called(p)} for one size and {_called(q)} for another"
            )
        x, y = ([_plain(v, at) for v in tree_flatten((n.args, n.kwargs))[0]] for n, at in ((p, place), (q, other)))
        if x != y:
            differ = next(((v, w) for v, w in zip(x, y) if v != w), (len(x), len(y)))
            raise SizeError(
                f"{_called(p)} has an operand that is {differ[0]!r} for one size and {differ[1]!r} for another, "
                "without the graph seeing how it is "
                "computed: the program turns a size into a plain number (int(), float(), math), or goes by it"
            )
        if p.op == "get_attr" and p.target in a.constants and not _alike(a.constants[p.target], b.constants[q.target]):
            raise SizeError(
                "the program makes a tensor from a size in a way that the graph does not see; use functions of torch"
            )
    if len(one) != len(two):
        raise SizeError(
            "the program goes another way when sizes change: it has more operations for one size than for another"
        )


def _called(n: Node) -> str:
    name = n.target if isinstance(n.target, str) else getattr(n.target, "__name__", n.target)
    return f"{name} in {n.meta['path']}" if n.meta.get("path") else str(name)


def _plain(v: Any, place: dict[Node, int]) -> Any:
    if isinstance(v, Node):
        return "node", place[v]
    if isinstance(v, slice):
        return "slice", _plain(v.start, place), _plain(v.stop, place), _plain(v.step, place)
    return "nan" if isinstance(v, float) and v != v else v


def _alike(x: Tensor, y: Tensor) -> bool:
    import rushlight as rl

    return x.shape == y.shape and x.dtype == y.dtype and bool(rl.equal(x, y))


def _mark(a: Captured, b: Captured | None, sizes: Sizes) -> None:
    names: dict[tuple[int, int], str] = {}
    inputs = {n.name: n for n in a.placeholders}
    tensors = [leaf for leaf in a.leaves]
    pairs = zip(a.graph.nodes, b.graph.nodes if b is not None else a.graph.nodes)
    rows = [(p, p.meta.get("val"), q.meta.get("val")) for p, q in pairs]
    other = {p: w for p, _, w in rows}
    for leaf, dims in sizes.items():
        node = inputs[tensors[leaf].name]
        for d, size in dims.items():
            names.setdefault((node.meta["val"].shape[d], other[node].shape[d]), size.name)
    for p, v, w in rows:
        if isinstance(v, Facts):
            if len(v.shape) != len(w.shape):
                raise SizeError(f"the result of {_called(p)} has another number of dimensions when sizes change")
            p.meta["sizes"] = tuple([m if m == n else names.get((m, n), "?") for m, n in zip(v.shape, w.shape)])
            if v.dtype is not w.dtype:
                raise SizeError(f"the result of {_called(p)} has another dtype when sizes change")
        elif isinstance(v, (int, float)):
            p.meta["dynamic"] = p.target == "item" or v != w or any(n.meta.get("dynamic") for n in p.all_input_nodes)
    for leaf, dims in sizes.items():  # an input keeps the name that it was given
        node = inputs[tensors[leaf].name]
        node.meta["sizes"] = tuple([dims[d].name if d in dims else n for d, n in enumerate(node.meta["val"].shape)])


__all__ = ["Size", "SizeError", "Sizes", "capture_dynamic"]
