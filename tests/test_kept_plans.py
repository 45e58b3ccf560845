"""Plans that another process has made (rushlight.exec.cpu.plans): the same steps, the same bits, and no use where anything is different."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from executors import only
from random_networks import Network

import rushlight as rl
import rushlight.nn.functional as F
from rushlight import nn
from rushlight.exec import realize, threads
from rushlight.exec.cpu import executor, jit, packing, plan_file, plan_key, plans
from rushlight.exec.cpu.plan import Plan, Segment
from rushlight.exec.cpu.steps import KernelStep, LoopStep, PrimitiveStep, Table
from rushlight.ir.program import Program

pytestmark = pytest.mark.skipif(not executor.available(), reason="no compiler on this machine")
HERE = Path(__file__)

TRAINING = """
import sys
import rushlight as rl
from rushlight import nn
from rushlight.exec.cpu import plans
rl.manual_seed(0)
block = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2))
model = nn.Sequential(block(3, 16), block(16, 32), block(32, 32), nn.Flatten(), nn.Dropout(0.1), nn.Linear(128, 10))
optimizer = rl.optim.AdamW(model.parameters())
x, y = rl.randn(8, 3, 16, 16), rl.arange(8)
losses = []
for _ in range(3):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item().hex())
losses.append(model.eval()(x).sum().item().hex())
print(*losses, plans.KEPT.kept, plans.KEPT.loaded, "llvmlite.ir" in sys.modules, "rushlight.exec.cpu.emit" in sys.modules)
"""


def trained(folder: Path, **environment: str) -> tuple[list[str], int, int, list[str]]:
    """Losses of a network in a new process, how many plans it kept and loaded, and whether it loaded what writes code."""
    environment = {"OMP_NUM_THREADS": "2", "RUSHLIGHT_KEEP_PLANS": "1", **environment}
    done = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True, cwd=folder.parent,
                          env={**os.environ, "RUSHLIGHT_CACHE_DIR": str(folder), "PYTHONPATH": str(HERE.parents[1]), **environment})
    *losses, kept, loaded, builder, writer = done.stdout.split()
    return losses, int(kept), int(loaded), [builder, writer]


def test_a_second_process_has_the_plans_of_the_first(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first, kept, loaded, _ = trained(cache)
    assert (kept, loaded) == (3, 0)  # the first step, the others, and inference
    files = list((cache / "plans").rglob("*"))
    assert sum(f.is_file() for f in files) == kept
    assert all(f.stat().st_mode & 0o077 == 0 for f in files)
    second, more, loaded, code = trained(cache)
    assert (second, more, loaded) == (first, 0, kept)
    assert code == ["False", "False"]  # nothing is written
    assert trained(cache, RUSHLIGHT_KEEP_PLANS="0")[0] == first
    others = trained(cache, OMP_NUM_THREADS="1")
    assert others[2] == 0
    for file in (cache / "kernels").rglob("rl_*"):  # a plan without its code is of no use
        file.unlink()
    again, kept, loaded, _ = trained(cache)
    assert (again, loaded) == (first, 0) and kept >= 1


# --- within one process ----------------------------------------------------------------------------------------------------
@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[plans.Kept]:
    """All plans are kept in a folder of the test's own, and looked for."""
    fresh = plans.Kept()
    fresh.on = True
    monkeypatch.setattr(plans, "KEPT", fresh)
    monkeypatch.setattr(plans, "LEAST", 0)
    monkeypatch.setattr(plans, "LONG", 0.0)
    monkeypatch.setattr(plans, "MOST_MISSES", 1000)
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", str(tmp_path))
    realize.clear_plans()
    with only("cpu"):
        yield fresh
    realize.clear_plans()


def network() -> list[np.ndarray]:
    """A training step, of which plans have generated loops, primitives, products, calls of NumPy and numbers."""
    rl.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(16 * 36, 30), nn.Tanh())
    optimizer = rl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = rl.randn(4, 3, 8, 8)
    for _ in range(2):
        optimizer.zero_grad()
        y = model(x)
        (y * y.sort(1).values).sum().backward()
        optimizer.step()
    return [p.detach().numpy().copy() for p in model.parameters()]


