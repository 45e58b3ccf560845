"""Statements that write in place."""

from __future__ import annotations

from typing import Any

from program_arithmetic import clear
from program_facts import aliases, boolean, clash, is_float, real, safe_cast, stride_zero
from program_literals import advanced_index, apart, basic_index, mask, places, positions, scalar, target
from program_strategy import Builder, joins


def write_elementwise(b: Builder) -> None:
    v = target(b)
    if v is None:
        return
    t = b.get(v)
    op = b.c.pick(("add_", "add_", "sub_", "mul_", "mul_", "copy_", "+=", "*=", "-=", "div_", "copy_", "copy_"))
    if b.c.chance(35) and op != "copy_":
        other = scalar(b)
        if op == "div_" and other in ("0", "True"):
            other = "2"
    else:
        u = apart(b, t, lambda u: op != "copy_" or safe_cast(u, t))
        if u is None or (op == "copy_" and not is_float(t) and is_float(b.get(u)) and not b.exact(u)):
            return
        if op == "div_" and not (bool((b.get(u) != 0).all()) and clear(b, u)):
            return
        other = u
    if op[-1] == "=":
        b.add(f"{v} {op} {other}")
    else:
        alpha = ", alpha=2" if op in ("add_", "sub_") and b.c.chance(15) else ""
        b.add(f"{v}.{op}({other}{alpha})")


def write_unary(b: Builder) -> None:
    v = target(b)
    if v is None:
        return
    t = b.get(v)
    op = b.c.pick(
        (
            "zero_()",
            "fill_(%s)" % scalar(b),
            "neg_()",
            "abs_()",
            "relu_()",
            "clamp_(-1, 2)",
            "clamp_(min=0)",
            "sigmoid_()",
            "tanh_()",
            "exp_()",
            "square_()",
            "sign_()",
            "logical_not_()",
            "pow_(2)",
            "clamp_(max=1.5)",
            "fill_diagonal_(2)",
            "cumsum_(0)",
            "tril_()",
            "triu_(1)",
        )
    )
    if op.startswith("fill_(") and not is_float(t) and any(x in op for x in (".", "j")):
        op = "zero_()"
    if op == "cumsum_(0)" and (not t.dim() or boolean(t)):
        return
    if op in ("tril_()", "triu_(1)") and stride_zero(t) or op == "logical_not_()" and t.requires_grad:
        return  # PyTorch writes expanded memory in any order here, and does not check writes without a derivative
    inexact = op in ("sigmoid_()", "tanh_()", "exp_()")
    if op == "sign_()" and not b.exact(v):
        return
    b.add(f"{v}.{op}", inexact)


def write_item(b: Builder) -> None:
    """Subscripts on the left."""
    v = target(b, lambda t: True)
    if v is None:
        return
    t = b.get(v)
    # places of expanded memory that an index names are written in any order
    at = basic_index(b, t) if b.c.chance(55) or stride_zero(t) else advanced_index(b, t, distinct=True)
    if at is None:
        return
    if b.c.chance(50):
        value = str(b.c.integer(0, 5)) if not real(t) else b.c.pick(("1.5", "2", "-0.5"))
    else:
        try:
            shape = eval(f"t[{at}]", {"torch": b.torch, "t": t.detach()})
        except Exception:
            shape = t
        u = apart(b, shape, lambda u: clash(t, u) == "none" and safe_cast(u, t) and (u.numel() or not aliases(t, u)))
        # an integer tensor that takes the history of a value would require gradients
        if u is None or (not is_float(t) and is_float(b.get(u)) and (b.get(u).requires_grad or not b.exact(u))):
            return
        if t.dtype.is_complex and b.get(u).requires_grad and not b.get(u).dtype.is_complex:
            return  # PyTorch's gradient is complex then and does not fit
        value = u
    b.add(f"{v}[{at}] {'=' if b.c.chance(85) or value[0] == 'v' else '+='} {value}")


def write_masked(b: Builder) -> None:
    v = target(b, lambda t: not stride_zero(t))  # PyTorch writes expanded memory in any order here
    if v is None:
        return
    t = b.get(v)
    m = b.some(
        lambda u: (
            str(u.dtype) == "torch.bool" and joins(u.shape, t.shape) and u.dim() <= t.dim() and clash(t, u) == "none"
        )
    )
    text = m if m and b.c.chance(60) else mask(b, t.shape)
    value = (
        b.c.pick(("0", "2"))
        if b.c.chance(75)
        else b.some(
            lambda u: u.dim() == 0 and safe_cast(u, t) and clash(t, u) == "none" and (is_float(t) or u.dtype == t.dtype)
        )
    )
    if value and (value[0] != "v" or is_float(t) or not is_float(b.get(value))):
        if value[0] == "v" and t.is_complex() and not b.get(value).is_complex():
            return  # PyTorch fails on an assertion of its own in the gradient of a real value
        b.add(f"{v}.masked_fill_({text}, {value})")


