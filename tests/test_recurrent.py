"""Recurrent layers as one operation: against PyTorch, the native kernels against NumPy,
second derivatives, schedules of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight import nn
from rushlight.exec.cpu import executor, host, recurrent, tiles
from rushlight.exec.realize import clear_plans
from rushlight.nn import recurrent as cells
from rushlight.ops.recurrent import Weights, schedule
from rushlight.tensor.functions import recurrent as R

from executors import close_to_numpy

torch = pytest.importorskip("torch")
KINDS = ("LSTM", "GRU", "RNN", "RNN relu")
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
pytestmark = pytest.mark.filterwarnings("ignore:dropout option")


@pytest.fixture(params=["numpy", "native"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One executor for all plans of a test."""
    if request.param == "native" and not executor.available():
        pytest.skip("this machine has no native executor")
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy" if request.param == "numpy" else "")
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    yield request.param
    clear_plans()


def layers(kind: str, *sizes: int, **options: Any) -> tuple[Any, Any]:
    """The same layer under PyTorch and rushlight."""
    name, *nonlinearity = kind.split()
    if nonlinearity:
        options["nonlinearity"] = nonlinearity[0]
    dtype = options.pop("dtype", "float32")
    theirs = getattr(torch.nn, name)(*sizes, **options, dtype=getattr(torch, dtype))
    mine = getattr(rl.nn, name)(*sizes, **options, dtype=getattr(rl, dtype))
    mine.load_state_dict({k: rl.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return theirs, mine


def results(lib: Any, layer: Any, x: np.ndarray[Any, Any], states: list[np.ndarray[Any, Any]],
            lengths: list[int] | None = None) -> list[Any]:
    """Outputs, last states, and the gradients in everything of a loss that reads them all."""
    t = lib.tensor(x, requires_grad=True)
    start = [lib.tensor(s, requires_grad=True) for s in states]
    given_x = t if lengths is None else lib.nn.utils.rnn.pack_padded_sequence(
        t, lengths, batch_first=layer.batch_first, enforce_sorted=False)
    hx = () if not start else (tuple(start) if len(start) > 1 else start[0],)
    y, last = layer(given_x, *hx)
    y = y if lengths is None else y.data
    last = last if isinstance(last, tuple) else (last,)
    loss = (y * y.detach().cos()).sum() + sum((s * s).sum() for s in last)
    loss.backward()
    return [v.detach().numpy() for v in (y, *last, t.grad,
                                         *(p.grad for p in layer.parameters()), *(s.grad for s in start))]


def compare(kind: str, sizes: tuple[int, ...], shape: tuple[int, ...], options: dict[str, Any], states: bool = False,
            lengths: list[int] | None = None) -> None:
    random = np.random.default_rng(7)
    theirs, mine = layers(kind, *sizes, **options)
    dtype = options.get("dtype", "float32")
    x = random.standard_normal(shape).astype(dtype)
    start = []
    if states:
        count = sizes[2] if len(sizes) > 2 else 1
        lead = (count * (2 if options.get("bidirectional") else 1),
                *(() if len(shape) == 2 else (shape[0 if options.get("batch_first") else 1],)))
        widths = (options.get("proj_size") or sizes[1], *((sizes[1],) if kind == "LSTM" else ()))
        start = [random.standard_normal((*lead, w)).astype(dtype) * 0.5 for w in widths]
    for a, b in zip(results(torch, theirs, x, start, lengths), results(rl, mine, x, start, lengths), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=0, atol=TOLERANCE[dtype] * max(1.0, float(np.abs(a).max())))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes, shape, options", [
    ((3, 4), (5, 2, 3), {}),
    ((3, 4), (1, 1, 3), {}),
    ((3, 4), (5, 3), {}),  # one sequence without a batch dimension
    ((3, 20, 2), (5, 7, 3), {"bidirectional": True}),
    ((6, 33, 2), (13, 4, 6), {"bidirectional": True, "batch_first": True, "bias": False}),
    ((5, 64), (3, 9, 5), {"dtype": "float64", "bias": False}),
    ((5, 130), (2, 13, 5), {"batch_first": True}),
])
@pytest.mark.parametrize("states", [False, True])
def test_numbers_and_gradients_are_those_of_pytorch(where: str, kind: str, sizes: Any, shape: Any,
                                                    options: Any, states: bool) -> None:
    compare(kind, sizes, shape, options, states)


