"""__torch_function__, subclasses of Tensor and modes do what they do in PyTorch."""

from __future__ import annotations

import copy
import importlib
import pickle
from typing import Any

import pytest

import rushlight as rl

torch = pytest.importorskip("torch")


def overrides(lib: Any) -> Any:
    return importlib.import_module(lib.__name__ + ".overrides")


def kept_class(lib: Any) -> Any:
    class M(lib.Tensor):
        pass
    t = lib.ones(2, 2).as_subclass(M)
    made = (t, t + 1, 1 + t, lib.sin(t), t.view(4), t[0], lib.stack([t, t]), t.T, t.mT, lib.nn.functional.relu(t),
            t.sum(), lib.zeros_like(t), t.max(0), t.split(1), t.clone(), t.detach(), t @ lib.ones(2),
            M([1.0, 2.0]), M(2, 3), -t, t == t, t.to(lib.float64), t.numpy(), t.shape, t.tolist())
    return [[type(p).__name__ for p in r] if isinstance(r, tuple) else type(r).__name__ for r in made]


def logged(lib: Any) -> Any:
    log: list[str] = []

    class L(lib.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            log.append(func.__name__)
            return super().__torch_function__(func, types, args, kwargs or {})
    t = lib.ones(2).as_subclass(L)
    lib.add(t, 1), t * 2, t.sum(), lib.nn.functional.relu(t), t.add_(1), t.shape, t.matmul(t), lib.cat(
        [t, t]), t / 2, 2 - t, t[0]
    lib.nn.functional.linear(t, lib.ones(3, 2)), lib.linalg.vector_norm(t), lib.softmax(t, 0), t.requires_grad, 3 * t
    return log


class Counter:
    pass


def duck(lib: Any) -> Any:
    overrides(lib)

    class S:
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func.__name__, [t.__name__ for t in types], sorted(kwargs or {})
    s, x = S(), lib.ones(2)
    return ([lib.add(s, x), lib.add(x, s), lib.mean(s, dim=0), lib.cat([x, s]), x + s,
             lib.linalg.inv(s), lib.ones_like(s), lib.where(s, 1, 2), lib.nn.functional.linear(s, x),
             lib.nn.functional.cross_entropy(s, x, reduction="sum")[0], lib.matmul(x, s), x.add(s)])


def refused(lib: Any) -> Any:
    overrides(lib)

    class S:
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return NotImplemented
    try:
        lib.add(S(), 1)
    except TypeError as e:
        return str(e).split("handlers")[0].split(";")[-1]


def precedence(lib: Any) -> Any:
    overrides(lib)
    order: list[str] = []

    def handler(cls: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        order.append(cls.__name__)
        return NotImplemented if len(order) < 3 else "done"
    base = type("Base", (), {"__torch_function__": classmethod(handler)})
    child = type("Child", (base,), {})
    other = type("Other", (), {"__torch_function__": classmethod(handler)})
    return lib.where(other(), base(), child()), order


def registry(lib: Any) -> Any:
    """The pattern of PyTorch's notes: functions registered in a table by identity."""
    handled: dict[Any, Any] = {}

    class Diagonal(lib.Tensor if False else object):  # type: ignore[misc]
        def __init__(self, n: int, value: float) -> None:
            self.n, self.value = n, value

        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func not in handled:
                args = [a.full() if hasattr(a, "full") else a for a in args]
                return func(*args, **(kwargs or {}))
            return handled[func](*args, **(kwargs or {}))

        def full(self) -> Any:
            return self.value * lib.eye(self.n)
    overrides(lib)
    handled[lib.mean] = lambda d: d.value / d.n
    d = Diagonal(4, 8.0)
    return lib.mean(d), lib.sum(d).item(), lib.add(d, 1).sum().item(), lib.diagonal(d).tolist()


def modes(lib: Any) -> Any:
    log: list[str] = []

    class Mode(overrides(lib).TorchFunctionMode):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            log.append(f"{self.name} {getattr(func, '__name__', func)}")
            return func(*args, **(kwargs or {}))
    with Mode("outer"):
        x = lib.ones(2)
        with Mode("inner"):
            lib.sin(x)
        x.sum()
        lib.nn.functional.relu(x)
    lib.cos(x)
    return log


def replaced(lib: Any) -> Any:
    class Always(overrides(lib).TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return 7 if func is lib.add else func(*args, **(kwargs or {}))
    with Always():
        return lib.add(lib.ones(1), 1), lib.mul(lib.ones(1), 2).item()


def metadata(lib: Any) -> Any:
    """A subclass that carries an attribute through operations."""
    class Tagged(lib.Tensor):
        @staticmethod
        def __new__(cls: Any, data: Any, tag: str = "") -> Any:
            out = lib.Tensor._make_subclass(cls, data)
            out.tag = tag
            return out

        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = super().__torch_function__(func, types, args, kwargs)
            if isinstance(out, cls):
                out.tag = next(a.tag for a in args if isinstance(a, cls))
            return out
    t = Tagged(lib.ones(2), "a")
    return (t * 2 + 1).tag, type(t * 2).__name__, (lib.ones(2)
                                                   + t).tag, type(copy.copy(t)).__name__, lib.add(t, t).sum().tag


def gradients(lib: Any) -> Any:
    class M(lib.Tensor):
        pass
    leaf = lib.ones(3, requires_grad=True)
    out = (leaf.as_subclass(M) * 2).sum()
    out.backward()
    return type(out).__name__, leaf.grad.tolist(), type(leaf.grad).__name__


def parameters(lib: Any) -> Any:
    class P(lib.nn.Parameter):
        pass
    p = P(lib.ones(2))
    layer = lib.nn.Linear(2, 2)
    layer.weight = P(lib.ones(2, 2))
    return [type(t).__name__ for t in (p, p * 2, p.data, p.detach(), layer.weight,
                                       layer(lib.ones(1, 2)))], len(list(layer.parameters()))


def switched_off(lib: Any) -> Any:
    class M(lib.Tensor):
        __torch_function__ = lib._C._disabled_torch_function_impl

    class N(lib.Tensor):
        pass
    t = lib.ones(2).as_subclass(N)
    with lib._C.DisableTorchFunctionSubclass():
        inside = type(t + 1).__name__
    return type(lib.ones(2).as_subclass(M) + 1).__name__, inside, type(t + 1).__name__


def helpers(lib: Any) -> Any:
    o = overrides(lib)

    class M(lib.Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return "taken"

    def mine(x: Any) -> Any:
        if o.has_torch_function((x,)):
            return o.handle_torch_function(mine, (x,), x)
        return "plain"
    t = lib.ones(1).as_subclass(M)
    return (mine(t), mine(lib.ones(1)), o.has_torch_function((lib.ones(1), 3)), o.has_torch_function_unary(t),
            o.has_torch_function_variadic(1, t), o.is_tensor_like(t), o.is_tensor_like(1), o.resolve_name(lib.add),
            o.resolve_name(lib.Tensor.add), lib.add in o.get_overridable_functions()[lib],
            o.is_tensor_method_or_property(lib.Tensor.add), o.is_tensor_method_or_property(lib.add),
            lib.is_tensor in o.get_ignored_functions())


def types_of_results(lib: Any) -> Any:
    kinds = lib.return_types
    m = lib.max(lib.eye(2), 0)
    return (isinstance(m, kinds.max), kinds.max((1, 2)).indices, type(lib.linalg.svd(lib.eye(2))) is kinds.linalg_svd,
            repr(m), m.n_fields, type(lib.eye(2).sort()) is kinds.sort, type(lib.var_mean(lib.eye(2))).__name__,
            pickle.loads(pickle.dumps(kinds.max((1, 2)))).values)


CASES = (kept_class, logged, duck, refused, precedence, registry, modes, replaced, metadata,
         gradients, parameters, switched_off, helpers, types_of_results)


@pytest.mark.parametrize("case", CASES, ids=lambda f: f.__name__)
def test_as_in_pytorch(case: Any) -> None:
    assert case(rl) == case(torch)


def test_a_wrong_number_of_parts() -> None:
    for lib in (torch, rl):
        with pytest.raises(TypeError, match=r"takes a 2-sequence \(3-sequence given\)"):
            lib.return_types.max((1, 2, 3))


def test_as_subclass_needs_a_class_of_tensors() -> None:
    for lib in (torch, rl):
        with pytest.raises((TypeError, RuntimeError)):
            lib.ones(1).as_subclass(int)


def test_programs_without_subclasses_call_functions_directly() -> None:
    import subprocess
    import sys
    text = ("import rushlight as rl; rl.nn.Linear(2, 2)(rl.ones(1, 2)).sum().item(); "
            "assert not hasattr(rl.add, '_overridable')")
    subprocess.run([sys.executable, "-c", text], check=True)
