"""torch.export: programs, signatures, dynamic sizes, files, errors."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from typing import Any

import numpy as np
import pytest

import rushlight as rl
import rushlight.nn as nn
import rushlight.nn.functional as F
from rushlight._dynamo.exc import UserError
from rushlight.export import Dim
from rushlight.utils._pytree import tree_flatten
from rushlight.vision import models

R = rl.randn


class Mixed(nn.Module):
    """Every kind of input: parameters, buffers of both kinds, a constant, nested arguments, a keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(3, 2)
        self.register_buffer("count", rl.zeros(2))
        self.register_buffer("scale", rl.ones(2), persistent=False)
        self.c = rl.ones(2)

    def forward(self, x: Any, d: Any, *, k: Any = None) -> Any:
        self.count.add_(1)
        return {"y": self.l(x) + self.count * self.scale + self.c + d["z"][0], "n": x.shape[0] * 2}


def mixed(**options: Any) -> Any:
    """A module and its exported program."""
    m = Mixed()
    args = (R(4, 3), {"z": [rl.ones(2)]})
    return m, args, rl.export.export(m, args, **options)


def same(a: Any, b: Any) -> None:
    """Bitwise equal nests."""
    (x, s), (y, t) = tree_flatten(a), tree_flatten(b)
    assert s == t
    for p, q in zip(x, y):
        assert rl.equal(p, q) if isinstance(p, rl.Tensor) else p == q


def reloaded(program: Any) -> Any:
    """From a file."""
    f = io.BytesIO()
    rl.export.save(program, f)
    f.seek(0)
    return rl.export.load(f)


