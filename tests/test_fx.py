"""torch.fx: tracing, graphs, rewriting, running; against PyTorch's own tracer."""

from __future__ import annotations

import copy
import math
import operator
import pickle
from typing import Any

import fx_functions
import numpy as np
import pytest

import rushlight as rl
from rushlight import fx

torch = pytest.importorskip("torch")
pytest.importorskip("torch.fx")


def build(t: Any) -> Any:
    functional = t.nn.functional

    class Block(t.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = t.nn.Linear(4, 4)
            self.scale = t.nn.Parameter(t.ones(4))
            self.register_buffer("shift", t.ones(4))
            self.layers = t.nn.Sequential(t.nn.Linear(4, 4), t.nn.ReLU())

        def forward(self, x: Any, k: float = 2.0) -> Any:
            a, b = x.chunk(2, dim=1)
            y = functional.relu(self.linear(x)) * self.scale + self.shift
            y = self.layers(y).clamp(min=0.0)[:, 1:]
            return {"y": y.view(y.shape[0], -1) / k, "ab": t.cat([a, -b], dim=1)}, y.mean()

    class Net(t.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()

        def forward(self, x: Any) -> Any:
            out, mean = self.block(x)
            return out["y"].sum() + mean + math.sqrt(2.0)
    return Block, Net


@pytest.mark.parametrize("which", [0, 1])
def test_graphs_have_pytorchs_nodes(which: int) -> None:
    def nodes(t: Any, f: Any) -> Any:
        g = f.symbolic_trace(build(t)[which]()).graph
        g.lint()
        return [(n.op, n.name, n.target if isinstance(n.target, str) else n.target.__name__, str(n.args), str({k: v for k, v in n.kwargs.items() if k != "inplace"}), [u.name for u in n.users]) for n in g.nodes]
    assert nodes(rl, fx) == nodes(torch, torch.fx)


def test_the_traced_module_does_the_same() -> None:
    net = build(rl)[0]()
    traced = fx.symbolic_trace(net)
    x = rl.randn(3, 4)
    for got, want in zip(fx.node.map_aggregate(traced(x), lambda v: v)[0].values(), net(x)[0].values()):
        assert rl.equal(got, want)
    assert traced(x, 4.0)[0]["y"].shape == (3, 3)
    assert sorted(traced.state_dict()) == sorted(net.state_dict()) and isinstance(traced, fx.GraphModule)
    assert type(traced).__name__ == "Block"
    traced(x)[1].backward()
    assert net.linear.weight.grad is not None  # parameters are shared


def test_code_reads_as_python() -> None:
    def f(x: Any, y: Any) -> Any:
        return rl.relu(x + y).reshape(-1, 2)[0] @ y.t() - abs(x)
    traced = fx.symbolic_trace(f)
    assert traced.code == ("def forward(self, x, y):\n    add = x + y\n    relu = torch.relu(add)\n    reshape "
                           "= relu.reshape(-1, 2)\n    getitem = reshape[0]\n    t = y.t()\n    matmul = "
                           "getitem @ t\n    abs_1 = abs(x)\n    sub = matmul - abs_1\n    return sub\n")
    text = str(traced.graph)
    assert text.splitlines()[1] == "    %x : [num_users=2] = placeholder[target=x]" and text.endswith("return sub")
    assert "%relu : [num_users=1] = call_function[target=torch.relu](args = (%add,), kwargs = {})" in text
    assert "class f" in traced.print_readable(print_output=False)


# --- rewriting ----------------------------------------------------------------------------------------------------
def test_nodes_are_replaced_inserted_and_erased() -> None:
    traced = fx.symbolic_trace(lambda x: rl.relu(x) + rl.relu(x * 2))
    for n in traced.graph.nodes:
        if n.op == "call_function" and n.target is rl.relu:
            with traced.graph.inserting_after(n):
                new = traced.graph.call_function(rl.sigmoid, n.args, n.kwargs)
                n.replace_all_uses_with(new)
            traced.graph.erase_node(n)
    traced.recompile()
    x = rl.randn(3)
    assert rl.allclose(traced(x), x.sigmoid() + (x * 2).sigmoid()) and "relu" not in traced.code
    (add,) = traced.graph.find_nodes(op="call_function", target=operator.add)
    with pytest.raises(RuntimeError, match="still had 1 users"):
        traced.graph.erase_node(add)
    add.target = operator.mul
    traced.recompile()
    assert rl.allclose(traced(x), x.sigmoid() * (x * 2).sigmoid())
    add.update_arg(1, 3.0)
    assert traced.graph.eliminate_dead_code()
    traced.recompile()
    assert rl.allclose(traced(x), x.sigmoid() * 3.0) and len(traced.graph.nodes) == 4


def test_graphs_from_nothing() -> None:
    g = fx.Graph()
    x = g.placeholder("x")
    w = g.get_attr("w")
    y = g.call_method("mul", (x, w))
    z = g.call_module("act.inner", (y,))
    g.output((z, y))
    m = fx.GraphModule({"w": rl.nn.Parameter(rl.full((2,), 3.0)), "act.inner": rl.nn.ReLU()}, g)
    assert [t.tolist() for t in m(rl.tensor([-1.0, 1.0]))] == [[0.0, 3.0], [-3.0, 3.0]]
    assert [n for n, _ in m.named_parameters()] == ["w"]
    y.prepend(z)
    with pytest.raises(RuntimeError, match="was used before it has been defined"):
        g.lint()
    y.append(z)
    g.lint()
    with pytest.raises(RuntimeError, match="was not provided in"):
        fx.GraphModule({}, g)


def test_patterns() -> None:
    class M(rl.nn.Module):
        def forward(self, x: Any, w1: Any, w2: Any) -> Any:
            m1 = rl.cat([w1, w2]).sum()
            m2 = rl.cat([w1, w2]).sum()
            return x + rl.max(m1) + rl.max(m2)
    traced = fx.symbolic_trace(M())
    found = fx.replace_pattern(traced, lambda w1, w2: rl.cat([w1, w2]).sum(), lambda w1, w2: rl.stack([w1, w2]))
    assert len(found) == 2 and traced.code.count("torch.stack") == 2
    x = [rl.ones(2) * i for i in range(3)]
    assert rl.equal(traced(*x), x[0] + 2 + 2)
    kept = fx.symbolic_trace(lambda x: (lambda r: r + r.exp())(rl.relu(x)))
    assert fx.replace_pattern(kept, lambda v: rl.relu(v).exp(), lambda v: v) == []  # relu is used outside as well


def test_copies_and_pickles() -> None:
    rl.manual_seed(0)
    traced = fx.symbolic_trace(build(rl)[1]())
    x = rl.randn(2, 4)
    other = copy.deepcopy(traced)
    assert rl.equal(other(x), traced(x)) and other.block.linear.weight is not traced.block.linear.weight
    other.block.linear.weight.data.zero_()
    assert not rl.equal(other(x), traced(x))
    assert rl.equal(pickle.loads(pickle.dumps(traced))(x), traced(x))
    other.add_submodule("extra.deep", rl.nn.ReLU())
    other.delete_all_unused_submodules()
    assert not hasattr(other, "extra") and rl.equal(copy.deepcopy(other)(x), other(x))


# --- tracers and running ------------------------------------------------------------------------------------------
def test_leaves_and_wrapped_functions() -> None:
    class Deep(fx.Tracer):
        def is_leaf_module(self, m: Any, name: str) -> bool:
            return False
    g = Deep().trace(rl.nn.Linear(2, 2))
    assert [n.op for n in g.nodes] == ["placeholder", "get_attr", "get_attr", "call_function", "output"]
    traced = fx.symbolic_trace(lambda x: fx_functions.opaque(x, 3) + fx_functions.sized(x))
    assert [n.target for n in traced.graph.nodes if n.op == "call_function"] == [
        fx_functions.opaque, len, operator.mul, operator.add]
    assert traced(rl.ones(2)).tolist() == [5.0, 5.0] and fx_functions.sized(rl.ones(3)).tolist() == [3.0] * 3
    rooted = fx.symbolic_trace(lambda x: math.sqrt(x) + 1)
    assert rooted(4.0) == 3.0
    with pytest.raises(NotImplementedError, match="top level"):
        fx.wrap("len")


def test_what_cannot_be_traced() -> None:
    with pytest.raises(fx.TraceError, match="cannot be used as inputs to control flow"):
        fx.symbolic_trace(lambda x: x if x > 0 else -x)
    with pytest.raises(RuntimeError, match="'len' is not supported in symbolic tracing"):
        fx.symbolic_trace(lambda x: len(x))
    with pytest.raises(fx.TraceError, match="cannot be iterated"):
        fx.symbolic_trace(lambda x: [v for v in x])
    chosen = fx.symbolic_trace(lambda x, flag: x + 1 if flag else x - 1, concrete_args={"flag": True})
    assert chosen(rl.ones(1), True).item() == 2.0


def test_stars() -> None:
    traced = fx.symbolic_trace(lambda x, *args, **kwargs: x + args[0] * kwargs["k"])
    assert traced(rl.ones(1), 2.0, k=3.0).item() == 7.0
    assert [n.target for n in traced.graph.nodes if n.op == "placeholder"] == ["x", "*args", "**kwargs"]


def test_interpreters_and_transformers() -> None:
    net = build(rl)[1]()
    traced = fx.symbolic_trace(net)
    x = rl.randn(2, 4)
    assert rl.equal(fx.Interpreter(traced).run(x), net(x))

    class Shapes(fx.Interpreter):
        def run_node(self, n: Any) -> Any:
            out = super().run_node(n)
            if isinstance(out, rl.Tensor):
                n.meta["shape"] = tuple(out.shape)
            return out
    Shapes(traced).run(x)
    assert next(n.meta["shape"] for n in traced.graph.nodes if n.name == "block_linear") == (2, 4)

    class Swap(fx.Transformer):
        def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
            return super().call_function(rl.sigmoid if target is rl.relu else target, args, kwargs)
    swapped = Swap(fx.symbolic_trace(lambda v: rl.relu(v) + 1)).transform()
    np.testing.assert_allclose(swapped(x).numpy(), (x.sigmoid() + 1).numpy())
    with pytest.raises(RuntimeError, match="Expected positional argument for parameter x"):
        fx.Interpreter(traced).run()


def test_proxies_extend_a_graph() -> None:
    traced = fx.symbolic_trace(lambda x: x * 2)
    end = traced.graph.output_node()
    with traced.graph.inserting_before(end):
        more = (fx.Proxy(end.args[0]) + 1).relu()
        end.args = (more.node,)
    traced.recompile()
    assert traced(rl.tensor([-3.0, 1.0])).tolist() == [0.0, 3.0]
