"""Programs whose sizes change at every step: what a new size costs, and that the numbers stay the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from executors import close_to_numpy, only

import rushlight as rl
from rushlight import nn
from rushlight.exec import apart, realize
from rushlight.exec.cpu import executor, gemm, loops
from rushlight.exec.cpu.jit import COMPILED
from rushlight.exec.cpu.kernel import Kernel
from rushlight.ir.dtype import float32
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import spec
from rushlight.ops.table import TABLE, Op
from rushlight.passes import pipeline
from rushlight.passes.recent import Recent
from rushlight.tensor.memory import realize_pending

pytestmark = pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
LENGTHS = (9, 12, 17, 12, 9, 33, 17, 9, 9)


class Classifier(nn.Module):
    """Embedding, LSTM and a linear layer on the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(20, 8), nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(self.embedding(x))[0][:, -1])


class Attention(nn.Module):
    """One layer of attention with layer norm, over sequences of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(20, 16), nn.LayerNorm(16)
        self.attention, self.head = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 5)

    def forward(self, x: Any) -> Any:
        h = self.norm(self.embedding(x))
        return self.head((h + self.attention(h, h, h, need_weights=False)[0]).mean(1))


def trained(model: Callable[[], Any], optimizer: Callable[[Any], Any],
            lengths: Iterable[int]) -> list[np.ndarray[Any, Any]]:
    """The losses and the parameters after a step for each length."""
    rl.manual_seed(0)
    net = model()
    update = optimizer(net.parameters())
    losses = []
    for n in lengths:
        x, y = rl.randint(0, 20, (4, n)), rl.arange(4) % 5
        update.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        update.step()
        losses.append(loss.item())
    return [np.array(losses), *[p.detach().numpy().copy() for p in net.parameters()]]


def adam(parameters: Any) -> Any:
    return rl.optim.Adam(parameters, lr=0.01)


OPTIMIZERS = {"adam": adam, "momentum": lambda p: rl.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
              "rmsprop": lambda p: rl.optim.RMSprop(p, lr=0.01)}


# --- what a new size costs ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", [Classifier, Attention])
def test_new_sizes_compile_nothing(model: Callable[[], Any]) -> None:
    realize_pending()  # what other tests left would be part of the first plan
    realize.clear_plans()
    with only("cpu"):
        for lengths in ((20, 21), (22, 23, 24), (25, 26)):  # the first step and later ones: as one plan, as two, and cut further
            trained(model, adam, lengths)
        before = set(COMPILED.addresses)
        trained(model, adam, range(27, 57))
        new = set(COMPILED.addresses) - before
        # long loops are cut into chunks, by kernels of their own
        assert all(isinstance(k, Kernel) and k.chunk == "vector" for k in new) and len(new) <= 1


def test_an_update_is_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    programs: list[Program] = []
    inner = executor.compile_program

    def counted(program: Program, *rest: Any) -> Any:
        programs.append(program)
        return inner(program, *rest)
    monkeypatch.setattr(executor, "compile_program", counted)
    with only("cpu"):
        trained(Classifier, adam, range(10, 18))
        updates = [p for p in programs if any(i.op.attrs == apart.UPDATE for i in p.instrs)]
        # the first step, which makes Adam's state, and the first of the others as one plan; then all share an update
        assert [len(p.instrs) > 1 for p in updates] == [True, True, False]


# --- numbers --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", [Classifier, Attention])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_parts_give_the_bits_of_one_plan(model: Callable[[], Any], optimizer: str,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    with only("cpu"):
        apart_ = trained(model, OPTIMIZERS[optimizer], LENGTHS)
        plans = [p for p in realize._plans.values() if isinstance(p, apart.Apart)]
        assert plans and all(p.runs == 1 for p in plans)  # lengths that came once; those that came again have one plan
        assert len(realize._plans) > len(plans) + 1
    monkeypatch.setattr(apart, "UPDATE", None)
    with only("cpu"):
        together = trained(model, OPTIMIZERS[optimizer], LENGTHS)
        assert not any(isinstance(p, apart.Apart) for p in realize._plans.values())
    for a, b in zip(apart_, together, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [rl.float64, rl.bfloat16])
def test_other_dtypes_too(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[list[float]]:
        rl.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 3)).to(dtype)
        update = rl.optim.AdamW(net.parameters(), lr=0.01)
        for n in (3, 4, 5, 4):
            update.zero_grad()
            net(rl.randn(n, 6).to(dtype)).square().mean().backward()
            update.step()
        return [p.detach().double().flatten().tolist() for p in net.parameters()]
    with only("cpu"):
        found = run()
        assert any(isinstance(p, apart.Apart) for p in realize._plans.values())
    monkeypatch.setattr(apart, "UPDATE", None)
    with only("cpu"):
        assert run() == found


def test_threads_do_not_matter() -> None:
    before = rl.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            rl.set_num_threads(threads)
            with only("cpu"):
                found.append(trained(Classifier, adam, LENGTHS))
    finally:
        rl.set_num_threads(before)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("model", [Classifier, Attention])
def test_sizes_that_share_kernels_agree_with_numpy(model: Callable[[], Any]) -> None:
    close_to_numpy(lambda: trained(model, OPTIMIZERS["momentum"], (1, 2, 7, 16, 17, 64, 65)), 1e-4)


# --- plans in two parts ---------------------------------------------------------------------------------------------
def test_a_bad_index_before_the_update_changes_nothing() -> None:
    with only("cpu"):
        rl.manual_seed(0)
        net = Classifier()
        update = adam(net.parameters())

        def step(x: Any) -> float:
            update.zero_grad()
            loss = nn.functional.cross_entropy(net(x), rl.arange(len(x)) % 5)
            loss.backward()
            update.step()
            return float(loss.item())
        step(rl.randint(0, 20, (4, 6)))
        step(rl.randint(0, 20, (4, 7)))
        before = [p.detach().numpy().copy() for p in net.parameters()]
        bad = rl.randint(0, 20, (4, 8))
        bad[2, 3] = 20
        with pytest.raises(IndexError):
            step(bad)
        for p, q in zip(net.parameters(), before, strict=True):
            np.testing.assert_array_equal(p.detach().numpy(), q)
        assert np.isfinite(step(rl.randint(0, 20, (4, 9))))


def _program(n: int) -> tuple[Program, Op]:
    """x + y, an update of p by it, and the update doubled."""
    s = spec(float32, (n,))
    update = Op("step", "coarse", "p g", lambda p, g, *_: ((p.dtype, p.shape),),
                attrs=" ".join(apart.UPDATE), differentiable=False)
    program = Program([s, s, s], values=3, donated=frozenset((0, 2)))
    for op, operands, attrs in ((TABLE["add"], (0, 1), ()), (update, (2, 3), ((), 0, 1)), (TABLE["mul"], (4, 4), ())):
        program.instrs.append(Instr(op, tuple(Operand(v, s) for v in operands), attrs, (program.new(),), (s,)))
    program.outputs = (5, 4)
    return program, update


def test_a_program_is_cut_before_its_update() -> None:
    program, update = _program(4)
    apart.forget()
    parts: list[tuple[Program, frozenset[int]]] = []
    for _ in range(2):
        parts.clear()
        found = apart.compile_program(program, lambda *part: parts.append(part) or (lambda inputs: ()))
    assert isinstance(found, apart.Apart)
    (before, changing), (after, _) = parts
    before.verify()
    after.verify()
    assert [i.op.name for i in before.instrs] == ["add"]
    assert [i.op for i in after.instrs] == [update, TABLE["mul"]]
    (_, given, made, gone), (_, needed, updated, ended) = found.parts
    assert given == ((0, None), (1, None)) and made == (3,) and needed == ((2, None), (3, None)) and updated == (4, 5)
    assert set(gone) == {0, 1} and set(ended) == {2, 3}
    assert not before.donated and changing == {0}  # what comes later may fail
    assert after.donated == {0, 1}  # the parameter, and the sum, which nobody else reads
    apart.forget()


def test_an_error_of_an_update_says_what_is_lost() -> None:
    program, _ = _program(4)

    def compiled(part: Program, _: frozenset[int]) -> Any:
        def run(inputs: list[Any]) -> Any:
            if part.instrs[0].op.name == "step":
                error = ValueError("no")
                error.spoiled = [0, 1]  # type: ignore[attr-defined]
                raise error
            return (inputs[0] + inputs[1],)
        return run
    apart.forget()
    apart.compile_program(program, compiled)
    run = apart.compile_program(program, compiled)
    assert isinstance(run, apart.Apart)
    with pytest.raises(ValueError, match="no") as caught:
        run([np.ones(4), np.ones(4), np.ones(4)])
    assert caught.value.spoiled == [2]  # type: ignore[attr-defined]  # the sum is no input of the program
    apart.forget()


# --- what is kept ---------------------------------------------------------------------------------------------------
def test_attributes_that_only_look_equal_are_told_apart() -> None:
    different = ((0.0,), (-0.0,), (0,), (False,), ((0.0, 1),), ((False, 1),), ((0, True),))
    keys = [pipeline.hashable(attrs) for attrs in different]
    assert len(set(keys)) == len(keys)
    assert pipeline.hashable(([],)) is None


def test_a_decomposition_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[str] = []
    inner = pipeline.trace
    assert inner is not None

    def counted(op: Op, *rest: Any) -> Program:
        traced.append(op.name)
        return inner(op, *rest)
    monkeypatch.setattr(pipeline, "trace", counted)
    with only("cpu"):
        trained(Classifier, adam, range(10, 14))
        assert traced.count("adam_step") == 1
        x = rl.arange(24).reshape(2, 3, 4)
        for dtype in (rl.float32, rl.float64, rl.float32):  # what a rule writes may depend on the default dtype
            rl.set_default_dtype(dtype)
            try:
                assert rl.nn.functional.gelu(x.to(dtype)).sum().dtype is dtype
                assert pipeline.setting() is dtype
            finally:
                rl.set_default_dtype(rl.float32)


def test_products_and_groups_of_one_form_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    product, group = gemm._step_of, loops._made
    monkeypatch.setattr(gemm, "_step_of", lambda instr, *rest: made.append(instr.op.name) or product(instr, *rest))
    monkeypatch.setattr(loops, "_made", lambda g, *rest: made.append(g.mode) or group(g, *rest))
    r = np.random.default_rng(0)
    arrays = [r.standard_normal((24, 24)) for _ in range(4)]
    with only("cpu"):
        x, y, z, w = (rl.from_numpy(a).clone() for a in arrays)
        assert float(x.sum() + y.sum() + z.sum() + w.sum()) < 1e6  # they are there
        made.clear()
        found = [((x @ y).tanh() + z, (y @ z).tanh() + w, (w @ w).tanh() + x), ((z @ x).tanh() + w,)]
        got = [t.numpy() for step in found for t in step]
    a, b, c, d = arrays
    want = [np.tanh(a @ b) + c, np.tanh(b @ c) + d, np.tanh(d @ d) + a, np.tanh(c @ a) + d]
    for have, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(have, expected, rtol=1e-12, atol=1e-12)
    assert made.count("matmul") == 2  # w @ w reads one value twice
    assert made.count("map") == 1


def test_clear_plans_forgets_what_plans_have_in_common() -> None:
    with only("cpu"):
        trained(Classifier, adam, (10, 11, 12))
        kept = [apart._forms, apart._parts, pipeline._bodies, loops._patterns, gemm._kept]
        assert all(k.young for k in kept)
        realize.clear_plans()
        assert not any(k.young or k.old or k.size for k in kept)


def test_the_bounded_dictionary_forgets_what_was_not_asked_for() -> None:
    kept: Recent[int] = Recent(8)
    for key in range(100):
        kept.put(key, key)
        assert kept.get(0) == 0
        assert len(kept.young) + len(kept.old) <= 9
    assert kept.get(50) is None and kept.get(99) == 99
    large: Recent[str] = Recent(8)
    large.put("large", "value", 100)
    assert large.get("large") == "value"
