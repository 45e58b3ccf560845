"""torch.nn.utils.prune against PyTorch; torch.utils.benchmark's figures and tables."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import rushlight as rl
import rushlight.utils.benchmark as bench

torch = pytest.importorskip("torch")
pytest.importorskip("torch.nn.utils.prune")
pytest.importorskip("torch.utils.benchmark")


def conv(t: Any) -> Any:
    m = t.nn.Conv2d(3, 4, 2)
    m.weight.data = t.tensor(np.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype(np.float32))
    m.bias.data = t.tensor([0.1, -0.2, 0.3, -0.4])
    return m


def net(t: Any) -> Any:
    m = t.nn.Sequential(conv(t), t.nn.Flatten(), t.nn.Linear(4, 2))
    m[2].weight.data = t.tensor(np.random.default_rng(1).standard_normal((2, 4)).astype(np.float32))
    return m


STEPS: dict[str, Any] = {
    "l1": lambda t, p, m: p.l1_unstructured(m, "weight", 0.4),
    "l1 of a number": lambda t, p, m: p.l1_unstructured(m, "bias", 2),
    "l1 by scores": lambda t, p, m: p.l1_unstructured(m, "weight", 5,
                                                      importance_scores=t.arange(48.0).reshape(4, 3, 2, 2)),
    "ln": lambda t, p, m: p.ln_structured(m, "weight", 0.5, n=2, dim=0),
    "ln along 1": lambda t, p, m: p.ln_structured(m, "weight", 1, n=float("-inf"), dim=1),
    "twice": lambda t, p, m: (p.l1_unstructured(m, "weight", 0.25), p.l1_unstructured(m, "weight", 0.5)),
    "both kinds": lambda t, p, m: (p.ln_structured(m, "weight", 1, n=1, dim=0), p.l1_unstructured(m, "weight", 10)),
    "channels last": lambda t, p, m: (p.l1_unstructured(m, "weight", 0.3),
                                      p.ln_structured(m, "weight", 0.25, n=2, dim=0)),
    "random": lambda t, p, m: (t.manual_seed(0), p.random_unstructured(m, "weight", 0.3)),
    "random channels": lambda t, p, m: (t.manual_seed(0), p.random_structured(m, "weight", 1, dim=0)),
    "a mask": lambda t, p, m: p.custom_from_mask(m, "bias", t.tensor([1, 0, 1, 0])),
    "identity": lambda t, p, m: p.identity(m, "bias"),
}


@pytest.mark.parametrize("name", STEPS)
def test_masks(name: str) -> None:
    def run(t: Any) -> Any:
        p, m = t.nn.utils.prune, conv(t)
        STEPS[name](t, p, m)
        x = t.arange(18.0).reshape(1, 3, 3, 2) / 18
        out = m(x)
        out.sum().backward()
        state = {k: v.detach().numpy() for k, v in m.state_dict().items()}
        grads = {k: q.grad.numpy() for k, q in m.named_parameters()}
        pruned = [k[:-5] for k in state if k.endswith("_mask")]
        assert p.is_pruned(m)
        for k in pruned:
            p.remove(m, k)
        assert not p.is_pruned(m)
        return out.detach().numpy(), state, grads, {k: v.detach().numpy() for k, v in m.state_dict().items()}
    got, want = run(rl), run(torch)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-4, atol=1e-5)
    for g, w in zip(got[1:], want[1:]):
        assert list(g) == list(w)
        for k in w:
            np.testing.assert_allclose(g[k], w[k], rtol=1e-4, atol=1e-5)


def test_global() -> None:
    def run(t: Any) -> Any:
        p, m = t.nn.utils.prune, net(t)
        p.global_unstructured([(m[0], "weight"), (m[2], "weight")], pruning_method=p.L1Unstructured, amount=0.3)
        return m[0].weight_mask.tolist(), m[2].weight_mask.tolist(), m(t.ones(1, 3, 2, 2)).detach().numpy()
    got, want = run(rl), run(torch)
    assert got[:2] == want[:2]
    np.testing.assert_allclose(got[2][:, :0], want[2][:, :0])


BAD: list[Any] = [
    lambda p, m: p.l1_unstructured(m, "weight", "much"),
    lambda p, m: p.l1_unstructured(m, "weight", 1.5), lambda p, m: p.l1_unstructured(m, "weight", 1000),
    lambda p, m: p.ln_structured(m, "bias", 1, n=2, dim=0),
    lambda p, m: p.ln_structured(m, "weight", 1, n=2, dim=9), lambda p, m: p.remove(m, "weight"),
    lambda p, m: p.global_unstructured([(m, "weight")], pruning_method=p.LnStructured, amount=1, n=2),
    lambda p, m: p.global_unstructured(3, p.L1Unstructured),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_errors(number: int) -> None:
    with pytest.raises(Exception) as want:
        BAD[number](torch.nn.utils.prune, conv(torch))
    m = conv(rl)
    with pytest.raises(want.type) as got:
        BAD[number](rl.nn.utils.prune, m)
    assert str(got.value)[:30] == str(want.value)[:30]
    assert sorted(m.state_dict()) == ["bias", "weight"]  # nothing is left of the attempt


# --- benchmark ----------------------------------------------------------------------------------------------------
def test_timer_counts_what_is_pending() -> None:
    timer = bench.Timer("f(x)", "calls.append(1)", globals={"f": lambda x: x + 1, "x": rl.ones(3),
                                                            "calls": (calls := [])}, label="add", num_threads=1)
    m = timer.timeit(50)
    assert m.number_per_run == 50 and len(m.times) == 1 and m.median > 0 and calls and m.label == "add"
    m = timer.blocked_autorange(min_run_time=0.01)
    assert sum(m.raw_times) >= 0.01 and m.mean > 0 and m.iqr >= 0 and 1 <= m.significant_figures <= 4
    assert timer.adaptive_autorange(max_run_time=0.05).times
    for options in ({"stmt": 3}, {"language": "c++"}, {"global_setup": "x"}, {"num_threads": 0}):
        with pytest.raises(ValueError):
            bench.Timer(**options)


def measured(times: list[float], **spec: Any) -> bench.Measurement:
    return bench.Measurement(2, [2 * t for t in times], bench.TaskSpec("f(x)", "pass", **spec))


def test_measurements_print_their_figures() -> None:
    m = measured([0.001, 0.0011, 0.0012, 0.0013], label="work", sub_label="small", description="mine")
    assert (m.median, m.mean) == (pytest.approx(0.00115), pytest.approx(0.00115)) and m.iqr == pytest.approx(0.00015)
    text = repr(m)
    assert "work: small" in text and "Median: 1.2 ms" in text and "ms" in text
    assert "4 measurements, 2 runs per measurement, 1 thread" in text
    theirs = torch.utils.benchmark.Measurement(2, [2 * t for t in m.times],
                                               torch.utils.benchmark.TaskSpec("f(x)", "pass"))
    assert m.significant_figures == theirs.significant_figures and m.iqr == pytest.approx(theirs.iqr)
    assert bench.select_unit(3e-7) == torch.utils.benchmark.select_unit(3e-7)
    assert bench.trim_sigfig(0.012345, 3) == pytest.approx(0.0123)


def test_compare_is_a_table() -> None:
    results = [measured([t] * 5, label="work", sub_label=s, description=d) for s, d, t in
               (("small", "a", 1e-3), ("small", "b", 2e-3), ("large", "a", 4e-3), ("large", "b", 3e-3))]
    table = bench.Compare(results)
    lines = str(table).splitlines()
    assert "work" in lines[0] and lines[1].split("|")[1:] and [c.strip() for c in lines[1].split("|")] == ["", "a", "b"]
    assert [c.strip() for c in lines[3].split("|")] == ["small", "1.0", "2.0"]
    assert [c.strip() for c in lines[4].split("|")] == ["large", "4.0", "3.0"]
    assert lines[-1] == "Times are in milliseconds (ms)."
    table.trim_significant_figures()
    table.colorize(rowwise=True)
    assert re.search(r"\x1b\[92m\x1b\[1m\s*1\x1b", str(table))
    with pytest.raises(ValueError, match="Expected an instance of `Measurement`"):
        table.extend_results([3])
    with pytest.raises(ValueError, match="Expected an instance"):
        bench.Compare(["x"])
