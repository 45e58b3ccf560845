"""Inspection: the numbers are what the network holds, and every figure can be drawn and says what it shows."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import rushlight as rl
from rushlight import inspect, nn
from rushlight.nn import functional as F


def network():
    rl.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3),
                         nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 8), nn.Tanh(), nn.Linear(8, 3))


def texts(figure) -> str:
    """All that a figure says."""
    figure.canvas.draw()
    import matplotlib.text
    return "\n".join(t.get_text() for t in figure.findobj(matplotlib.text.Text))


@pytest.fixture
def x():
    return rl.tensor(np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32))


def test_record_gives_what_layers_gave(x):
    net = network()
    found = inspect.record(net, x)
    assert list(found) == [str(i) for i in range(10)]
    # not what the relu in place made of it
    assert np.array_equal(found["0"], net[0](x).detach().numpy()) and found["0"].min() < 0
    assert np.array_equal(found["9"], net(x).detach().numpy())
    assert list(inspect.record(net, x, ["3"])) == ["3"] and not net[3]._forward_hooks
    with pytest.raises(ValueError, match="no layer '77'; it has 0, 1"):
        inspect.record(net, x, "77")


def test_activation_maps(x):
    maps = inspect.activation_maps(network(), x, image=2, channels=3)
    assert list(maps.maps) == ["0", "3"] and np.array_equal(maps.maps["3"], inspect.record(network(), x, "3")["3"][2])
    assert len(maps.order["0"]) == 3
    assert "0 Conv2d   4 channels of 8 × 8" in texts(maps.figure)
    with pytest.raises(ValueError, match=r"\['7'\] gives none"):
        inspect.activation_maps(network(), x, "7")


def test_distributions(x, tmp_path):
    d = inspect.activation_distributions(network(), x)
    a = inspect.record(network(), x)["1"]
    assert d.facts["1"]["zeros"] == pytest.approx((a == 0).mean())
    assert d.facts["1"]["99%"] == pytest.approx(np.quantile(a, 0.99), rel=1e-5)
    counts, edges = d.histograms["1"]
    assert counts.sum() == (a != 0).sum() and edges[0] <= a.min() and edges[-1] >= a.max()
    assert "zeros" in str(d).splitlines()[0] and len(str(d).splitlines()) == 11
    assert {"1 ReLU", "exact zeros"} <= set(texts(d.figure).splitlines())
    d.save(tmp_path / "d.png")
    assert (tmp_path / "d.png").stat().st_size > 5000 and d._repr_png_().startswith(b"\x89PNG")


def test_weights(x):
    h = inspect.weight_histograms(network())
    assert list(h.facts) == ["0.weight", "3.weight", "7.weight", "9.weight"] and h.shapes["3.weight"] == (6, 4, 3, 3)
    assert h.facts["7.weight"]["std"] == pytest.approx(network()[7].weight.detach().numpy().std(), rel=1e-5)
    assert sum(h.histograms["3.weight"][0]) == 216 and "6 × 4 × 3 × 3" in texts(h.figure)
    f = inspect.filters(network())
    assert np.array_equal(f.weight, network()[0].weight.detach().numpy()) and "4 filters of 3 × 3" in texts(f.figure)
    assert "in colour" in texts(inspect.filters(nn.Sequential(nn.Conv2d(3, 70, 5))).figure)
    with pytest.raises(ValueError, match="no convolution"):
        inspect.filters(nn.Sequential(nn.Linear(1, 1)))
    with pytest.raises(ValueError, match="have no weights"):
        inspect.weight_histograms(nn.Sequential(nn.ReLU()))


def test_quantized_networks_can_be_looked_at(x):
    from rushlight.ao.quantization import get_default_qconfig_mapping
    from rushlight.ao.quantization.quantize_fx import convert_fx, prepare_fx
    ready = prepare_fx(network()[:7].eval(), get_default_qconfig_mapping("onednn"), (x,))
    ready(x)
    net = convert_fx(ready)
    assert "3.weight" in inspect.weight_histograms(net).facts
    assert any(a.dtype == np.float32 and a.shape == (5, 4, 8, 8) for a in inspect.record(net, x).values())


def test_saliency_is_the_gradient(x):
    torch = pytest.importorskip("torch")
    net = network()
    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
                                 torch.nn.Conv2d(4, 6, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2),
                                 torch.nn.Flatten(), torch.nn.Linear(24, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in net.state_dict().items()})
    at = torch.tensor(x.numpy()).requires_grad_()
    theirs(at)[:, 1].sum().backward()
    slopes = at.grad.abs().amax(1).numpy()
    found = inspect.saliency(net, x, target=1)
    assert np.allclose(found.maps, slopes / slopes.reshape(5, -1).max(1).reshape(5, 1, 1), atol=1e-5)
    assert found.targets == (1,) * 5
    assert np.allclose(found.scores, F.softmax(net(x), 1)[:, 1].detach().numpy(), atol=1e-6)
    assert net[0].weight.grad is None
    smooth = inspect.saliency(net, x, smooth=4)
    assert smooth.targets == tuple(net(x).argmax(1).tolist()) and "saliency" in texts(smooth.figure)


def test_grad_cam_is_its_formula(x):
    net = network()
    found = inspect.grad_cam(net, x, target=[0, 1, 2, 0, 1], labels=["cat", "dog", "cow"])
    a = net[:4](x).detach().requires_grad_()
    logits = net[4:](a)
    (slopes,) = rl.autograd.grad(logits[rl.arange(5), rl.tensor([0, 1, 2, 0, 1])].sum(), a)
    cam = F.interpolate((slopes.mean((2, 3), keepdim=True) * a).sum(1, keepdim=True).relu(),
                        size=(8, 8), mode="bilinear", align_corners=False)
    cam = cam[:, 0].detach().numpy()
    top = cam.reshape(5, -1).max(1).reshape(5, 1, 1)
    assert np.allclose(found.maps, np.where(top > 0, cam / np.maximum(top, 1e-30), 0), atol=1e-5)
    assert "cat" in texts(found.figure) and "Grad-CAM of 3" in texts(found.figure) and not net[3]._forward_hooks
    assert inspect.grad_cam(net, x, "1").maps.shape == (5, 8, 8)  # a relu in place
    with pytest.raises(ValueError, match="no images"):
        inspect.grad_cam(net, x, "7")
    with pytest.raises(ValueError, match="classifier of images"):
        inspect.saliency(net[:4], x)


def test_health_finds_what_is_wrong(x):
    y = rl.tensor([0, 1, 2, 0, 1])
    well = inspect.health(network(), F.cross_entropy, x, y)
    assert well.problems == [] and "no problems found" in str(well) and "no problems found" in texts(well.figure)
    net = network()
    with rl.no_grad():
        net[3].bias[:4] = -1e4
        net[7].weight.mul_(1e4)
    sick = inspect.health(net, F.cross_entropy, x, y)
    said = "\n".join(sick.problems)
    assert "4: " in said and "of the units are dead" in said and "8: " in said and "saturated" in said
    assert sick.units["4"]["dead"] >= 4 / 6 - 1e-6 and "dead" in texts(sick.figure)
    assert net[0].weight.grad is None
    net = network()
    with rl.no_grad():
        net[0].weight.div_(1e5)
        net[0].bias.div_(1e5)
        net[3].weight.mul_(1e5)
    assert any(p.startswith("0: the gradient explodes") for p in inspect.health(net, F.cross_entropy, x, y).problems)
    with rl.no_grad():
        net[9].weight[0, 0] = float("nan")
    broken = inspect.health(net, F.cross_entropy, x, y)
    assert "the loss is nan" in broken.problems and "9.weight: the weights are not finite" in broken.problems
    broken.figure.canvas.draw()


def test_numbers_need_no_matplotlib(x, monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = inspect.weight_histograms(network())
    assert found.facts
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rushlight\[plot\]'"):
        found.figure