MODELS: dict[str, Any] = {
    "resnet18": (models.resnet18, (R(1, 3, 64, 64),), {"x": {0: Dim("n")}}, (R(3, 3, 64, 64),)),
    "mobilenet": (models.mobilenet_v2, (R(2, 3, 32, 32),), None, (R(2, 3, 32, 32),)),
    "encoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
        (R(3, 4, 8),),
        {
            "src": {0: Dim("n"), 1: Dim("t")},
        },
        (R(2, 6, 8),),
    ),
    "lstm": (lambda: nn.LSTM(3, 4, 2), (R(5, 2, 3),), {"input": {0: Dim("t"), 1: Dim("n")}}, (R(7, 3, 3),)),
    "pair": (
        lambda: nn.Bilinear(3, 4, 2),
        (R(5, 3), R(5, 4)),
        {"input1": {0: Dim("n")}, "input2": {0: Dim("n")}},
        (R(2, 3), R(2, 4)),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    make, args, shapes, other = MODELS[name]
    model = make().eval()
    if isinstance(model, nn.LSTM):
        args, other, shapes = args, other, {**shapes}
    program = rl.export.export(model, args, dynamic_shapes=shapes)
    for module in (program.module(), reloaded(program).module()):
        for given in (args, other):
            same(module(*given), model(*given))
    assert set(program.state_dict) == set(model.state_dict())
    assert dict(program.module().named_parameters()).keys() == dict(model.named_parameters()).keys()


def test_signature_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")

    class Theirs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = torch.nn.Linear(3, 2)
            self.register_buffer("count", torch.zeros(2))
            self.register_buffer("scale", torch.ones(2), persistent=False)

        def forward(self, x: Any, d: Any, *, k: Any = None) -> Any:
            self.count.add_(1)
            return {"y": self.l(x) + self.count * self.scale + d["z"][0]}

    class Ours(nn.Module):
        __init__ = Mixed.__init__

        def forward(self, x: Any, d: Any, *, k: Any = None) -> Any:
            self.count.add_(1)
            return {"y": self.l(x) + self.count * self.scale + d["z"][0]}

    Ours.__init__ = lambda self: (
        nn.Module.__init__(self),
        setattr(self, "l", nn.Linear(3, 2)),
        self.register_buffer("count", rl.zeros(2)),  # type: ignore[method-assign]
        self.register_buffer("scale", rl.ones(2), persistent=False),
        None,
    )[-1]
    mine = rl.export.export(
        Ours(), (R(4, 3), {"z": [rl.ones(2)]}), dynamic_shapes={"x": {0: Dim("n", min=2, max=10)}, "d": None}
    )
    theirs = torch.export.export(
        Theirs(),
        (torch.randn(4, 3), {"z": [torch.ones(2)]}),
        dynamic_shapes={"x": {0: torch.export.Dim("n", min=2, max=10)}, "d": {"z": [None]}},
    )
    rows = [
        [(s.kind.name, s.arg.name, s.target, s.persistent) for s in p.graph_signature.input_specs]
        for p in (mine, theirs)
    ]
    assert rows[0] == rows[1]
    for name in ("parameters", "buffers", "non_persistent_buffers", "user_inputs", "lifted_tensor_constants"):
        assert tuple(getattr(mine.graph_signature, name)) == tuple(getattr(theirs.graph_signature, name)), name
    for name in ("inputs_to_parameters", "inputs_to_buffers"):
        assert dict(getattr(mine.graph_signature, name)) == dict(getattr(theirs.graph_signature, name))
    assert [repr(v) for v in mine.range_constraints.values()] == [repr(v) for v in theirs.range_constraints.values()]
    assert set(mine.constants) == set(theirs.constants) and set(mine.state_dict) == set(theirs.state_dict)
    assert [n.name for n in mine.graph.nodes if n.op == "placeholder"] == [
        n.name for n in theirs.graph.nodes if n.op == "placeholder"
    ]
    assert [n for n, _ in mine.named_buffers()] == [n for n, _ in theirs.named_buffers()]


def test_the_program_and_its_state() -> None:
    m, args, program = mixed(dynamic_shapes={"x": {0: Dim("n", min=2, max=10)}, "d": None})
    assert m.count.tolist() == [0.0, 0.0]  # capturing changed nothing
    module = program.module()
    out = module(*args)
    assert out["n"] == 8 and m.count.tolist() == [1.0, 1.0]  # the program's buffers are the module's
    same(module(R(7, 3), {"z": [rl.zeros(2)]})["n"], 14)
    assert "torch.nn.functional.linear" in program.graph_module.code and "n: VR" not in str(program)
    assert "VR[2, 10]" in str(program)
    module(*args)["y"].sum().backward()
    assert m.l.weight.grad is not None and program.state_dict["l.weight"] is m.l.weight
    assert set(module.state_dict()) >= {"l.weight", "l.bias", "count"}


def test_arguments_are_checked() -> None:
    _, args, program = mixed(dynamic_shapes={"x": {0: Dim("n", min=2, max=10)}, "d": None})
    module, z = program.module(), args[1]
    for wrong, text in (
        (R(1, 3), ">= 2"),
        (R(11, 3), "<= 10"),
        (R(5, 4), r"x\.size\(\)\[1\] == 3"),
        (R(3), "dim"),
        (R(4, 3).double(), "dtype"),
    ):
        with pytest.raises(AssertionError, match=f"Guard failed: .*{text}"):
            module(wrong, z)
    for given in ((R(4, 3), {"z": rl.ones(2)}), (R(4, 3),), (R(4, 3), z, 1), (R(4, 3), {"y": [rl.ones(2)]})):
        with pytest.raises(ValueError, match="exported input tree spec"):
            module(*given)
    with pytest.raises(ValueError, match="another structure"):
        module(R(4, 3), z, k=2)
    fixed = rl.export.export(Mixed(), (R(4, 3), z), {"k": 1})
    with pytest.raises(ValueError, match="captured for the value 1"):
        fixed.module()(R(4, 3), z, k=2)
    with pytest.raises(RuntimeError, match="Unable to call ExportedProgram directly"):
        program(*args)
    with pytest.raises(NotImplementedError, match=r"Calling train\(\) is not supported yet"):
        module.train()
    assert program.module(check_guards=False)(R(1, 3), z)["y"].shape == (1, 2)


def test_two_sizes_that_are_one() -> None:
    n = Dim("n")
    program = rl.export.export(nn.Bilinear(3, 4, 2), (R(5, 3), R(5, 4)), dynamic_shapes=({0: n}, {0: n}))
    with pytest.raises(AssertionError, match="Guard failed"):
        program.module()(R(2, 3), R(3, 4))


def test_sizes_that_follow_from_others() -> None:
    class Half(nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return x.view(-1, 2).sum(1) + y

    n = Dim("n", max=8)
    program = rl.export.export(Half(), (R(6), R(3)), dynamic_shapes=({0: 2 * n}, {0: n}))
    assert program.module()(rl.ones(10), rl.ones(5)).tolist() == [3.0] * 5
    assert program.range_constraints["2*n"].upper == 16 and 17 not in program.range_constraints["2*n"]
    with pytest.raises(UserError, match="Constraints violated"):
        rl.export.export(Half(), (R(6), R(3)), dynamic_shapes=({0: 2 * n + 1}, {0: n}))


def test_hints() -> None:
    program = rl.export.export(nn.Linear(3, 2), (R(4, 3),), dynamic_shapes=({0: Dim.AUTO, 1: Dim.STATIC},))
    assert program.module()(R(9, 3)).shape == (9, 2)


def test_what_cannot_be_exported() -> None:
    class By(nn.Module):
        def __init__(self, f: Any):
            super().__init__()
            self.f = f

        def forward(self, x: Any) -> Any:
            return self.f(x)

    n = {"x": {0: Dim("n")}}
    with pytest.raises(RuntimeError, match="data-dependent"):
        rl.export.export(By(lambda x: x if x.sum() > 0 else x + 1), (R(2),))
    with pytest.raises(UserError, match=r"Constraints violated \(n\)!.*another way"):
        rl.export.export(By(lambda x: x if x.shape[0] > 4 else x + 1), (R(4, 3),), dynamic_shapes=n)
    with pytest.raises(UserError, match=r"Constraints violated \(n\)!.*does not run with other sizes"):
        rl.export.export(By(lambda x: x.view(4, 3)), (R(4, 3),), dynamic_shapes=n)
    with pytest.raises(UserError, match="plain number"):
        rl.export.export(By(lambda x: x * float(x.shape[0])), (R(4, 3),), dynamic_shapes=n)
    with pytest.raises(UserError, match="in a way that the graph does not see"):
        rl.export.export(
            By(lambda x: x + rl.from_numpy(np.ones((int(x.shape[0]), 3), np.float32))), (R(4, 3),), dynamic_shapes=n
        )
    with pytest.raises(ValueError, match="Expected `mod` to be an instance of `torch.nn.Module`"):
        rl.export.export(lambda x: x, (R(2),))
    with pytest.raises(UserError, match="Expecting `args` to be a tuple"):
        rl.export.export(nn.ReLU(), [R(2)])
    with pytest.raises(UserError, match="top-level keys"):
        rl.export.export(nn.ReLU(), (R(2),), dynamic_shapes={"y": None})
    with pytest.raises(UserError, match="same length"):
        rl.export.export(nn.ReLU(), (R(2),), dynamic_shapes=((Dim("a"), Dim("b")),))
    with pytest.raises(UserError, match=r"to be in \[5, 9\]"):
        rl.export.export(nn.ReLU(), (R(2),), dynamic_shapes=({0: Dim("a", min=5, max=9)},))
    with pytest.raises(AssertionError, match="inconsistent"):
        Dim("a", min=3, max=2)


def test_decompositions() -> None:
    program = rl.export.export(nn.Linear(3, 2), (R(1, 3),))
    assert str(program.run_decompositions().graph) == str(program.graph)
    with pytest.raises(NotImplementedError, match="in place"):
        mixed()[2].run_decompositions()


def test_dataclasses() -> None:
    @dataclasses.dataclass
    class Out:
        a: Any
        b: Any

    rl.export.register_dataclass(Out)

    class Makes(nn.Module):
        def forward(self, x: Any) -> Any:
            return Out(x + 1, [x * 2])

    program = rl.export.export(Makes(), (R(2),))
    out = program.module()(rl.ones(2))
    assert isinstance(out, Out) and out.b[0].tolist() == [2.0, 2.0]
    with pytest.raises(RuntimeError, match="Out"):
        rl.export.save(program, io.BytesIO())


def test_files(tmp_path: Any) -> None:
    m, args, program = mixed(dynamic_shapes={"x": {0: Dim("n", min=2, max=10)}, "d": None})
    path = tmp_path / "program.pt2"
    rl.export.save(program, path, extra_files={"note.txt": "hello"})
    extra = {"note.txt": "", "none": ""}
    loaded = rl.export.load(path, extra_files=extra)
    assert extra == {"note.txt": "hello", "none": ""} and str(loaded) == str(program)
    assert loaded.range_constraints == program.range_constraints
    assert {k: v.requires_grad for k, v in loaded.state_dict.items()} == {
        k: v.requires_grad for k, v in program.state_dict.items()
    }
    same(loaded.example_inputs, program.example_inputs)
    same(loaded.module()(*args), program.module()(*args))
    assert [str(s) for s in loaded.graph_signature.input_specs] == [str(s) for s in program.graph_signature.input_specs]
    with pytest.raises(AssertionError, match="Guard failed"):
        loaded.module()(R(11, 3), args[1])
    same(reloaded(loaded).module()(*args), loaded.module()(*args))
    with pytest.raises(TypeError, match="must be an instance of 'ExportedProgram'"):
        rl.export.save(m, path)


def test_files_that_are_none(tmp_path: Any) -> None:
    with pytest.raises(RuntimeError, match="no file that rushlight's torch.export.save wrote"):
        rl.export.load(io.BytesIO(b"abc"))
    with pytest.raises(ValueError, match="does not exist"):
        rl.export.load(tmp_path / "none.pt2")
    f = io.BytesIO()
    rl.export.save(rl.export.export(nn.Linear(2, 2), (R(1, 2),)), f)
    out = io.BytesIO()
    with zipfile.ZipFile(f) as a, zipfile.ZipFile(out, "w") as b:
        for name in a.namelist():
            data = a.read(name)
            if name == "program.json":
                p = json.loads(data)
                next(r for r in p["graph"] if r["op"] == "call_function")["target"] = "os.system"
                data = json.dumps(p).encode()
            b.writestr(name, data)
    out.seek(0)
    with pytest.raises(RuntimeError, match="no function that files may call"):
        rl.export.load(out)


def test_to_onnx() -> None:
    pytest.importorskip("onnx")
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).eval()
    program = rl.export.export(model, (R(2, 3),), dynamic_shapes=({0: Dim("n")},))
    exported = rl.onnx.export(program, (R(2, 3),), dynamic_shapes=({0: Dim("n")},))
    x = R(5, 3)
    assert rl.allclose(exported(x)[0], model(x), atol=1e-6) and exported.exported_program is program


class Switching(nn.Module):
    """Turns gradients and autocast on its way, by blocks, a decorator and functions."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.fast, self.plain = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    @rl.no_grad()
    def features(self, x: Any) -> Any:
        with rl.enable_grad():
            seen = self.plain.weight * 2
        return self.frozen(x), seen

    def forward(self, x: Any) -> Any:
        h, seen = self.features(x)
        with rl.autocast("cpu"):
            y = self.fast(h)
            with rl.autocast("cpu", enabled=False):
                z = y.float() @ self.fast.weight
            y = y @ z.T
        rl.set_grad_enabled(False)
        w = self.plain(h)
        rl.set_grad_enabled(True)
        return y, z, w, seen


@pytest.mark.parametrize("reload", (False, True))
def test_switches_of_gradients_and_autocast_stay(reload: bool) -> None:
    m, x = Switching(), R(5, 3)
    program = rl.export.export(m, (x,))
    program = reloaded(program) if reload else program
    called = [getattr(n.target, "__name__", n.target) for n in program.graph.nodes if n.op.startswith("call")]
    assert called == (
        "mul _enter_grad_mode linear _exit_grad_mode _enter_autocast linear _exit_autocast float "
        "matmul _enter_autocast getattr matmul _exit_autocast _enter_grad_mode linear _exit_grad_mode"
    ).split()
    program.graph.eliminate_dead_code()
    want = m(x)
    with rl.no_grad():
        found = program.module()(x)
        assert not rl.is_grad_enabled() and not any(t.requires_grad for t in found)
    same(want, found)
    found = program.module()(x)
    assert rl.is_grad_enabled() and not rl.is_autocast_enabled("cpu")
    same(want, found)
    assert [t.requires_grad for t in found] == [t.requires_grad for t in want] == [True, True, False, True]
    assert found[0].dtype is rl.bfloat16 and found[1].dtype is rl.float32
    program.module()(x)[0].sum().backward()


def test_an_error_leaves_no_switch_turned() -> None:
    class Halved(nn.Module):
        def forward(self, x: Any, i: Any) -> Any:
            with rl.no_grad(), rl.autocast("cpu"):
                return x[i] @ x
    program = rl.export.export(Halved(), (R(3, 3), rl.tensor([0, 1])))
    with pytest.raises(IndexError):
        program.module()(R(3, 3), rl.tensor([0, 7]))[0].item()
    assert rl.is_grad_enabled() and not rl.is_autocast_enabled("cpu")


def test_what_surrounds_an_export_is_not_part_of_it() -> None:
    with rl.no_grad(), rl.autocast("cpu"):
        program = rl.export.export(nn.Linear(3, 2), (R(2, 3),))
    y = program.module()(R(2, 3))
    assert y.dtype is rl.float32 and y.requires_grad


def test_functions_stay_what_they_are() -> None:
    """Exported graphs may be changed as any of torch.fx's."""
    program = rl.export.export(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), (R(2, 3),))
    module = program.module()
    for n in module.graph.nodes:
        if n.op == "call_function" and n.target is F.relu or n.target is rl.relu:
            n.target = rl.neg
            n.args, n.kwargs = n.args[:1], {}
    module.recompile()
    x = R(2, 3)
    same(
        module(x),
        -program.module().get_submodule("0").weight.new_zeros(0).sum()
        - F.linear(x, program.state_dict["0.weight"], program.state_dict["0.bias"]),
    )
