"""torch.nn.utils.prune against PyTorch: the same masks, the same random ones, the same errors."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

import rushlight as rl

torch = pytest.importorskip("torch")


def both(f: Any) -> list[Any]:
    out = []
    for lib in (torch, rl):
        lib.manual_seed(3)
        net = lib.nn.Sequential(lib.nn.Conv2d(2, 4, 3), lib.nn.Flatten(), lib.nn.Linear(4, 5))
        out.append(f(lib, importlib.import_module(lib.__name__ + ".nn.utils.prune"), net))
    return out


def state(net: Any) -> Any:
    return {k: [round(float(n), 5) for n in v.detach().reshape(-1).tolist()] for k, v in net.state_dict().items()}


CHANGES: dict[str, Any] = {
    "identity": lambda lib, p, net: p.identity(net[0], "weight"),
    "random": lambda lib, p, net: p.random_unstructured(net[0], "weight", 0.3),
    "random count": lambda lib, p, net: p.random_unstructured(net[2], "bias", 2),
    "l1": lambda lib, p, net: p.l1_unstructured(net[0], "weight", 0.4),
    "l1 of nothing": lambda lib, p, net: p.l1_unstructured(net[0], "weight", 0),
    "scores": lambda lib, p, net: p.l1_unstructured(net[2], "weight", 4,
                                                    importance_scores=lib.arange(20.0).reshape(5, 4)),
    "random channels": lambda lib, p, net: p.random_structured(net[0], "weight", 2, 0),
    "channels": lambda lib, p, net: p.ln_structured(net[0], "weight", 0.5, 2, 0),
    "channels by dim 1": lambda lib, p, net: p.ln_structured(net[2], "weight", 1, 1, -1),
    "mask": lambda lib, p, net: p.custom_from_mask(net[2], "bias", lib.tensor([1, 0, 0, 1, 1])),
    "twice": lambda lib, p, net: p.l1_unstructured(p.l1_unstructured(net[0], "weight", 0.4), "weight", 0.5),
    "elements after channels": lambda lib, p, net: p.l1_unstructured(
        p.ln_structured(net[0], "weight", 1, 2, 0), "weight", 5),
    "channels after channels": lambda lib, p, net: p.ln_structured(
        p.ln_structured(net[0], "weight", 1, 2, 0), "weight", 1, 2, 0),
    "three": lambda lib, p, net: p.random_unstructured(
        p.ln_structured(p.l1_unstructured(net[2], "weight", 3), "weight", 1, 2, 1), "weight", 2),
    "global": lambda lib, p, net: p.global_unstructured([(net[0], "weight"),
                                                         (net[2], "weight")], p.L1Unstructured, amount=0.3),
    "global twice": lambda lib, p, net: [
        p.global_unstructured([(net[0], "weight"), (net[2], "bias")], p.L1Unstructured, amount=n) for n in (10, 0.5)],
    "global random": lambda lib, p, net: p.global_unstructured(((net[0], "weight"),
                                                                (net[2], "weight")), p.RandomUnstructured, amount=7),
    "removed": lambda lib, p, net: p.remove(p.l1_unstructured(net[0], "weight", 0.4), "weight"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_state_afterwards(name: str) -> None:
    def run(lib: Any, p: Any, net: Any) -> Any:
        CHANGES[name](lib, p, net)
        x = lib.arange(18.0).reshape(1, 2, 3, 3) / 10
        out = net(x)
        out.sum().backward()
        grads = [None if q.grad is None else [round(v, 4) for v in q.grad.reshape(-1).tolist()]
                 for _, q in sorted(net.named_parameters())]
        return state(net), [n for n, _ in net.named_parameters()], p.is_pruned(net), [round(v, 4) for v in out.reshape(-1).tolist()], grads
    want, got = both(run)
    assert got == want


def test_training_keeps_the_zeros() -> None:
    def run(lib: Any, p: Any, net: Any) -> Any:
        p.l1_unstructured(net[2], "weight", 0.5)
        opt = lib.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(3):
            opt.zero_grad()
            net(lib.ones(1, 2, 3, 3)).pow(2).sum().backward()
            opt.step()
        p.remove(net[2], "weight")
        return int((net[2].weight == 0).sum()), state(net)
    want, got = both(run)
    assert got[0] == want[0] == 10
    for k in want[1]:
        assert got[1][k] == pytest.approx(want[1][k], abs=1e-4)


def test_prune_a_tensor() -> None:
    want, got = both(lambda lib, p, net: p.L1Unstructured(2).prune(lib.tensor([3.0, -1.0, 2.0, -4.0])).tolist())
    assert got == want


BAD: tuple[Any, ...] = (
    lambda lib, p, net: p.l1_unstructured(net[0], "weight", -1),
    lambda lib, p, net: p.l1_unstructured(net[0], "weight", 1.5),
    lambda lib, p, net: p.l1_unstructured(net[0], "weight", "a"),
    lambda lib, p, net: p.l1_unstructured(net[2], "bias", 50),
    lambda lib, p, net: p.ln_structured(net[2], "bias", 1, 2, 0),
    lambda lib, p, net: p.ln_structured(net[2], "weight", 1, 2, 5),
    lambda lib, p, net: p.remove(net[0], "weight"),
    lambda lib, p, net: p.global_unstructured([(net[0], "weight")], p.LnStructured, amount=1, n=2),
    lambda lib, p, net: p.l1_unstructured(net[0], "weight", 1, importance_scores=lib.ones(2)),
    lambda lib, p, net: p.PruningContainer().add_pruning_method(3),
)


@pytest.mark.parametrize("call", BAD)
def test_errors(call: Any) -> None:
    def run(lib: Any, p: Any, net: Any) -> Any:
        with pytest.raises(Exception) as error:
            call(lib, p, net)
        return type(error.value), str(error.value).split("[")[0].split(" of ")[0][:60], sorted(
            n for n, _ in net.named_parameters())
    want, got = both(run)
    assert got == want
