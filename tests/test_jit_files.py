"""torch.jit: scripts, and files of traced and scripted modules."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import typing
import warnings
import zipfile
from typing import Any

import pytest
from jit_oracle import R, check, round_trip, same

import rushlight as rl
import rushlight.nn as nn
import rushlight.nn.functional as F
from rushlight.jit.language import LanguageError, functions
from rushlight.vision import models

SCALE = 2.5
NAMES = ["a", "b"]


class Casting(nn.Module):
    """Without gradients first, then under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        with rl.no_grad():
            h = self.a(x)
        with rl.autocast("cpu"):
            y = self.b(h)
        return y + 1, y.float() @ self.b.weight


def test_methods_by_name_and_keyword() -> None:
    class Two(nn.Module):
        def forward(self, x: Any, *, scale: Any) -> Any:
            return x * scale

        def other(self, x: Any, scale: Any) -> Any:
            return x + scale
    x, inputs = rl.ones(2), {"forward": {"x": rl.ones(2), "scale": rl.ones(1)},
                             "other": {"scale": rl.ones(1), "x": rl.ones(2)}}
    with warnings.catch_warnings():
        warnings.simplefilter("error", rl.jit.TracerWarning)
        traced = rl.jit.trace_module(Two(), inputs, example_inputs_is_kwarg=True, check_inputs=[inputs])
    assert traced(x=x, scale=x * 3).tolist() == [3.0, 3.0] and traced.other(x, x).tolist() == [2.0, 2.0]
    noisy = type("Noisy", (nn.Module,), {"forward": lambda self, x: x + rl.tensor(next(numbers))})
    numbers = iter(range(10))
    with pytest.warns(rl.jit.TracerWarning, match="does not match"):
        rl.jit.trace_module(noisy(), {"forward": (x,)})


def test_traces_keep_the_casts_of_autocast() -> None:
    m, x = Casting(), R(2, 3)
    traced = rl.jit.trace(m, x)
    assert traced(x)[0].dtype is rl.bfloat16 and not rl.is_autocast_enabled("cpu")
    same(check(traced, (x,))(x), m(x))
    traced(x)[1].sum().backward()
    assert m.a.weight.grad is not None  # PyTorch's traces have no blocks without gradients
    plain = nn.Linear(3, 2)
    with rl.autocast("cpu"):
        traced, want = rl.jit.trace(plain, x), plain(x)
    same(round_trip(traced)(x), want)


def helper(x: Any, k: int = 2) -> Any:
    """Used by Gate."""
    return x * k + SCALE


class Gate(nn.Module):
    """Control flow by values, other methods, helpers, state."""

    limit: typing.Final[int]
    kind = "gate"

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.limit, self.act, self.options = 3, F.relu, {"p": 0.5}
        self.register_buffer("calls", rl.zeros(1))

    def forward(self, x: rl.Tensor, flag: typing.Optional[bool] = None) -> typing.Any:  # noqa: UP045
        count: int = 0
        for i, layer in enumerate(self.layers):
            if x.sum() > 0 and flag is not False:
                x = self.act(layer(x)) - 0.5
                count += 1
            else:
                x = self.other(x, i)
        while count < self.limit:
            count += 1
        if x.shape[-1] != 4:
            raise ValueError("bad {} {}".format(x.shape, NAMES))  # noqa: UP032
        self.calls += 1
        x = F.dropout(x, self.options["p"], self.training)
        return x * math.sqrt(x.size(0)), count, f"{self.kind}{count:03d}"

    def other(self, x: Any, i: int) -> Any:
        """A method that forward calls."""
        return rl.stack([helper(v) for v in x.unbind(0)]) + i

    @rl.jit.export
    def twice(self, x: Any) -> Any:
        """Saved because it is exported."""
        return self.act(x) * 2


def test_scripted_modules_keep_their_control_flow() -> None:
    scripted = rl.jit.script(Gate().eval())
    loaded = round_trip(scripted)
    again = round_trip(loaded)
    for _ in range(4):
        x = R(2, 4)
        for flag in (None, False):
            same(scripted(x, flag), loaded(x, flag))
            same(again(x, flag)[0], scripted(x, flag)[0])
    assert loaded.calls.item() == 8 and loaded.original_name == "Gate" and "while count < self.limit" in loaded.code
    same(loaded.twice(-rl.ones(2)), rl.zeros(2))
    with pytest.raises(ValueError, match=r"bad torch.Size\(\[2, 3\]\) \['a', 'b'\]"):
        round_trip(rl.jit.script(Wrong()))(R(2, 3))
    loaded.train()
    rl.manual_seed(0)
    a = loaded(rl.ones(2, 4))[0]
    scripted.train()
    rl.manual_seed(0)
    same(scripted(rl.ones(2, 4))[0], a)


