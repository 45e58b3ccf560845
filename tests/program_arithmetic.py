"""Statements that compute: elementwise, reductions, products, joins, look-ups."""

from __future__ import annotations


from program_facts import boolean, is_float, overlaps_itself, real
from program_literals import advanced_index, mask, places, positions, scalar
from program_strategy import Builder, half, joins


EXACT_UNARY = (
    "abs()",
    "neg()",
    "relu()",
    "square()",
    "clamp(-1, 1)",
    "clamp(min=0.5)",
    "sign()",
    "floor()",
    "ceil()",
    "trunc()",
    "round()",
    "frac()",
    "logical_not()",
    "isnan()",
    "isfinite()",
    "bitwise_not()",
    "pow(2)",
    "pow(3)",
    "positive()",
    "conj()",
    "signbit()",
)
ROUGH_UNARY = (
    "exp()",
    "tanh()",
    "sigmoid()",
    "sin()",
    "cos()",
    "sqrt()",
    "log1p()",
    "reciprocal()",
    "rsqrt()",
    "erf()",
    "expm1()",
    "atan()",
    "exp2()",
    "pow(0.5)",
    "pow(-1)",
)
ENDS = ("sqrt()", "reciprocal()", "rsqrt()", "pow(0.5)", "pow(-1)")  # near 0 the last bits decide
JUMPS = ("sign()", "floor()", "ceil()", "trunc()", "round()", "frac()", "logical_not()", "signbit()")
EXACT_BINARY = (
    "+",
    "-",
    "*",
    "+",
    "-",
    "*",
    "<",
    ">=",
    "==",
    "!=",
    "maximum",
    "minimum",
    "&",
    "|",
    "^",
    "logical_and",
    "logical_or",
    "fmax",
    "<=",
    ">",
)
COMPARES = ("<", ">=", "==", "!=", "<=", ">", "&", "|", "^", "logical_and", "logical_or", "//", "%")
ROUGH_BINARY = ("/", "/", "atan2", "**", "hypot")