def twice(function: Callable[[], list[np.ndarray]], kept: plans.Kept) -> None:
    """A function's plans are kept at a run and loaded at the next, with the same bits."""
    kept.on = False
    function()  # a backward pass is recorded otherwise once its form is known
    realize.clear_plans()
    kept.on = True
    first = function()
    made = kept.kept
    assert made and not kept.loaded
    realize.clear_plans()
    second = function()
    assert kept.loaded and kept.kept == made
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_training_step(kept: plans.Kept) -> None:
    twice(network, kept)


def test_recurrent_layers_and_attention(kept: plans.Kept) -> None:
    def run() -> list[np.ndarray]:
        rl.manual_seed(1)
        lstm, attention = nn.LSTM(8, 16, 2, batch_first=True), nn.MultiheadAttention(16, 2, batch_first=True)
        table = nn.Embedding(10, 8)
        h = lstm(table(rl.arange(30).reshape(3, 10) % 10))[0]
        y, _ = attention(h, h, h, need_weights=False)
        q = rl.cat([y, h], 1)
        F.scaled_dot_product_attention(q[:, None], q[:, None], q[:, None], is_causal=True).sum().backward()
        return [p.grad.numpy().copy() for m in (lstm, attention, table) for p in m.parameters()]
    twice(run, kept)


def test_a_bad_index_is_told_as_always(kept: plans.Kept) -> None:
    table = rl.randn(50, 20)

    def run(last: int) -> Any:
        return (table[rl.arange(3) + (last - 2)].exp() * 2).sum(1).tolist()
    good = run(3)
    realize.clear_plans()
    assert run(3) == good and kept.loaded
    realize.clear_plans()
    with pytest.raises(IndexError, match="index 50 is out of bounds"):
        run(50)
    assert kept.loaded > 1


def test_what_shows_plans_shows_loaded_ones(kept: plans.Kept, capsys: pytest.CaptureFixture[str]) -> None:
    x, w = rl.randn(70, 80), rl.randn(80, 90)

    def run() -> Any:
        return (x @ w).relu().softmax(1).sum(0)

    def shown() -> tuple[list[str], list[str]]:
        with rl.profile() as p:
            run().tolist()
        titles = [e.title for e in p.events]
        for to in ("kernel", "llvm"):
            rl.explain(run, to=to)
        return titles, capsys.readouterr().out.splitlines()
    first = shown()
    realize.clear_plans()
    assert shown() == first
    assert kept.loaded == 1 and any("product" in title for title in first[0])


