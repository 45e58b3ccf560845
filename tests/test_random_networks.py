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
TOLERANCE = 2e-3  # of the largest number of an array: networks amplify what single precision rounds


def steps(network: Network, state: dict[str, Any]) -> dict[str, np.ndarray]:
    """What two forward and backward passes give: the result, gradients of the input and of all weights, running statistics."""
    model = network.model
    model.load_state_dict({k: rl.tensor(v) for k, v in state.items()})
    rng = np.random.default_rng(1)
    x = rl.tensor(rng.standard_normal(network.shape).astype(np.float32))
    if network.last:
        x = x.contiguous(memory_format=rl.channels_last if network.dims == 2 else rl.channels_last_3d)
    x.requires_grad_()
    found = {}
    for at in range(2):
        model.zero_grad()
        x.grad = None
        y = model(x * 1.0)
        weights = rl.tensor(np.random.default_rng(2).standard_normal(tuple(y.shape)).astype(np.float32))
        (y * weights).sum().backward()
        found |= {f"result {at}": y.detach(), f"gradient of the input {at}": x.grad}
        found |= {f"gradient of {name} {at}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    found |= dict(model.named_buffers())
    return {name: value.numpy().copy() for name, value in found.items()}


@pytest.mark.parametrize("seed", range(COUNT))
def test_random_network(seed: int) -> None:
    network = Network(seed)
    state = {k: v.numpy().copy() for k, v in network.model.state_dict().items()}
    with only("numpy"):
        want = steps(network, state)
    with only("cpu"), guarded() as intact:
        have = steps(network, state)
        assert intact() > 0
    assert want.keys() == have.keys()
    for name, a in want.items():
        scale = max(1.0, float(np.abs(a).max(initial=0)))
        np.testing.assert_allclose(have[name], a, rtol=TOLERANCE, atol=TOLERANCE * scale, err_msg=f"{name} of {network.model}, input {network.shape}")
