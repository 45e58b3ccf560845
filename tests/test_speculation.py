"""Plans that start before their graph is complete (rushlight.exec.speculation): nobody can tell, but by the clock."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec import flight, threads
from rushlight.exec.cpu import executor, launch, teams
from rushlight.exec.cpu.beginning import Beginning
from rushlight.exec.realize import clear_plans
from rushlight.tensor.state import state

pytestmark = pytest.mark.skipif(not executor.available() or teams.FUTEX is None or threads.affinity() < 2
                                or os.environ.get("RUSHLIGHT_EXEC") == "numpy", reason="no team of threads on this machine")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = rl.get_num_threads()
    rl.set_num_threads(2)
    launch._calm[0] = 0  # as if no test before had used OpenMP
    clear_plans()  # nor given reason to doubt
    yield
    rl.realize()
    rl.set_num_threads(before)


class Net:
    """Three layers, of which each is worth starting early, and fresh pictures at every step."""

    def __init__(self) -> None:
        rl.manual_seed(0)
        self.layers = [rl.nn.Linear(300, 256), rl.nn.Linear(256, 256), rl.nn.Linear(256, 10)]
        self.rng = np.random.default_rng(0)

    def fresh(self) -> rl.Tensor:
        return rl.from_numpy(self.rng.standard_normal((64, 300), np.float32))

    def ask(self, x: rl.Tensor | None = None, between: Callable[[], Any] = lambda: None, target: rl.Tensor | None = None) -> float:
        """The sum of the network's outputs, or its loss; something may happen after the first layer is recorded."""
        with rl.no_grad():
            h = self.layers[0](self.fresh() if x is None else x)
            between()
            for layer in self.layers[1:]:
                h = layer(h.relu())
            return (h.sum() if target is None else F.mse_loss(h, target)).item()


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether plans that were begun were the right ones."""
    seen: list[bool] = []
    real = Beginning.finish

    def finish(self: Beginning, *given: Any) -> Any:
        results = real(self, *given)
        seen.append(results is not None)
        return results
    monkeypatch.setattr(Beginning, "finish", finish)
    return seen


def plain(monkeypatch: pytest.MonkeyPatch, run: Callable[[], Any]) -> Any:
    """What a program gives where no plan starts early."""
    with monkeypatch.context() as m:
        m.setattr(launch.Launcher, "begin", lambda *_: None)
        return run()


def asked(count: int, between: Callable[[Net, int], Any] = lambda net, i: None) -> list[float]:
    net = Net()
    return [net.ask(between=lambda i=i: between(net, i)) for i in range(count)]


def test_an_inference_loop_starts_its_plans_and_computes_the_same_bits(finished, monkeypatch):
    wanted = plain(monkeypatch, lambda: asked(30))
    assert asked(30) == wanted
    assert len(finished) >= 25 and all(finished)


def test_the_same_input_again_and_again(finished):
    net = Net()
    x = net.fresh()
    assert len({net.ask(x) for _ in range(20)}) == 1
    assert len(finished) >= 15 and all(finished)


def test_a_temporary_input_dies_in_the_plan_and_is_still_the_expected_one(finished, monkeypatch):
    """Who refers to an input decides whether its memory may be taken over, and so on the plan."""
    def run() -> list[float]:
        net, sums = Net(), []
        for _ in range(20):
            with rl.no_grad():
                x = net.fresh() + 1
                x.sum().item()
                h = net.layers[0](x)
                del x
                sums.append(net.layers[1](h.relu()).sum().item())
        return sums
    wanted = plain(monkeypatch, run)
    plans = rl.stats()["plans_built"]
    assert run() == wanted and rl.stats()["plans_built"] == plans
    assert len(finished) >= 15 and all(finished)


def test_inputs_that_come_late_leave_the_first_steps(finished, monkeypatch):
    """Labels are not known when the first layer is recorded: the rest of the plan waits for them."""
    def run() -> list[float]:
        net = Net()
        return [net.ask(target=rl.from_numpy(net.rng.standard_normal((64, 10), np.float32))) for _ in range(20)]
    assert run() == plain(monkeypatch, run)
    assert finished.count(True) >= 15


def change_in_place(net: Net, i: int) -> None:
    if i % 5 == 4:
        net.layers[1].weight.mul_(1.5)


def change_through_numpy(net: Net, i: int) -> None:
    if i % 5 == 4:
        net.layers[1].weight.detach().numpy()[:] *= 1.5


def change_the_layer(net: Net, i: int) -> None:
    if i % 5 == 4:
        net.layers[1] = rl.nn.Linear(256, 256)


def another_plan(net: Net, i: int) -> None:
    if i % 5 == 4:
        rl.ones(300, 300).exp().sum().item()


def another_end(net: Net, i: int) -> None:
    if i % 5 == 4:
        net.layers.insert(1, net.layers[1])


def landing(net: Net, i: int) -> None:
    if i % 3 == 2:
        rl.stats()


def in_another_thread(net: Net, i: int) -> None:
    def run() -> None:
        with rl.no_grad():
            net.layers[1].weight.mul_(1.5)
            net.layers[1].weight.sum().item()
    if i % 5 == 4:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(60)


@pytest.mark.parametrize("between", (change_in_place, change_through_numpy, change_the_layer, another_plan, another_end, landing,
                                     in_another_thread))
def test_whatever_happens_in_between_the_numbers_are_those_of_the_program(between, finished, monkeypatch):
    wanted = plain(monkeypatch, lambda: asked(40, between))
    del finished[:]
    assert asked(40, between) == wanted
    assert True in finished and len(finished) > finished.count(True)


def test_an_input_may_be_written_to_after_it_was_read(finished):
    def run(value: float) -> list[float]:
        net, found = Net(), []
        for _ in range(20):
            x = net.fresh()
            buffer = x.numpy()
            found.append(net.ask(x, lambda: buffer.fill(value) if value else None))
        return found
    assert run(np.nan) == run(0.0)
    assert finished.count(True) >= 30


def test_an_error_after_the_start_leaves_a_clean_state(finished):
    def fail() -> None:
        raise ValueError("mine")

    def run(errors: bool) -> list[float]:
        net, found = Net(), []
        for i in range(30):
            x = net.fresh()
            if errors and i % 6 == 5:
                with pytest.raises(ValueError, match="mine"):
                    net.ask(x, fail)
                with pytest.raises(RuntimeError, match="cannot be multiplied"):
                    net.ask(x, lambda: net.layers[2](x))
            found.append(net.ask(x))
        return found
    assert run(True) == run(False)
    assert True in finished and flight.current is None


def test_changing_sizes_are_doubted(finished, monkeypatch):
    """Who cannot be foreseen is not expected for long."""
    def run() -> list[float]:
        net, dice = Net(), random.Random(0)
        return [net.ask(rl.from_numpy(net.rng.standard_normal((dice.choice((32, 64)), 300), np.float32))) for _ in range(300)]
    assert run() == plain(monkeypatch, run)
    assert finished.count(False) < 60


def test_what_a_deleted_network_held_is_freed(finished):
    net = Net()
    for _ in range(10):
        net.ask()
    assert all(finished[-3:])
    held = [weakref.ref(p._storage.memory()) for layer in net.layers for p in layer.parameters()]
    assert all(ref() is not None for ref in held)
    del net
    gc.collect()
    assert all(ref() is None for ref in held)


def test_children_of_a_process_with_a_begun_plan_compute_it_themselves():
    net = Net()
    x = net.fresh()
    good = [net.ask(x) for _ in range(6)][0]
    codes = []

    def fork() -> None:
        assert state.graph.begun is not None
        pid = os.fork()
        if pid == 0:
            inside.append(True)
        else:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    inside: list[bool] = []
    found = net.ask(x, fork)
    if inside:
        os._exit(7 if found == good and net.ask(x) == good else 8)
    assert codes == [7] and found == good


def test_an_interrupt_at_the_start_leaves_nothing_running(monkeypatch):
    wanted, net = asked(17), Net()
    assert [net.ask() for _ in range(6)] == wanted[:6]
    real = launch.Launcher.begin

    def interrupted(self: launch.Launcher, *given: Any) -> Any:
        real(self, *given)
        monkeypatch.setattr(launch.Launcher, "begin", real)
        raise KeyboardInterrupt
    monkeypatch.setattr(launch.Launcher, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.ask()
    assert flight.current is not None and state.graph.begun is None
    assert [net.ask() for _ in range(10)] == wanted[7:]
    assert flight.current is None


def test_an_interrupt_before_the_rest(monkeypatch):
    wanted, net = asked(17), Net()
    assert [net.ask() for _ in range(6)] == wanted[:6]
    real = Beginning._rest

    def interrupted(self: Beginning, *given: Any) -> Any:
        monkeypatch.setattr(Beginning, "_rest", real)
        raise KeyboardInterrupt
    monkeypatch.setattr(Beginning, "_rest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.ask()
    assert flight.current is None
    assert [net.ask() for _ in range(10)] == wanted[7:]


def test_several_threads_ask_as_one_does(finished, monkeypatch):
    wanted = plain(monkeypatch, lambda: asked(60))
    found: dict[int, Any] = {}

    def run(number: int) -> None:
        try:
            found[number] = asked(60)
        except BaseException as e:  # noqa: BLE001 - shown in the main thread
            found[number] = e
    made = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    lock = threading.Lock()
    monkeypatch.setattr(Net, "__init__", _locked(Net.__init__, lock))  # the seed is the process's: one network at a time
    for thread in made:
        thread.start()
    for thread in made:
        thread.join(120)
    assert [found[i] for i in range(4)] == [wanted] * 4


def _locked(function: Callable[..., None], lock: Any) -> Callable[..., None]:
    def run(*args: Any) -> None:
        with lock:
            function(*args)
    return run


def test_training_between_evaluations(finished, monkeypatch):
    """The weights are others after every epoch: plans wait until they last."""
    def run() -> list[float]:
        net, losses = Net(), []
        parameters = [p for layer in net.layers for p in layer.parameters()]
        optimizer = rl.optim.SGD(parameters, lr=0.01, momentum=0.9)
        for _ in range(4):
            for _ in range(5):
                optimizer.zero_grad()
                h = net.fresh()
                for layer in net.layers:
                    h = layer(h).relu()
                loss = h.square().mean()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            losses += [net.ask() for _ in range(12)]
        return losses
    wanted = plain(monkeypatch, run)
    del finished[:]
    assert run() == wanted
    assert finished.count(True) >= 20


def test_random_programs_compute_the_same_bits(finished, monkeypatch):
    """Evaluation with now and then something else, in 40 kinds of ways."""
    def run(seed: int) -> list[float]:
        dice, net = random.Random(seed), Net()
        kinds = (change_in_place, change_the_layer, another_plan, another_end, landing, change_through_numpy)
        often = dice.choice((3, 10, 30))
        clear_plans()

        def between() -> None:
            if dice.randrange(often) == 0:
                dice.choice(kinds)(net, 29)
        found = []
        for _ in range(40):
            target = rl.from_numpy(net.rng.standard_normal((64, 10), np.float32)) if often == 10 else None
            found.append(net.ask(between=between, target=target))
            del net.layers[6:-1]
        return found
    for seed in range(40):
        assert run(seed) == plain(monkeypatch, lambda seed=seed: run(seed)), seed
    assert finished.count(True) > 100


def test_a_program_may_end_with_a_begun_plan():
    program = ("import rushlight as rl\nrl.set_num_threads(2)\na, b = rl.nn.Linear(300, 300), rl.nn.Linear(300, 300)\nx = rl.ones(64, 300)\n"
               "with rl.no_grad():\n    for i in range(6): b(a(x).relu()).sum().item()\n    a(x)\n"
               "from rushlight.exec import flight\nprint(flight.current is not None)")
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_plans_that_nobody_waits_for_are_not_expected():
    net = Net()
    optimizer = rl.optim.SGD(net.layers[0].parameters(), lr=0.1)
    for _ in range(10):
        optimizer.zero_grad()
        net.layers[0](net.fresh()).square().mean().backward()
        optimizer.step()
        assert state.graph.due == 0
