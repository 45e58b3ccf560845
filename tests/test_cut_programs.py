"""Programs whose sizes keep changing are cut into parts that other plans have planned already."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from executors import only

import rushlight as rl
from rushlight import nn
from rushlight.exec import apart, cuts, realize
from rushlight.exec.cpu import executor
from rushlight.ir.dtype import float32
from rushlight.ir.graph import SCALARS
from rushlight.ir.program import Instr, Operand, Program
from rushlight.ir.spec import spec
from rushlight.ops.table import TABLE

F = nn.functional
Arrays = list[np.ndarray[Any, Any]]


class Layer(nn.Module):
    """A transformer's layer that may be given the keys and values of what came before."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.behind = nn.LayerNorm(16), nn.LayerNorm(16)
        self.together, self.out, self.up, self.down = nn.Linear(16, 48), nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x: Any, kept: Any = None) -> Any:
        q, k, v = (t.view(*x.shape[:2], 2, 8).transpose(1, 2) for t in self.together(self.before(x)).chunk(3, -1))
        if kept is not None:
            k, v = rl.cat([kept[0], k], 2), rl.cat([kept[1], v], 2)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=kept is None)
        x = x + self.out(seen.transpose(1, 2).reshape(*x.shape))
        return x + self.down(F.gelu(self.up(self.behind(x)))), (k, v)


class Transformer(nn.Module):
    """A language model of a few layers."""

    def __init__(self, layers: int = 8) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(30, 16), nn.Linear(16, 30)
        self.layers = nn.ModuleList([Layer() for _ in range(layers)])

    def forward(self, tokens: Any, kept: Any = None) -> Any:
        h, new = self.words(tokens), []
        for at, layer in enumerate(self.layers):
            h, pair = layer(h, None if kept is None else kept[at])
            new.append(pair)
        return self.head(h), new


def text(keep: bool) -> Arrays:
    """Logits of 14 tokens, each chosen by the one before; of one or of all tokens at once."""
    model, tokens, kept, found = Transformer(), rl.tensor([[3]]), None, []
    with rl.no_grad():
        for _ in range(14):
            logits, new = model(tokens if kept is None else tokens[:, -1:], kept)
            kept = new if keep else None
            tokens = rl.cat([tokens, logits[:, -1].argmax(-1, keepdim=True)], 1)
            found.append(logits.numpy())
    return found


def language_model() -> Arrays:
    """Trained on texts of other lengths at each step."""
    model = Transformer()
    optimizer = rl.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for n in range(3, 12):
        tokens = rl.randint(0, 30, (2, n))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(tokens[:, :-1])[0].flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [np.array(losses), *[p.detach().numpy().copy() for p in model.parameters()]]


def experts() -> Arrays:
    """A mixture of experts, each with as many samples as the gate chooses."""
    gate, several = nn.Linear(8, 4), nn.ModuleList([nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(4)])
    parameters = [*gate.parameters(), *several.parameters()]
    optimizer = rl.optim.SGD(parameters, lr=0.1, momentum=0.9)
    for _ in range(10):
        x = rl.randn(24, 8)
        weights, chosen = gate(x).softmax(-1).topk(2, -1)
        out = rl.zeros_like(x)
        for at, expert in enumerate(several):
            rows, place = (chosen == at).nonzero(as_tuple=True)
            out = out.index_add(0, rows, expert(x[rows]) * weights[rows, place].unsqueeze(1))
        optimizer.zero_grad()
        F.mse_loss(out, x.flip(1)).backward()
        optimizer.step()
    return [p.detach().numpy().copy() for p in parameters]


def changed_in_place() -> Arrays:
    """Batches of other sizes, with writes in place, statistics of batches, and numbers that change."""
    layers = nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh())])
    found = []
    for n in range(2, 10):
        x = rl.randn(n, 6)
        y = layers(x)
        y[0].mul_(n / 2)
        x += y.detach()
        found += [(y * n).detach().numpy(), x.numpy().copy()]
    return [*found, *[b.numpy().copy() for b in layers.buffers()]]


WORKLOADS: dict[str, Callable[[], Arrays]] = {
    "kept keys": lambda: text(True), "whole texts": lambda: text(False), "language model": language_model, "experts": experts,
    "in place": changed_in_place}


@pytest.fixture
def planned() -> Iterator[list[apart.Apart]]:
    """The plans in parts that were made."""
    found: list[apart.Apart] = []

    class Noted(apart.Apart):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.cut = len(self.parts)
            found.append(self)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "Apart", Noted)
        yield found
    realize.clear_plans()


def between(instrs: Sequence[Instr]) -> list[int | None]:
    return cuts._crossing([cuts.row(i) for i in instrs])


def run(workload: Callable[[], Arrays]) -> Arrays:
    realize.clear_plans()
    rl.manual_seed(0)
    with only("cpu"):
        return workload()