@pytest.mark.parametrize("options",
                         [{}, {"bias": False, "bidirectional": True}, {"batch_first": True, "dtype": "float64"}])
def test_projections(where: str, options: dict[str, Any]) -> None:
    compare("LSTM", (3, 5, 2), (4, 6, 3), {"proj_size": 2, **options}, states=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"bidirectional": True},
                                     {"bidirectional": True, "batch_first": True, "dtype": "float64", "bias": False}])
def test_packed_sequences(where: str, kind: str, options: dict[str, Any]) -> None:
    shape = (8, 6, 3) if options.get("batch_first") else (6, 8, 3)
    compare(kind, (3, 19, 2), shape, dict(options), states=True, lengths=[2, 6, 1, 3, 6, 4, 1, 5])


@pytest.mark.parametrize("way", ["transposed", "strided"])
def test_weights_in_any_memory_order(where: str, way: str) -> None:
    """Weights that are views: the panels read them by their strides."""
    random = np.random.default_rng(0)
    x, h, c = (random.standard_normal(s).astype("float32") for s in ((4, 3, 7), (3, 21), (3, 21)))
    flat = [random.standard_normal((84, n)).astype("float32") for n in (7, 21)]

    def view(a: np.ndarray[Any, Any]) -> Any:
        if way == "transposed":
            return rl.tensor(np.ascontiguousarray(a.T)).t()
        wide = rl.zeros(a.shape[0], 2 * a.shape[1])
        wide[:, ::2] = rl.tensor(a)
        return wide[:, ::2]
    used = [[rl.tensor(a).requires_grad_() for a in flat], [view(a).detach().requires_grad_() for a in flat]]
    found = []
    for weights in used:
        y, _, _ = R.lstm_layer(rl.tensor(x), rl.tensor(h), rl.tensor(c), Weights(*weights), None, False)
        y.square().sum().backward()
        found.append([y.detach().numpy(), *(w.grad.numpy() for w in weights)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * float(np.abs(a).max()))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(KINDS), st.integers(1, 4), st.integers(1, 9), st.integers(1, 5),
       st.integers(1, 40), st.booleans(), st.data())
def test_the_native_kernels_agree_with_numpy(kind: str, steps: int, batch: int, inputs: int, hidden: int,
                                             reverse: bool, data: Any) -> None:
    if not executor.available():
        pytest.skip("this machine has no native executor")
    name = kind.split()[0].lower()
    sizes = data.draw(st.none() | st.lists(st.integers(1, batch), min_size=steps, max_size=steps).map(
        lambda n: tuple(sorted(n, reverse=True))))
    random = np.random.default_rng(steps * 100 + hidden)
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[name]
    count = batch if sizes is None else sizes[0]
    shape = (steps, batch, inputs) if sizes is None else (sum(sizes), inputs)
    arrays = [random.standard_normal(s).astype("float32") * 0.5
              for s in (shape, *((count, hidden),) * (2 if name == "lstm" else 1), (gates * hidden, inputs),
                        (gates * hidden, hidden), (gates * hidden,), (gates * hidden,))]

    def run() -> list[Any]:
        clear_plans()
        args = [rl.tensor(a, requires_grad=True) for a in arrays]
        states = 2 if name == "lstm" else 1
        w = Weights(*args[1 + states:])
        mode = (kind.split()[-1] if " " in kind else "tanh",) if name == "rnn" else ()
        outs = getattr(R, f"{name}_layer")(*args[:1 + states], w, *mode, sizes, reverse)
        sum((o * o).sum() for o in outs).backward()
        return [v.detach().numpy() for v in (*outs, *(a.grad for a in args))]

    close_to_numpy(run)


