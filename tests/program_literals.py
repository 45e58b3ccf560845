"""Pieces of statements: numbers, subscripts, index tensors, masks, and the choice of what is written and read."""

from __future__ import annotations

from typing import Any

from program_facts import clash, leaf, overlaps_itself, stride_zero
from program_strategy import Builder


FLOATS = ("float32", "float32", "float32", "float64", "float16", "bfloat16")
DTYPES = (*FLOATS, "float32", "int64", "int64", "int32", "int16", "uint8", "int8", "bool", "bool", "complex64")
SHAPES = (
    (),
    (1,),
    (2,),
    (3,),
    (4,),
    (2, 3),
    (3, 2),
    (3, 3),
    (1, 3),
    (2, 1),
    (2, 2, 3),
    (1, 2, 3),
    (2, 1, 2),
    (4, 2),
    (0,),
    (2, 0),
    (3, 1, 1),
    (2, 3, 2, 2),
    (6,),
    (4, 3),
)


def number(b: Builder, dtype: str) -> str:
    n = b.c.integer(-6, 6)
    if dtype == "bool":
        return str(n > 0)
    if dtype == "uint8":
        return str(abs(n))
    if dtype.startswith("complex"):
        return f"complex({n / 2}, {b.c.integer(-3, 3) / 2})"
    return str(n / 2) if "float" in dtype else str(n)


def nested(b: Builder, shape: tuple[int, ...], dtype: str) -> str:
    if not shape:
        return number(b, dtype)
    return "[" + ", ".join(nested(b, shape[1:], dtype) for _ in range(shape[0])) + "]"


def scalar(b: Builder) -> str:
    """A Python number of some type."""
    return b.c.pick(
        ("2", "3", "-1", "0.5", "2.0", "-1.5", "True", "0", "1", "(1+0.5j)") if b.c.chance(15) else
        ("2", "3", "-1", "0.5", "2.0", "-1.5")
    )


def slice_of(b: Builder, n: int) -> str:
    kind = b.c.integer(0, 7)
    low, high = b.c.integer(-n - 1, n), b.c.integer(-n, n + 1)
    return (":", f"{low}:", f":{high}", f"{low}:{high}", "::2", "1:", ":-1", f"{max(0, low)}::2")[kind]


def basic_index(b: Builder, t: Any) -> str:
    """A subscript of numbers, slices, None and … ."""
    parts: list[str] = []
    used = 0
    for n in t.shape[: b.c.integer(0, t.dim())]:
        if b.c.chance(15):
            parts.append("None")
        if b.c.chance(35) and n:
            parts.append(str(b.c.integer(-n, n - 1) if not b.c.chance(2) else n + 1))
        else:
            parts.append(slice_of(b, n))
        used += 1
    if b.c.chance(15):
        parts.insert(b.c.integer(0, len(parts)) if used == t.dim() or not parts else len(parts), "...")
    if b.c.chance(10):
        parts.append("None")
    return ", ".join(parts) or "..."


def positions(b: Builder, n: int, count: int, distinct: bool) -> str:
    """A list of places along a dimension of size n (in range: other indices raise when the value is computed)."""
    if distinct:
        places = list(range(n))
        out = []
        for _ in range(min(count, n)):
            out.append(places.pop(b.c.integer(0, len(places) - 1)))
    else:
        out = [b.c.integer(0, n - 1) for _ in range(count)] if n else []
    return f"torch.tensor({out}, dtype=torch.int64)"


def mask(b: Builder, shape: tuple[int, ...]) -> str:
    return f"torch.tensor({nested(b, shape, 'bool')}, dtype=torch.bool).reshape({tuple(shape)})"


def advanced_index(b: Builder, t: Any, distinct: bool) -> str | None:
    """A subscript with index tensors or masks."""
    if not t.dim():
        return b.c.pick(("True", "None, True"))
    kind = b.c.integer(0, 5)
    n = t.shape[0]
    if kind == 0:
        return mask(b, t.shape)
    if kind == 1:
        return mask(b, t.shape[:1])
    if kind == 2 or t.dim() == 1:
        return positions(b, n, b.c.integer(0, 3), distinct)
    if kind == 3:
        return f"{slice_of(b, n)}, {positions(b, t.shape[1], b.c.integer(1, 3), distinct)}"
    if kind == 4:  # pairs that differ in the first index, so that no place is named twice
        first = positions(b, n, 2, True)
        second = positions(b, t.shape[1], 1 if n < 2 else 2, False) if t.shape[1] and n else None
        return f"{first}, {second}" if second and n >= 2 else None
    return f"{positions(b, n, b.c.integer(1, 2), distinct)}, {slice_of(b, t.shape[1])}"


def places(b: Builder, shape: tuple[int, ...], d: int, n: int, distinct: bool) -> str:
    """An index tensor for scatter; along d each place at most once where the order of writes would decide."""
    size = shape[d]
    if distinct:
        start, step = b.c.integer(0, n - 1), 1
        lane = [(start + step * i) % n for i in range(size)]
    else:
        lane = [b.c.integer(0, n - 1) for _ in range(size)]
    view = [size if i == d else 1 for i in range(len(shape))]
    return f"torch.tensor({lane}).reshape({view}).expand({list(shape)})"


def factor(b: Builder, t: Any) -> list[int]:
    """Sizes with the elements of t."""
    left, out = t.numel(), []
    for p in (2, 3):
        if left and left % p == 0 and b.c.chance(50):
            out.append(p)
            left //= p
    out.insert(b.c.integer(0, len(out)), -1 if b.c.chance(30) and left else left)
    if b.c.chance(15):
        out.insert(b.c.integer(0, len(out)), 1)
    if b.c.chance(3):
        out.append(2)
    return out


def target(b: Builder, fits: Any = None) -> str | None:
    """A variable to write to. Memory that shows twice is excluded: the order of writes decides there."""
    bad = b.c.chance(3)  # an expanded tensor: PyTorch raises

    def good(t: Any) -> bool:
        if fits is not None and not fits(t):
            return False
        return stride_zero(t) if bad else not overlaps_itself(t)

    # leaves that require gradients may not be written, which is tried now and then
    if b.c.chance(92):
        return b.some(lambda t: good(t) and not (t.requires_grad and leaf(t)))
    return b.some(good)


def apart(b: Builder, t: Any, fits: Any = None, same: bool = True) -> str | None:
    """An operand that broadcasts to t and whose memory is not partly that of t in a way that PyTorch does not check."""
    ok = ("none", "same", "partial") if same else ("none",)
    wide = b.c.chance(4)
    return b.some(
        lambda u: (
            (wide or (u.dim() <= t.dim() and all(m in (1, n) for m, n in zip(reversed(u.shape), reversed(t.shape)))))
            and clash(t, u) in ok
            and (fits is None or fits(u))
        )
    )
