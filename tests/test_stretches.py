"""Long programs of another form each time run as stretches that others have had, with the same bits."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from executors import only

import rushlight as rl
from rushlight import nn
from rushlight.exec import realize, stretches
from rushlight.exec.cpu import executor

pytestmark = pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
F = nn.functional
Arrays = list[np.ndarray[Any, Any]]


class Recurrence(nn.Module):
    """An encoder and a decoder of cells, for loops over texts."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.reads, self.writes, self.head = nn.Embedding(12, 8), nn.GRUCell(8, 8), nn.LSTMCell(8, 8), nn.Linear(8, 12)

    def forward(self, x: Any, y: Any) -> Any:
        h, loss = rl.zeros(1, 8), 0
        for at in range(len(x)):
            h = self.reads(self.words(x[at:at + 1]), h)
        state = h, h
        for at in range(len(y)):
            state = self.writes(self.words(y[at - 1:at or None]), state)
            loss = loss + F.nll_loss(F.log_softmax(self.head(state[0]), 1), y[at:at + 1])
        return loss


def loops_over_texts() -> Arrays:
    """Other lengths each time, and with them other operations."""
    model = Recurrence()
    optimizer = rl.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for n, m in ((9, 8), (7, 12), (11, 10), (8, 11), (13, 9), (12, 12), (10, 7), (14, 8)):
        optimizer.zero_grad()
        loss = model(rl.randint(0, 12, (n,)), rl.randint(0, 12, (m,)))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [np.array(losses), *[p.detach().numpy().copy() for p in model.parameters()]]


def episodes() -> Arrays:
    """An actor and a critic on episodes of other lengths each time: sampled, read one by one, with numbers that never come again."""
    draw = random.Random(0)
    body, actor, critic = nn.Linear(4, 16), nn.Linear(16, 2), nn.Linear(16, 1)
    parameters = [p for m in (body, actor, critic) for p in m.parameters()]
    optimizer, found = rl.optim.Adam(parameters, lr=0.01), []
    for length in (15, 12, 19, 14, 17, 13, 21, 16, 11, 20):
        total = []
        for _ in range(length):
            h = F.relu(body(rl.tensor([draw.random() for _ in range(4)])))
            choice, value = rl.distributions.Categorical(F.softmax(actor(h), -1)), critic(h)
            action = choice.sample()
            gain = draw.random() + action.item()
            total += [-choice.log_prob(action) * (gain - value.item()), F.smooth_l1_loss(value, rl.tensor([gain]))]
        optimizer.zero_grad()
        rl.stack(total).sum().backward()
        optimizer.step()
        found.append(np.array([t.item() for t in total]))
    return [*found, *[p.detach().numpy().copy() for p in parameters]]


def rows_and_writes() -> Arrays:
    """Rows of matrices of all sizes, writes in place into parts of them, and memory that is shared with NumPy."""
    draw, found = random.Random(1), []
    shared = np.zeros(8, np.float32)
    sums = rl.from_numpy(shared)
    for _ in range(12):
        n = draw.randrange(24, 40)
        x, w = rl.randn(n, 8), rl.randn(8, requires_grad=True)
        out = rl.zeros(n, 8)
        state, norm = rl.zeros(8), 0
        for at in range(n):
            state = (state * 0.5 + x[at] * w).tanh()
            out[at] = state.detach() * draw.random()
            out[at, 2:5].mul_(2)
            norm = norm + (state * state).sum() + (state * x[n - 1 - at]).sum()
        sums += out.sum(0)
        norm.backward()
        found += [out.numpy().copy(), w.grad.numpy().copy(), shared.copy(), state.detach().numpy().copy()]
    return found


WORKLOADS: dict[str, Callable[[], Arrays]] = {"texts": loops_over_texts, "episodes": episodes, "rows": rows_and_writes}


@pytest.fixture
def lengths() -> Iterator[list[int]]:
    """How many nodes each stretch had that ran."""
    found: list[int] = []
    inner = stretches.Stretch.compute

    def compute(self: Any, part: Any, *rest: Any) -> None:
        found.append(len(part.nodes))
        inner(self, part, *rest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches.Stretch, "compute", compute)
        yield found
    realize.clear_plans()


def run(workload: Callable[[], Any]) -> Any:
    realize.clear_plans()
    rl.manual_seed(0)
    with only("cpu"):
        return workload()


