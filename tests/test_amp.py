"""autocast and GradScaler: dtypes, warnings and numbers as PyTorch's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")

ONE = lambda t: t.linspace(0.5, 1.5, 4)  # noqa: E731
NORMS: dict[str, Any] = {
    "batch": lambda t, x: t.nn.functional.batch_norm(x, t.zeros(4), t.ones(4), ONE(t), ONE(t), True),
    "evaluated": lambda t, x: t.nn.functional.batch_norm(x, t.zeros(4), t.ones(4), ONE(t), ONE(t)),
    "layer": lambda t, x: t.nn.functional.layer_norm(x.mT, (4,), ONE(t), ONE(t)),
    "group": lambda t, x: t.nn.functional.group_norm(x, 2, ONE(t), ONE(t)),
    "instance": lambda t, x: t.nn.functional.instance_norm(x, None, None, ONE(t), ONE(t)),
}
VOLUME = {1: (16,), 2: (4, 4), 3: (4, 2, 2)}
RESULTS: dict[str, Any] = {
    "matmul": lambda t, a, m: a @ a, "mm": lambda t, a, m: t.mm(a, a),
    "mixed": lambda t, a, m: m @ a, "addmm": lambda t, a, m: t.addmm(a, a, a),
    "bmm": lambda t, a, m: t.bmm(a[None], a[None]), "einsum": lambda t, a, m: t.einsum("ij,jk", a, a),
    "linear": lambda t, a, m: t.nn.Linear(4, 4)(a),
    "conv2d": lambda t, a, m: t.nn.functional.conv2d(a[None, None], a[None, None, :2, :2]),
    "conv_transpose2d": lambda t, a, m: t.nn.functional.conv_transpose2d(a[None, None], a[None, None, :2, :2]),
    "attention": lambda t, a, m: t.nn.functional.scaled_dot_product_attention(a[None], a[None], a[None]),
    "add": lambda t, a, m: m + a, "exp": lambda t, a, m: m.exp(),
    "softmax": lambda t, a, m: t.softmax(m, -1), "sum": lambda t, a, m: m.sum(),
    "gelu": lambda t, a, m: t.nn.functional.gelu(m), "layer_norm": lambda t, a, m: t.nn.functional.layer_norm(m, (4,)),
    "mse_loss": lambda t, a, m: t.nn.functional.mse_loss(m, m),
    "l1_loss": lambda t, a, m: t.nn.functional.l1_loss(m, m),
    "cross_entropy": lambda t, a, m: t.nn.functional.cross_entropy(m, t.arange(4)),
    "cat": lambda t, a, m: t.cat([m, a]),
    "double": lambda t, a, m: a.double() @ a.double(),
    "embedding": lambda t, a, m: t.nn.functional.embedding(t.tensor([1]), a),
    "tensordot": lambda t, a, m: t.tensordot(a, a, 1), "prelu": lambda t, a, m: t.nn.functional.prelu(a, t.tensor([0.5])),
    "index_copy": lambda t, a, m: a.index_copy(0, t.tensor([2]), m[:1]), "prod": lambda t, a, m: m.prod(1), "trace": lambda t, a, m: m.trace(),
    "cdist": lambda t, a, m: t.cdist(m, m + 0.5), "reflected": lambda t, a, m: t.nn.functional.pad(m[None], (1, 1), mode="reflect"),
    "zeros around": lambda t, a, m: t.nn.functional.pad(m, (1, 1)), "fft": lambda t, a, m: t.fft.rfft(m).abs(),
    "inverse": lambda t, a, m: t.linalg.inv(m + 4 * t.eye(4, dtype=m.dtype)), "resized": lambda t, a, m: t.nn.functional.interpolate(
        a[None, None], size=7, mode="bilinear"), "a resized product": lambda t, a, m: t.nn.functional.interpolate(m[None, None], size=7, mode="bilinear"),
    "pooled": lambda t, a, m: t.nn.functional.adaptive_avg_pool2d(a[None], 3), "sampled": lambda t, a, m: t.nn.functional.grid_sample(
        m[None, None], t.zeros(1, 2, 2, 2)), "quantile": lambda t, a, m: t.quantile(m, 0.3),
    "response": lambda t, a, m: t.nn.functional.local_response_norm(m[None], 2),
    "response of pictures": lambda t, a, m: t.nn.functional.local_response_norm(m[None, None], 2),
    **{f"{name} of {kind}": lambda t, a, m, name=name, kind=kind: NORMS[name](t, (a if kind == "single" else m)[None, :, :, None].expand(3, 4, 4, 2))
       for name in ("batch", "evaluated", "layer", "group", "instance") for kind in ("single", "half")},
    "bce": lambda t, a, m: t.nn.functional.binary_cross_entropy_with_logits(m, m.sigmoid()),
    "mv": lambda t, a, m: t.mv(a, a[0]), "addmv": lambda t, a, m: t.addmv(a[0], a, a[0], beta=0),
    "inner of vectors": lambda t, a, m: t.inner(a[0], a[1]), "inner": lambda t, a, m: t.inner(a, a[0]),
    "tensordot over everything": lambda t, a, m: t.tensordot(a, a, 2), "vecdot": lambda t, a, m: t.linalg.vecdot(a, a),
    "einsum of elements": lambda t, a, m: t.einsum("ij,ij->ij", a, a), "einsum of an outer product": lambda t, a, m: t.einsum("i,j", a[0], a[1]),
    "pinv": lambda t, a, m: t.linalg.pinv(a + 4 * t.eye(4)),
    **{f"{mode} around {n} dimensions": lambda t, a, m, n=n, mode=mode: t.nn.functional.pad(m.reshape(1, 1, *VOLUME[n]), [1] * 2 * n, mode=mode)
       for n in (1, 2, 3) for mode in ("circular", "reflect", "replicate")},
    **{f"{name} of {n} dimensions": lambda t, a, m, n=n, name=name: getattr(t.nn.functional, f"{name}{n}d")(m.reshape(1, 1, *VOLUME[n]), 2)
       for n in (1, 2, 3) for name in ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")},
    **{f"unpooling to {n} dimensions": lambda t, a, m, n=n: getattr(t.nn.functional, f"max_unpool{n}d")(
        m.reshape(1, 1, *VOLUME[n]), 2 ** n * t.arange(16).reshape(1, 1, *VOLUME[n]), 2) for n in (1, 2, 3)},
    "power pooling of volumes": lambda t, a, m: t.nn.functional.lp_pool3d(m.reshape(1, 1, 4, 2, 2), 2, 2),
    "fractional pooling": lambda t, a, m: t.nn.functional.fractional_max_pool2d(m[None, None], 2, 2, _random_samples=t.full((1, 1, 2), 0.5)),
    "positions of volumes": lambda t, a, m: t.nn.functional.max_pool3d(m.reshape(1, 1, 4, 2, 2), 2, return_indices=True)[0],
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", RESULTS)
def test_dtypes_of_results(name: str, dtype: str) -> None:
    def run(t: Any) -> Any:
        a = t.arange(16.).reshape(4, 4) / 16
        with t.autocast("cpu", dtype=getattr(t, dtype)):
            return RESULTS[name](t, a, a @ a)
    want, got = run(torch), run(rl)
    assert str(got.dtype) == str(want.dtype)
    if name not in ("linear",):
        np.testing.assert_allclose(got.float().numpy(), want.float().numpy(), rtol=0.03, atol=0.03)


def test_training_keeps_weights_and_gradients_in_float32() -> None:
    rl.manual_seed(0)
    model, x = rl.nn.Sequential(rl.nn.Linear(4, 8), rl.nn.ReLU(), rl.nn.Linear(8, 1)), rl.randn(16, 4)
    optimizer = rl.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        with rl.autocast("cpu"):
            loss = rl.nn.functional.mse_loss(model(x), x[:, :1])
            loss.backward()
        assert loss.dtype is rl.float32 and all(p.grad.dtype is rl.float32 for p in model.parameters())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_blocks_nest_and_decorate() -> None:
    a = rl.ones(2, 2)
    with rl.amp.autocast("cpu"):
        with rl.autocast("cpu", enabled=False):
            assert (a @ a).dtype is rl.float32 and not rl.is_autocast_cpu_enabled()
        assert (a @ a).dtype is rl.bfloat16 and rl.is_autocast_enabled("cpu") and not rl.is_autocast_enabled()
    assert (a @ a).dtype is rl.float32 and not rl.is_autocast_enabled("cpu")
    assert rl.autocast("cpu")(lambda: a @ a)().dtype is rl.bfloat16
    assert rl.get_autocast_dtype("cpu") is rl.bfloat16 and rl.get_autocast_gpu_dtype() is rl.float16
    assert rl.get_autocast_cpu_dtype() is rl.bfloat16


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_block_has_the_dtype_of_the_one_around_it(dtype: str) -> None:
    def states(t: Any) -> list[Any]:
        seen: list[Any] = []

        def look() -> None:
            seen.append((t.is_autocast_enabled("cpu"), str(t.get_autocast_dtype("cpu")), str((t.ones(2, 2) @ t.ones(2, 2)).dtype)))
        with t.autocast("cpu", dtype=getattr(t, dtype)):
            look()
            with t.autocast("cpu"):
                look()
            with t.autocast("cpu", enabled=False):
                look()
                with t.autocast("cpu"):
                    look()
            with t.autocast("cpu", dtype=t.bfloat16):
                look()
                t.set_autocast_dtype("cpu", t.float16)
                look()
            look()
        look()
        return seen
    assert states(rl) == states(torch)


def test_products_of_several_dtypes() -> None:
    for t in (torch, rl):
        a, b = t.ones(2, 2), t.ones(2, 2, dtype=t.bfloat16)
        with t.autocast("cpu"):
            with pytest.raises(RuntimeError, match=r"multi_dot\(\): all tensors must have be the same dtype but tensor 0"):
                t.linalg.multi_dot([a, b])
            with pytest.raises(RuntimeError, match="both inputs should have same dtype"):
                t.tensordot(a, b, 1)


def heard(call: Any) -> list[Any]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        call()
    return [(w.category.__name__, str(w.message)) for w in seen]


@pytest.mark.parametrize("number", range(6))
def test_warnings_on_a_machine_without_cuda(number: int) -> None:
    calls: list[Any] = [
        lambda t: t.autocast("cuda"), lambda t: t.cuda.amp.autocast(),
        lambda t: t.cuda.amp.GradScaler(), lambda t: t.amp.GradScaler("cpu"),
        lambda t: t.autocast("cpu", dtype=t.float64), lambda t: t.amp.autocast("cuda", enabled=False),
    ]
    assert heard(lambda: calls[number](rl)) == heard(lambda: calls[number](torch))


def test_unknown_devices() -> None:
    for t in (rl, torch):
        with pytest.raises(RuntimeError, match="Expected one of cpu, cuda"):
            t.autocast("spam")
        with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
            t.autocast(3)
        with pytest.raises(RuntimeError):
            t.autocast("vulkan")


def test_scaler() -> None:
    def run(t: Any) -> Any:
        p = t.nn.Parameter(t.ones(2))
        optimizer = t.optim.SGD([p], lr=0.5)
        scaler = t.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
        seen: list[Any] = []
        for factor in (1.0, float("inf"), 1.0, 1.0, float("nan"), 2.0):
            optimizer.zero_grad()
            scaler.scale((p * factor).sum()).backward()
            if factor == 2.0:
                scaler.unscale_(optimizer)
                t.nn.utils.clip_grad_norm_([p], 1.0)
            scaler.step(optimizer)
            scaler.update()
            seen.append((p.tolist(), scaler.get_scale(), scaler.state_dict()))
        return seen
    got, want = run(rl), run(torch)
    for g, w in zip(got, want):
        assert g[0] == pytest.approx(w[0]) and g[1:] == w[1:]


def test_scaler_refuses_what_pytorch_refuses() -> None:
    for t in (rl, torch):
        p = t.nn.Parameter(t.ones(2))
        optimizer = t.optim.SGD([p], lr=0.5)
        scaler = t.amp.GradScaler("cpu")
        scaler.scale(p.sum()).backward()
        scaler.unscale_(optimizer)
        with pytest.raises(RuntimeError, match="already been called on this optimizer"):
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        with pytest.raises(RuntimeError, match="already been called since the last update"):
            scaler.step(optimizer)
        with pytest.raises(RuntimeError, match="source state dict is empty"):
            scaler.load_state_dict({})
        with pytest.raises(AssertionError, match="growth factor"):
            t.amp.GradScaler("cpu", growth_factor=0.5)


def test_custom_functions() -> None:
    def run(t: Any) -> Any:
        seen: list[Any] = []

        class Double(t.autograd.Function):
            @staticmethod
            @t.amp.custom_fwd(device_type="cpu", cast_inputs=t.float32)
            def forward(ctx: Any, x: Any) -> Any:
                seen.append((str(x.dtype), t.is_autocast_enabled("cpu")))
                return x * 2

            @staticmethod
            @t.amp.custom_bwd(device_type="cpu")
            def backward(ctx: Any, g: Any) -> Any:
                seen.append(t.is_autocast_enabled("cpu"))
                return g * 2
        with t.autocast("cpu"):
            x = t.ones(2, 2, requires_grad=True)
            Double.apply(x @ x).sum().backward()
        return seen, str(x.grad.dtype)
    assert run(rl) == run(torch)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("half", [False, True])
def test_recurrent_layers(kind: str, half: bool) -> None:
    """Inputs of either type; the weights stay in single precision."""
    found = []
    for t in (torch, rl):
        layer = getattr(t.nn, kind)(4, 3, batch_first=True)
        for w in layer.parameters():
            t.nn.init.constant_(w, 0.1)
        x = (t.arange(24.).reshape(2, 3, 4) / 24).to(t.bfloat16 if half else t.float32).requires_grad_()
        with t.autocast("cpu", dtype=t.bfloat16):
            y = layer(x)[0]
        y.float().sum().backward()
        found.append((str(y.dtype), str(layer.weight_hh_l0.grad.dtype), str(x.grad.dtype), y.detach().float().numpy(), layer.weight_hh_l0.grad.numpy()))
    assert found[0][:3] == found[1][:3]
    for a, b in zip(found[0][3:], found[1][3:]):
        np.testing.assert_allclose(b, a, rtol=0.05, atol=0.03)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_of_doubles_stay_as_they_are(kind: str) -> None:
    for t in (torch, rl):
        layer, x = getattr(t.nn, kind)(4, 3), t.ones(2, 1, 4, dtype=t.float64)
        with t.autocast("cpu", dtype=t.bfloat16):
            assert layer.double()(x)[0].dtype is t.float64
            with pytest.raises(RuntimeError, match="dtype"):
                layer.float()(x)


def test_norms_of_half_precision_take_weights_in_single() -> None:
    """Without autocast as well: rounded once, at the end."""
    x = rl.linspace(-3, 3, 96).reshape(3, 4, 4, 2)
    for name, norm in NORMS.items():
        low = norm(rl, x.bfloat16())
        exact = norm(rl, x.bfloat16().float())
        assert low.dtype is rl.bfloat16, name
        assert (low == exact.bfloat16()).all(), name
