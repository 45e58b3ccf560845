"""Statements that make tensors: literals, fills, memory shared with NumPy, copies, casts."""

from __future__ import annotations


from program_facts import is_float, overlaps_itself
from program_literals import DTYPES, SHAPES, nested, number
from program_strategy import Builder


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
    text = (
        f"torch.zeros({shape}, dtype=torch.{dtype})",
        f"torch.ones({shape}, dtype=torch.{dtype})",
        f"torch.full({shape}, {number(b, dtype)})",
        f"torch.eye({b.c.integer(1, 3)}, {b.c.integer(1, 3)})",
        f"torch.arange({b.c.integer(0, 8)}, dtype=torch.{dtype})",
        f"torch.arange({b.c.integer(1, 24)}.).reshape(-1, 1)",
        f"torch.zeros_like({like})",
        f"torch.ones_like({like})",
        f"torch.full_like({like}, {b.c.integer(0, 3)})",
    )[kind]
    b.add(f"{v} = {text}")


def layout(b: Builder) -> None:
    """A tensor in channels-last order."""
    b.add(
        f"{b.fresh()} = torch.arange({b.c.pick((24, 12))}.)"
        f".reshape({b.c.pick(('2, 3, -1, 2', '1, 3, 2, -1', '-1, 2, 2, 3'))})"
        ".contiguous(memory_format=torch.channels_last)"
    )


def outside(b: Builder) -> None:
    """Memory shared with NumPy."""
    a = f"a{b.count}"
    dtype, shape = b.c.pick(("float32", "float64", "int64", "uint8", "bool")), b.c.pick(SHAPES)
    b.add(f"{a} = np.array({nested(b, shape, dtype)}, dtype=np.{dtype}).reshape({shape})")
    b.add(
        f"{b.fresh()} = torch.from_numpy({a}"
        f"{b.c.pick(('', '', '.T', '[::2]' if shape else '', '[..., 1:]' if shape else ''))})"
    )


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
    v = b.some(
        lambda t: (
            not t.requires_grad and str(t.dtype) not in ("torch.bfloat16",) and not overlaps_itself(t) and t.numel()
        )
    )
    if v:
        b.add(f"a{b.count} = {v}.numpy()")
        b.count += 1


def copy(b: Builder) -> None:
    v = b.some()
    if v is None:
        return
    text = b.c.pick(("clone()", "contiguous()", "clone(memory_format=torch.contiguous_format)", "detach().clone()"))
    if b.get(v).dim() == 4 and b.get(v).numel() and b.c.chance(50):
        text = b.c.pick(
            (
                "contiguous(memory_format=torch.channels_last)",
                "clone(memory_format=torch.channels_last)",
                "to(memory_format=torch.channels_last)",
            )
        )
    b.add(f"{b.fresh()} = {v}.{text}")


def cast(b: Builder) -> None:
    # a float beyond the range of an integer type, and NaN, convert to anything; inexact numbers may truncate either way
    to = b.c.pick(DTYPES)
    whole = "float" not in to and "complex" not in to
    v = b.some(
        lambda t: (
            not whole
            or not is_float(t)
            or (
                not t.dtype.is_complex
                and (to != "uint8" or bool((t >= 0).all()))
                and (to not in ("uint8", "int8") or bool((t.abs() < 100).all()))
            )
        )
    )
    if v is None or (whole and is_float(b.get(v)) and not b.exact(v)):
        return
    b.add(f"{b.fresh()} = {v}.{b.c.pick((f'to(torch.{to})', f'to(torch.{to})', f'type(torch.{to})'))}")
