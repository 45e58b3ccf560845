"""Networks of random layers compute natively what they compute with NumPy, and nothing writes outside of its memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from executors import only
from guards import guarded
from random_networks import Network

import rushlight as rl
from rushlight.exec.cpu import executor

pytestmark = pytest.mark.skipif(not executor.available(), reason="no compiler on this machine")
COUNT = 60
TOLERANCE = {"float32": 2e-3, "bfloat16": 0.1, "float16": 0.03}  # of the largest number of an array: networks amplify what is rounded


def steps(network: Network, state: dict[str, Any], dtype: Any = rl.float32) -> dict[str, np.ndarray]:
    """What two forward and backward passes give: the result, gradients of the input and of all weights, running statistics."""
    model = network.model.to(dtype)
    model.load_state_dict({k: rl.tensor(v) for k, v in state.items()})
    rng = np.random.default_rng(1)
    x = rl.tensor(rng.standard_normal(network.shape).astype(np.float32)).to(dtype)
    if network.last:
        x = x.contiguous(memory_format=rl.channels_last if network.dims == 2 else rl.channels_last_3d)
    x.requires_grad_()
    found = {}
    for at in range(2):
        model.zero_grad()
        x.grad = None
        y = model(x * 1.0)
        weights = rl.tensor(np.random.default_rng(2).standard_normal(tuple(y.shape)).astype(np.float32)).to(dtype)
        (y * weights).sum().backward()
        found |= {f"result {at}": y.detach(), f"gradient of the input {at}": x.grad}
        found |= {f"gradient of {name} {at}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    found |= dict(model.named_buffers())
    return {name: value.double().numpy().copy() for name, value in found.items()}


def check(seed: int, dtype: str) -> None:
    network = Network(seed)
    state = {k: v.numpy().copy() for k, v in network.model.state_dict().items()}
    with only("numpy"):
        want = steps(network, state, getattr(rl, dtype))
    with only("cpu"), guarded() as intact:
        have = steps(network, state, getattr(rl, dtype))
        assert intact() > 0
    assert want.keys() == have.keys()
    for name, a in want.items():
        tolerance, scale = TOLERANCE[dtype], max(1.0, float(np.abs(a).max(initial=0)))
        np.testing.assert_allclose(have[name], a, rtol=tolerance, atol=tolerance * scale, err_msg=f"{name} of {network.model}, input {network.shape}")


@pytest.mark.parametrize("seed", range(COUNT))
def test_random_network(seed: int) -> None:
    check(seed, "float32")


@pytest.mark.parametrize("seed", range(COUNT, COUNT + 20))
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_random_network_of_half_precision(seed: int, dtype: str) -> None:
    check(seed, dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("executor", ["numpy", "cpu"])
def test_running_statistics_of_half_precision(executor: str, dtype: str) -> None:
    """With NumPy every channel got the statistics of the first: what ends a widened operation had the shape that it was computed in."""
    x = rl.arange(2 * 4 * 3 * 3).reshape(2, 4, 3, 3).sin() + rl.arange(4).reshape(4, 1, 1)
    layers = [rl.nn.BatchNorm2d(4).to(d) for d in (rl.float32, getattr(rl, dtype))]
    with only(executor):
        for layer in layers:
            layer(x.to(layer.weight.dtype)).sum().item()
        single, half = ([layer.running_mean.tolist(), layer.running_var.tolist()] for layer in layers)
    np.testing.assert_allclose(half, single, atol=0.01)
