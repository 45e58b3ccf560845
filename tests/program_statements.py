"""The statements of random programs: one maker each, in a table with weights.

What PyTorch leaves undefined is not generated; the comment beside each condition says what that is.
"""

from __future__ import annotations

from typing import Any

from program_strategy import Builder, joins

FLOATS = ("float32", "float32", "float32", "float64", "float16", "bfloat16")
DTYPES = (*FLOATS, "float32", "int64", "int64", "int32", "int16", "uint8", "int8", "bool", "bool", "complex64")
SHAPES = ((), (1,), (2,), (3,), (4,), (2, 3), (3, 2), (3, 3), (1, 3), (2, 1), (2, 2, 3), (1, 2, 3), (2, 1, 2), (4, 2), (0,), (2, 0), (3, 1, 1), (2, 3, 2, 2),
          (6,), (4, 3))


# --- what PyTorch defines -----------------------------------------------------------------------------------------
def overlaps_itself(t: Any) -> bool:
    """Whether two of its elements share memory."""
    reach = 0
    for stride, n in sorted((s, n) for s, n in zip(t.stride(), t.shape) if n > 1):
        if stride <= reach:
            return t.numel() > 0
        reach += stride * (n - 1)
    return False


def stride_zero(t: Any) -> bool:
    return any(s == 0 and n > 1 for s, n in zip(t.stride(), t.shape))


def dense(t: Any) -> bool:
    step = 1
    for stride, n in sorted((s, n) for s, n in zip(t.stride(), t.shape) if n > 1):
        if stride != step:
            return False
        step *= n
    return True


def span(t: Any) -> tuple[int, int]:
    size = t.element_size()
    return t.data_ptr(), t.data_ptr() + size * (1 + sum((n - 1) * s for n, s in zip(t.shape, t.stride())))


def clash(t: Any, u: Any) -> str:
    """How the memory of an operand lies to that of the tensor written: none, same, partial (PyTorch raises) or undefined."""
    if not t.numel() or not u.numel():
        return "none"
    (a, b), (c, d) = span(t), span(u)
    if b <= c or d <= a:
        return "none"
    if t.dtype == u.dtype and t.shape == u.shape and t.stride() == u.stride() and a == c:
        return "same"
    return "partial" if dense(t) and dense(u) else "undefined"


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
    return b.some(lambda u: (wide or (u.dim() <= t.dim() and all(m in (1, n) for m, n in zip(reversed(u.shape), reversed(t.shape)))))
                  and clash(t, u) in ok and (fits is None or fits(u)))


def is_float(t: Any) -> bool:
    return t.dtype.is_floating_point or t.dtype.is_complex


def real(t: Any) -> bool:
    return t.dtype.is_floating_point


def integer(t: Any) -> bool:
    return not is_float(t) and str(t.dtype) != "torch.bool"


def leaf(t: Any) -> bool:
    try:
        return bool(t.is_leaf)
    except RuntimeError:  # a view whose history became ambiguous
        return False


# --- literals -----------------------------------------------------------------------------------------------------
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
    return b.c.pick(("2", "3", "-1", "0.5", "2.0", "-1.5", "True", "0", "1", "(1+0.5j)") if b.c.chance(15) else ("2", "3", "-1", "0.5", "2.0", "-1.5"))


def slice_of(b: Builder, n: int) -> str:
    kind = b.c.integer(0, 7)
    low, high = b.c.integer(-n - 1, n), b.c.integer(-n, n + 1)
    return (":", f"{low}:", f":{high}", f"{low}:{high}", "::2", "1:", ":-1", f"{max(0, low)}::2")[kind]


def basic_index(b: Builder, t: Any) -> str:
    """A subscript of numbers, slices, None and … ."""
    parts: list[str] = []
    used = 0
    for n in t.shape[:b.c.integer(0, t.dim())]:
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


# --- creation -----------------------------------------------------------------------------------------------------
def start(b: Builder) -> None:
    for _ in range(b.c.integer(2, 4)):
        literal(b)


def literal(b: Builder) -> None:
    dtype, shape = b.c.pick(DTYPES), b.c.pick(SHAPES)
    grad = ", requires_grad=True" if ("float" in dtype or "complex" in dtype) and b.c.chance(50) else ""
    text = nested(b, shape, dtype)
    b.add(f"{b.fresh()} = torch.tensor({text}, dtype=torch.{dtype}{grad})")


