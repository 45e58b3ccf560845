"""The lazy core: aliasing, in-place writes, autograd, plans, memory shared with NumPy."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import rushlight as rl
from rushlight.exec.realize import clear_plans


def test_in_place_writes_reach_every_view() -> None:
    x = rl.zeros(3, 4)
    row, column = x[1], x[:, 2]
    row.add_(1)
    column.mul_(5)
    assert x.tolist() == [[0, 0, 0, 0], [1, 1, 5, 1], [0, 0, 0, 0]]
    assert row.tolist() == [1, 1, 5, 1] and column.tolist() == [0, 5, 0]


def test_a_node_recorded_before_a_write_keeps_the_old_value() -> None:
    x = rl.ones(3)
    y = x * 2
    x.add_(10)
    assert y.tolist() == [2, 2, 2] and x.tolist() == [11, 11, 11]


def test_memory_is_shared_with_numpy_both_ways() -> None:
    a = np.zeros(4, np.float32)
    t = rl.from_numpy(a)
    t.add_(1)
    assert a.tolist() == [1, 1, 1, 1]
    a[2] = 7
    assert t.tolist() == [1, 1, 7, 1]
    later = t + 1
    a[0] = 100
    assert later.tolist() == [2, 2, 8, 2]
    b = rl.ones(2).numpy()
    assert b.tolist() == [1, 1]
    u = rl.ones(3)
    shared = u.numpy()
    u[1] = 5
    assert shared.tolist() == [1, 5, 1]


def test_gradients_flow_through_writes_into_views() -> None:
    w = rl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = w * 1
    x[1:].mul_(rl.tensor([10.0, 100.0]))
    x.sum().backward()
    assert w.grad.tolist() == [1, 10, 100]


def test_a_saved_tensor_that_was_written_is_an_error() -> None:
    x = rl.ones(3, requires_grad=True)
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_leaf_that_requires_grad_is_not_written() -> None:
    x = rl.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        x.add_(1)


def test_a_second_backward_names_the_remedy() -> None:
    x = rl.ones(3, requires_grad=True)
    y = x.exp().sum()
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_double_backward() -> None:
    x = rl.tensor(3.0, requires_grad=True)
    (g,) = rl.autograd.grad(x ** 3, x, create_graph=True)
    (h,) = rl.autograd.grad(g, x)
    assert g.item() == pytest.approx(27) and h.item() == pytest.approx(18)


def train(steps: int, read: bool) -> list[dict[str, int]]:
    """An MLP whose learning rate changes every step; the counters after each."""
    rl.manual_seed(0)
    model = rl.nn.Sequential(rl.nn.Linear(20, 16), rl.nn.ReLU(), rl.nn.Linear(16, 4))
    opt = rl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = rl.randn(8, 20), rl.randint(0, 4, (8,))
    rows = []
    for _ in range(steps):
        opt.zero_grad()
        loss = rl.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        opt.param_groups[0]["lr"] *= 0.999
        opt.step()
        if read:
            loss.item()
        rows.append(rl.stats())
    return rows


def test_no_plan_is_built_after_the_third_step() -> None:
    clear_plans()
    rows = train(20, True)
    assert rows[2]["plans_built"] > 0
    assert rows[-1]["plans_built"] == rows[2]["plans_built"]
    assert rows[-1]["plans_reused"] > rows[2]["plans_reused"]


def test_a_step_records_few_nodes() -> None:
    rows = train(5, False)
    assert rows[4]["nodes"] - rows[3]["nodes"] <= 30


def test_a_loop_that_never_reads_its_loss_holds_constant_memory() -> None:
    gc.collect()
    gc.disable()  # reference counts alone must free the graph
    try:
        rows = train(2000, False)
    finally:
        gc.enable()
    assert rows[-1]["bytes_live"] <= rows[20]["bytes_live"] * 1.01 + 1024


def test_training_resumes_exactly(tmp_path) -> None:
    def make():
        model = rl.nn.Sequential(rl.nn.Linear(6, 8), rl.nn.Dropout(0.3), rl.nn.Linear(8, 1))
        return model, rl.optim.Adam(model.parameters(), lr=0.01)

    def steps(model, opt, n):
        for _ in range(n):
            x = rl.randn(4, 6)
            opt.zero_grad()
            model(x).pow(2).mean().backward()
            opt.step()
    rl.manual_seed(5)
    whole, opt = make()
    steps(whole, opt, 20)
    rl.manual_seed(5)
    first, opt = make()
    steps(first, opt, 10)
    rl.save({"model": first.state_dict(), "opt": opt.state_dict(), "rng": rl.get_rng_state()}, tmp_path / "c.pt")
    second, opt = make()
    saved = rl.load(tmp_path / "c.pt")
    second.load_state_dict(saved["model"])
    opt.load_state_dict(saved["opt"])
    rl.set_rng_state(saved["rng"])
    steps(second, opt, 10)
    for a, b in zip(whole.parameters(), second.parameters()):
        assert np.array_equal(a.detach().numpy(), b.detach().numpy())


def test_errors_name_index_and_size() -> None:
    with pytest.raises(IndexError, match="Target 9 is out of bounds"):
        rl.nn.functional.cross_entropy(rl.zeros(2, 4), rl.tensor([1, 9])).item()
    with pytest.raises(IndexError, match="index out of range in self"):
        rl.nn.functional.embedding(rl.tensor([5]), rl.zeros(3, 2)).sum().item()
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x5 and 4x3\)"):
        rl.nn.functional.linear(rl.zeros(2, 5), rl.zeros(3, 4))