class Wrong(nn.Module):
    """Raises."""

    def forward(self, x: Any) -> Any:
        raise ValueError("bad {} {}".format(x.shape, NAMES))  # noqa: UP032


def test_scripted_library_modules_and_functions() -> None:
    check(rl.jit.script(models.resnet18().eval()), (R(1, 3, 64, 64),))
    check(rl.jit.script(nn.Sequential(nn.Linear(4, 4), nn.TransformerEncoderLayer(4, 2, 8).eval())), (R(2, 3, 4),))
    check(rl.jit.script(helper), (R(3),), (R(2), 5))


def test_without_the_defining_class(tmp_path: Any) -> None:
    """Another interpreter, which has never seen the class, gives the same bits."""
    x = R(2, 4)
    model = Gate().eval()
    rl.jit.script(model).save(str(tmp_path / "scripted.pt"))
    rl.jit.save(rl.jit.trace(nn.Sequential(model.layers[0], nn.ReLU()), x), tmp_path / "traced.pt")
    rl.save(x, tmp_path / "x.pt")
    code = (
        "import sys, rushlight as rl; d = sys.argv[1]; x = rl.load(d + '/x.pt')\n"
        "rl.save([rl.jit.load(d + '/scripted.pt')(x)[0], rl.jit.load(d + '/traced.pt')(x)], d + '/y.pt')"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.abspath(rl.__file__)))}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment, cwd=tmp_path)
    a, b = rl.load(tmp_path / "y.pt")
    same(a, model(x)[0])
    same(b, model.layers[0](x).relu())


def test_extra_files_and_places(tmp_path: Any) -> None:
    traced = rl.jit.trace(nn.ReLU(), R(2))
    path = tmp_path / "m.pt"
    traced.save(path, _extra_files={"note.txt": "hello", "raw": b"\x00\x01"})
    extra = {"note.txt": "", "raw": "", "none": ""}
    loaded = rl.jit.load(str(path), map_location="cpu", _extra_files=extra)
    assert extra == {"note.txt": b"hello", "raw": b"\x00\x01", "none": ""} and loaded(-rl.ones(1)).item() == 0
    with open(path, "rb") as f:
        assert rl.jit.load(f)(rl.ones(1)).item() == 1


