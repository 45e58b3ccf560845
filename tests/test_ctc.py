"""CTC against all alignments written out one by one, its gradients, and what is impossible."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from executors import only
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
import rushlight.nn.functional as F
from rushlight.exec.cpu import executor
from rushlight.exec.numpy import ctc as kernels
from rushlight.tensor.core import wrap
from rushlight.tensor.functions.ctc_rules import ctc_total


def all_alignments(log_probs: np.ndarray, labels: list[int], blank: int) -> float:
    """-log of the sum over all paths that give these labels when repetitions and blanks go."""
    total = 0.0
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        merged = [c for c, _ in itertools.groupby(path)]
        if [c for c in merged if c != blank] == labels:
            total += math.exp(sum(log_probs[t, c] for t, c in enumerate(path)))
    return -math.log(total) if total else math.inf


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.lists(st.tuples(st.lists(st.integers(0, 2), max_size=3), st.integers(1, 5)), min_size=1, max_size=4), st.integers(0, 3),
       st.integers(0, 999))
def test_the_sum_over_all_alignments(times, samples, blank, seed):
    labels = [[c + (c >= blank) for c in label] for label, _ in samples]
    lengths, sizes = [min(n, times) for _, n in samples], [len(label) for label in labels]
    x = rl.from_numpy(np.random.default_rng(seed).standard_normal((times, len(samples), 4))).log_softmax(-1)
    padded = rl.tensor([label + [0] * (max(sizes) - len(label)) for label in labels], dtype=rl.int64).reshape(len(samples), -1)
    found = F.ctc_loss(x, padded, lengths, sizes, blank=blank, reduction="none").tolist()
    wanted = [all_alignments(x.numpy()[:n, i], label, blank) for i, (n, label) in enumerate(zip(lengths, labels))]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_losses_and_gradients_of_pytorch(seed):
    """Samples of all lengths, of none, with labels that do not fit; what is impossible too."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    times, samples, classes, most = (int(rng.choice(c)) for c in ((1, 2, 5, 12), (1, 2, 4), (2, 3, 6), (0, 1, 3, 5)))
    x = rng.standard_normal((times, samples, classes)) * rng.choice([1, 30])
    labels, lengths, sizes = rng.integers(1, classes, (samples, most)), rng.integers(0, times + 1, samples), rng.integers(0, most + 1, samples)
    found = []
    for lib in (torch, rl):
        leaf = lib.tensor(x, requires_grad=True)
        loss = lib.nn.functional.ctc_loss(leaf.log_softmax(2), lib.tensor(labels), lib.tensor(lengths), lib.tensor(sizes),
                                          reduction=("none", "sum", "mean")[seed % 3], zero_infinity=seed % 2 == 0)
        (loss * lib.arange(1.0, 1 + loss.numel(), dtype=lib.float64).reshape(loss.shape)).sum().backward()
        found.append((loss.detach().numpy(), leaf.grad.numpy()))
    for want, have in zip(*found):
        np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-9)


def test_nothing_is_an_error_as_in_pytorch():
    with pytest.raises(RuntimeError, match="log_probs tensor must not be empty"):
        F.ctc_loss(rl.zeros(0, 2, 3), rl.ones(2, 1, dtype=rl.int64), [0, 0], [1, 1])


def case(dtype: str = "float64") -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(3)
    emit = np.log(rng.random((6, 4, 7))).astype(dtype)
    jump = np.zeros((4, 7), bool)
    jump[:, 3::2] = True
    return emit, jump, np.array([6, 5, 6, 3]), np.array([3, 2, 0, 3])


def test_the_kernel_is_the_composition():
    emit, jump, lengths, sizes = case()
    total = ctc_total(*[wrap(a.copy()) for a in (emit, jump, lengths, sizes)])
    np.testing.assert_allclose(kernels.ctc(emit, jump, lengths, sizes), total.tolist(), rtol=1e-12)
    leaf = rl.from_numpy(emit).requires_grad_()
    g = np.array([1.0, -2.0, 0.5, 3.0])
    wanted, = rl.autograd.grad(ctc_total(leaf, *[wrap(a.copy()) for a in (jump, lengths, sizes)]), leaf, rl.from_numpy(g))
    np.testing.assert_allclose(kernels.ctc_grad(g, emit, jump, lengths, sizes), wanted.tolist(), atol=1e-12)


