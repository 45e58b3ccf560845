"""torch.jit, torch.compiler, torch._dynamo, torch._foreach_*, torch._check: the same results as the plain program."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")


class Net(rl.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = rl.nn.Linear(2, 2)
        self.register_buffer("seen", rl.zeros(()))
        self.scale = 2.0

    def forward(self, x: rl.Tensor, extra: float = 0.0) -> rl.Tensor:
        self.seen += 1
        return self.layer(x) * self.scale + extra

    def helper(self) -> str:
        return "helped"


@pytest.mark.parametrize("how", [rl.jit.script, lambda m: rl.jit.trace(m, (rl.ones(1, 2), rl.tensor(2.0)),
                                                                       check_trace=False)], ids=["script", "trace"])
def test_scripted_modules_are_the_module(how: Any) -> None:
    net = Net()
    scripted = how(net)
    x = rl.ones(3, 2)
    assert rl.equal(scripted(x, rl.tensor(1.0)), net(x, rl.tensor(1.0)))
    assert isinstance(scripted, rl.jit.ScriptModule) and isinstance(scripted, rl.nn.Module)
    assert list(scripted.state_dict()) == list(net.state_dict()) == ["seen", "layer.weight", "layer.bias"]
    assert scripted.helper() == "helped" and scripted.original_name == "Net"
    assert any(text in scripted.code for text in ("self.layer(x)", "self.layer.weight"))  # the source, or the graph
    scripted.eval()
    assert not net.training and not scripted.training and not net.layer.training
    scripted.scale = 3.0
    assert net.scale == 3.0
    optimizer = rl.optim.SGD(scripted.parameters(), lr=0.1)
    before = net.layer.weight.clone()
    scripted(x, rl.tensor(1.0)).sum().backward()
    optimizer.step()
    assert not rl.equal(before, net.layer.weight)
    scripted.load_state_dict(Net().state_dict())
    assert rl.jit.script(scripted) is scripted


def test_functions_and_decorators() -> None:
    @rl.jit.script
    def double(x: Any, n: int = 2) -> Any:
        return x * n
    assert double(rl.ones(1), n=3).item() == 3.0 and double.__name__ == "double" and "return x * n" in double.code
    assert isinstance(double, rl.jit.ScriptFunction)

    @rl.jit.unused
    def f() -> int:
        return 1

    @rl.jit.ignore(drop=True)
    def g() -> int:
        return 2
    assert f() + g() == 3 and rl.jit.annotate(list[int], [1]) == [1] and not rl.jit.is_scripting()
    assert not rl.jit.is_tracing()
    assert rl.jit.wait(rl.jit.fork(lambda a: a + 1, 1)) == 2


def test_tracing_notices_what_changes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        traced = rl.jit.trace(lambda x: x * 2, rl.ones(2))
    assert traced(rl.ones(3)).tolist() == [2.0] * 3
    with pytest.warns(rl.jit.TracerWarning, match="not the same when it runs again"):
        rl.jit.trace(lambda x: x + rl.rand(2), rl.ones(2))


def test_archives_are_refused_with_the_way_out(tmp_path: Any) -> None:
    net = Net()
    rl.jit.script(net).save(tmp_path / "x.pt")
    assert rl.equal(rl.jit.load(str(tmp_path / "x.pt"))(rl.ones(3, 2)), net(rl.ones(3, 2)))
    with pytest.raises(ValueError, match="does not exist"):
        rl.jit.load(str(tmp_path / "no.pt"))
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(tmp_path / "y.pt"))
    with pytest.raises(RuntimeError, match="does not run PyTorch.s TorchScript archives"):
        rl.jit.load(str(tmp_path / "y.pt"))
    with pytest.raises(RuntimeError, match="only implemented for modules in eval mode"):
        rl.jit.freeze(rl.jit.script(Net()))


def test_compile() -> None:
    net = Net()
    assert rl.compile(net) is net and rl.compile(mode="max-autotune", fullgraph=True)(net) is net
    assert net.compile is not None
    for options, text in (({"mode": "fast"}, "Unrecognized mode"), ({"backend": "magic"}, "Invalid backend"),
                          ({"mode": "default", "options": {"a": 1}}, "can't be"),
                          ({"options": {"a": 1}}, "none of these options")):
        with pytest.raises(RuntimeError, match=text):
            rl.compile(net, **options)
    with pytest.raises(TypeError):
        rl.compile(net, speed="high")
    assert not rl.compiler.is_compiling() and not rl._dynamo.is_compiling() and rl.compiler.disable(net) is net
    assert not isinstance(rl.compile(net), rl._dynamo.OptimizedModule) and "inductor" in rl.compiler.list_backends()
    assert rl._dynamo.optimize("eager")(net) is net


def test_reset_forgets_plans() -> None:
    def run() -> int:
        before = rl.stats()["plans_built"]
        (rl.ones(3) * 2).sum().item()
        return rl.stats()["plans_built"] - before
    run()
    run()
    assert run() == 0
    rl.compiler.reset()
    assert run() > 0


def test_stances() -> None:
    before = os.environ.get("RUSHLIGHT_EXEC")
    with rl.compiler.set_stance("force_eager"):
        assert os.environ["RUSHLIGHT_EXEC"] == "numpy" and (rl.ones(2) + 1).sum().item() == 4.0
    assert os.environ.get("RUSHLIGHT_EXEC") == before
    assert rl.compiler.set_stance("force_eager")(lambda: os.environ["RUSHLIGHT_EXEC"])() == "numpy"
    assert os.environ.get("RUSHLIGHT_EXEC") == before
    with pytest.raises(RuntimeError, match="invalid torch.compile stance"):
        rl.compiler.set_stance("relaxed")


def test_config() -> None:
    config = rl._dynamo.config
    with config.patch(cache_size_limit=64), config.patch("suppress_errors", True):
        assert config.cache_size_limit == 64 and config.suppress_errors
    assert config.cache_size_limit == 8 and not config.suppress_errors
    with pytest.raises(AttributeError), config.patch(no_such_setting=1):
        pass
    assert rl._dynamo.utils.same([rl.ones(2)], [rl.ones(2)]) and not rl._dynamo.utils.same(rl.ones(2), rl.zeros(2))


FOREACH: list[Any] = [
    ("mul", ([2.0, 3.0],)), ("add", (1.5,)), ("div", (2.0,)), ("sqrt", ()),
    ("neg", ()), ("maximum", (0.5,)), ("pow", (2,)), ("lerp", ("other", 0.25)),
    ("addcmul", ("other", "other", 0.5)), ("addcdiv", ("other", "other")),
    ("sub", ("other",)), ("clamp_max", (0.5,)), ("norm", ()),
]


@pytest.mark.parametrize("name,args", FOREACH, ids=lambda v: str(v))
def test_foreach(name: str, args: Any) -> None:
    def run(t: Any) -> Any:
        tensors = [t.arange(1.0, 4.0), t.ones(2, 2) / 3]
        given = [[t.full_like(x, 0.7) for x in tensors] if a == "other" else a for a in args]
        fresh = getattr(t, f"_foreach_{name}")(tensors, *given)
        if name != "norm":
            getattr(t, f"_foreach_{name}_")(tensors, *given)
        return [x.numpy() for x in (*fresh, *tensors)]
    for got, want in zip(run(rl), run(torch)):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_foreach_errors_and_copies() -> None:
    with pytest.raises(RuntimeError, match="at least one tensor"):
        rl._foreach_add([], 1)
    with pytest.raises(RuntimeError, match="same number of tensors"):
        rl._foreach_add([rl.ones(1)], [rl.ones(1), rl.ones(1)])
    a = [rl.zeros(2), rl.zeros(1)]
    rl._foreach_copy_(a, [rl.ones(2), rl.ones(1)])
    rl._foreach_zero_(a[:1])
    assert a[0].tolist() == [0.0, 0.0] and a[1].tolist() == [1.0]


def test_checks() -> None:
    for t in (rl, torch):
        t._check(True)
        with pytest.raises(RuntimeError, match="Expected cond to be True"):
            t._check(False)
        with pytest.raises(RuntimeError, match="because"):
            t._check(False, lambda: "because")
        with pytest.raises(IndexError):
            t._check_index(False, lambda: "")
        with pytest.raises(TypeError, match="cond must be a bool"):
            t._check(1)
        with pytest.raises(RuntimeError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            t._check_is_size(-1)


def test_swap_tensors() -> None:
    p, q = rl.nn.Parameter(rl.ones(2)), rl.nn.Parameter(rl.zeros(3))
    held = [p]
    rl.utils.swap_tensors(p, q)
    assert held[0] is p and p.tolist() == [0.0, 0.0, 0.0] and q.tolist() == [1.0, 1.0]
    (p * 2).sum().backward()
    assert p.grad.tolist() == [2.0, 2.0, 2.0] and q.grad is None
