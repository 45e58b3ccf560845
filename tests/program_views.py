"""Statements that make views."""

from __future__ import annotations

from typing import Any

from program_literals import basic_index, factor
from program_strategy import Builder, joins


def view(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    t = b.get(v)
    n = t.dim()
    kind = b.c.pick(VIEWS)
    text = VIEW_TEXT[kind](b, v, t, n)
    if text:
        b.add(f"{b.fresh()} = {text}")


def _permuted(b: Builder, n: int) -> list[int]:
    rest, out = list(range(n)), []
    while rest:
        out.append(rest.pop(b.c.integer(0, len(rest) - 1)))
    return out


def _strided(b: Builder, v: str, t: Any, n: int) -> str:
    room = t.untyped_storage().nbytes() // t.element_size()
    shape = [b.c.integer(1, 3) for _ in range(b.c.integer(0, 2))]
    strides = [b.c.integer(0, 3) for _ in shape]
    need = 1 + sum((m - 1) * s for m, s in zip(shape, strides))
    if need > room and not b.c.chance(3):
        return ""
    return f"{v}.as_strided({shape}, {strides}, {b.c.integer(0, max(0, room - need))})"


def _narrow(b: Builder, v: str, t: Any, n: int) -> str:
    d = b.dim(t)
    size = t.shape[d] if -n <= d < n else 1
    at = b.c.integer(0, size)
    return f"{v}.narrow({d}, {at}, {b.c.integer(0, size - at + b.c.pick((0, 0, 0, 1)))})"


def _expand(b: Builder, v: str, t: Any, n: int) -> str:
    sizes = [b.c.integer(1, 3) if m == 1 and b.c.chance(70) else b.c.pick((m, -1)) for m in t.shape]
    if b.c.chance(40):
        sizes.insert(0, b.c.integer(1, 2))
    return f"{v}.expand({sizes})"


def _unfold(b: Builder, v: str, t: Any, n: int) -> str:
    d = b.dim(t)
    size = t.shape[d] if n and -n <= d < n else 1
    return f"{v}.unfold({d}, {b.c.integer(1, max(1, size))}, {b.c.integer(1, 2)})"


def _parts(b: Builder, v: str, t: Any, n: int) -> str:
    d = b.dim(t)
    kind = b.c.pick(
        (
            f"split({b.c.integer(1, 2)}, {d})",
            f"chunk({b.c.integer(1, 3)}, {d})",
            f"unbind({d})",
            f"tensor_split({b.c.integer(1, 2)}, {d})",
        )
    )
    return f"{v}.{kind}[{b.c.pick((0, -1))}]"


VIEW_TEXT: dict[str, Any] = {
    "getitem": lambda b, v, t, n: f"{v}[{basic_index(b, t)}]",
    "select": lambda b, v, t, n: f"{v}.select({b.dim(t)}, {b.c.pick((0, -1, 1))})",
    "narrow": _narrow,
    "transpose": lambda b, v, t, n: f"{v}.transpose({b.dim(t)}, {b.dim(t)})",
    "t": lambda b, v, t, n: f"{v}.{b.c.pick(('t()', 'mT'))}" if n == 2 or b.c.chance(5) else "",
    "permute": lambda b, v, t, n: f"{v}.permute({_permuted(b, n)})",
    "movedim": lambda b, v, t, n: f"{v}.movedim({b.dim(t)}, {b.dim(t)})" if n else "",
    "view": lambda b, v, t, n: f"{v}.view({factor(b, t)})",
    "reshape": lambda b, v, t, n: f"{v}.reshape({factor(b, t)})",
    "flatten": lambda b, v, t, n: f"{v}.flatten({b.c.pick(('', '1', '0, 1', '-2'))})",
    "unflatten": lambda b, v, t, n: f"{v}.unflatten({b.dim(t)}, (-1, {b.c.pick((1, 2, 3))}))" if n else "",
    "expand": _expand,
    "expand_as": lambda b, v, t, n: f"{v}.expand_as({b.some(lambda u: joins(u.shape, t.shape) and u.dim() >= n) or v})",
    "unsqueeze": lambda b, v, t, n: f"{v}.unsqueeze({b.dim(t, 1)})",
    "squeeze": lambda b, v, t, n: f"{v}.squeeze({b.c.pick(('', b.dim(t)))})",
    "diagonal": lambda b, v, t, n: f"{v}.diagonal({b.c.integer(-1, 1)}, {b.dim(t)}, {b.dim(t)})" if n > 1 else "",
    "unfold": _unfold,
    "as_strided": _strided,
    "parts": _parts,
    "detach": lambda b, v, t, n: f"{v}.detach()",
    "data": lambda b, v, t, n: f"{v}.data",
    "view_as": lambda b, v, t, n: f"{v}.view_as({b.some(lambda u: u.numel() == t.numel()) or v})",
    "dtype": lambda b, v, t, n: (
        f"{v}.view(torch.{b.c.pick(('int32', 'uint8', 'int16'))})"
        if t.numel() and str(t.dtype) in ("torch.int32", "torch.int16", "torch.uint8", "torch.int64") else ""
    ),
    "view_as_real": lambda b, v, t, n: f"torch.view_as_real({v})" if t.dtype.is_complex else "",
    "view_as_complex": lambda b, v, t, n: (
        f"torch.view_as_complex({v})" if str(t.dtype) == "torch.float32" and n and t.shape[-1] == 2 else ""
    ),
    "real": lambda b, v, t, n: f"{v}.{b.c.pick(('real', 'imag'))}" if t.dtype.is_complex or b.c.chance(5) else "",
}
VIEWS = ("getitem",) * 8 + (
    "select",
    "select",
    "narrow",
    "narrow",
    "transpose",
    "transpose",
    "t",
    "permute",
    "permute",
    "movedim",
    "view",
    "view",
    "view",
    "reshape",
    "reshape",
    "flatten",
    "unflatten",
    "expand",
    "expand",
    "expand_as",
    "unsqueeze",
    "unsqueeze",
    "squeeze",
    "diagonal",
    "diagonal",
    "unfold",
    "as_strided",
    "parts",
    "parts",
    "parts",
    "detach",
    "detach",
    "data",
    "view_as",
    "dtype",
    "view_as_real",
    "view_as_complex",
    "real",
)