def test_layers_run_natively_in_one_step_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither direction falls back to NumPy, whatever the memory order of input and gradient."""
    if not executor.available():
        pytest.skip("this machine has no native executor")
    seen: list[tuple[str, bool]] = []
    original = recurrent.recurrent_steps

    def spy(instr: Any, new_value: Any) -> Any:
        steps = original(instr, new_value)
        if instr.op.name in recurrent.NAMES:
            seen.append((instr.op.name, steps is not None))
        return steps
    monkeypatch.setattr(recurrent, "recurrent_steps", spy)
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    layer = rl.nn.LSTM(3, 4, batch_first=True)
    layer(rl.ones(2, 5, 3))[0].sum().backward()
    assert layer.weight_hh_l0.grad.shape == (16, 4)
    layer.weight_hh_l0.grad.numpy()
    assert sorted(seen) == [("lstm_layer", True), ("lstm_layer_grad", True)]
    clear_plans()


def test_a_thread_more_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    if not executor.available():
        pytest.skip("this machine has no native executor")
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    rl.manual_seed(0)
    layer, x = rl.nn.GRU(40, 50, bidirectional=True), rl.randn(9, 13, 40)

    def run() -> list[bytes]:
        layer.zero_grad()
        y, h = layer(x)
        (y.sum() + h.sum()).backward()
        return [t.detach().numpy().tobytes() for t in (y, h, *(p.grad for p in layer.parameters()))]
    count = rl.get_num_threads()
    try:
        rl.set_num_threads(1)
        one = run()
        rl.set_num_threads(3)
        assert run() == one
    finally:
        rl.set_num_threads(count)
        clear_plans()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [16, 32])
def test_narrower_vector_registers(kind: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code for other processors."""
    if not executor.available() or width > host.vector_bytes():
        pytest.skip("this machine has no such registers")
    monkeypatch.setattr(tiles, "vector_bytes", lambda: width)
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    compare(kind, (3, 11, 2), (4, 5, 3), {"bidirectional": True}, states=True)
    clear_plans()


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_a_gradient(kind: str) -> None:
    theirs, mine = layers(kind, 2, 3, bidirectional=True, dtype="float64")
    x = np.random.default_rng(1).standard_normal((3, 2, 2))

    def second(lib: Any, layer: Any) -> list[Any]:
        t = lib.tensor(x, requires_grad=True)
        y, _ = layer(t)
        g, = lib.autograd.grad((y * y).sum(), t, create_graph=True)
        return [v.numpy() for v in lib.autograd.grad((g * g).sum(), [t, *layer.parameters()])]
    for a, b in zip(second(torch, theirs), second(rl, mine), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_decompositions_give_the_same_numbers(kind: str, packed: bool) -> None:
    """The small operations, forwards and backwards, against the kernels of NumPy."""
    from rushlight.exec.numpy.kernels import KERNELS
    from rushlight.ops.table import TABLE
    from rushlight.tensor.core import functions
    random = np.random.default_rng(3)
    name = kind.split()[0].lower()
    gates, states = {"lstm": (4, 2), "gru": (3, 1), "rnn": (1, 1)}[name]
    sizes = (4, 3, 3, 1) if packed else None
    shape = (11, 2) if packed else (3, 4, 2)
    arrays = [random.standard_normal(s)
              for s in (shape, *((4, 5),) * states, (gates * 5, 2), (gates * 5, 5), (gates * 5,), (gates * 5,))]
    attrs = (*((kind.split()[-1] if " " in kind else "tanh",) if name == "rnn" else ()),
             sizes, True, *((True,) if name != "rnn" else ()))
    row, back = TABLE[f"{name}_layer"], TABLE[f"{name}_layer_grad"]
    made = KERNELS[row.name](*arrays, *attrs)
    parts = row.decompose(functions(), *map(rl.tensor, arrays), *attrs)
    for a, b in zip(made, parts, strict=True):
        np.testing.assert_allclose(b.numpy(), a, rtol=1e-12, atol=1e-12)
    saved = {"lstm": (arrays[2], made[3], made[4]) if name == "lstm" else (),
             "gru": (arrays[1], made[0], made[2 % len(made)]), "rnn": (made[0],)}[name]
    operands = [random.standard_normal(m.shape) for m in made[:1 + states]] + [*saved, arrays[2 + states]]
    attrs = attrs if name == "rnn" else attrs[:-1]
    for a, b in zip(KERNELS[back.name](*operands, *attrs),
                    back.decompose(functions(), *map(rl.tensor, operands), *attrs), strict=True):
        np.testing.assert_allclose(b.numpy(), a, rtol=1e-12, atol=1e-12)


def test_vmap_and_functional_gradients() -> None:
    layer = rl.nn.LSTM(2, 3, dtype=rl.float64)
    xs = rl.tensor(np.random.default_rng(0).standard_normal((4, 5, 2, 2)))
    together = rl.func.vmap(lambda x: layer(x)[0])(xs)
    np.testing.assert_allclose(together.detach().numpy(),
                               np.stack([layer(x)[0].detach().numpy() for x in xs]), atol=1e-12)
    grads = rl.func.vmap(rl.func.grad(lambda x: (layer(x)[0] ** 2).sum()))(xs)
    for x, g in zip(xs, grads):
        t = x.clone().requires_grad_()
        (layer(t)[0] ** 2).sum().backward()
        np.testing.assert_allclose(g.detach().numpy(), t.grad.numpy(), atol=1e-12)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.booleans())
