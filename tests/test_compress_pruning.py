"""Channels that are removed: what a network computes without dead channels is what it computed with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight import compress, nn
from rushlight.compress.channels import channel_groups
from rushlight.nn import functional as F
from rushlight.vision import models


def kill(model, x, fraction: float, seed: int = 0) -> dict[int, np.ndarray]:
    """Make some channels of each removable group zero everywhere, and say for each group which live."""
    rng = np.random.default_rng(seed)
    modules = dict(model.named_modules())
    alive = {}
    with rl.no_grad():
        for i, g in enumerate(channel_groups(model, x)):
            if g.fixed is not None:
                continue
            live = np.ones(g.size, bool)
            live[rng.permutation(g.size)[:int(round(fraction * g.size))]] = False
            alive[i] = live
            for u in g.uses:
                m = modules[u.module]
                places = [u.start + c * u.width + j for c in np.flatnonzero(~live) for j in range(u.width)]
                if u.role == "in" or not places:
                    continue
                index = rl.tensor(places)
                if isinstance(m, nn.ConvTranspose2d):
                    m.weight[:, index] = 0
                else:
                    m.weight[index] = 0
                if getattr(m, "bias", None) is not None:
                    m.bias[index] = 0
    return alive


def same_without_the_dead(model, x, fraction=0.5, tolerance=1e-4):
    model.eval()
    with rl.no_grad():
        for m in model.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.copy_(rl.randn(m.num_features) * 0.1)
                m.bias.copy_(rl.randn(m.num_features) * 0.1)
    alive = list(kill(model, x, fraction).values())
    wanted = iter([a for a in alive])
    sizes = {}

    def liveness(modules, group):
        mask = next(wanted)
        sizes[group.name] = int(mask.sum())
        return mask.astype(float)
    groups = [g for g in channel_groups(model, x) if g.fixed is None]
    assert all(any(u.role == "out" for u in g.uses) for g in groups)
    small, report = compress.prune_channels(model, x, fraction, importance=liveness)
    with rl.no_grad():
        a, b = model(x).numpy(), small(x).numpy()
    assert np.abs(a - b).max() <= tolerance * max(1, np.abs(a).max())
    assert {name: after for name, _, after in report.rows} == sizes
    return small, report


class Zoo(nn.Module):
    """Sums, concatenations, a gate, depthwise and transposed convolutions, a shared layer, flattening."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.left, self.right = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.shared = nn.Conv2d(12, 12, 1)
        self.squeeze, self.excite = nn.Conv2d(12, 3, 1), nn.Conv2d(3, 12, 1)
        self.up = nn.ConvTranspose2d(12, 6, 2, stride=2)
        self.act, self.fc1, self.fc2 = nn.PReLU(6), nn.Linear(6 * 16, 10), nn.Linear(10, 5)

    def forward(self, x):
        x = F.relu(self.bn(self.stem(x)))
        x = rl.cat([F.relu(self.left(x) + x), F.relu(self.right(x))], 1)
        x = F.relu(self.shared(self.depthwise(x)))
        x = x + F.relu(self.shared(x))
        x = x * self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))).sigmoid()
        x = F.adaptive_avg_pool2d(self.act(self.up(x)), 4)
        return self.fc2(F.relu(self.fc1(rl.flatten(x, 1))))


@pytest.mark.parametrize("fraction", [0.25, 0.5])
def test_dead_channels_make_no_difference(fraction):
    rl.manual_seed(0)
    small, report = same_without_the_dead(Zoo(), rl.randn(2, 3, 8, 8), fraction)
    assert small.fc2.out_features == 5 and small.stem.in_channels == 3
    assert small.depthwise.groups == small.depthwise.in_channels == small.shared.in_channels
    assert report.parameters_after == sum(p.numel() for p in small.parameters()) < report.parameters_before


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_b0"])
def test_networks_of_the_zoo(name):
    rl.manual_seed(0)
    options = {"densenet121": {"block_config": (2, 2), "num_init_features": 16, "growth_rate": 8}}.get(name, {})
    build = models.densenet.DenseNet if name == "densenet121" else getattr(models, name)
    small, report = same_without_the_dead(build(num_classes=10, **options), rl.randn(1, 3, 32, 32))
    assert report.parameters_after < 0.6 * report.parameters_before