def test_gradients_and_their_gradients():
    x = rl.randn(6, 3, 5, dtype=rl.float64, requires_grad=True, generator=rl.Generator().manual_seed(0))

    def loss(t):
        return F.ctc_loss(t.log_softmax(-1), rl.tensor([[1, 2], [2, 2], [3, 1]]), [6, 5, 6], [2, 2, 1], reduction="none")
    assert rl.autograd.gradcheck(loss, (x,))
    assert rl.autograd.gradgradcheck(loss, (x,))


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_labels_that_no_alignment_gives(zero_infinity):
    """Three times are too few for two equal labels and a third: their gradient is no number, or zero where it does not count,
    and that of others is not touched."""
    x = rl.zeros(3, 2, 4).log_softmax(-1).requires_grad_()
    loss = F.ctc_loss(x, rl.tensor([[1, 1, 2], [1, 2, 3]]), [3, 3], [3, 3], reduction="none", zero_infinity=zero_infinity)
    assert loss.tolist()[0] == (0 if zero_infinity else math.inf) and math.isclose(loss.tolist()[1], 3 * math.log(4), rel_tol=1e-6)
    loss[1].backward(retain_graph=True)
    assert not x.grad[:, 0].any() and x.grad[:, 1].abs().sum().item() > 0
    x.grad = None
    loss.sum().backward()
    assert (x.grad[:, 0] == 0).all() if zero_infinity else x.grad[:, 0].isnan().any(-1).all()
    assert x.grad[:, 1].isfinite().all()


def test_a_thousand_times_are_a_few_operations():
    """A plan for them is made in no time."""
    from rushlight.exec.stats import stats
    x = rl.randn(1000, 2, 30).log_softmax(-1).requires_grad_()
    rl.realize()
    before = stats.nodes
    loss = F.ctc_loss(x, rl.randint(1, 30, (2, 100)), [1000, 900], [100, 80])
    loss.backward()
    assert math.isfinite(loss.item()) and rl.isfinite(x.grad).all()
    assert not x.grad[900:, 1].any() and stats.nodes - before < 100


@pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
@pytest.mark.parametrize("dtype", [rl.float32, rl.float64])
@pytest.mark.parametrize("most", [0, 1, 3, 4, 7, 8, 20])  # 1 to 41 places, around the width of vectors
def test_the_native_kernel_is_numpys(most, dtype):
    rng = np.random.default_rng(most)
    times, samples, classes = 2 * most + 3, 5, 6
    x = rng.standard_normal((times, samples, classes)) * 5
    x[0, 1, 2], x[1, 2, :], x[2, 3, 1] = np.nan, -np.inf, np.inf
    labels, lengths = rng.integers(1, classes, (samples, most)), rng.integers(0, times + 1, samples)
    sizes = rng.integers(0, most + 1, samples)
    lengths[1:4], sizes[:1] = times, most

    def values():
        leaf = rl.tensor(x, dtype=dtype, requires_grad=True)
        turned = rl.tensor(x.transpose(1, 2, 0).copy(), dtype=dtype).permute(2, 0, 1)  # read with strides
        loss = F.ctc_loss(leaf, rl.tensor(labels), lengths.tolist(), sizes.tolist(), reduction="none")
        loss.backward(rl.arange(-1.0, samples - 1).to(dtype))
        return [loss.detach().numpy(), leaf.grad.numpy(), F.ctc_loss(turned, rl.tensor(labels), lengths.tolist(), sizes.tolist(), reduction="none").numpy()]
    with only("numpy"):
        wanted = values()
    with only("cpu"):
        found = values()
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4 if dtype is rl.float32 else 1e-9, atol=1e-5 if dtype is rl.float32 else 1e-11)


@pytest.mark.skipif(not executor.available(), reason="no code generation on this machine")
def test_a_loss_is_two_kernels():
    x = rl.randn(20, 3, 5).log_softmax(2).detach().requires_grad_()
    with rl.profile() as found:
        loss = F.ctc_loss(x, rl.ones(3, 4, dtype=rl.int64), [20] * 3, [4] * 3)
        loss.backward()
        assert loss.item() > 0
    names = " + ".join([row[0] for row in found.rows()])
    assert "ctc [20, 3, 9]" in names and "ctc_grad [20, 3, 9]" in names