def fill(b: Builder) -> None:
    shape, dtype = b.c.pick(SHAPES), b.c.pick(DTYPES)
    v = b.fresh()
    like = b.some()
    kind = b.c.integer(0, 8)
    text = (f"torch.zeros({shape}, dtype=torch.{dtype})", f"torch.ones({shape}, dtype=torch.{dtype})", f"torch.full({shape}, {number(b, dtype)})",
            f"torch.eye({b.c.integer(1, 3)}, {b.c.integer(1, 3)})", f"torch.arange({b.c.integer(0, 8)}, dtype=torch.{dtype})",
            f"torch.arange({b.c.integer(1, 24)}.).reshape(-1, 1)", f"torch.zeros_like({like})", f"torch.ones_like({like})",
            f"torch.full_like({like}, {b.c.integer(0, 3)})")[kind]
    b.add(f"{v} = {text}")


def layout(b: Builder) -> None:
    """A tensor in channels-last order."""
    b.add(f"{b.fresh()} = torch.arange({b.c.pick((24, 12))}.).reshape({b.c.pick(('2, 3, -1, 2', '1, 3, 2, -1', '-1, 2, 2, 3'))})"
          ".contiguous(memory_format=torch.channels_last)")


def outside(b: Builder) -> None:
    """Memory shared with NumPy."""
    a = f"a{b.count}"
    dtype, shape = b.c.pick(("float32", "float64", "int64", "uint8", "bool")), b.c.pick(SHAPES)
    b.add(f"{a} = np.array({nested(b, shape, dtype)}, dtype=np.{dtype}).reshape({shape})")
    b.add(f"{b.fresh()} = torch.from_numpy({a}{b.c.pick(('', '', '.T', '[::2]' if shape else '', '[..., 1:]' if shape else ''))})")


def outside_write(b: Builder) -> None:
    import numpy as np
    arrays = [k for k, a in b.session.env.items() if k[0] == "a" and isinstance(a, np.ndarray) and a.size]
    if not arrays:
        return
    a = b.c.pick(arrays)
    shared = {b.get(k).untyped_storage().data_ptr() for k in b.names()}
    del shared
    b.add(f"{a}[{b.c.pick(('...', '0' if b.get(a).ndim else '...'))}] = {b.c.integer(0, 5)}")


def to_outside(b: Builder) -> None:
    v = b.some(lambda t: not t.requires_grad and str(t.dtype) not in ("torch.bfloat16",) and not overlaps_itself(t) and t.numel())
    if v:
        b.add(f"a{b.count} = {v}.numpy()")
        b.count += 1


# --- views --------------------------------------------------------------------------------------------------------
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
    kind = b.c.pick((f"split({b.c.integer(1, 2)}, {d})", f"chunk({b.c.integer(1, 3)}, {d})", f"unbind({d})", f"tensor_split({b.c.integer(1, 2)}, {d})"))
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
    "dtype": lambda b, v, t, n: f"{v}.view(torch.{b.c.pick(('int32', 'uint8', 'int16'))})" if str(t.dtype) in ("torch.int32", "torch.int16", "torch.uint8", "torch.int64") else "",
    "view_as_real": lambda b, v, t, n: f"torch.view_as_real({v})" if t.dtype.is_complex else "",
    "view_as_complex": lambda b, v, t, n: f"torch.view_as_complex({v})" if str(t.dtype) == "torch.float32" and n and t.shape[-1] == 2 else "",
    "real": lambda b, v, t, n: f"{v}.{b.c.pick(('real', 'imag'))}" if t.dtype.is_complex or b.c.chance(5) else "",
}
VIEWS = ("getitem",) * 8 + ("select", "select", "narrow", "narrow", "transpose", "transpose", "t", "permute", "permute", "movedim", "view", "view", "view", "reshape",
                            "reshape", "flatten", "unflatten", "expand", "expand", "expand_as", "unsqueeze", "unsqueeze", "squeeze", "diagonal", "diagonal",
                            "unfold", "as_strided", "parts", "parts", "parts", "detach", "detach", "data", "view_as", "dtype", "view_as_real",
                            "view_as_complex", "real")


