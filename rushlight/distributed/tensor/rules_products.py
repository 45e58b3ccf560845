"""Matrix products: m k, k n -> m n, in all their forms."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.tensor.dispatch import bound, rule
from rushlight.distributed.tensor.dtensor import DTensor
from rushlight.distributed.tensor.labels import Labels, Plan, execute

K = {"k": "sum"}


def product(func: Any, x: DTensor, y: DTensor, first: Labels, second: Labels, out: Labels) -> Any:
    """A function of two tensors that multiplies them and sums over k."""
    sizes: dict[Any, int] = {}
    for t, row in ((x, first), (y, second)):
        for n, label in zip(t.shape, row):
            if (
                sizes.setdefault(label, int(n)) != n
                and 1 not in (n, sizes[label])
                or label == "k"
                and sizes[label] != n
            ):
                return NotImplemented  # PyTorch's own error
            sizes[label] = max(sizes[label], int(n))
    return execute(
        Plan([x, y], [first, second], [out], lambda local, targets: func(*local), contract=K, linear=frozenset({0, 1}))
    )


def matmul_labels(a: int, b: int) -> tuple[Labels, Labels, Labels]:
    """Labels of matmul on so many dimensions; batch dimensions are numbered from the right."""
    n = max(a, b) - 2
    first = (*range(n - (a - 2), n), "m", "k") if a > 1 else ("k",)
    second = (*range(n - (b - 2), n), "k", "n") if b > 1 else ("k",)
    out = (*range(max(n, 0)), *(["m"] if a > 1 else []), *(["n"] if b > 1 else []))
    return first, second, out


@rule("matmul", "mm", "bmm", "mv", "dot", "vdot", "inner", "__rmatmul__", "linalg_matmul")
def matmul(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x @ y."""
    operands = [*args, *kwargs.values()]
    if len(operands) != 2 or not all(isinstance(t, DTensor) for t in operands) or 0 in (t.ndim for t in operands):
        return NotImplemented
    x, y = operands if name != "__rmatmul__" else operands[::-1]
    if {"mm": (2, 2), "bmm": (3, 3), "mv": (2, 1), "dot": (1, 1), "vdot": (1, 1), "inner": (1, 1)}.get(
        name, (x.ndim, y.ndim)
    ) != (x.ndim, y.ndim):
        return NotImplemented
    import rushlight as rl

    return product(rl.matmul if name == "__rmatmul__" else func, x, y, *matmul_labels(x.ndim, y.ndim))


@rule("linear")
def linear(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x @ w.T + b; the bias is added to the terms of the sum where x and w are cut along k."""
    given = bound(func, args, kwargs)
    x, w, b = given["input"], given["weight"], given["bias"]
    if not isinstance(x, DTensor) or not isinstance(w, DTensor) or w.ndim != 2 or x.ndim == 0:
        return NotImplemented
    lead = tuple(range(x.ndim - 1))
    out = product(func, x, w, (*lead, "k"), ("n", "k"), (*lead, "n"))
    # autocast
    return (
        out if b is None or out is NotImplemented else out + (b if b.dtype is out.dtype else b.to(out.dtype))
    )


@rule("addmm", "baddbmm", "addbmm", "addmv")
def addmm(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """beta * c + alpha * (x @ y)."""
    operands = [*args, *[v for k, v in kwargs.items() if k not in ("beta", "alpha")]]
    if name == "addbmm" or len(operands) != 3 or not all(isinstance(t, DTensor) for t in operands):
        return NotImplemented
    c, x, y = operands
    beta, alpha = kwargs.get("beta", 1), kwargs.get("alpha", 1)
    out = x @ y
    out = out if alpha == 1 else out * alpha
    return out + (c if beta == 1 else c * beta) if beta else out


@rule("einsum")
def einsum(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An equation's letters are the labels."""
    import rushlight as rl

    equation, *operands = args
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    if not isinstance(equation, str) or "." in equation or not all(isinstance(t, DTensor) for t in operands):
        return NotImplemented
    left, arrow, right = equation.replace(" ", "").partition("->")
    rows = left.split(",")
    if len(rows) != len(operands) or any(
        len(set(row)) != len(row) or len(row) != t.ndim for row, t in zip(rows, operands)
    ):
        return NotImplemented
    letters = sorted(set(left) - {","})
    right = right if arrow else "".join(c for c in letters if left.count(c) == 1)
    contract = {c: "sum" for c in letters if c not in right}
    return execute(
        Plan(
            list(operands),
            [tuple(row) for row in rows],
            [tuple(right)],
            lambda local, targets: rl.einsum(f"{left}->{right}", *local),
            contract=contract,
            linear=frozenset(range(len(operands))),
        )
    )


@rule("outer", "ger")
def outer(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x y^T."""
    if len(args) != 2 or not all(isinstance(t, DTensor) and t.ndim == 1 for t in args):
        return NotImplemented
    return product(func, *args, ("m",), ("n",), ("m", "n"))
