"""Statements of autograd, and those that look at numbers or forget tensors."""

from __future__ import annotations


from program_facts import is_float, leaf, overlaps_itself, safe_cast
from program_literals import apart, basic_index, factor
from program_strategy import Builder


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
    text = b.c.pick(
        (
            "requires_grad_()",
            "retain_grad()",
            "retain_grad()",
            "requires_grad_()",
            "register_hook(lambda g: g * 2)",
            "grad = None",
            "requires_grad_(False)",
            "requires_grad = True",
        )
    )
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
    if not error:
        settle(b)
    if error:  # which gradients have been accumulated by then depends on the order of the nodes
        b.stopped = True
        return
    if b.c.chance(50):
        leaves = [k for k in b.names() if leaf(b.get(k)) and b.get(k).grad is not None]
        if leaves:
            b.add(f"read({b.c.pick(leaves)}.grad)")


def settle(b: Builder) -> None:
    """Give each leaf memory of its own for its gradient, where PyTorch has left it a part of another's.

    PyTorch takes a gradient as it comes if nobody else holds that tensor, even where others hold its memory: the parts
    of a cat's gradient stay parts of one block, and after ``(a.view(9) + b.view(9)).pow(2).sum().backward()`` both
    leaves of shape (3, 3) have one memory: a.grad.zero_() clears b.grad too, and without it a second backward() adds to
    both twice. What it gives then depends on who else held what; rushlight's leaves never share a gradient.
    """
    leaves = {k: t.grad for k, t in b.session.tensors().items() if leaf(t) and t.grad is not None}
    apart: dict[int, int] = {}  # by memory, the gradient there
    for grad in leaves.values():
        where = grad.untyped_storage()._cdata
        apart[where] = id(grad) if apart.get(where, id(grad)) == id(grad) else 0
    for name, grad in leaves.items():
        storage = grad.untyped_storage()
        if storage.nbytes() != grad.nbytes or not apart[storage._cdata]:
            b.add(f"{name}.grad = {name}.grad.clone()")


def gradient(b: Builder) -> None:
    v = b.some(lambda t: t.requires_grad and not t.dtype.is_complex)
    x = b.some(lambda t: t.requires_grad and t.numel())  # that of an empty vector in a cat has no history
    if v is None or x is None:
        return
    keep = b.c.pick(
        ("retain_graph=True", "create_graph=True", "create_graph=True", "retain_graph=True, allow_unused=True", "")
    )
    error = b.add(
        f"{b.fresh()} = torch.autograd.grad({v}.{b.c.pick(('sum()', 'pow(2).sum()'))}, {x}"
        f"{', ' if keep else ''}{keep})[0].contiguous()",
        True,
    )
    if error:
        b.stopped = b.c.chance(50)


def use_gradient(b: Builder) -> None:
    v = b.some(lambda t: leaf(t) and t.grad is not None)
    if v is None:
        return
    kind = b.c.integer(0, 4)
    text = (
        f"{v}.grad.zero_()",
        f"{b.fresh()} = {v}.grad * 1",
        f"{b.fresh()} = {v}.grad",
        f"{v}.grad = None",
        f"{v}.data.add_({v}.grad, alpha=-0.5)",
    )[kind]
    b.add(text, True)


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