def test_files_that_are_of_no_use(kept: plans.Kept, tmp_path: Path) -> None:
    first = network()
    whole: dict[Path, bytes] = {}

    def rewritten(change: Callable[[bytes], bytes]) -> None:
        for f in (tmp_path / "plans").rglob("*"):
            if f.is_file():
                whole.setdefault(f, f.read_bytes())  # what a run leaves alive may differ, and its plans with it
        for f, data in whole.items():
            f.write_bytes(change(data))
        realize.clear_plans()
        kept.loaded = kept.misses = 0
        for a, b in zip(first, network(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert not kept.loaded
        assert any(f.read_bytes() == data for f, data in whole.items())  # they are replaced

    def signed(data: bytes) -> bytes:
        from hashlib import sha256
        return data + sha256(data).digest()
    rewritten(lambda data: data[:100])
    rewritten(lambda data: b"")
    rewritten(lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:])
    rewritten(lambda data: signed(bytes(32) + data[32:-32]))  # another plan's
    rewritten(lambda data: signed(data[:32] + data[32:400]))
    rewritten(lambda data: signed(data[:32] + pickle.dumps({}) + pickle.dumps(({}, os.getcwd)) + pickle.dumps(({}, 0))))
    rewritten(lambda data: signed(data[:32] + pickle.dumps(3)))


def test_only_known_types_are_read() -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.getcwd, ()
    for x in (Evil, os.getcwd, np.zeros(1), eval):
        with pytest.raises(pickle.PicklingError):
            plan_file._written(x, {})
        with pytest.raises(pickle.UnpicklingError):
            plan_file.read(pickle.dumps(getattr(os, "getcwd", None)))


def test_a_folder_that_cannot_be_written(kept: plans.Kept, tmp_path: Path) -> None:
    (tmp_path / "plans").write_text("not a folder")
    first = network()
    realize.clear_plans()
    for a, b in zip(first, network(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not kept.loaded


def test_a_child_uses_what_is_kept(kept: plans.Kept) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    first = network()
    child = os.fork()
    if not child:
        code = 1
        try:
            realize.clear_plans()
            code = 0 if all((a == b).all() for a, b in zip(first, network())) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_process_that_finds_nothing_stops_looking(kept: plans.Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MOST_MISSES", 8)
    for n in range(10, 10 + plans.MOST_MISSES + 5):
        rl.randn(n, 7).exp().sum(1).tolist()
    assert kept.kept == plans.MOST_MISSES


# --- keys ---------------------------------------------------------------------------------------------------------------
def recorded(function: Callable[[], Any]) -> Program:
    """The program of what a function records."""
    found: list[Program] = []
    with pytest.MonkeyPatch.context() as patch, only("cpu"):
        def made(program: Program, *rest: Any) -> Plan:
            found.append(program)
            return Plan(rest[1](), rest[2])
        patch.setattr(plans, "made", made)
        realize.clear_plans()
        function()
        realize.clear_plans()
    return max(found, key=lambda p: len(p.instrs))


def test_equal_programs_have_one_key_and_others_have_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(n: int = 8, way: str = "none", momentum: float = 0.9, dtype: Any = rl.float32) -> Callable[[], Any]:
        def run() -> None:
            w = nn.Parameter(rl.ones(n, n, dtype=dtype))
            optimizer = rl.optim.SGD([w], lr=0.1, momentum=momentum)
            F.gelu(w @ w, way).exp().sum().backward()
            optimizer.step()
            w.detach().tolist()
        return run
    program = recorded(step())
    key = plan_key.key(program, program.donated)
    assert key is not None and len(key) == 32
    assert plan_key.key(recorded(step()), program.donated) == key
    inputs = frozenset(range(len(program.inputs)))
    others = [recorded(step(9)), recorded(step(way="tanh")), recorded(step(momentum=0.0)), recorded(step(dtype=rl.float64)),
              replace(program, donated=inputs - program.donated), replace(program, outputs=program.outputs[:-1])]
    keys = [plan_key.key(p, program.donated) for p in others]
    keys.append(plan_key.key(program, inputs - program.donated))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_chosen", [threads.count() + 1])
        patch.setattr(threads, "_bound", [1 << 30])
        keys.append(plan_key.key(program, program.donated))
    monkeypatch.setattr(threads, "single_library", not threads.single_library)
    keys.append(plan_key.key(program, program.donated))
    monkeypatch.undo()
    monkeypatch.setenv("RUSHLIGHT_CONTRACT", "numpy")
    keys.append(plan_key.key(program, program.donated))
    assert None not in keys
    assert len({key, *keys}) == len(keys) + 1, str([[*keys, key].index(k) for k in [*keys, key]])


def test_functions_of_the_program_have_no_key() -> None:
    from rushlight.ops.table import Op
    program = recorded(lambda: rl.randn(20, 30).exp().sum(1).tolist())
    mine = Op("mine", "map", "x", lambda x: ((x.dtype, x.shape),), numpy=lambda np, x: x)
    first = program.instrs[0]
    nameless = Op("nameless", "map", "x", eval("lambda x: x", {}))
    assert plan_key.key(replace(program, instrs=[replace(first, op=nameless), *program.instrs[1:]]), frozenset()) is None
    assert plan_key.key(replace(program, instrs=[replace(first, op=mine), *program.instrs[1:]]), frozenset()) is None
    assert plan_key.key(replace(program, instrs=[replace(first, attrs=(np.zeros(3),)), *program.instrs[1:]]), frozenset()) is None
    assert plan_key.key(replace(program, instrs=[replace(first, attrs=([1, 2],)), *program.instrs[1:]]), frozenset()) is None


# --- what is loaded -----------------------------------------------------------------------------------------------------
def kernel(entry: tuple[Any, ...]) -> Any:
    """What a kernel or primitive of a segment is, without addresses of this process."""
    if len(entry) == 3:
        bound, places, work = entry
        return repr(bound.primitive), [*bound.memories], [place[1:] for place in places], work
    address, units, work, words, fills, numbers, first = entry
    return address, units, work, [0 if at in numbers else w for at, w in enumerate(words)], fills, numbers, first


def facts(plan: Plan, tables: set[int]) -> Any:
    """All that a plan is."""
    segments = []
    for s in plan.segments:
        if isinstance(s, Segment):
            kernels = [kernel(k) for k in s.kernels]
            kernels = [k if len(k) == 4 else (*k[:3], [0 if w in tables else w for w in k[3]], *k[4:]) for k in kernels]
            segments.append((kernels, s.times, [*map(repr, s.parts)], s.switched, s.steps[::2], [v.key for v, *_ in s.variants.values()],
                             [(p.key, p.value, at) for p, at in s.panels.values()]))
        else:
            segments.append((s.instr.op, s.instr.attrs, s.lead, s.operands, s.results, s.at))
    made = [(at, size, dtype, make.__name__) for at, size, dtype, make in plan.made]
    switches = [(type(s), s.at, s.key, s.variant.value, isinstance(s, packing.Switch) and s.packs is None) for s in plan.switches]
    return (segments, plan.offset, plan.arena, plan.object, plan.taken, made, plan.order, plan.pack.format, plan.places, switches, plan.checked, plan.last,
            plan.objects, plan.numbered, plan.openmp, plan.launcher is None)


def steps_of(plan: Plan) -> Any:
    """The steps, with what their listings say."""
    from rushlight.exec.cpu import listing
    return [(type(s), s.reads(), s.writes(), listing.title(s), listing.flops(s), listing.traffic(s)) for s in plan.steps]


@pytest.mark.parametrize("seed", range(25))
def test_loaded_plans_are_those_that_were_made(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def made(program: Program, changing: frozenset[int], planned: Callable[[], Any], original: Any, anew: bool) -> Plan:
        blueprint = planned()
        text = plan_file.text(blueprint)
        keeps = any(isinstance(s, KernelStep) and s.keep is not None for s in blueprint.steps)
        assert (text is None) == keeps
        slots = [s.slots for s in blueprint.steps if isinstance(s, KernelStep)]
        tables = {x.address for row in slots for x in row if isinstance(x, Table)}
        plan = Plan(blueprint, original)
        if text is None:
            return plan
        loaded = plan_file.read(text + pickle.dumps(blueprint.arena))
        assert loaded is not None
        tables |= {x.address for s in loaded.steps if isinstance(s, KernelStep) for x in s.slots if isinstance(x, Table)}
        other = Plan(loaded, original)
        assert facts(other, tables) == facts(plan, tables)
        assert steps_of(other) == steps_of(plan)
        compared.append({type(s) for s in plan.steps})
        Plan._really_slim(other)  # type: ignore[attr-defined]
        return other
    monkeypatch.setattr(Plan, "_really_slim", Plan._slim, raising=False)
    monkeypatch.setattr(Plan, "_slim", lambda self: None)
    monkeypatch.setattr(plans, "made", made)
    realize.clear_plans()
    drawn = Network(seed)
    with only("cpu"):
        x = rl.randn(*drawn.shape).requires_grad_()
        optimizer = rl.optim.Adam([*drawn.model.parameters(), x])
        for _ in range(2):
            y = drawn.model(x * 1.0)
            y.square().mean().backward()
            optimizer.step()
        with rl.no_grad():
            drawn.model(x).tolist()
    realize.clear_plans()
    assert compared and {LoopStep, PrimitiveStep} & set.union(*compared)
    assert jit.COMPILED.names