def same_type(t: Any) -> Any:
    """Whether a tensor has t's type and number of dimensions, and shares no memory with it."""
    return lambda u: u.dtype == t.dtype and u.dim() == t.dim() and clash(t, u) == "none"


def fits_beside(t: Any, d: int) -> Any:
    """Whether a tensor is no larger than t in any dimension but d."""
    return lambda u: all(i == d or m <= w for i, (m, w) in enumerate(zip(u.shape, t.shape)))


def index_fill(b: Builder, op: str, v: str, t: Any, d: int, k: int) -> None:
    b.add(f"{v}.index_fill_({d}, {positions(b, t.shape[d], k, True)}, {b.c.integer(0, 3)})")


def index_rows(b: Builder, op: str, v: str, t: Any, d: int, k: int) -> None:
    n = t.shape[d]
    equal = lambda u: all(i == d or m == w for i, (m, w) in enumerate(zip(u.shape, t.shape)))
    u = b.some(lambda u: same_type(t)(u) and 0 < u.shape[d] <= n and equal(u))
    if u:
        b.add(f"{v}.{op}({d}, {positions(b, n, b.get(u).shape[d], op == 'index_copy_')}, {u})")


def scatter(b: Builder, op: str, v: str, t: Any, d: int, k: int) -> None:
    n = t.shape[d]
    u = b.some(lambda u: same_type(t)(u) and u.numel() and fits_beside(t, d)(u) and u.shape[d] <= n)
    if u:
        b.add(f"{v}.{op}({d}, {places(b, b.get(u).shape, d, n, op == 'scatter_')}, {u})")


def scatter_value(b: Builder, op: str, v: str, t: Any, d: int, k: int) -> None:
    shape = tuple(b.c.integer(1, m) for m in t.shape)
    b.add(f"{v}.scatter_({d}, {places(b, shape, d, t.shape[d], True)}, {b.c.integer(0, 3)})")


def index_put(b: Builder, op: str, v: str, t: Any, d: int, k: int) -> None:
    u = b.some(
        lambda u: u.dtype == t.dtype and clash(t, u) == "none" and u.dim() < t.dim() and joins(u.shape, t.shape[1:])
    )
    if u:
        add = b.c.chance(50)
        where = positions(b, t.shape[0], b.c.integer(1, t.shape[0]), not add)
        b.add(f"{v}.index_put_(({where},), {u}{', accumulate=True' if add else ''})")


def masked_scatter(b: Builder, op: str, v: str, t: Any, d: int, k: int) -> None:
    u = b.some(lambda u: u.dtype == t.dtype and clash(t, u) == "none" and u.numel() >= t.numel())
    if u:
        b.add(f"{v}.masked_scatter_({mask(b, t.shape)}, {u})")


def put(b: Builder, op: str, v: str, t: Any, d: int, k: int) -> None:
    u = b.some(lambda u: u.dtype == t.dtype and clash(t, u) == "none" and 0 < u.numel() <= t.numel())
    if u:
        b.add(f"{v}.put_({positions(b, t.numel(), b.get(u).numel(), True)}, {u})")


INDEXED = (  # as likely as they stand here
    ("index_add_", index_rows),
    ("index_copy_", index_rows),
    ("index_fill_", index_fill),
    ("scatter_", scatter),
    ("scatter_add_", scatter),
    ("index_put_", index_put),
    ("index_put_", index_put),
    ("scatter_value", scatter_value),
    ("masked_scatter_", masked_scatter),
    ("put_", put),
)


def write_indexed(b: Builder) -> None:
    """index_add_, index_copy_, index_fill_, scatter_ and their like."""
    v = target(b, lambda t: t.dim() > 0 and t.numel() and not stride_zero(t))
    if v is None:
        return
    t = b.get(v)
    d = b.c.integer(0, t.dim() - 1)
    k = b.c.integer(1, t.shape[d])
    op, write = b.c.pick(INDEXED)
    write(b, op, v, t, d, k)


def change_shape(b: Builder) -> None:
    """Methods that change a tensor's own geometry or memory."""
    v = b.some()
    if v is None:
        return
    t = b.get(v)
    kind = b.c.integer(0, 6)
    if kind <= 3 and t.retains_grad:  # PyTorch loses the hook and fails
        return
    if kind == 0:
        b.add(f"{v}.unsqueeze_({b.c.integer(0, t.dim())})")
    elif kind == 1:
        b.add(f"{v}.squeeze_()")
    elif kind == 2 and t.dim() == 2:
        b.add(f"{v}.t_()")
    elif kind == 3 and t.dim() > 1:
        b.add(f"{v}.transpose_(0, -1)")
    elif kind == 4:
        u = b.some(lambda u: u.dtype == t.dtype and u.shape == t.shape)
        if u and u != v:
            b.add(f"{v}.data = {u}{b.c.pick(('', '.detach()', '.clone()'))}")
    elif kind == 5 and is_float(t):
        b.add(f"{v}.requires_grad_({b.c.pick(('', 'False'))})")
    elif kind == 6:
        b.add(f"{v}.detach_()")
