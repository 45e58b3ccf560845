"""What becomes one kernel, and that no bit depends on it: programs at once give what their operations give one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from executors import only
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight.exec.cpu import executor

pytestmark = pytest.mark.skipif(not executor.available(), reason="without llvmlite there are no kernels")
F = rl.nn.functional
Keep = Callable[[Any], Any]


def together(x: Any) -> Any:
    return x


def apart(x: Any) -> Any:
    x.numpy()  # a plan of its own
    return x


def loss_of(x: Any, y: Any) -> tuple[Any, Any]:
    x = x.detach().clone().requires_grad_()
    loss = F.cross_entropy(x, y)
    loss.backward()
    return loss, x.grad


def test_the_kernels_of_a_cross_entropy() -> None:
    x, y = rl.randn(64, 10), rl.randint(0, 10, (64,))
    apart(x), apart(y)
    with only("cpu"):
        apart(rl.cat([t.detach().reshape(-1) for t in loss_of(x, y)]))
        with rl.profile() as p:
            loss, grad = loss_of(x, y)
            loss.item(), grad.numpy()
    titles = [e.title for e in p.events]
    assert sum("pick" in t for t in titles) == sum("exp" in t for t in titles) == sum("ne cast sum" in t for t in titles) == 1
    assert len(titles) <= 6, titles


def test_what_needs_vectors_is_not_computed_row_by_row() -> None:
    x, v = rl.randn(3000, 4), rl.randn(3000)
    apart(x), apart(v)
    with only("cpu"):
        for scale, kernels in ((v.abs, 1), (v.exp, 2)):
            with rl.profile() as p:
                found = scale() * x.sum(1)
                found.numpy()
            assert len(p.events) == kernels, [e.title for e in p.events]


@pytest.mark.parametrize("rows", [1, 2, 3, 17, 64, 65, 300])
@pytest.mark.parametrize("classes", [1, 2, 10, 130, 20_000])
def test_cross_entropy_at_once_and_in_parts(rows: int, classes: int) -> None:
    rl.manual_seed(rows * classes)
    x, y = rl.randn(rows, classes), rl.randint(0, classes, (rows,))
    y[rows // 2] = -100 if rows > 1 else 0
    with only("cpu"):
        leaf = x.clone().requires_grad_()
        loss = F.cross_entropy(leaf, y)
        loss.backward()
        assert leaf.grad is not None
        whole = loss.detach().numpy().copy(), leaf.grad.numpy().copy()
        leaf = apart(x.clone()).requires_grad_()
        loss = F.cross_entropy(leaf, y)
        parts = [apart(loss.detach()).numpy().copy()]
        loss.backward()
        assert leaf.grad is not None
        parts.append(leaf.grad.numpy().copy())
    for one, other in zip(whole, parts):
        assert one.tobytes() == other.tobytes()
    far = x.double().numpy()
    logs = far - far.max(1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(1, keepdims=True))
    known = y.numpy() >= 0
    want = -logs[np.arange(rows), np.where(known, y.numpy(), 0)][known].mean()
    np.testing.assert_allclose(whole[0], want, rtol=2e-5, atol=1e-6)


def test_sums_that_are_added_up_one_after_the_other() -> None:
    def program(keep: Keep) -> Any:
        total = keep(parts[0].sum(1))
        for part in parts[1:]:
            total = keep(total + keep(part.sum(1)))
        return keep(total * 2)
    parts = [rl.randn(20, 7) * 10 ** i for i in range(6)]
    with only("cpu"):
        whole = program(together).numpy()
        assert whole.tobytes() == program(apart).numpy().tobytes()
    np.testing.assert_allclose(whole, 2 * sum(p.double().sum(1).numpy() for p in parts), rtol=1e-5, atol=1)


def test_what_is_picked_from_a_value_of_the_same_loops() -> None:
    x, y = rl.randn(3, 4, dtype=rl.float64), rl.tensor([1, -100, 3])
    with only("cpu"):
        assert F.cross_entropy(x.to(rl.float32), y).item() == pytest.approx(F.cross_entropy(x, y).item(), rel=1e-6)


UNARY = {"exp": lambda t: (t * 0.1).exp(), "relu": lambda t: t.relu(), "neg": lambda t: -t, "square": lambda t: t.square() * 0.1}
BINARY = {"add": lambda a, b: a + b, "mul": lambda a, b: a * b * 0.1, "max": lambda a, b: rl.maximum(a, b)}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_programs_of_rows_at_once_and_one_by_one(data: Any) -> None:
    shape = data.draw(st.sampled_from([(1, 5), (3, 1), (17, 33), (64, 10), (70, 4), (5, 3000), (2, 20_000)]))
    steps = data.draw(st.lists(st.tuples(st.sampled_from(["unary", "binary", "rows", "row_binary", "row_unary", "widen", "pick", "all"]),
                                         st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=14))

    def program(keep: Keep) -> list[Any]:
        rl.manual_seed(1)
        full = [keep(rl.randn(*shape)), keep(rl.randn(*shape))]
        row, single, index = [keep(rl.randn(shape[0]))], [], keep(rl.randint(0, shape[1], (shape[0],)))
        for kind, i, j, k in steps:
            a, r = full[i % len(full)], row[i % len(row)]
            if kind == "unary":
                full.append(keep(list(UNARY.values())[k % len(UNARY)](a)))
            elif kind == "binary":
                full.append(keep(list(BINARY.values())[k % len(BINARY)](a, full[j % len(full)])))
            elif kind == "rows":
                row.append(keep((a.sum(1), a.amax(1), a.mean(1))[k % 3]))
            elif kind == "row_binary":
                row.append(keep(list(BINARY.values())[k % len(BINARY)](r, row[j % len(row)])))
            elif kind == "row_unary":
                row.append(keep(list(UNARY.values())[k % len(UNARY)](r)))
            elif kind == "widen":
                full.append(keep(a - r.unsqueeze(1)))
            elif kind == "pick":
                row.append(keep(-F.nll_loss(a, index, reduction="none")))
            else:
                single.append(keep(a.sum(0).amax() if k % 2 else r.sum()))
        return [*full, *row, *single]
    with only("cpu"):
        made = program(together)
        rl.realize()
        whole = [t.numpy().copy() for t in made]
        parts = [t.numpy().copy() for t in program(apart)]
    for at, (one, other) in enumerate(zip(whole, parts)):
        assert one.tobytes() == other.tobytes(), (at, shape, steps, one, other)


def test_no_kernel_gathers_or_scatters_what_lies_together(capsys: pytest.CaptureFixture[str]) -> None:
    """That would be right, and several times as slow."""
    x, g = rl.randn(300, 32), rl.randn(32)
    for make in (lambda: rl.relu(x * x + g) * 3, lambda: x.softmax(1), lambda: x.sum(0) * g, lambda: x.double().exp().float()):
        rl.explain(make, to="llvm")
        text = capsys.readouterr().out
        assert "masked.store" in text or "store <" in text
        assert "masked.scatter" not in text and "masked.gather" not in text


@pytest.mark.parametrize("shape", [(4, 5), (7, 1), (1, 6), (33, 40), (3, 4, 5)])
def test_numbers_that_count_rows_beside_what_reductions_make_of_them(shape: tuple[int, ...]) -> None:
    """Counting is by elements: it never becomes one value for each row of a reduction."""
    x, v = rl.randn(*shape), rl.randn(shape[0])
    rest = tuple(range(1, len(shape)))

    def program(keep: Keep) -> list[Any]:
        places = keep(rl.arange(shape[0]) * 3 + 1)
        weights = keep(v.double() * keep(places.double()))
        total = keep(keep((x.double() * 1.5).sum(rest)) * weights)
        return [total, keep(x.double().softmax(-1).sum(rest) * keep(rl.arange(shape[0]) - 2)), keep(total[rl.arange(shape[0])] + places)]
    with only("cpu"):
        together_, apart_ = ([t.numpy() for t in program(keep)] for keep in (together, apart))
    numbers = x.double().numpy()
    want = (numbers * 1.5).sum(rest) * v.double().numpy() * (np.arange(shape[0]) * 3 + 1)
    np.testing.assert_allclose(together_[0], want, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(together_[2], want + np.arange(shape[0]) * 3 + 1, rtol=1e-12, atol=1e-12)
    for one, other in zip(together_, apart_):
        assert one.tobytes() == other.tobytes()


def test_masks_of_what_reductions_make() -> None:
    x = rl.randn(12, 9)
    with only("cpu"):
        found = []
        for keep in (together, apart):
            rl.manual_seed(3)
            total = keep(x.sum(1))
            found.append([keep(F.dropout(total, 0.4) * total).numpy(), keep(F.dropout(keep(total[:, None] * x), 0.3).sum(1)).numpy()])
    for one, other in zip(*found):
        assert one.tobytes() == other.tobytes()
    assert (found[0][0] == 0).any() and (found[0][0] != 0).any()