def whole(workload: Callable[[], Any]) -> Any:
    """What plans of whole graphs give."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "ending", lambda *_: 0)
        return run(workload)


@pytest.mark.parametrize("name", WORKLOADS)
def test_stretches_give_the_bits_of_one_plan(name: str, lengths: list[int]) -> None:
    found = run(WORKLOADS[name])
    assert sum(lengths) > 500
    del lengths[:]
    for a, b in zip(found, whole(WORKLOADS[name]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not lengths


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", WORKLOADS)
def test_any_cut_gives_the_same_bits(name: str, seed: int, lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    monkeypatch.setattr(stretches, "seams", lambda rows: [at for at in range(1, len(rows)) if draw.random() < 0.3])
    monkeypatch.setattr(stretches, "LONG", 4)
    monkeypatch.setattr(stretches, "FORMS", 0)
    found = run(WORKLOADS[name])
    assert len(lengths) > 100
    for a, b in zip(found, whole(WORKLOADS[name]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_loops_of_other_lengths_are_made_of_the_same_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[int] = []
    inner = executor.compile_program
    monkeypatch.setattr(executor, "compile_program", lambda program, *rest: planned.append(len(program.instrs)) or inner(program, *rest))
    model = Recurrence()

    def step(n: int, m: int) -> int:
        planned.clear()
        model.zero_grad()
        model(rl.randint(0, 12, (n,)), rl.randint(0, 12, (m,))).backward()
        assert model.head.weight.grad.isfinite().all()
        return sum(planned)
    realize.clear_plans()
    with only("cpu"):
        new = [step(n, m) for n, m in ((9, 8), (7, 12), (11, 10), (8, 11), (13, 9), (12, 12), (10, 7), (14, 8), (15, 15))]
        assert min(new[:3]) > 200 and max(new[-2:]) < 40
        ran = [step(15, 15) for _ in range(40)]
        assert max(ran) > 200 and not any(ran[-10:])  # what comes again and again has one plan in the end


def chain(x: Any, steps: int) -> Any:
    for at in range(steps):
        x = (x * 0.9 + at).sin()
    return x


def varied(run: Callable[[int], Any]) -> Any:
    """Enough forms for stretches, then the last."""
    for length in range(30, 37):
        run(length)
    return run(40)


def test_equal_operands_and_different_ones_are_other_stretches() -> None:
    x, y = rl.randn(5), rl.randn(5)

    def both(steps: int) -> Any:
        a = chain(x, steps)
        for other in (a, y, a, y):
            for _ in range(8):
                a = (a * other).cos()
                other = a if other is not y else y
        return a.numpy()
    np.testing.assert_array_equal(run(lambda: varied(both)), whole(lambda: varied(both)))


def test_windows_that_lie_otherwise_are_other_stretches() -> None:
    def pairs(steps: int) -> Any:
        x, total = rl.arange(64.0) + steps, rl.zeros(2)
        x.tolist()
        for at in range(steps):
            total = total + x[at:at + 2] * x[at + 3 + at % 3 * at % 5:][:2].sin()
        return total.numpy()
    np.testing.assert_array_equal(run(lambda: varied(pairs)), whole(lambda: varied(pairs)))


def test_only_what_is_read_later_is_kept(lengths: list[int]) -> None:
    kept: list[int] = []
    inner = stretches.Stretch.__init__

    def init(self: Any, part: Any, *rest: Any) -> None:
        inner(self, part, *rest)
        kept.append(len(self.live) * 1000 + len(part.outs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches.Stretch, "__init__", init)
        run(lambda: varied(lambda n: chain(rl.ones(4), n).numpy()))
    assert lengths and all(k // 1000 == 1 for k in kept)


def test_an_error_takes_nothing_back_that_ran_before() -> None:
    table = rl.randn(6, 3)

    def steps(n: int, bad: int = 0) -> tuple[Any, Any]:
        before = chain(rl.ones(3), n)
        places = rl.tensor([1]) + bad
        after = before + table[places][0]
        beside = chain(before, 10)
        return before, (chain(after, n), beside)

    def workload() -> None:
        varied(lambda n: steps(n)[1][0].numpy())
        before, (failing, beside) = steps(41, 9)
        with pytest.raises(IndexError):
            failing.numpy()
        np.testing.assert_array_equal(before.numpy(), chain(rl.ones(3), 41).numpy())
        assert np.isfinite(beside.numpy()).all()
        assert np.isfinite(steps(42)[1][0].numpy()).all()
    run(workload)


def test_threads_share_stretches(lengths: list[int]) -> None:
    wanted = {n: value for n in range(30, 60) for value in [whole(lambda n=n: chain(rl.ones(4), n).numpy())]}
    found: list[tuple[int, Any]] = []

    def work(seed: int) -> None:
        for n in random.Random(seed).sample(list(wanted), len(wanted)):
            found.append((n, chain(rl.ones(4), n).numpy()))
    with only("cpu"):
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert len(found) == 4 * len(wanted) and lengths
    for n, got in found:
        np.testing.assert_array_equal(got, wanted[n])


def test_what_another_thread_recorded_is_read(lengths: list[int]) -> None:
    """Its graph runs as a whole, for whoever asks."""
    def workload() -> None:
        for n in range(30, 42):
            made: list[Any] = []
            t = threading.Thread(target=lambda n=n, made=made: made.append(chain(rl.ones(4), n)))
            t.start()
            t.join()
            np.testing.assert_array_equal((made[0] * 2).numpy(), (chain(rl.ones(4), n) * 2).numpy())
    run(workload)


def test_convolutions_are_never_in_stretches(lengths: list[int]) -> None:
    w = rl.randn(2, 2, 3, 3)

    def images(n: int) -> Any:
        x = rl.ones(1, 2, 6, 6)
        for _ in range(n):
            x = F.conv2d(x, w, padding=1).tanh() + 1
        return x.numpy()
    run(lambda: varied(images))
    assert not lengths


def test_memory_goes_as_soon_as_nothing_reads_it(lengths: list[int]) -> None:
    import tracemalloc

    def workload() -> int:
        varied(lambda n: chain(rl.ones(250_000), n).numpy())
        del lengths[:]
        tracemalloc.start()
        try:
            chain(rl.ones(250_000), 80).numpy()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    peak = run(workload)
    assert len(lengths) > 4
    assert peak < 8 * 1_000_000  # 80 steps have 240 values of a million bytes