def test_every_row_has_one_step_and_one_step_before(counts: list[int], reverse: bool) -> None:
    sizes = tuple(sorted(counts, reverse=True))
    steps = schedule((sum(sizes), 1), sizes, reverse)
    assert sorted(r for s in steps for r in range(s.first, s.first + s.count)) == list(range(sum(sizes)))
    for before, step in zip([None, *steps], steps):
        assert step.had == (0 if before is None else min(before.count, step.count))
        if before is not None:
            assert step.before == before.first


def test_errors_are_those_of_pytorch() -> None:
    for call in (lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(0, 2, 3)),
                 lambda lib: lib.nn.GRU(3, 4, batch_first=True)(lib.zeros(2, 0, 3))):
        with pytest.raises(RuntimeError) as theirs:
            call(torch)
        with pytest.raises(RuntimeError) as mine:
            call(rl)
        assert str(theirs.value).splitlines()[0] in str(mine.value)


def test_inference_saves_nothing() -> None:
    with rl.no_grad():
        y, _ = rl.nn.LSTM(3, 4)(rl.ones(2, 1, 3))
    node = y._storage.cell.node
    assert node is not None and len(node.outs) == 3
    y, _ = rl.nn.LSTM(3, 4)(rl.ones(2, 1, 3))
    assert len(y._storage.cell.node.outs) == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("rows", "inputs", "hidden", "batch", "steps", "index"), [(20, 10, 24, 7, 9, "int64"), (80, 100, 64, 16, 12, "int32"), (5, 3, 5, 4, 4, "int64"),
                                                                                  (1, 1, 1, 1, 2, "int64")])
def test_inputs_that_are_rows_of_a_table(monkeypatch: pytest.MonkeyPatch, kind: str, dtype: str, batch_first: bool, rows: int, inputs: int, hidden: int,
                                         batch: int, steps: int, index: str) -> None:
    """One product for each row of an embedding's table, and the bits of one for each step of each sequence; gradients too."""
    if not executor.available():
        pytest.skip("this machine has no native executor")
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    rl.manual_seed(0)
    name, *nonlinearity = kind.split()
    options = {"nonlinearity": nonlinearity[0]} if nonlinearity else {}
    layer = getattr(rl.nn, name)(inputs, hidden, 2, batch_first=batch_first, bidirectional=True, dtype=getattr(rl, dtype), **options)
    table = rl.nn.Embedding(rows, inputs, dtype=getattr(rl, dtype))
    where = rl.randint(rows, (batch, steps) if batch_first else (steps, batch)).to(getattr(rl, index))

    def outputs(realized: bool) -> rl.Tensor:
        x = table(where)
        if realized:  # the layer reads a value that is there, whose origin nobody knows
            x.sum().item()
        return layer(x)[0]

    def gradients(realized: bool) -> list[Any]:
        table.zero_grad()
        layer.zero_grad()
        outputs(realized).square().sum().backward()
        return [p.grad.numpy().copy() for p in (*table.parameters(), *layer.parameters())]
    with rl.no_grad():
        with rl.profile() as profile:
            found = outputs(False).numpy().copy()
        assert str(profile).count("of rows") >= 2, str(profile)
        np.testing.assert_array_equal(found, outputs(True).numpy())
    for mine, other in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_number_that_is_no_row_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedding is gone from the plan, its check is not."""
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    layer, table = rl.nn.LSTM(4, 8), rl.nn.Embedding(5, 4)
    for bad in (5, -1, 1 << 50):
        where = rl.zeros(6, 3, dtype=rl.int64)
        where[5, 2] = bad - 1
        with rl.no_grad(), pytest.raises(IndexError, match="index out of range"):
            layer(table(where + 1))[0].sum().item()


def test_outputs_that_are_read_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy between a layer of batch_first and a linear layer in inference, and the same numbers."""
    if not executor.available():
        pytest.skip("this machine has no native executor")
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    for kind in ("LSTM", "GRU", "RNN"):
        layer, out = getattr(rl.nn, kind)(5, 24, batch_first=True), rl.nn.Linear(24, 3)
        x = rl.randn(7, 6, 5)
        with rl.no_grad():
            with rl.profile() as profile:
                found = out(layer(x)[0]).numpy().copy()
            assert "copy [7, 6, 24]" not in str(profile) and "recurrent" in str(profile), str(profile)
            y = layer(x)[0]
            y.sum().item()
            np.testing.assert_array_equal(found, out(y).numpy())
            both = layer(x)[0]  # read as it is beside
            np.testing.assert_array_equal((out(both).sum() + both.sum()).numpy(), (out(y).sum() + y.sum()).numpy())