@given(st.integers(0, 10**6), st.floats(0, 0.9), st.integers(1, 4))
@settings(max_examples=6, deadline=None)
def test_any_amount_gives_a_network_that_runs(seed, amount, multiple):
    rl.manual_seed(seed)
    x = rl.randn(2, 3, 8, 8)
    small, report = compress.prune_channels(Zoo().eval(), x, amount, multiple=multiple, importance="random")
    assert small(x).shape == (2, 5)
    assert all(1 <= after <= before and (after == before or after % multiple == 0) for _, before, after in report.rows)


def test_what_is_chosen():
    net = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
                        nn.Conv2d(4, 6, 1, bias=False), nn.ReLU(), nn.Conv2d(6, 2, 1))
    x = rl.randn(2, 1, 3, 3)
    with rl.no_grad():
        net[0].weight.copy_(rl.tensor([3.0, 1.0, 4.0, 2.0]).view(4, 1, 1, 1))
        net[1].weight.copy_(rl.tensor([0.1, 1.0, 0.2, 2.0]))
    by_norm, _ = compress.prune_channels(net, x, {"0": 0.5})
    assert by_norm[0].weight.flatten().tolist() == [3.0, 4.0] and by_norm[3].weight.shape == (6, 2, 1, 1)
    assert net[0].weight.shape[0] == 4
    by_scale, _ = compress.prune_channels(net, x, {"0": 0.5}, importance="scale")
    assert by_scale[0].weight.flatten().tolist() == [1.0, 2.0]
    net(x).square().sum().backward()
    by_gradient, _ = compress.prune_channels(net, x, 0.5, importance="taylor")
    assert by_gradient[0].out_channels == 2 and by_gradient[3].out_channels == 3
    _, report = compress.prune_channels(net, x, 0.5, scope="model")
    assert sum(after for *_, after in report.rows) in (5, 6)
    _, report = compress.prune_channels(net, x, 0.5, keep=["0"])
    assert [name for name, *_ in report.rows] == ["3"] and "parameters" in str(report)
    same, _ = compress.prune_channels(net, x, 0.5, inplace=True)
    assert same is net and net[0].out_channels == 2


def test_errors_name_the_way_out():
    net, x = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)), rl.randn(1, 1, 2, 2)
    with pytest.raises(ValueError, match="amount is a fraction"):
        compress.prune_channels(net, x, 1.5)
    with pytest.raises(ValueError, match="importance is one of"):
        compress.prune_channels(net, x, importance="size")
    with pytest.raises(ValueError, match="no layer '7' makes channels; the layers that do are 0, 2"):
        compress.prune_channels(net, x, {"7": 0.5})
    with pytest.raises(ValueError, match="cannot be removed: the network's result"):
        compress.prune_channels(net, x, {"2": 0.5})
    with pytest.raises(RuntimeError, match="call loss.backward"):
        compress.prune_channels(net, x, importance="taylor")
    with pytest.raises(ValueError, match="scope"):
        compress.prune_channels(net, x, scope="all")


def test_what_is_not_followed_keeps_its_size():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.b(self.a(x).flip(1))
    groups = channel_groups(Odd(), rl.zeros(1, 1, 2, 2))
    assert next(g for g in groups if g.name == "a").fixed == "passes through flip"


def test_costs():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 5))
    c = compress.cost(net, rl.zeros(1, 3, 8, 8))
    assert (c.parameters, c.multiply_adds) == (3 * 4 * 9 + 4 + 256 * 5 + 5, 4 * 64 * 27 + 256 * 5)
    assert c.bytes > 4 * c.parameters
    assert "multiply-adds" in str(c)