def whole(workload: Callable[[], Arrays]) -> Arrays:
    """The numbers of plans that are never cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "slots", lambda *_: [])
        found = run(workload)
        assert not any(isinstance(p, apart.Apart) for p in realize._plans.values())
        return found


@pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
@pytest.mark.parametrize("name", WORKLOADS)
def test_parts_give_the_bits_of_one_plan(name: str, planned: list[apart.Apart]) -> None:
    found = run(WORKLOADS[name])
    assert name == "in place" or max(p.cut for p in planned) > 2
    for a, b in zip(found, whole(WORKLOADS[name]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", WORKLOADS)
def test_any_cut_gives_the_same_bits(name: str, seed: int, planned: list[apart.Apart], monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)

    def anywhere(instrs: Sequence[Instr], fixed: Sequence[bool]) -> list[int]:
        crossing = between(instrs)
        return [at for at in range(1, len(instrs)) if crossing[at] is not None and draw.random() < 0.3]
    monkeypatch.setattr(apart, "cuts", anywhere)
    monkeypatch.setattr(apart, "OFTEN", 2)
    found = run(WORKLOADS[name])
    assert max(p.cut for p in planned) > 4
    for a, b in zip(found, whole(WORKLOADS[name]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
def test_layers_and_what_keeps_its_sizes_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    inner = executor.compile_program
    monkeypatch.setattr(executor, "compile_program", lambda program, *rest: lengths.append(len(program.instrs)) or inner(program, *rest))
    run(lambda: text(True))
    assert max(lengths[-6:]) == 3  # of a token only two concatenations and their attention, once for all layers
    lengths.clear()
    run(lambda: text(False))
    assert max(lengths[-6:]) < 32  # a layer or two, once


def test_a_window_is_what_a_part_reads() -> None:
    whole, row = spec(float32, (6, 4)), spec(float32, (4,), (1,), 8)
    instrs = [Instr(TABLE["exp"], (Operand(0, row),), (), (2,), (spec(float32, (4,)),)),
              Instr(TABLE["sin"], (Operand(0, spec(float32, (4,), (1,), 16)),), (), (3,), (spec(float32, (4,)),)),
              Instr(TABLE["exp"], (Operand(1, whole),), (), (4,), (whole,))]
    program = Program([spec(float32, (24,))] * 2, instrs, (2, 3, 4), frozenset(), 5)
    first, second = apart.slots(program, instrs, [2])
    types = apart._types(program, instrs)
    assert apart.windows_of(first, instrs, types, set()) == {0: (8, 20)} and apart.windows_of(second, instrs, types, set()) == {}
    assert apart.windows_of(first, instrs, types, {0}) == {}  # what it may overwrite it is given whole
    piece = apart._piece(first, program, instrs, types, set())
    made = piece.program(instrs[first.instrs])
    made.verify()
    assert piece.windows == [(8, 20)] and [o.spec.offset for i in made.instrs for o in i.operands] == [0, 8] and piece.key is not None


def test_a_packed_program_is_the_program() -> None:
    instrs = branched(3 * LAYER, 10)
    program = Program([spec(float32, (4,))], instrs, (len(instrs),), frozenset({0}), len(instrs) + 1)
    again = Program.unpacked(program.packed())
    assert again == program and again.instrs is not program.instrs


@pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
def test_an_error_in_a_part_leaves_all_as_it_was() -> None:
    realize.clear_plans()
    rl.manual_seed(0)
    with only("cpu"):
        model = Transformer(3)
        table = rl.randn(30, 16)

        def step(n: int, bad: int = 0) -> float:
            tokens = rl.randint(0, 30, (2, n))
            places = tokens + bad
            with rl.no_grad():
                h = model.words(tokens)
                for at, layer in enumerate(model.layers):
                    h = layer(h)[0] + (table[places] if at == 1 else 0.0)
                table.mul_(0.5)
                return float(h.sum().item())
        for n in range(3, 9):
            step(n)
        before = table.numpy().copy()
        with pytest.raises(IndexError):
            step(9, 30)
        np.testing.assert_array_equal(table.numpy(), before)
        assert np.isfinite(step(10))
        np.testing.assert_array_equal(table.numpy(), before * np.float32(0.5))


@pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
def test_an_error_leaves_running_statistics_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "cuts", lambda instrs, fixed: [at for at in range(1, len(instrs)) if between(instrs)[at] is not None])
    realize.clear_plans()
    rl.manual_seed(0)
    with only("cpu"):
        model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
        optimizer = rl.optim.Adam(model.parameters(), lr=0.1)

        def step(n: int, factor: int = 1) -> float:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(rl.randn(n, 4)), rl.arange(n) % 3 * factor)
            loss.backward()
            optimizer.step()
            return float(loss.item())
        for n in range(4, 9):
            step(n)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        assert all(v.isfinite().all() for v in before.values())
        with pytest.raises(IndexError, match="Target 50 is out of bounds"):
            step(9, 50)
        assert all(rl.equal(v, before[k]) for k, v in model.state_dict().items())
        assert np.isfinite(step(10))


@pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
def test_packed_weights_serve_parts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(128, 128), nn.Tanh(), nn.LayerNorm(128), nn.GELU(), nn.Softmax(-1))])

    def batches() -> Arrays:
        with rl.no_grad():
            return [model(rl.ones(n, 128)).numpy() for n in range(16, 30)]
    found = run(batches)
    cell = model[0].weight._storage.cell
    assert cell.packed  # by plans that ran once each
    for a, b in zip(found, whole(batches), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
def test_threads_that_plan_programs_of_one_form() -> None:
    rl.manual_seed(0)
    model, texts = Transformer(6), {n: rl.randint(0, 30, (1, n)) for n in range(2, 30)}

    def logits(n: int) -> np.ndarray[Any, Any]:
        with rl.no_grad():
            return model(texts[n])[0].numpy()
    wanted = dict(zip(texts, whole(lambda: [logits(n) for n in texts])))
    with only("cpu"):
        found: list[tuple[int, np.ndarray[Any, Any]]] = []

        def work(seed: int) -> None:
            for n in random.Random(seed).sample(list(texts), len(texts)):
                found.append((n, logits(n)))
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert any(isinstance(p, apart.Apart) for p in realize._plans.values())
    assert len(found) == 4 * len(texts)
    for n, got in found:
        np.testing.assert_array_equal(got, wanted[n])


# --- where programs are cut -----------------------------------------------------------------------------------------
def chain(*names: str) -> list[Instr]:
    """Operations of one operand, each on the result of the one before; input 0 is the first operand."""
    s = spec(float32, (4,))
    return [Instr(TABLE[name], (Operand(at, s),), (), (at + 1,), (s,)) for at, name in enumerate(names)]


LAYER = ("exp", "sin", "cos", "tanh", "abs", "neg", "sqrt", "floor", "ceil", "exp")


def branched(names: Sequence[str], join: int) -> list[Instr]:
    """The same with a second value that goes along, but for every so many operations."""
    instrs = chain(*names)
    for at, i in enumerate(instrs):
        if at % join and at % join < join - 1 and at > 1:
            first = Operand(at - at % join, i.operands[0].spec)
            instrs[at] = Instr(TABLE["add"], (*i.operands, first), (), i.results, i.outs)
    return instrs


def test_repetitions_are_cut_at_the_same_places() -> None:
    for before in range(4):
        instrs = branched([*("sigmoid",) * before * 10, *9 * LAYER, "round", "trunc"], 10)
        at = cuts.seams([cuts.row(i) for i in instrs])
        assert len(at) >= 7 + before and {b - a for a, b in zip(at, at[1:])} == {10}
        assert cuts.cuts(instrs, [False] * len(instrs)) == at


def test_what_keeps_its_sizes_is_cut_off() -> None:
    names = ["exp", "sin", "cos", "tanh", "abs", "neg", "sqrt", "floor", "ceil", "log", "round", "trunc"]
    draw = random.Random(0)
    instrs = chain(*[draw.choice(names) for _ in range(40)])
    fixed = [not 17 <= at < 20 for at in range(40)]
    assert cuts.cuts(instrs, fixed) == [17, 20]


def test_little_is_not_cut() -> None:
    assert cuts.cuts(chain(*LAYER), [False] * 10) == []
    assert cuts.cuts(chain(*2 * LAYER), [False] * 20) == []  # would save one millisecond


def test_numbers_are_handed_on_by_no_part() -> None:
    s, number = spec(float32, (4,)), SCALARS[float]
    instrs = branched(12 * LAYER, 10)
    instrs[15] = Instr(TABLE["neg"], (Operand(1, s),), (), (16,), (number,))
    instrs[16] = Instr(TABLE["neg"], (Operand(15, s),), (), (17,), (s,))
    instrs[44] = Instr(TABLE["mul"], (Operand(44, s), Operand(16, number)), (), (45,), (s,))
    at = cuts.cuts(instrs, [False] * len(instrs))
    assert at and not any(15 < x <= 44 for x in at)
    program = Program([s], instrs, (len(instrs),), frozenset(), len(instrs) + 1)
    assert apart.slots(program, instrs, at) and not apart.slots(program, instrs, [30])


def test_convolutions_stay_together() -> None:
    instrs = branched(9 * LAYER, 10)
    assert cuts.cuts(instrs, [False] * 90)
    instrs[5].op = TABLE["convolution"]
    assert cuts.cuts(instrs, [False] * 90) == []
