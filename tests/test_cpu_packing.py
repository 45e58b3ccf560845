"""Packed weights of products: kept between runs while the weights stay the same, never a bit of difference."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.exec.cpu import gemm, host, packing, panels
from rushlight.exec.cpu.onednn import library
from rushlight.exec.realize import clear_plans

pytestmark = pytest.mark.skipif(not host.available() or not library.available(),
                                reason="one of the two ways to pack is oneDNN's")


@pytest.fixture(autouse=True, params=["onednn", "generated"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Everything runs natively, products in one of the two ways that pack."""
    monkeypatch.setenv("RUSHLIGHT_CONTRACT", request.param)
    monkeypatch.setenv("RUSHLIGHT_EXEC", "")
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    clear_plans()
    yield request.param
    clear_plans()


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was packed."""
    made: list[str] = []
    for kind in (packing.Variant, panels.Panels):
        monkeypatch.setattr(kind, "pack",
                            lambda self, buffer, pack=kind.pack: made.append(self.key) or pack(self, buffer))
    return made


def model() -> Any:
    rl.manual_seed(0)
    return rl.nn.Sequential(rl.nn.Linear(100, 200), rl.nn.ReLU(), rl.nn.Linear(200, 70),
                            rl.nn.ReLU(), rl.nn.Linear(70, 3))


def outputs(net: Any, x: Any, times: int = 1) -> list[np.ndarray]:
    found = []
    for _ in range(times):
        with rl.no_grad():
            found.append(net(x).numpy().copy())
    return found


@pytest.mark.parametrize("rows", [1, 7, 64, 256])
def test_not_a_bit_changes(rows: int, packs: list[str], compiled: str) -> None:
    net, x = model(), rl.randn(rows, 100)
    first, *later = outputs(net, x, 4)
    read_once = compiled == "generated" and rows <= gemm.FEWEST_ROWS  # by a kernel that packs nothing
    assert len(packs) == (0 if read_once else 2)  # the last layer is too small to gain
    assert all(np.array_equal(first, y) for y in later)


def test_weights_that_change_are_never_served_stale(packs: list[str]) -> None:
    net, x = model(), rl.randn(5, 100)
    outputs(net, x, 3)
    weight = net[0].weight

    def wanted() -> np.ndarray:
        y = x.numpy()
        for layer in (net[0], net[2], net[4]):
            y = y @ np.array(layer.weight.tolist(), np.float32).T + np.array(layer.bias.tolist(), np.float32)
            y = np.maximum(y, 0) if layer is not net[4] else y
        return y
    changes = [lambda: weight.mul_(2.0), lambda: weight[3].zero_(),
               lambda: net.load_state_dict(model().state_dict()), lambda: setattr(weight, "data", rl.ones(200, 100)),
               lambda: weight.numpy().__setitem__((0, 0), 9.0), lambda: weight.view(-1)[5:9].fill_(4.0)]
    for change in changes:
        with rl.no_grad():
            if change is changes[4]:
                weight.requires_grad_(False)
            change()
        for y in outputs(net, x, 3):
            np.testing.assert_allclose(y, wanted(), rtol=1e-4, atol=1e-4)


def test_memory_shared_with_numpy_is_not_packed(packs: list[str]) -> None:
    shared = np.ones((200, 100), np.float32)
    w, x = rl.from_numpy(shared), rl.ones(3, 100)
    for i in range(1, 5):
        shared[:] = i
        assert rl.nn.functional.linear(x, w)[0, 0].item() == 100.0 * i
    assert not packs


def test_training_does_not_pack(packs: list[str]) -> None:
    net, x, y = model(), rl.randn(16, 100), rl.randint(0, 3, (16,))
    optimizer = rl.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        loss = rl.nn.functional.cross_entropy(net(x), y)
        loss.item()  # the forward pass is a plan of its own
        loss.backward()
        optimizer.step()
    loss.item()
    assert not packs


def test_packed_weights_go_with_their_storage() -> None:
    net, x = model(), rl.randn(5, 100)
    outputs(net, x, 3)
    packed = [weakref.ref(a) for p in net.parameters() for a in (p._storage.cell.packed or {}).values()]
    assert len(packed) == 2 and all(a() is not None for a in packed)
    del net
    gc.collect()
    assert all(a() is None for a in packed)


def test_one_weight_in_two_products(packs: list[str]) -> None:
    """Parts of a weight have packed forms of their own."""
    w, x = rl.randn(128, 100), rl.randn(5, 100)
    first, *later = [np.concatenate([rl.nn.functional.linear(x, w[:64]).numpy(),
                                     rl.nn.functional.linear(x, w[64:]).numpy()], 1) for _ in range(4)]
    assert len(packs) == 2
    np.testing.assert_allclose(first, x.numpy() @ w.numpy().T, rtol=1e-4, atol=1e-4)
    assert all(np.array_equal(first, y) for y in later)


@pytest.mark.parametrize("options", [{}, {"padding": 1, "stride": 2}, {"groups": 4}])
def test_convolutions(options: dict[str, int], packs: list[str]) -> None:
    """Reorders of weights run until the weights have been seen twice, and again when they change."""
    net = rl.nn.Sequential(rl.nn.Conv2d(16, 32, 3, **options), rl.nn.ReLU(), rl.nn.Conv2d(32, 64, 1)).eval()
    x = rl.randn(2, 16, 12, 12)
    first, *later = outputs(net, x, 4)
    assert packs and all(np.array_equal(first, y) for y in later)
    with rl.no_grad():
        net[0].weight.mul_(-2.0), net[2].weight[5].zero_()
    fresh = rl.nn.Sequential(*[type(m)(m.in_channels, m.out_channels, m.kernel_size, m.stride, m.padding, groups=m.groups) if hasattr(m, "groups") else m for m in net])
    fresh.load_state_dict(net.state_dict())
    (want,) = outputs(fresh.eval(), x)
    assert not np.array_equal(want, first)
    assert all(np.array_equal(want, y) for y in outputs(net, x, 4))