# --- copies -------------------------------------------------------------------------------------------------------
def copy(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    text = b.c.pick(("clone()", "contiguous()", "clone(memory_format=torch.contiguous_format)", "detach().clone()"))
    if b.get(v).dim() == 4 and b.c.chance(50):
        text = b.c.pick(("contiguous(memory_format=torch.channels_last)", "clone(memory_format=torch.channels_last)", "to(memory_format=torch.channels_last)"))
    b.add(f"{b.fresh()} = {v}.{text}")


def cast(b: Builder) -> None:
    # a float beyond the range of an integer type, and NaN, convert to anything; inexact numbers may truncate either way
    to = b.c.pick(DTYPES)
    whole = "float" not in to and "complex" not in to
    v = b.some(lambda t: not whole or not is_float(t) or (not t.dtype.is_complex and (to != "uint8" or bool((t >= 0).all())) and
                                                          (to not in ("uint8", "int8") or bool((t.abs() < 100).all()))))
    if v is None or (whole and is_float(b.get(v)) and not b.exact(v)):
        return
    b.add(f"{b.fresh()} = {v}.{b.c.pick((f'to(torch.{to})', f'to(torch.{to})', f'type(torch.{to})'))}")


# --- writing ------------------------------------------------------------------------------------------------------
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
        if op == "div_" and not bool((b.get(u) != 0).all()):
            return
        other = u
    if op[-1] == "=":
        b.add(f"{v} {op} {other}")
    else:
        alpha = ", alpha=2" if op in ("add_", "sub_") and b.c.chance(15) else ""
        b.add(f"{v}.{op}({other}{alpha})")


def safe_cast(u: Any, t: Any) -> bool:
    """Whether the values of u have a defined meaning in the dtype of t."""
    if is_float(t) or not is_float(u):
        return True
    if u.dtype.is_complex:
        return False
    name = str(t.dtype)
    return (name != "torch.uint8" or bool((u >= 0).all())) and (name not in ("torch.uint8", "torch.int8") or bool((u.abs() < 100).all()))


def write_unary(b: Builder) -> None:
    v = target(b)
    if v is None:
        return
    t = b.get(v)
    op = b.c.pick(("zero_()", "fill_(%s)" % scalar(b), "neg_()", "abs_()", "relu_()", "clamp_(-1, 2)", "clamp_(min=0)", "sigmoid_()", "tanh_()", "exp_()",
                   "square_()", "sign_()", "logical_not_()", "pow_(2)", "clamp_(max=1.5)", "fill_diagonal_(2)", "cumsum_(0)", "tril_()", "triu_(1)"))
    if op.startswith("fill_(") and not is_float(t) and any(x in op for x in (".", "j")):
        op = "zero_()"
    if op == "cumsum_(0)" and not t.dim():
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
    at = basic_index(b, t) if b.c.chance(55) else advanced_index(b, t, distinct=True)
    if at is None:
        return
    if b.c.chance(50):
        value = str(b.c.integer(0, 5)) if not real(t) else b.c.pick(("1.5", "2", "-0.5"))
    else:
        try:
            shape = eval(f"t[{at}]", {"torch": b.torch, "t": t.detach()})
        except Exception:
            shape = t
        u = apart(b, shape, lambda u: clash(t, u) == "none" and safe_cast(u, t))
        # an integer tensor that takes the history of a value would require gradients
        if u is None or (not is_float(t) and is_float(b.get(u)) and (b.get(u).requires_grad or not b.exact(u))):
            return
        value = u
    b.add(f"{v}[{at}] {'=' if b.c.chance(85) or value[0] == 'v' else '+='} {value}")


def write_masked(b: Builder) -> None:
    v = target(b)
    if v is None:
        return
    t = b.get(v)
    m = b.some(lambda u: str(u.dtype) == "torch.bool" and joins(u.shape, t.shape) and u.dim() <= t.dim() and clash(t, u) == "none")
    text = m if m and b.c.chance(60) else mask(b, t.shape)
    value = b.c.pick(("0", "2")) if b.c.chance(75) else b.some(lambda u: u.dim() == 0 and safe_cast(u, t) and clash(t, u) == "none")
    if value and (value[0] != "v" or is_float(t) or not is_float(b.get(value))):
        b.add(f"{v}.masked_fill_({text}, {value})")


def write_indexed(b: Builder) -> None:
    """index_add_, index_copy_, index_fill_, scatter_ and their like."""
    v = target(b, lambda t: t.dim() > 0 and t.numel() and not stride_zero(t))
    if v is None:
        return
    t = b.get(v)
    d = b.c.integer(0, t.dim() - 1)
    n = t.shape[d]
    k = b.c.integer(1, n)
    same = lambda u: u.dtype == t.dtype and u.dim() == t.dim() and clash(t, u) == "none"
    op = b.c.pick(("index_add_", "index_copy_", "index_fill_", "scatter_", "scatter_add_", "index_put_", "index_put_", "scatter_value", "masked_scatter_", "put_"))
    if op == "index_fill_":
        b.add(f"{v}.index_fill_({d}, {positions(b, n, k, True)}, {b.c.integer(0, 3)})")
    elif op in ("index_add_", "index_copy_"):
        u = b.some(lambda u: same(u) and 0 < u.shape[d] <= n and all(i == d or m == w for i, (m, w) in enumerate(zip(u.shape, t.shape))))
        if u:
            b.add(f"{v}.{op}({d}, {positions(b, n, b.get(u).shape[d], op == 'index_copy_')}, {u})")
    elif op in ("scatter_", "scatter_add_"):
        u = b.some(lambda u: same(u) and u.numel() and all(i == d or m <= w for i, (m, w) in enumerate(zip(u.shape, t.shape))) and u.shape[d] <= n)
        if u:
            b.add(f"{v}.{op}({d}, {places(b, b.get(u).shape, d, n, op == 'scatter_')}, {u})")
    elif op == "scatter_value":
        shape = tuple(b.c.integer(1, m) for m in t.shape)
        b.add(f"{v}.scatter_({d}, {places(b, shape, d, n, True)}, {b.c.integer(0, 3)})")
    elif op == "index_put_":
        u = b.some(lambda u: u.dtype == t.dtype and clash(t, u) == "none" and u.dim() < t.dim() and joins(u.shape, t.shape[1:]))
        if u:
            add = b.c.chance(50)
            b.add(f"{v}.index_put_(({positions(b, t.shape[0], b.c.integer(1, t.shape[0]), not add)},), {u}{', accumulate=True' if add else ''})")
    elif op == "masked_scatter_":
        u = b.some(lambda u: u.dtype == t.dtype and clash(t, u) == "none" and u.numel() >= t.numel())
        if u:
            b.add(f"{v}.masked_scatter_({mask(b, t.shape)}, {u})")
    else:
        u = b.some(lambda u: u.dtype == t.dtype and clash(t, u) == "none" and 0 < u.numel() <= t.numel())
        if u:
            b.add(f"{v}.put_({positions(b, t.numel(), b.get(u).numel(), True)}, {u})")


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


def change_shape(b: Builder) -> None:
    """Methods that change a tensor's own geometry or memory."""
    v = b.some()
    if v is None:
        return
    t = b.get(v)
    kind = b.c.integer(0, 6)
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


# --- arithmetic ---------------------------------------------------------------------------------------------------
EXACT_UNARY = ("abs()", "neg()", "relu()", "square()", "clamp(-1, 1)", "clamp(min=0.5)", "sign()", "floor()", "ceil()", "trunc()", "round()", "frac()",
               "logical_not()", "isnan()", "isfinite()", "bitwise_not()", "pow(2)", "pow(3)", "positive()", "conj()", "signbit()")
ROUGH_UNARY = ("exp()", "tanh()", "sigmoid()", "sin()", "cos()", "sqrt()", "log1p()", "reciprocal()", "rsqrt()", "erf()", "expm1()", "atan()", "exp2()", "pow(0.5)", "pow(-1)")
JUMPS = ("sign()", "floor()", "ceil()", "trunc()", "round()", "frac()", "logical_not()", "signbit()")
EXACT_BINARY = ("+", "-", "*", "+", "-", "*", "<", ">=", "==", "!=", "maximum", "minimum", "&", "|", "^", "logical_and", "logical_or", "fmax", "<=", ">")
COMPARES = ("<", ">=", "==", "!=", "<=", ">", "&", "|", "^", "logical_and", "logical_or", "//", "%")
ROUGH_BINARY = ("/", "/", "atan2", "**", "hypot")


def unary(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    rough = b.c.chance(30)
    op = b.c.pick(ROUGH_UNARY if rough else EXACT_UNARY)
    t = b.get(v)
    if op in JUMPS and not b.exact(v) or op == "conj()" and t.dtype.is_complex:  # PyTorch's conjugate is a view with a mark
        return
    if str(t.dtype) == "torch.uint8" and op in ("neg()",):
        return
    b.add(f"{b.fresh()} = {v}.{op}", rough or str(t.dtype) in ("torch.float16", "torch.bfloat16"))


def binary(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    rough = b.c.chance(20)
    op = b.c.pick(ROUGH_BINARY if rough else (*EXACT_BINARY, "//", "%"))
    named = op.isalnum() or "_" in op
    if b.c.chance(30) and not named:
        other = scalar(b)
        if other in ("0",) and op in ("/", "//", "%"):
            other = "2"
        left, right = (v, other) if b.c.chance(60) else (other, v)
    else:
        u = b.partner(b.get(v))
        if u is None:
            return
        left, right = v, u
    if op in ("//", "%", "**", "/") and right[0] == "v" and not bool((b.get(right) != 0).all()):
        return  # integer division by zero raises when the value is computed
    if op in COMPARES and not all(b.exact(x) for x in (left, right) if x[0] == "v"):
        return
    if op in ("//", "%") and any(x[0] == "v" and b.get(x).dtype.is_floating_point and b.get(x).element_size() < 4 for x in (left, right)):
        return
    if op in ("logical_and", "logical_or") and b.get(left).dtype != b.get(right).dtype and any(b.get(x).dtype.is_complex for x in (left, right)):
        return  # PyTorch computes these only where both are complex
    half = any(x[0] == "v" and str(b.get(x).dtype) in ("torch.float16", "torch.bfloat16") for x in (left, right))
    b.add(f"{b.fresh()} = torch.{op}({left}, {right})" if named else f"{b.fresh()} = {left} {op} {right}", rough or half)


def ternary(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    t = b.get(v)
    u = b.partner(t)
    kind = b.c.integer(0, 4)
    c = b.some(lambda x: str(x.dtype) == "torch.bool" and joins(x.shape, t.shape))
    if kind <= 1 and c:
        b.add(f"{b.fresh()} = torch.where({c}, {v}, {b.c.pick((u or v, u or v, '0', '1.5'))})")
    elif kind == 2 and u:
        b.add(f"{b.fresh()} = torch.lerp({v}, {u}, 0.5)", True)
    elif kind == 3 and u:
        b.add(f"{b.fresh()} = torch.addcmul({v}, {u}, {u}, value=2)", True)
    elif u:
        b.add(f"{b.fresh()} = torch.add({v}, {u}, alpha={b.c.pick(('2', '-1', '0.5'))})", True)


REDUCTIONS = ("sum", "sum", "sum", "mean", "amax", "amin", "prod", "any", "all", "logsumexp", "norm", "std", "var", "nansum", "count_nonzero")


def reduction(b: Builder) -> None:
    v = b.some(lambda t: not overlaps_itself(t) or True)
    if v is None:
        return
    t = b.get(v)
    op = b.c.pick(REDUCTIONS)
    if op in ("amax", "amin", "any", "all", "count_nonzero") and not b.exact(v):
        return  # equal maxima share the gradient, so that the last bits decide
    if op == "prod" and t.numel() > 8:
        return
    dims = "" if b.c.chance(35) and op != "logsumexp" else str(b.dim(t)) if b.c.chance(70) or op in ("prod", "any", "all", "nansum") else "(0, -1)" if t.dim() > 1 else "(0,)"
    keep = ", keepdim=True" if dims and b.c.chance(30) and op != "count_nonzero" else ""
    if op in ("norm",) and dims:
        dims = f"dim={dims}"
    b.add(f"{b.fresh()} = {v}.{op}({dims}{keep})", op in ("mean", "logsumexp", "norm", "std", "var", "prod") or str(t.dtype) in ("torch.float16", "torch.bfloat16"))


def selection(b: Builder) -> None:
    v = b.some(lambda t: t.dim() > 0)
    if v is None:
        return
    t = b.get(v)
    d = b.dim(t)
    rough = ("cumsum(%d)" % d, "softmax(%d)" % d, "log_softmax(%d)" % d, "cumprod(%d)" % d)
    sharp = ("max(%d)[0]" % d, "min(%d).values" % d, "argmax(%d)" % d, "sort(dim=%d, stable=True)[0]" % d, "argsort(dim=%d, stable=True)" % d, "max()", "min()",
             "nonzero()", "cummax(%d)[0]" % d)
    if b.c.chance(40) and (is_float(t) or t.numel()):  # of empty operands PyTorch does not check the type
        b.add(f"{b.fresh()} = {v}.{b.c.pick(rough)}", True)
    elif b.exact(v):
        b.add(f"{b.fresh()} = {v}.{b.c.pick(sharp)}")


def product(b: Builder) -> None:
    v = b.some(lambda t: t.dim() > 0)
    if v is None:
        return
    t = b.get(v)
    u = b.some(lambda u: u.dim() > 0 and u.dtype == t.dtype and u.shape[-2 if u.dim() > 1 else 0] == t.shape[-1] and joins(u.shape[:-2], t.shape[:-2]))
    if u is None or b.c.chance(5):
        u = b.some(lambda u: u.dtype == t.dtype or u.numel() and t.numel())  # of empty operands PyTorch does not compare the types
    if u is None:
        return
    kind = b.c.integer(0, 5)
    if kind <= 2:
        b.add(f"{b.fresh()} = {v} @ {u}", True)
    elif kind == 3 and t.dim() == 2:
        b.add(f"{b.fresh()} = torch.mm({v}, {v}.t())", True)
    elif kind == 4 and t.dim() == 1:
        b.add(f"{b.fresh()} = torch.outer({v}, {v})", True)
    elif t.dim() == 2:
        bias = b.some(lambda x: x.dtype == t.dtype and joins(x.shape, (t.shape[0], t.shape[0])) and x.dim() <= 2)
        if bias:
            b.add(f"{b.fresh()} = torch.addmm({bias}, {v}, {v}.t())", True)


def join(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    t = b.get(v)
    d = b.dim(t)
    n = t.dim()
    u = b.some(lambda u: u.dim() == n and all(i == d % max(n, 1) or x == y for i, (x, y) in enumerate(zip(t.shape, u.shape)))) or v
    kind = b.c.integer(0, 9)
    text = (f"torch.cat([{v}, {u}], {d})", f"torch.cat([{u}, {v}, {u}], {d})", f"torch.stack([{v}, {b.some(lambda x: x.shape == t.shape) or v}], {b.dim(t, 1)})",
            f"{v}.repeat({[b.c.integer(1, 2) for _ in range(n + b.c.integer(0, 1))]})", f"{v}.flip({d})", f"{v}.roll(1, {d})", f"{v}.tril({b.c.integer(-1, 1)})",
            f"torch.nn.functional.pad({v}, (1, {b.c.integer(-1, 2)}))", f"torch.diag_embed({v})", f"{v}.tile((2,))")[kind]
    if kind == 7 and (not n or (t.numel() == 0)):
        return
    b.add(f"{b.fresh()} = {text}")


def lookup(b: Builder) -> None:
    v = b.some(lambda t: t.dim() > 0 and t.numel())
    if v is None:
        return
    t = b.get(v)
    d = b.c.integer(0, t.dim() - 1)
    kind = b.c.integer(0, 5)
    k = b.c.integer(1, 3)
    if kind <= 1:
        at = advanced_index(b, t, distinct=False)
        text = f"{v}[{at}]" if at else None
    elif kind == 2:
        text = f"{v}.index_select({d}, {positions(b, t.shape[d], k, False)})"
    elif kind == 3:
        shape = tuple(b.c.integer(1, n) for n in t.shape)
        text = f"{v}.gather({d}, {places(b, shape, d, t.shape[d], False)})"
    elif kind == 4:
        text = f"{v}.take({positions(b, t.numel(), k, False)})"
    else:
        text = f"{v}.masked_select({mask(b, t.shape)})"
    if text:
        b.add(f"{b.fresh()} = {text}")


# --- autograd -----------------------------------------------------------------------------------------------------
def switch(b: Builder) -> None:
    """One statement without (or with) recording."""
    v = b.some()
    if v is None:
        return
    t = b.get(v)
    mode = b.c.pick(("no_grad()", "no_grad()", "no_grad()", "enable_grad()", "set_grad_enabled(False)"))
    kind = b.c.integer(0, 4)
    new = b.fresh()
    u = b.partner(t) or v
    fits = not overlaps_itself(t)
    if kind == 0:
        text = f"{new} = {v} + {u}"
    elif kind == 1:
        text = f"{new} = {v}[{basic_index(b, t)}]"
    elif kind == 2 and fits:
        text = f"{v}.mul_({b.c.pick(('2', '-1'))})"
    elif kind == 3 and fits:
        w = apart(b, t, lambda u: safe_cast(u, t))
        if w is None or not is_float(t) and is_float(b.get(w)) and not b.exact(w):
            return
        text = f"{v}.copy_({w})"
    else:
        text = f"{new} = {v}.view({factor(b, t)})"
    b.add(f"with torch.{mode}: {text}")


def mark(b: Builder) -> None:
    """requires_grad_, retain_grad, hooks, dropping gradients."""
    v = b.some(is_float)
    if v is None:
        return
    text = b.c.pick(("requires_grad_()", "retain_grad()", "retain_grad()", "requires_grad_()", "register_hook(lambda g: g * 2)", "grad = None", "requires_grad_(False)",
                     "requires_grad = True"))
    b.add(f"{v}.{text}")


def backward(b: Builder) -> None:
    v = b.some(lambda t: t.requires_grad) if b.c.chance(95) else b.some()
    if v is None:
        return
    t = b.get(v)
    keep = b.c.pick(("", "retain_graph=True", "retain_graph=True", "create_graph=True"))
    kind = b.c.integer(0, 3)
    if kind == 0:
        text = f"{v}.backward(torch.ones_like({v}){', ' if keep else ''}{keep})"
    elif kind == 1 and (t.numel() == 1 or b.c.chance(5)):
        text = f"{v}.backward({keep})"
    elif kind == 2 and not t.dtype.is_complex:
        text = f"({v} * {v}).sum().backward({keep})"
    else:
        text = f"{v}.{'abs().' if t.dtype.is_complex else ''}sum().backward({keep})"
    error = b.add(text)
    if error:  # which gradients have been accumulated by then depends on the order of the nodes
        b.stopped = True
        return
    if b.c.chance(50):
        leaves = [k for k in b.names() if leaf(b.get(k)) and b.get(k).grad is not None]
        if leaves:
            b.add(f"read({b.c.pick(leaves)}.grad)")


def gradient(b: Builder) -> None:
    v = b.some(lambda t: t.requires_grad and not t.dtype.is_complex)
    x = b.some(lambda t: t.requires_grad)
    if v is None or x is None:
        return
    keep = b.c.pick(("retain_graph=True", "create_graph=True", "create_graph=True", "retain_graph=True, allow_unused=True", ""))
    error = b.add(f"{b.fresh()} = torch.autograd.grad({v}.{b.c.pick(('sum()', 'pow(2).sum()'))}, {x}{', ' if keep else ''}{keep})[0]", True)
    if error:
        b.stopped = b.c.chance(50)


def use_gradient(b: Builder) -> None:
    v = b.some(lambda t: leaf(t) and t.grad is not None)
    if v is None:
        return
    kind = b.c.integer(0, 4)
    text = (f"{v}.grad.zero_()", f"{b.fresh()} = {v}.grad * 1", f"{b.fresh()} = {v}.grad", f"{v}.grad = None", f"{v}.data.add_({v}.grad, alpha=-0.5)")[kind]
    b.add(text, True)


# --- looking ------------------------------------------------------------------------------------------------------
def look(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    t = b.get(v)
    kind = b.c.integer(0, 3)
    if kind == 0 and t.numel() == 1 and not t.dtype.is_complex:
        b.add(f"read({v}.item())")
    elif kind == 1 and b.exact(v) and not t.dtype.is_complex:
        b.add(f"read(({v}.detach() != 0).any().item())")
    else:
        b.add(f"read({v})")


def forget(b: Builder) -> None:
    names = list(b.session.tensors())
    if len(names) > 6:
        b.add(f"del {b.c.pick(names)}")


STATEMENTS = ((5, literal), (4, fill), (2, layout), (3, outside), (2, outside_write), (2, to_outside), (22, view), (5, copy), (3, cast), (12, write_elementwise),
              (6, write_unary), (9, write_item), (4, write_masked), (6, write_indexed), (4, change_shape), (8, unary), (12, binary), (4, ternary),
              (7, reduction), (4, selection), (5, product), (5, join), (5, lookup), (6, switch), (5, mark), (9, backward), (5, gradient), (4, use_gradient),
              (5, look), (5, forget))
TOTAL = sum(weight for weight, _ in STATEMENTS)
