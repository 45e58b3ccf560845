"""Plans whose last steps run while the program goes on (rushlight.exec.flight): nobody can tell, but by the clock."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec import flight, threads
from rushlight.exec.cpu import executor, launch, teams
from rushlight.exec.stats import stats

pytestmark = pytest.mark.skipif(not executor.available() or teams.FUTEX is None or threads.affinity() < 2
                                or os.environ.get("RUSHLIGHT_EXEC") == "numpy", reason="no team of threads on this machine")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = rl.get_num_threads()
    rl.set_num_threads(2)
    launch._calm[0] = 0  # as if no test before had used OpenMP
    yield
    rl.realize()
    rl.set_num_threads(before)


class Net:
    """Two layers with momentum, on data whose labels are learnable."""

    def __init__(self, seed: int = 0) -> None:
        rl.manual_seed(seed)
        self.model = rl.nn.Sequential(rl.nn.Linear(200, 128), rl.nn.ReLU(), rl.nn.Linear(128, 10))
        self.optimizer = rl.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.x = rl.randn(64, 200)
        self.y = self.x[:, :10].argmax(1)

    def step(self) -> rl.Tensor:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss

    def values(self) -> list[np.ndarray]:
        state = [s["momentum_buffer"] for s in self.optimizer.state.values()]
        return [np.array(t.detach().clone().numpy()) for t in (*self.model.parameters(), *state)]


def steps(count: int, between: Callable[[Net, rl.Tensor], Any] | None = None) -> tuple[list[float], list[np.ndarray]]:
    net, losses = Net(), []
    for _ in range(count):
        loss = net.step()
        if between is not None:
            between(net, loss)
        losses.append(loss.item())
    return losses, net.values()


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], list[np.ndarray]]:
    """What 30 steps give when every plan is waited for."""
    with monkeypatch.context() as m:
        m.setattr(launch.Launcher, "job", lambda *_: None)
        return steps(30)


def same(found: tuple[list[float], list[np.ndarray]], wanted: tuple[list[float], list[np.ndarray]]) -> None:
    assert found[0] == wanted[0]
    for a, b in zip(found[1], wanted[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_training_step_is_left_before_it_ends_and_computes_the_same_bits(waited):
    flown = []
    same(steps(30, lambda net, loss: flown.append((loss.item(), flight.current is not None))), waited)
    assert sum(f for _, f in flown) >= 25  # all but the first plans


@pytest.mark.parametrize("read", (
    lambda net, loss: [p.detach().numpy().copy() for p in net.model.parameters()],
    lambda net, loss: [p.grad.sum().item() for p in net.model.parameters()],
    lambda net, loss: [s["momentum_buffer"].abs().max().item() for s in net.optimizer.state.values()],
    lambda net, loss: net.model.state_dict()["0.weight"].tolist(),
    lambda net, loss: rl.realize(),
    lambda net, loss: time.sleep(0.005),  # the team falls asleep
    lambda net, loss: rl.ones(500, 500).exp().sum().item(),  # another plan, in the same team
    lambda net, loss: rl.get_rng_state()), ids="weights gradients momentum state_dict realize pause plan rng".split())
def test_whatever_is_read_in_between_is_whole(waited, read):
    seen: list[Any] = []
    same(steps(30, lambda net, loss: seen.append(read(net, loss))), waited)


def test_values_read_at_once_are_those_of_the_step():
    net, other = Net(), Net()
    for _ in range(10):
        net.step()
        now = net.values()
        other.step().item()
        rl.realize()
        for a, b in zip(now, other.values(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_memory_of_the_outside_may_change_as_soon_as_the_loss_is_read():
    """The usual loop over a buffer that is filled again and again."""
    def train(fresh: bool) -> list[np.ndarray]:
        net, rng = Net(), np.random.default_rng(0)
        buffer = np.zeros((64, 200), np.float32)
        for _ in range(20):
            data = rng.standard_normal((64, 200), np.float32)
            if fresh:
                buffer = data
            else:
                buffer[:] = data
            net.x = rl.from_numpy(buffer)
            net.step().item()
            if not fresh:
                buffer[:] = np.nan
        return net.values()
    for a, b in zip(train(False), train(True), strict=True):
        np.testing.assert_array_equal(a, b)


def test_memory_that_is_handed_out_in_flight_is_not_read_any_more():
    net, other = Net(), Net()
    for n in (net, other):
        n.step().item()
    other.step().item()
    rl.realize()
    net.step().item()
    net.x.numpy()[:] = np.nan
    for a, b in zip(net.values(), other.values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_results_land_in_memory_that_numpy_has():
    net, other = Net(), Net()
    views = [p.detach().numpy() for p in net.model.parameters()]
    for _ in range(5):
        net.step().item()
        other.step().item()
        for view, p in zip(views, other.model.parameters(), strict=True):
            np.testing.assert_array_equal(view, p.detach().numpy())


def test_a_bad_label_raises_at_once_and_spoils_nothing():
    net = Net()
    for _ in range(3):
        net.step().item()
    before = net.values()
    good, net.y = net.y, net.y.clone()
    net.y[3] = 77
    with pytest.raises(IndexError, match="77"):
        net.step().item()
    for a, b in zip(net.values(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    net.y = good
    losses = [net.step().item() for _ in range(5)]
    assert losses[-1] < losses[0] and flight.lock.acquire(blocking=False)
    flight.lock.release()


def test_an_interrupt_leaves_no_thread_writing(monkeypatch):
    net = Net()
    for _ in range(10):
        net.step().item()
    rl.realize()
    real = launch.Job.run

    def interrupted(self: launch.Job, until: int) -> None:
        monkeypatch.setattr(launch.Job, "run", real)
        real(self, until)
        raise KeyboardInterrupt
    monkeypatch.setattr(launch.Job, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.step()
    assert flight.current is None
    first = net.values()
    for _ in range(20):
        for a, b in zip(net.values(), first, strict=True):
            np.testing.assert_array_equal(a, b)
    assert all(np.isfinite(v).all() for v in first)
    assert net.step().item() > 0


def test_an_interrupt_while_landing_loses_no_value(monkeypatch):
    net, other = Net(), Net()
    for n in (net, other):
        for _ in range(10):
            n.step().item()
    other.step().item()
    wanted = other.values()
    net.step().item()
    assert flight.current is not None
    real = flight.current.settle

    def interrupted(*given: Any) -> None:
        real(*given)
        raise KeyboardInterrupt
    flight.current.settle = interrupted
    with pytest.raises(KeyboardInterrupt):
        rl.realize()
    flight.current.settle = real
    for a, b in zip(net.values(), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_children_of_a_process_with_a_plan_in_flight_have_its_results():
    net, other = Net(), Net()
    for _ in range(5):
        net.step().item()
        other.step().item()
    rl.realize()
    wanted = other.values()
    other.step().item()
    later = other.values()
    for _ in range(5):
        net.step()
        pid = os.fork()
        if pid == 0:
            mine = net.values()
            net.step().item()
            os._exit(7 if all(np.isfinite(v).all() for v in mine) else 8)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    del wanted
    again = Net()
    for _ in range(6):
        again.step().item()
    for a, b in zip(again.values(), later, strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_threads_train_as_one_does(waited):
    found: dict[int, Any] = {}

    def run(number: int) -> None:
        try:
            net, losses = made[number], []
            for _ in range(30):
                losses.append(net.step().item())
            found[number] = losses, net.values()
        except BaseException as e:  # noqa: BLE001 - shown in the main thread
            found[number] = e
    made = [Net() for _ in range(4)]
    workers = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(120)
    for i in range(4):
        assert not isinstance(found[i], BaseException), found[i]
        same(found[i], waited)


def test_one_thread_reads_what_another_has_in_flight(waited):
    net, losses = Net(), []
    for _ in range(30):
        loss = net.step()
        got: list[Any] = []
        reader = threading.Thread(target=lambda: got.append((loss.item(), net.model[0].weight.sum().item())))
        reader.start()
        reader.join(60)
        losses.append(got[0][0])
    same((losses, net.values()), waited)


def test_a_program_may_end_with_a_plan_in_flight():
    program = ("import rushlight as rl\nrl.set_num_threads(2)\nm = rl.nn.Linear(300, 300)\no = rl.optim.SGD(m.parameters(), lr=0.1)\n"
               "for i in range(4):\n    o.zero_grad(); m(rl.ones(64, 300)).square().mean().backward(); o.step()\n"
               "from rushlight.exec import flight\nprint(flight.current is not None)")
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_loop_that_reads_nothing_holds_constant_memory():
    net = Net()
    for _ in range(5):
        net.step()
    rl.realize()
    before = rl.stats()["bytes_live"]
    for _ in range(300):
        net.step()
    rl.realize()
    assert rl.stats()["bytes_live"] <= before + 1_000_000


def test_plans_beside_openmps_do_not_fly():
    """Threads of both kinds would wait actively beside each other."""
    net = Net()
    for _ in range(3):
        net.step().item()
    launch.openmp_ran()
    net.step().item()
    assert flight.current is None
    for _ in range(launch.CALM):
        net.step().item()
    assert flight.current is not None


def test_another_number_of_threads_gets_another_team():
    wanted = steps(5)
    for count in (1, 2):
        rl.set_num_threads(count)
        same(steps(5), wanted)


def test_what_saved_a_value_finds_it_after_it_was_overwritten_in_flight():
    """The error names the versions, as it does when the plan has run."""
    w = rl.randn(300, 300, requires_grad=True)
    for _ in range(3):
        loss = (w @ w).relu().sum()
        loss.backward()
        saved = (w * w).sum()
        with rl.no_grad():
            w -= 0.01 * w.grad
        w.grad = None
        rl.realize()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            saved.backward()


def test_a_finalizer_may_read_values_while_a_plan_lands():
    """The garbage collector may run anything at any time: a plan that landed inside lands once."""
    net, other = Net(), Net()
    for n in (net, other):
        for _ in range(10):
            n.step().item()
    net.step()
    flying = flight.current
    assert flying is not None
    real, sums = flying.settle, []

    def settle(*given: Any) -> None:
        if not sums:
            sums.append(0.0)
            sums[0] = net.model[0].weight.sum().item()  # as a __del__ would
        real(*given)
    flying.settle = settle
    rl.realize()
    other.step().item()
    assert sums == [other.model[0].weight.sum().item()] and flight.current is None
    for a, b in zip(net.values(), other.values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_plan_that_cannot_fail_is_left_at_its_start(monkeypatch):
    """No labels to check: nothing is waited for but what is read."""
    def train() -> tuple[list[float], list[np.ndarray]]:
        net, losses = Net(), []
        heads.clear()
        for _ in range(30):
            net.optimizer.zero_grad()
            loss = (net.model(net.x) - 1).square().mean()
            loss.backward()
            net.optimizer.step()
            heads.append(flight.current.shown if isinstance(flight.current, flight.Flight) else -1)
            losses.append(loss.item())
        return losses, net.values()
    heads: list[int] = []
    flown = train()
    assert heads.count(0) >= 25
    with monkeypatch.context() as m:
        m.setattr(launch.Launcher, "job", lambda *_: None)
        same(train(), flown)
    assert max(heads) == -1


def test_where_no_thread_can_be_started_openmp_works(waited, monkeypatch):
    def none(*_: Any) -> None:
        raise RuntimeError("can't start new thread")
    rl.realize()
    teams.dismiss()
    monkeypatch.setattr(teams, "refused", False)
    monkeypatch.setattr(teams._thread, "start_new_thread", none)
    same(steps(10), (waited[0][:10], steps(10)[1]))
    assert teams.refused and teams.current is None


def test_threads_that_slept_through_a_long_step_are_woken_after_it(waited):
    """A step that one thread runs for longer than the others wait actively does not leave the steps behind it to that thread."""
    layer = rl.nn.RNN(96, 96)  # so small that the program's thread packs its weights, and then goes on
    x = rl.randn(6000, 1, 96)  # one sequence: one thread
    woken = []
    for _ in range(5):
        before = (ctypes.c_int64 * 48).from_address(teams.current.control)[32] if teams.current is not None else 0
        with rl.no_grad():
            layer(x)[0].sum().item()
        assert teams.current is not None
        woken.append((ctypes.c_int64 * 48).from_address(teams.current.control)[32] - before)
    assert max(woken) > 1, woken  # at the start of the plan, and once more


@pytest.mark.parametrize("count", [3, 4, 5, 8])
def test_threads_of_any_number_leave_no_piece_undone(waited, monkeypatch, count):
    """Pieces of different sizes cover all units, whoever takes them: also with more threads than processors."""
    monkeypatch.setattr(launch.threads, "affinity", lambda: 8)
    rl.set_num_threads(count)
    try:
        assert steps(12)[0] == waited[0][:12]
        assert teams.current is not None and teams.current.size == count
    finally:
        rl.realize()
        rl.set_num_threads(2)


def test_memory_is_counted_once_whether_a_plan_flies_or_not(monkeypatch):
    """What results occupy is counted when they are made and no more when they are gone."""
    found = []
    for flies in (True, False):
        with monkeypatch.context() as m:
            if not flies:
                m.setattr(launch.Launcher, "job", lambda *_: None)
            gc.collect()
            before = stats.bytes_live
            net = Net()
            for _ in range(4):
                net.step()
            rl.realize()
            gc.collect()
            found.append(stats.bytes_live - before)
            del net
            rl.realize()
            gc.collect()
            assert stats.bytes_live - before < found[-1] / 4
    assert found[0] == found[1] > 4 * 128 * 200, found