# --- cells ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["GRUCell", "LSTMCell", "RNNCell"])
@pytest.mark.parametrize("hidden", [5, cells.MOST_HIDDEN + 8])  # small ones are layers of one step
@pytest.mark.parametrize("bias", [True, False])
def test_cells_are_pytorchs(kind: str, hidden: int, bias: bool) -> None:
    rng = np.random.default_rng(0)
    x, h, c = (rng.standard_normal(shape) for shape in ((4, 3, 6), (3, hidden), (3, hidden)))
    both = [getattr(lib.nn, kind)(6, hidden, bias=bias, dtype=lib.float64) for lib in (torch, rl)]
    both[1].load_state_dict({k: rl.tensor(v.numpy()) for k, v in both[0].state_dict().items()})
    found = []
    for lib, cell in zip((torch, rl), both):
        xs, start = lib.tensor(x, requires_grad=True), [lib.tensor(v, requires_grad=True) for v in (h, c)]
        now: Any = tuple(start) if kind == "LSTMCell" else start[0]
        for t in range(4):
            now = cell(xs[t], now)
        total = (now[0] * now[1].cos()).sum() if kind == "LSTMCell" else now.square().sum()
        grads = lib.autograd.grad(total, [xs, start[0], *cell.parameters()], create_graph=True)
        second = lib.autograd.grad(grads[0].sin().sum(), [start[0], *cell.parameters()])
        found.append([v.detach().numpy() for v in (total, *grads, *second)])
    for want, have in zip(*found, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", ["GRUCell", "LSTMCell"])
def test_a_small_cell_is_one_operation(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    cell, x = getattr(nn, kind)(4, 8), rl.randn(2, 4)
    state = (rl.zeros(2, 8), rl.zeros(2, 8)) if kind == "LSTMCell" else rl.zeros(2, 8)
    with rl.no_grad():
        rl.explain(cell, x, state)
    recorded = capsys.readouterr().out.split("return")[0]
    assert recorded.count("_layer(") == 1 and "sigmoid(" not in recorded


@pytest.mark.parametrize("kind", ["GRUCell", "LSTMCell", "RNNCell"])
def test_sizes_of_cells_are_checked(kind: str) -> None:
    def state(lib: Any, *shape: int) -> Any:
        return (lib.ones(*shape), lib.ones(*shape)) if kind == "LSTMCell" else lib.ones(*shape)
    mistakes: list[Callable[[Any, Any], Any]] = [lambda lib, cell: cell(lib.ones(3, 4)), lambda lib, cell: cell(lib.ones(3, 5), state(lib, 2, 8)),
                                                 lambda lib, cell: cell(lib.ones(3, 5), state(lib, 3, 7)), lambda lib, cell: cell(lib.ones(4)),
                                                 lambda lib, cell: cell(lib.ones(3, 5).double())]
    for mistake in mistakes:
        told = []
        for lib in (torch, rl):
            with pytest.raises(RuntimeError) as error:
                mistake(lib, getattr(lib.nn, kind)(5, 8))
            told.append(str(error.value))
        assert told[1].startswith(told[0])