def unary(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    rough = b.c.chance(30)
    op = b.c.pick(ROUGH_UNARY if rough else EXACT_UNARY)
    t = b.get(v)
    if (
        op in JUMPS and not b.exact(v) or op == "conj()" and t.dtype.is_complex
    ):  # PyTorch's conjugate is a view with a mark
        return
    if op in ENDS and not clear(b, v):
        return
    if str(t.dtype) == "torch.uint8" and op in ("neg()",):
        return
    b.add(f"{b.fresh()} = {v}.{op}", rough or str(t.dtype) in ("torch.float16", "torch.bfloat16"))


def clear(b: Builder, name: str) -> bool:
    """Whether a divisor is a number, exact or far from zero: else its last bits decide."""
    return name[0] != "v" or b.exact(name) or not is_float(b.get(name)) or bool(
        (b.get(name).detach().abs() > 0.05).all())


def binary(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    rough = b.c.chance(20)
    op = b.c.pick(ROUGH_BINARY if rough else (*EXACT_BINARY, "//", "%"))
    named = op.isalnum() or "_" in op
    if b.c.chance(30) and not named:
        other = scalar(b)
        if other in ("0",) and op in ("/", "//", "%") or "j" in other and half(b.get(v)):
            other = "2"
        left, right = (v, other) if b.c.chance(60) else (other, v)
    else:
        u = b.partner(b.get(v))
        if u is None:
            return
        left, right = v, u
    if op in ("//", "%", "**", "/") and right[0] == "v" and not bool((b.get(right) != 0).all()):
        return  # integer division by zero raises when the value is computed
    if op == "**" and right[0] == "v" and str(b.get(right).dtype) == "torch.bool":
        return  # PyTorch has no gradient here: it subtracts 1 from the bool exponent
    if op in COMPARES and not all(b.exact(x) for x in (left, right) if x[0] == "v"):
        return
    if op in ("//", "%") and any(
        x[0] == "v" and b.get(x).dtype.is_floating_point and b.get(x).element_size() < 4 for x in (left, right)
    ):
        return
    if (
        op in ("logical_and", "logical_or")
        and b.get(left).dtype != b.get(right).dtype
        and any(b.get(x).dtype.is_complex for x in (left, right))
    ):
        return  # PyTorch computes these only where both are complex
    if op == "atan2" and not all(is_float(b.get(x)) for x in (left, right)):
        return  # PyTorch's gradient computes in the integers' own type
    if op == "atan2" and not (b.exact(left) and b.exact(right)) or op in ("/", "**") and not clear(b, right):
        return
    short = any(x[0] == "v" and half(b.get(x)) for x in (left, right))
    b.add(
        f"{b.fresh()} = torch.{op}({left}, {right})" if named else f"{b.fresh()} = {left} {op} {right}", rough or short
    )


def kept_apart(b: Builder, name: str, other: str) -> str:
    """An operand of where(), a real one without its history beside a complex one.

    PyTorch fails on an assertion of its own in the gradient of a real operand there, which it leaves complex:
    ``x = torch.ones(1, requires_grad=True); torch.where(x > 0, x, x + 0j).abs().backward()`` raises RuntimeError
    "Expected isFloatingType(grad.scalar_type()) || (input_is_complex == grad_is_complex) to be true, but got false".
    """
    if name[0] != "v" or other[0] != "v" or b.get(name).dtype.is_complex or not b.get(other).dtype.is_complex:
        return name
    return f"{name}.detach()" if b.get(name).requires_grad else name


def ternary(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    t = b.get(v)
    u = b.partner(t)
    kind = b.c.integer(0, 4)
    c = b.some(lambda x: str(x.dtype) == "torch.bool" and joins(x.shape, t.shape))
    if kind <= 1 and c:
        w = b.c.pick((u or v, u or v, "0", "1.5"))
        left, right = kept_apart(b, v, w), kept_apart(b, w, v)
        b.add(f"{b.fresh()} = torch.where({c}, {left}, {right})")
    elif kind == 2 and u:
        b.add(f"{b.fresh()} = torch.lerp({v}, {u}, 0.5)", True)
    elif kind == 3 and u and t.is_contiguous():
        b.add(f"{b.fresh()} = torch.addcmul({v}, {u}, {u}, value=2)", True)
    elif u:
        b.add(f"{b.fresh()} = torch.add({v}, {u}, alpha={b.c.pick(('2', '-1', '0.5'))})", True)


REDUCTIONS = (
    "sum",
    "sum",
    "sum",
    "mean",
    "amax",
    "amin",
    "prod",
    "any",
    "all",
    "logsumexp",
    "norm",
    "std",
    "var",
    "nansum",
    "count_nonzero",
)


def reduction(b: Builder) -> None:
    v = b.some(lambda t: not overlaps_itself(t) or True)
    if v is None:
        return
    t = b.get(v)
    op = b.c.pick(REDUCTIONS)
    if op in ("amax", "amin", "any", "all", "count_nonzero") and not b.exact(v):
        return  # equal maxima share the gradient, so that the last bits decide
    if op in ("amax", "amin") and t.dtype.is_complex and not t.numel():
        return  # of empty operands PyTorch does not check the type
    if op == "prod" and t.numel() > 8:
        return
    dims = (
        ""
        if b.c.chance(35) and op != "logsumexp"
        else str(b.dim(t))
        if b.c.chance(70) or op in ("prod", "any", "all", "nansum")
        else "(0, -1)"
        if t.dim() > 1
        else "(0,)"
    )
    keep = ", keepdim=True" if dims and b.c.chance(30) and op != "count_nonzero" else ""
    if op in ("norm",) and dims:
        dims = f"dim={dims}"
    b.add(
        f"{b.fresh()} = {v}.{op}({dims}{keep})",
        op in ("mean", "logsumexp", "norm", "std", "var", "prod")
        or str(t.dtype) in ("torch.float16", "torch.bfloat16"),
    )


def selection(b: Builder) -> None:
    v = b.some(lambda t: t.dim() > 0)
    if v is None:
        return
    t = b.get(v)
    d = b.dim(t)
    rough = ("cumsum(%d)" % d, "softmax(%d)" % d, "log_softmax(%d)" % d, "cumprod(%d)" % d)
    sharp = (
        "max(%d)[0]" % d,
        "min(%d).values" % d,
        "argmax(%d)" % d,
        "sort(dim=%d, stable=True)[0]" % d,
        "argsort(dim=%d, stable=True)" % d,
        "max()",
        "min()",
        "nonzero()",
        "cummax(%d)[0]" % d,
    )
    if b.c.chance(40) and (real(t) or t.numel()):  # of empty operands PyTorch does not check the type
        b.add(f"{b.fresh()} = {v}.{b.c.pick(rough)}", True)
    elif b.exact(v):
        op = b.c.pick(sharp)
        if t.numel() and not t.dtype.is_complex or op == "nonzero()":  # the order of the checks differs
            b.add(f"{b.fresh()} = {v}.{op}")


def product(b: Builder) -> None:
    # of empty operands PyTorch does not compare the types, and of bools each kernel says something else
    v = b.some(lambda t: t.dim() > 0 and not boolean(t))
    if v is None:
        return
    t = b.get(v)
    u = b.some(
        lambda u: (
            u.dim() > 0
            and u.dtype == t.dtype
            and u.shape[-2 if u.dim() > 1 else 0] == t.shape[-1]
            and joins(u.shape[:-2], t.shape[:-2])
        )
    )
    if u is None or b.c.chance(5):
        u = b.some(lambda u: u.dtype == t.dtype or u.numel() and t.numel() and not boolean(u))
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
    u = (
        b.some(
            lambda u: (
                u.dim() == n and all(i == d % max(n, 1) or x == y for i, (x, y) in enumerate(zip(t.shape, u.shape)))
            )
        )
        or v
    )
    kind = b.c.integer(0, 9)
    text = (
        f"torch.cat([{v}, {u}], {d})",
        f"torch.cat([{u}, {v}, {u}], {d})",
        f"torch.stack([{v}, {b.some(lambda x: x.shape == t.shape) or v}], {b.dim(t, 1)})",
        f"{v}.repeat({[b.c.integer(1, 2) for _ in range(n + b.c.integer(0, 1))]})",
        f"{v}.flip({d})",
        f"{v}.roll(1, {d})",
        f"{v}.tril({b.c.integer(-1, 1)})",
        f"torch.nn.functional.pad({v}, (1, {b.c.integer(-1, 2)}))",
        f"torch.diag_embed({v})",
        f"{v}.tile((2,))",
    )[kind]
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
