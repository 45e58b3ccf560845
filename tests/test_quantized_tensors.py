"""Quantized tensors and their kernels against PyTorch's: integers equal within one step, in both executors."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl
from rushlight.ao import kernels
from rushlight.exec.cpu.onednn import library
from rushlight.nn import functional as F

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")
EXECUTORS = pytest.mark.parametrize("executor", ["native", "numpy"])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def use(executor: str, monkeypatch) -> None:
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy" if executor == "numpy" else "")
    monkeypatch.setenv("RUSHLIGHT_TIER", "1")
    rl.compiler.reset()


def ours(x: np.ndarray) -> rl.Tensor:
    return rl.tensor(x)


def both(x: np.ndarray, scale: float, zero: int, kind: str = "quint8"):
    return (torch.quantize_per_tensor(torch.from_numpy(x), scale, zero, getattr(torch, kind)),
            rl.quantize_per_tensor(ours(x), scale, zero, getattr(rl, kind)))


def steps(theirs, mine) -> int:
    """The greatest difference of integers; everything else must be equal."""
    assert theirs.q_scale() == pytest.approx(mine.q_scale(), rel=1e-6) and theirs.q_zero_point() == mine.q_zero_point()
    a, b = theirs.int_repr().numpy().astype(np.int64), mine.int_repr().numpy().astype(np.int64)
    assert a.shape == b.shape
    return int(np.abs(a - b).max(initial=0))


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 10), st.integers(-128, 127),
       st.sampled_from(["qint8", "quint8", "qint32"]))
@settings(max_examples=60, deadline=None)
def test_quantizing_gives_pytorchs_integers(seed, scale, zero, kind):
    x = (np.random.default_rng(seed).standard_normal(50) * 3).astype(np.float32)
    zero = zero + 128 if kind == "quint8" else zero
    theirs, mine = both(x, scale, zero, kind)
    assert np.array_equal(theirs.int_repr().numpy(), mine.int_repr().numpy())
    assert np.array_equal(theirs.dequantize().numpy(), mine.dequantize().numpy())


@given(st.integers(0, 2**32 - 1), st.integers(0, 2))
@settings(max_examples=30, deadline=None)
def test_quantizing_per_channel(seed, axis):
    rng = np.random.default_rng(seed)
    x, scales, zeros = rng.standard_normal((3, 4, 5)).astype(np.float32), rng.uniform(
        0.01, 0.2, (3, 4, 5)[axis]), rng.integers(-9, 9, (3, 4, 5)[axis])
    theirs = torch.quantize_per_channel(torch.from_numpy(x), torch.from_numpy(scales),
                                        torch.from_numpy(zeros), axis, torch.qint8)
    mine = rl.quantize_per_channel(ours(x), ours(scales), ours(zeros), axis, rl.qint8)
    assert np.abs(theirs.int_repr().numpy().astype(int) - mine.int_repr().numpy()).max() <= 1
    assert np.array_equal(mine.q_per_channel_scales().numpy(), scales) and mine.q_per_channel_axis() == axis
    assert np.allclose(mine.transpose(0, 2).dequantize().numpy(), mine.dequantize().numpy().transpose(2, 1, 0))


def test_text_is_pytorchs(rng):
    theirs, mine = both(rng.standard_normal((2, 3)).astype(np.float32), 0.1, 10)
    assert str(theirs) == str(mine)
    assert str(rl.quint8) == "torch.quint8" and str(mine.qscheme()) == "torch.per_tensor_affine"


CONVOLUTIONS = [(1, 3, 17, 8, 3, 1, 1, 1, 0, 0, True), (2, 16, 14, 32, 1, 1, 0, 1, 3, 5, False),
                (2, 16, 14, 32, 3, 2, 1, 1, 128, 100, False), (1, 8, 9, 8, 3, 1, 1, 8, 7, 0, True),
                (2, 32, 12, 64, 3, 1, 1, 4, 20, 64, False), (1, 5, 7, 7, 5, 2, 2, 1, 255, 255, False)]


@EXECUTORS
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolutions(case, executor, monkeypatch, rng):
    use(executor, monkeypatch)
    n, c, size, o, k, stride, padding, groups, zero, zero_out, relu = case
    x, w, b = (rng.standard_normal(s).astype(np.float32) * f for s, f in (((n, c, size, size), 1),
                                                                          ((o, c // groups, k, k), 0.1), ((o,), 0.1)))
    scales = np.abs(w).reshape(o, -1).max(1) / 127.0
    theirs, mine = both(x, 0.03, zero)
    their_w = torch.quantize_per_channel(torch.from_numpy(w), torch.from_numpy(scales),
                                         torch.zeros(o, dtype=torch.long), 0, torch.qint8)
    my_w = rl.quantize_per_channel(ours(w), ours(scales), rl.zeros(o, dtype=rl.int64), 0, rl.qint8)
    packed = torch.ops.quantized.conv2d_prepack(their_w, torch.from_numpy(b),
                                                [stride] * 2, [padding] * 2, [1, 1], groups)
    name = "conv2d_relu" if relu else "conv2d"
    expected = getattr(torch.ops.quantized, name)(theirs, packed, 0.05, zero_out)
    layer = kernels.Weights(my_w, ours(b), ((stride,) * 2, (padding,) * 2, (1, 1), groups))
    for _ in range(2):  # the second time with packed weights
        got = kernels.output(mine, layer, 0.05, zero_out, relu)
        assert steps(expected, got) <= 1
    assert got.is_contiguous(memory_format=rl.channels_last)


@EXECUTORS
@pytest.mark.parametrize("m, k, n, zero, zero_out, relu",
                         [(5, 64, 32, 0, 0, True), (128, 784, 100, 30, 60, False), (1, 33, 7, 3, 3, False)])
def test_linear_static_and_dynamic(m, k, n, zero, zero_out, relu, executor, monkeypatch, rng):
    use(executor, monkeypatch)
    x, w, b = (rng.standard_normal(s).astype(np.float32) * f for s, f in (((m, k), 1), ((n, k), 0.1), ((n,), 1)))
    theirs, mine = both(x, 0.03, zero)
    their_w, my_w = both(w, float(np.abs(w).max() / 127), 0, "qint8")
    packed = torch.ops.quantized.linear_prepack(their_w, torch.from_numpy(b))
    expected = getattr(torch.ops.quantized, "linear_relu" if relu else "linear")(theirs, packed, 0.05, zero_out)
    layer = kernels.Weights(my_w, ours(b))
    assert steps(expected, kernels.output(mine, layer, 0.05, zero_out, relu)) <= 1
    dynamic = torch.ops.quantized.linear_dynamic(torch.from_numpy(x), packed, True).numpy()
    assert np.allclose(dynamic, kernels.dynamic_linear(ours(x), layer).numpy(), rtol=1e-4, atol=1e-4)
    nothing = kernels.dynamic_linear(rl.zeros(2, k), layer).numpy()
    assert np.allclose(nothing, np.tile(b, (2, 1)), atol=1e-6)


@EXECUTORS
def test_sums_join_the_convolution(executor, monkeypatch, rng):
    use(executor, monkeypatch)
    x, w, r = (rng.standard_normal(s).astype(np.float32) for s in ((2, 8, 6, 6), (8, 8, 1, 1), (2, 8, 6, 6)))
    theirs, mine = both(x, 0.03, 100)
    their_r, my_r = both(r, 0.02, 128)
    their_w, my_w = both(w, 0.02, 0, "qint8")
    packed = torch.ops.quantized.conv2d_prepack(their_w, None, [1, 1], [0, 0], [1, 1], 1)
    expected = torch.ops.quantized.add_relu(torch.ops.quantized.conv2d(theirs, packed, 0.12, 120), their_r, 0.05, 3)
    conv = kernels.output(mine, kernels.Weights(my_w, None, ((1, 1), (0, 0), (1, 1), 1)), 0.12, 120, False)
    got = kernels.add(conv, my_r, 0.05, 3, True)
    del conv
    exact = np.maximum(np.einsum("nchw,oc->nohw", mine.dequantize().numpy(), my_w.dequantize().numpy()[:, :, 0, 0]) + my_r.dequantize().numpy(), 0)
    assert np.abs(got.dequantize().numpy() - np.clip(exact, 0, 252 * 0.05)).max() <= 0.026 + (
        0 if executor == "native" and library.available() else 0.061)
    assert steps(expected, got) <= 2  # PyTorch rounds twice here, and so does the definition
    separately = kernels.add(rl.quantize_per_tensor(ours(x), 0.03, 100, rl.quint8),
                             rl.quantize_per_tensor(ours(r), 0.02, 128, rl.quint8), 0.05, 3, False)
    assert steps(torch.ops.quantized.add(theirs, their_r, 0.05, 3), separately) <= 1


@EXECUTORS
def test_functions_of_quantized_tensors(executor, monkeypatch, rng):
    use(executor, monkeypatch)
    theirs, mine = both(rng.standard_normal((2, 4, 9, 9)).astype(np.float32), 0.05, 60)
    T = torch.nn.functional
    for name, args in (("max_pool2d", (3, 2, 1)), ("max_pool2d", (2,)), ("avg_pool2d", (3, 2)),
                       ("adaptive_avg_pool2d", (1,)), ("adaptive_avg_pool2d", (4,)),
                       ("adaptive_avg_pool2d", (3,)), ("relu", ())):
        assert steps(getattr(T, name)(theirs, *args), getattr(F, name)(mine, *args)) <= 1, name
    assert steps(torch.clamp(theirs, -1, 1), rl.clamp(mine, -1, 1)) == 0
    assert steps(torch.sigmoid(theirs), rl.sigmoid(mine)) <= 1 and steps(torch.tanh(theirs), rl.tanh(mine)) <= 1
    assert steps(torch.cat([theirs, theirs], 1), rl.cat([mine, mine], 1)) == 0
    assert steps(torch.flatten(theirs, 1), rl.flatten(mine, 1)) == 0
    assert steps(theirs[1, 2:], mine[1, 2:]) == 0
    assert steps(theirs.permute(0, 2, 3, 1), mine.permute(0, 2, 3, 1)) == 0
    assert (mine > 0.5).sum() == int((theirs.dequantize() > 0.5).sum())


def test_what_has_no_quantized_form_says_so(rng):
    _, q = both(rng.standard_normal((2, 3)).astype(np.float32), 0.1, 10)
    with pytest.raises(NotImplementedError, match="Could not run 'aten::add' .*FloatFunctional"):
        q + q
    with pytest.raises(RuntimeError, match="Quantize only works on Float Tensor"):
        rl.quantize_per_tensor(rl.ones(2, dtype=rl.float64), 0.1, 0, rl.quint8)
    with pytest.raises(RuntimeError, match="zero_point -1 is below lower bound"):
        rl.quantize_per_tensor(rl.ones(2), 0.1, -1, rl.quint8)
    with pytest.raises(RuntimeError, match="expected a quantized dtype"):
        rl.quantize_per_tensor(rl.ones(2), 0.1, 0, rl.int8)
    with pytest.raises(RuntimeError, match="length of scales must equal"):
        rl.quantize_per_channel(rl.ones(2, 2), rl.ones(3), rl.zeros(3), 0, rl.qint8)
    with pytest.raises(RuntimeError, match="q_per_channel_scales"):
        q.q_per_channel_scales()
    with pytest.raises(TypeError, match="dequantize"):
        q.numpy()
    with pytest.raises(RuntimeError, match="can require gradients"):
        q.requires_grad_()
    with pytest.raises(NotImplementedError, match="not quantized"):
        rl.ones(2).int_repr()
    with pytest.raises(RuntimeError, match="zero point 0"):
        kernels.Weights(rl.quantize_per_tensor(rl.ones(2, 2), 0.1, 3, rl.qint8), None)


def test_files_go_both_ways(rng):
    theirs, mine = both(rng.standard_normal((3, 4)).astype(np.float32), 0.1, 3)
    channels = rl.quantize_per_channel(rl.randn(3, 4), rl.tensor([0.1, 0.2, 0.3]),
                                       rl.zeros(3, dtype=rl.int64), 0, rl.qint8)
    file = io.BytesIO()
    rl.save({"a": mine, "b": channels, "c": rl.quint8}, file)
    for reader, kind in ((torch.load, torch.Tensor), (rl.load, rl.Tensor)):
        file.seek(0)
        found = reader(file)
        assert isinstance(found["a"], kind) and np.array_equal(found["a"].int_repr().numpy(), mine.int_repr().numpy())
        assert found["a"].q_scale() == 0.1 and found["b"].q_per_channel_axis() == 0
        assert str(found["c"]) == "torch.quint8"
        assert np.array_equal(found["b"].dequantize().numpy(), channels.dequantize().numpy())
    file = io.BytesIO()
    torch.save(theirs, file)
    file.seek(0)
    assert rl.load(file).equal(mine)
    assert pickle.loads(pickle.dumps(channels)).equal(channels) and copy.deepcopy(mine).equal(mine)


def test_fake_quantization_and_its_gradient(rng):
    x = rng.standard_normal((4, 6)).astype(np.float32) * 2
    a, b = torch.from_numpy(x).requires_grad_(), ours(x).requires_grad_()
    for f in (lambda m, t: m.fake_quantize_per_tensor_affine(t, 0.1, 5, 0, 20),
              lambda m, t: m.fake_quantize_per_channel_affine(t, m.tensor([0.1, 0.2, 0.3, 0.4]),
                                                              m.zeros(4, dtype=m.int32), 0, -8, 7)):
        p, q = f(torch, a), f(rl, b)
        assert np.allclose(p.detach().numpy(), q.detach().numpy(), atol=1e-6)
        a.grad = b.grad = None
        (p * p).sum().backward()
        (q * q).sum().backward()
        assert np.allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-5)
    with pytest.raises(RuntimeError, match="`quant_min` should be less"):
        rl.fake_quantize_per_tensor_affine(b, 0.1, 0, 9, 3)


def test_layers_that_write_in_place_and_move(rng):
    theirs, mine = both(rng.standard_normal((2, 4, 6, 6)).astype(np.float32), 0.05, 60)
    T, M = torch.nn, rl.nn
    for name, options in (("ReLU", {"inplace": True}), ("ReLU6", {"inplace": True}),
                          ("Hardtanh", {"min_val": -1, "max_val": 1, "inplace": True})):
        a, b = theirs.clone(), mine.clone()
        other = b
        assert steps(getattr(T, name)(**options)(a), getattr(M, name)(**options)(b)) <= 1 and steps(a, other) <= 1, name
    assert steps(T.Upsample(scale_factor=2)(theirs), M.Upsample(scale_factor=2)(mine)) == 0
    assert steps(torch.nn.functional.pad(theirs, (1, 1)), F.pad(mine, (1, 1))) == 0
    assert steps(theirs.mean([2, 3]), rl.mean(mine, [2, 3])) <= 1
    assert mine.argmax(1).shape == (2, 6, 6)
    assert mine.max().dequantize().item() == pytest.approx(float(theirs.dequantize().max()))
