"""torch.autograd.functional against PyTorch: values, nesting, graphs, strict mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.autograd import functional as mine

torch = pytest.importorskip("torch")
theirs = torch.autograd.functional

FUNCTIONS = {
    "one to one": (lambda t: lambda x: (x ** 3).sin(), [(2, 3)]),
    "one to number": (lambda t: lambda x: (x ** 3).sum(), [(4,)]),
    "two to one": (lambda t: lambda x, y: x.exp() @ y, [(2, 3), (3,)]),
    "two to number": (lambda t: lambda x, y: (x.exp() @ y).prod(), [(2, 3), (3,)]),
    "two to two": (lambda t: lambda x, y: (x * y.sum(), y.cos()), [(2,), (3,)]),
    "one unused": (lambda t: lambda x, y: x * 2, [(2,), (3,)]),
    "constant": (lambda t: lambda x: t.ones(2, dtype=t.float64), [(3,)]),
}


def values(t: Any, shapes: Any, seed: int, grad: bool = False) -> Any:
    found = tuple(t.tensor(np.random.default_rng(seed + i).standard_normal(s)).requires_grad_(grad)
                  for i, s in enumerate(shapes))
    return found[0] if len(found) == 1 else found


def same(got: Any, want: Any) -> None:
    want = tuple(want) if isinstance(want, list) else want  # PyTorch's forward mode makes lists of its tuples
    assert isinstance(got, tuple) == isinstance(want, tuple)
    if isinstance(want, tuple):
        assert len(got) == len(want)
        for g, w in zip(got, want):
            same(g, w)
    else:
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-12)


def agree(name: str, call: Any, grad: bool = False) -> None:
    make, shapes = FUNCTIONS[name]
    try:
        want = call(torch, theirs, make(torch), values(torch, shapes, 0, grad))
    except RuntimeError as e:
        with pytest.raises(type(e)):
            call(rl, mine, make(rl), values(rl, shapes, 0, grad))
        return
    same(call(rl, mine, make(rl), values(rl, shapes, 0, grad)), want)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("options", [{}, {"create_graph": True}, {"strict": True}, {"vectorize": True},
                                     {"vectorize": True, "strategy": "forward-mode"},
                                     {"create_graph": True, "strict": True}], ids=str)
def test_jacobian(name: str, options: dict[str, Any]) -> None:
    agree(name, lambda t, m, f, x: m.jacobian(f, x, **options), grad="create_graph" in options)


@pytest.mark.parametrize("name", ["one to number", "two to number"])
@pytest.mark.parametrize("options", [{}, {"create_graph": True}, {"vectorize": True}, {"strict": True},
                                     {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}], ids=str)
def test_hessian(name: str, options: dict[str, Any]) -> None:
    agree(name, lambda t, m, f, x: m.hessian(f, x, **options), grad="create_graph" in options)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("options", [{}, {"create_graph": True}, {"strict": True}], ids=str)
def test_products_with_the_jacobian(name: str, options: dict[str, Any]) -> None:
    make, shapes = FUNCTIONS[name]
    outs = make(torch)(*[torch.zeros(s, dtype=torch.float64) for s in shapes])
    out_shapes = [tuple(o.shape) for o in (outs if isinstance(outs, tuple) else (outs,))]
    grad = "create_graph" in options
    agree(name, lambda t, m, f, x: m.vjp(f, x, values(t, out_shapes, 5), **options), grad)
    agree(name, lambda t, m, f, x: m.jvp(f, x, values(t, shapes, 5), **options), grad)


@pytest.mark.parametrize("name", ["one to number", "two to number"])
@pytest.mark.parametrize("options", [{}, {"create_graph": True}, {"strict": True}], ids=str)
def test_products_with_the_hessian(name: str, options: dict[str, Any]) -> None:
    shapes = FUNCTIONS[name][1]
    grad = "create_graph" in options
    agree(name, lambda t, m, f, x: m.vhp(f, x, values(t, shapes, 5), **options), grad)
    agree(name, lambda t, m, f, x: m.hvp(f, x, values(t, shapes, 5), **options), grad)


BAD: list[Any] = [
    lambda t, m: m.jacobian(lambda x: 3, t.ones(2)),
    lambda t, m: m.jacobian(lambda x: x, 3),
    lambda t, m: m.hessian(lambda x: x, t.ones(2)),
    lambda t, m: m.vjp(lambda x: x, t.ones(2)),
    lambda t, m: m.vjp(lambda x: x, t.ones(2), t.ones(3)),
    lambda t, m: m.jvp(lambda x: x, (t.ones(2), t.ones(2)), t.ones(2)),
    lambda t, m: m.jvp(lambda x: x, t.ones(2)),
    lambda t, m: m.hvp(lambda x: (x, x), t.ones(2), t.ones(2)),
    lambda t, m: m.jacobian(lambda x: x, t.ones(2), strategy="forward-mode"),
    lambda t, m: m.jacobian(lambda x: x, t.ones(2), strategy="sideways"),
    lambda t, m: m.jacobian(lambda x: x, t.ones(2), strict=True, vectorize=True),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_errors_are_of_pytorchs_type(number: int) -> None:
    with pytest.raises(Exception) as want:
        BAD[number](torch, theirs)
    with pytest.raises(want.type) as got:
        BAD[number](rl, mine)
    assert str(got.value).split(".")[0][:25] == str(want.value).split(".")[0][:25]


def test_results_can_be_differentiated() -> None:
    x = rl.tensor([1., 2.], requires_grad=True)
    assert not mine.jacobian(lambda v: v ** 3, x).requires_grad
    assert not mine.vjp(lambda v: v ** 3, x, rl.ones(2))[1].requires_grad
    found = mine.jacobian(lambda v: v ** 3, x, create_graph=True)
    (g,) = rl.autograd.grad(found.sum(), x)
    np.testing.assert_allclose(g.numpy(), [6., 12.])
    with rl.no_grad():  # recorded all the same, as in PyTorch
        assert mine.hvp(lambda v: (v ** 3).sum(), x, rl.ones(2))[1].tolist() == [6., 12.]
