"""torch.ao.quantization beside PyTorch's: the same scales and integers after calibration, results within one step."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest

import rushlight as rl
from rushlight.ao.quantization import quantize_fx

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")


def quantization(m):
    return m.ao.quantization if m is rl else __import__("torch.ao.quantization").ao.quantization


def network(m):
    """A residual network with stubs, the same weights in both."""
    nn, q = m.nn, quantization(m)

    class Block(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.conv1, self.bn1, self.relu = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU()
            self.conv2, self.bn2 = nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c)
            self.add = m.ao.nn.quantized.FloatFunctional()

        def forward(self, x):
            return self.add.add_relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))), x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.quant, self.dequant = q.QuantStub(), q.DeQuantStub()
            self.conv, self.bn, self.relu = nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU()
            self.pool, self.b1, self.b2 = nn.MaxPool2d(2), Block(16), Block(16)
            self.gap, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 10)

        def forward(self, x):
            x = self.b2(self.b1(self.pool(self.relu(self.bn(self.conv(self.quant(x)))))))
            return self.dequant(self.fc(m.flatten(self.gap(x), 1)))
    m.manual_seed(0)
    net = Net()
    with m.no_grad():
        for b in net.modules():
            if isinstance(b, nn.BatchNorm2d):
                b.running_mean.copy_(m.randn(b.num_features) * 0.1)
                b.running_var.copy_(m.rand(b.num_features) + 0.5)
    return net


GROUPS = [["conv", "bn", "relu"], *[[f"{b}.conv1", f"{b}.bn1", f"{b}.relu"] for b in ("b1", "b2")],
          *[[f"{b}.conv2", f"{b}.bn2"] for b in ("b1", "b2")]]


def calibrated(m, config):
    q = quantization(m)
    net = q.fuse_modules(network(m).eval(), GROUPS)
    net.qconfig = config(q)
    ready = q.prepare(net)
    x = m.randn(8, 3, 32, 32)
    with m.no_grad():
        ready(x)
        ready(m.randn(8, 3, 32, 32))
    return net, ready, q.convert(ready), x


CONFIGS = {"x86": lambda q: q.get_default_qconfig("x86"), "onednn": lambda q: q.get_default_qconfig("onednn"),
           "qnnpack": lambda q: q.get_default_qconfig("qnnpack"), "default": lambda q: q.default_qconfig,
           "moving": lambda q: q.QConfig(q.MovingAverageMinMaxObserver, q.default_per_channel_weight_observer)}


def test_signed_activations():
    net, _, small, x = calibrated(rl, lambda q: q.default_per_channel_symmetric_qnnpack_qconfig)
    assert small.conv(small.quant(x)).dtype is rl.qint8
    assert np.abs(small(x).numpy() - net(x).detach().numpy()).max() < 8 * small.fc.scale


def state(net):
    found = {}
    for k, v in net.state_dict().items():
        if isinstance(v, tuple):
            v = v[0]
        if hasattr(v, "is_quantized"):
            found[k] = (v.int_repr() if v.is_quantized else v.detach()).numpy().astype(np.float64)
    return found


@pytest.mark.parametrize("name", CONFIGS)
def test_static_quantization(name):
    _, _, theirs, x = calibrated(torch, CONFIGS[name])
    net, _, mine, y = calibrated(rl, CONFIGS[name])
    assert np.array_equal(x.numpy(), y.numpy())
    a, b = state(theirs), state(mine)
    assert a.keys() == b.keys()
    for k in a:
        tolerance = dict(atol=1.01, rtol=0) if k.endswith(("weight", "_packed_params", "zero_point")) else dict(
            rtol=1e-4, atol=1e-7)
        assert np.allclose(a[k], b[k], **tolerance), k
    with rl.no_grad():
        step = float(b["fc.scale"])
        got = mine(y).numpy()
        assert np.abs(theirs(x).detach().numpy() - got).max() <= step * (1.01 if name != "default" else 2.01)
        assert np.abs(net(y).numpy() - got).max() <= 8 * step
    lines = [line for line in repr(theirs).splitlines() if "scale=" not in line]
    assert lines == [line for line in repr(mine).splitlines() if "scale=" not in line]


def test_state_dicts_cross(tmp_path):
    _, _, theirs, x = calibrated(torch, CONFIGS["onednn"])
    _, _, mine, y = calibrated(rl, CONFIGS["onednn"])
    before = mine(y).numpy()
    rl.save(mine.state_dict(), tmp_path / "mine.pt")
    theirs.load_state_dict(torch.load(tmp_path / "mine.pt"))
    assert np.abs(theirs(x).numpy() - before).max() <= 1.01 * mine.fc.scale
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    fresh = rl.ao.quantization.convert(calibrated(rl, CONFIGS["qnnpack"])[1])
    fresh.load_state_dict(rl.load(tmp_path / "theirs.pt"))
    assert np.array_equal(fresh(y).numpy(), before)
    file = io.BytesIO()
    rl.save(mine.b1.conv1, file)
    file.seek(0)
    layer, images = rl.load(file, weights_only=False), rl.quantize_per_tensor(rl.randn(1, 16, 5, 5), 0.1, 0, rl.quint8)
    assert layer(images).equal(mine.b1.conv1(images)) and np.array_equal(copy.deepcopy(mine)(y).numpy(), before)


def test_the_weights_take_a_quarter():
    net = rl.nn.Sequential(rl.nn.Conv2d(64, 128, 3), rl.nn.ReLU(), rl.nn.Conv2d(128, 128, 3)).eval()
    sizes = []
    for n in (net, quantized(net, rl.randn(1, 64, 8, 8))):
        file = io.BytesIO()
        rl.save(n.state_dict(), file)
        sizes.append(file.tell())
    assert 0.24 < sizes[1] / sizes[0] < 0.29


def quantized(net, x):
    ready = quantize_fx.prepare_fx(net, rl.ao.quantization.get_default_qconfig_mapping("onednn"), (x,))
    ready(x)
    return quantize_fx.convert_fx(ready)


@pytest.mark.parametrize("batch_first, bidirectional", [(True, True), (False, False)])
def test_dynamic_quantization_of_lstms(batch_first, bidirectional):
    outs = []
    for m in (torch, rl):
        m.manual_seed(1)
        lstm = m.nn.LSTM(12, 20, 2, batch_first=batch_first, bidirectional=bidirectional).eval()
        x = m.randn(4, 9, 12)
        small = quantization(m).quantize_dynamic(lstm if m is rl else torch.nn.Sequential(lstm), {m.nn.LSTM})
        y, (h, c) = small(x)
        assert "DynamicQuantizedLSTM" in repr(small) or m is torch
        exact = lstm(x)[0].detach().numpy()
        outs.append([t.detach().numpy() for t in (y, h, c)] + [exact])
    for a, b in zip(*outs):
        assert np.allclose(a, b, atol=2e-3)
    assert 1e-6 < np.abs(outs[1][0] - outs[1][3]).max() < 0.05


def test_dynamic_quantization_of_linear_layers():
    for dtype, tolerance in (("qint8", 0.05), ("float16", 1e-3)):
        outs = []
        for m in (torch, rl):
            m.manual_seed(1)
            net = m.nn.Sequential(m.nn.Linear(32, 16), m.nn.ReLU(), m.nn.Linear(16, 4))
            x = m.randn(7, 3, 32)
            small = quantization(m).quantize_dynamic(net, {m.nn.Linear}, dtype=getattr(m, dtype))
            outs.append(small(x).detach().numpy())
            assert np.abs(net(x).detach().numpy() - outs[-1]).max() < tolerance
        assert np.allclose(*outs, atol=1e-3)
    gru = rl.nn.GRU(5, 7, batch_first=True)
    x = rl.randn(2, 6, 5)
    small = rl.ao.quantization.quantize_dynamic(gru)
    for a, b in zip(gru(x), small(x)):
        assert np.allclose(a.detach().numpy(), b.numpy(), atol=0.03)


def test_training_with_fake_quantization():
    losses = []
    for m in (torch, rl):
        q = quantization(m)
        m.manual_seed(2)
        t, x = m.randint(0, 10, (8,)), m.randn(8, 3, 32, 32)
        net = q.fuse_modules_qat(network(m).train(), GROUPS)
        net.qconfig = q.get_default_qat_qconfig("x86")
        ready = q.prepare_qat(net)
        optimizer = m.optim.SGD(ready.parameters(), 0.05)
        run = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = m.nn.functional.cross_entropy(ready(x), t)
            loss.backward()
            optimizer.step()
            run.append(loss.item())
        done = q.convert(ready.eval())
        assert "QuantizedConvReLU2d" in repr(done) and "fake" not in repr(done)
        with m.no_grad():
            assert np.abs(done(x).numpy() - ready(x).numpy()).max() < 0.2
        losses.append(run)
    assert losses[1][-1] < 0.8 * losses[1][0]
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-5)  # later steps may round a number the other way
    assert np.allclose(*losses, rtol=1e-2)


OBSERVERS = [("MinMaxObserver", {}), ("MinMaxObserver", {"dtype": "qint8", "qscheme": "per_tensor_symmetric"}),
             ("MinMaxObserver", {"reduce_range": True}),
             ("MinMaxObserver", {"reduce_range": True, "quant_min": 0, "quant_max": 255}),
             ("MinMaxObserver", {"quant_min": 0, "quant_max": 100, "qscheme": "per_tensor_symmetric"}),
             ("MovingAverageMinMaxObserver", {}), ("PerChannelMinMaxObserver", {}),
             ("PerChannelMinMaxObserver", {"ch_axis": 1, "dtype": "qint8", "qscheme": "per_channel_symmetric"}),
             ("PerChannelMinMaxObserver", {"qscheme": "per_channel_affine_float_qparams"}),
             ("MovingAveragePerChannelMinMaxObserver", {}),
             ("HistogramObserver", {}), ("HistogramObserver", {"reduce_range": True}),
             ("HistogramObserver", {"bins": 256, "qscheme": "per_tensor_symmetric"})]


@pytest.mark.parametrize("name, options", OBSERVERS, ids=str)
def test_observers(name, options):
    rng = np.random.default_rng(3)
    data = [rng.standard_normal((4, 6)).astype(np.float32) * f + o for f, o in ((1, 0.3), (2, -0.5), (0.1, 0))]
    if name == "HistogramObserver":
        data = [rng.standard_normal(5000).astype(np.float32) * f for f in (1, 2, 0.5)]
    found = []
    for m in (torch, rl):
        observer = getattr(quantization(m), name)(**{
            k: getattr(m, v) if isinstance(v, str) else v for k, v in options.items()})
        for x in data:
            observer(m.tensor(x))
        scale, zero = observer.calculate_qparams()
        found.append((scale.numpy(), zero.numpy(), observer.quant_min, observer.quant_max, set(observer.state_dict())))
        fresh = type(observer)()
        fresh.load_state_dict(observer.state_dict(), strict=True) if "bins" not in options else None
    (s1, z1, *r1), (s2, z2, *r2) = found
    assert r1 == r2 and s1.dtype == s2.dtype and s1.shape == s2.shape and z1.dtype == z2.dtype
    assert np.allclose(s1, s2, rtol=2e-3 if name == "HistogramObserver" else 1e-6)
    assert np.allclose(z1, z2, atol=1 if name == "HistogramObserver" else 1e-5)


def test_observers_refuse_what_does_not_fit():
    q = rl.ao.quantization
    with pytest.raises(NotImplementedError,
                       match="only support torch.per_tensor_symmetric and torch.per_tensor_affine"):
        q.MinMaxObserver(qscheme=rl.per_channel_affine)
    with pytest.raises(AssertionError, match="lower 'quant_min'"):
        q.MinMaxObserver(quant_min=5, quant_max=1)
    with pytest.warns(UserWarning, match="must run observer"):
        assert q.MinMaxObserver().calculate_qparams()[0].item() == 1
    with pytest.raises(ValueError, match="observer instance"):
        q.QConfig(q.MinMaxObserver(), q.MinMaxObserver)
    with pytest.raises(AssertionError, match="backend must be one of"):
        q.get_default_qconfig("gpu")
    with pytest.raises(AssertionError, match="training mode"):
        q.prepare_qat(rl.nn.Linear(1, 1).eval())
    with pytest.raises(NotImplementedError, match="Cannot fuse modules"):
        q.fuse_modules(rl.nn.Sequential(rl.nn.ReLU(), rl.nn.Linear(1, 1)), ["0", "1"])
    with pytest.raises(NotImplementedError, match="Put a QuantStub"):
        rl.ao.nn.quantized.Linear(2, 2)(rl.ones(1, 2))


def test_tracing_gives_what_modules_give():
    """prepare_fx on the plain network = stubs and FloatFunctional by hand."""
    _, _, by_hand, x = calibrated(rl, CONFIGS["x86"])
    net = network(rl).eval()
    for b in (net.b1, net.b2):
        b.add = rl.ao.nn.quantized.FXFloatFunctional()
    ready = quantize_fx.prepare_fx(net, rl.ao.quantization.get_default_qconfig_mapping("x86"), (x,))
    rl.manual_seed(0)
    network(rl)
    with rl.no_grad():
        ready(rl.randn(8, 3, 32, 32))
        ready(rl.randn(8, 3, 32, 32))
        traced = quantize_fx.convert_fx(ready)
        assert np.array_equal(traced(x).numpy(), by_hand(x).numpy())
    assert traced.code.count("dequantize()") == 1
    partly = rl.ao.quantization.get_default_qconfig_mapping("x86").set_module_name("fc", None)
    ready = quantize_fx.prepare_fx(net, partly, (x,))
    ready(x)
    half = quantize_fx.convert_fx(ready)
    assert type(half.fc) is rl.nn.Linear and repr(half.b1.conv1).startswith("QuantizedConvReLU2d")
    assert np.abs(half(x).detach().numpy() - net(x).detach().numpy()).max() < 0.1


def test_training_by_tracing():
    rl.manual_seed(0)
    net = rl.nn.Sequential(rl.nn.Conv2d(1, 4, 3), rl.nn.BatchNorm2d(4), rl.nn.ReLU(),
                           rl.nn.Flatten(), rl.nn.Linear(64, 3))
    ready = quantize_fx.prepare_qat_fx(net.train(), rl.ao.quantization.get_default_qat_qconfig_mapping("onednn"))
    x, t = rl.randn(16, 1, 6, 6), rl.randint(0, 3, (16,))
    optimizer, losses = rl.optim.Adam(ready.parameters(), 0.02), []
    for _ in range(20):
        optimizer.zero_grad()
        loss = rl.nn.functional.cross_entropy(ready(x), t)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    done = quantize_fx.convert_fx(ready.eval())
    assert np.abs(done(x).numpy() - ready(x).detach().numpy()).max() < 0.1