class Super(nn.Linear):
    """super() has no place in a file."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) + 1


class Opens(nn.Module):
    """Builtins that reach out."""

    def forward(self, x: Any) -> Any:
        open("/etc/passwd")
        return x


class Property(nn.Module):
    """Properties."""

    @property
    def k(self) -> int:
        """Two."""
        return 2

    def forward(self, x: Any) -> Any:
        return x * self.k


class Holds(nn.Module):
    """An attribute that is no plain value."""

    def __init__(self) -> None:
        super().__init__()
        self.thing = object()

    def forward(self, x: Any) -> Any:
        return x if self.thing else x


@pytest.mark.parametrize(
    ("cls", "text"), [(lambda: Super(2, 2), "super"), (Opens, "open"), (Property, "property"), (Holds, "thing")]
)
def test_what_cannot_be_saved_is_said(cls: Any, text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        round_trip(rl.jit.script(cls()))


def test_files_that_are_none(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="The provided filename /no/such does not exist"):
        rl.jit.load("/no/such")
    with pytest.raises(RuntimeError, match="TorchScript"):
        rl.jit.load(io.BytesIO(b"abc"))
    with pytest.raises(AttributeError, match="save_to_buffer"):
        rl.jit.save(nn.ReLU(), io.BytesIO())
    f = io.BytesIO()
    rl.save({"a": 1}, f)
    f.seek(0)
    with pytest.raises(RuntimeError, match="TorchScript"):
        rl.jit.load(f)


def test_pytorchs_archives_are_refused() -> None:
    torch = pytest.importorskip("torch")
    f = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.ones(2)), f)
    f.seek(0)
    with pytest.raises(RuntimeError, match="does not run PyTorch's TorchScript archives"):
        rl.jit.load(f)


BAD = [
    "import os",
    "def forward(self, x):\n    import os",
    "def forward(self, x):\n    return x.__class__",
    "def forward(self, x):\n    return ().__class__.__bases__",
    "def forward(self, x):\n    return __builtins__",
    "x = 1",
    "def forward(self, x):\n    return lambda: 1",
    "def forward(self, x, y=open('/tmp/x')):\n    return x",
    "def forward(self, x):\n    try:\n        pass\n    except Exception:\n        pass",
    "class A: pass",
    "def forward(self, x):\n    x.a, x.b = 1, 2",
    "def forward(self, _rl_get):\n    return 1",
    "def forward(self, x):\n    return (y := x)",
    "def forward(self, x):\n    global z\n    z = 1",
    "def forward(self, x):\n    del x",
    "async def f(): pass",
    "def __builtins__(): pass",
    "def _rl_get(x, name):\n    return x",
    "def forward(self, x):\n    for self.a in x:\n        pass",
    "def forward(self, x):\n    return [1 for x.a in [1]]",
    "def forward(",
]
REACHES = [
    "x.numpy()",
    "x.apply_(print)",
    "self._parameters",
    "self.__dict__",
    "self.load_state_dict({})",
    "self.register_forward_hook(print)",
    "torch.save(x, 'f')",
    "torch.load('f')",
    "torch.hub",
    "torch.from_file('f')",
    "'{0.__class__}'.format(x)",
    "'{0[a]}'.format(x)",
    "getattr(x, '__class__')",
    "eval('1')",
    "open('f')",
    "[].__class__",
    "print.__self__",
    "f'{x.__class__}'",
    "torch.jit.load('f')",
    "x.storage()",
    "x.backward()",
    "globals()",
    "type(x)",
    "str.format",
    "(1).__add__",
    "vars(self)",
    "math.__loader__",
    "torch.nn.Module",
    "torch.vmap",
    "torch.max(x, 0).__class__",
    "torch.finfo(x.dtype).__class__",
    "(y for y in [1]).gi_frame",
    "torch.no_grad().__enter__",
    "x.tolist().__len__()",
]


@pytest.mark.parametrize("source", BAD)
def test_source_outside_the_language(source: str) -> None:
    with pytest.raises((LanguageError, NameError)):
        out = functions(source, {})
        out["forward"](nn.ReLU(), rl.ones(1))


@pytest.mark.parametrize("expression", REACHES)
def test_code_reaches_nothing_else(expression: str) -> None:
    from rushlight.jit.language import Namespace

    with pytest.raises((LanguageError, NameError)):
        made = functions(
            f"def forward(self, x):\n    return {expression}", {"torch": Namespace("torch"), "math": Namespace("math")}
        )
        made["forward"](nn.Linear(2, 2), rl.ones(2))


def _changed(change: Any) -> io.BytesIO:
    """A good file with its model changed."""
    f = io.BytesIO()
    rl.jit.save(rl.jit.trace(nn.Linear(2, 2), R(1, 2)), f)
    out = io.BytesIO()
    with zipfile.ZipFile(f) as a, zipfile.ZipFile(out, "w") as b:
        for name in a.namelist():
            data = a.read(name)
            if name == "model.json":
                model = json.loads(data)
                change(model)
                data = json.dumps(model).encode()
            b.writestr(name, data)
    out.seek(0)
    return out


def _row(model: Any) -> Any:
    return next(r for r in model["traced"]["forward"]["graph"] if r["op"] == "call_function")


CHANGES: list[Any] = [
    lambda m: _row(m).update(target="os.system"),
    lambda m: _row(m).update(target="builtins.eval"),
    lambda m: _row(m).update(target="torch.save"),
    lambda m: _row(m).update(op="call_method", target="__class__"),
    lambda m: _row(m).update(op="call_method", target="numpy"),
    lambda m: _row(m).update(name="x); import os; (y"),
    lambda m: _row(m).update(op="call_module"),
    lambda m: _row(m)["kwargs"].update({"a=1, b": 2}),
    lambda m: _row(m).update(target="builtins.getattr", args=[{"node": "input_1"}, "__class__"]),
    lambda m: m["traced"]["forward"]["graph"][-1].update(args=[{"node": "nothing"}]),
    lambda m: m.pop("root"),
    lambda m: m["root"].update(library="os:system"),
    lambda m: m["root"].update(library="rushlight.nn.init:uniform_"),
    lambda m: m["root"].update(attributes={"__class__": {"value": 1}}),
    lambda m: m["root"]["parameters"][0].__setitem__(1, 99),
    lambda m: m["traced"]["forward"].update(out_tree={"kind": "system", "keys": None, "children": []}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_files_are_refused(change: Any) -> None:
    with pytest.raises(RuntimeError):
        rl.jit.load(_changed(change))


def test_importing_jit_and_onnx_costs_nothing() -> None:
    """The __torch_function__ protocol stays off until something is traced."""
    code = (
        "import rushlight, rushlight.jit, rushlight.onnx\n"
        "from rushlight.tensor import protocol\n"
        "rushlight.jit.script(rushlight.nn.ReLU()); rushlight.onnx.is_in_onnx_export(); rushlight.jit.is_tracing()\n"
        "assert not protocol.on\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.abspath(rl.__file__)))}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
