"""oneDNN's normalisations, elementwise functions, reductions and recurrent layers against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onednn_oracle import close, copied, described, normal, plain, run

from rushlight.exec.cpu.onednn import library, names, primitives, recurrent
from rushlight.exec.cpu.onednn.memory import Desc
from rushlight.exec.cpu.onednn.primitives import Norm
from rushlight.ir import dtype as dt

pytestmark = pytest.mark.skipif(not library.available(), reason="oneDNN is not installed")


def normalized(x: np.ndarray, dy: np.ndarray, axes: tuple[int, ...], scale: np.ndarray, shift: np.ndarray, eps: float,
               relu: bool = False) -> dict[str, np.ndarray]:
    """Normalisation over axes and its gradients, in float64."""
    x, dy = x.astype(float), dy.astype(float)
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    hat = (x - mean) / np.sqrt(variance + eps)
    y = scale * hat + shift
    if relu:
        y, dy = np.maximum(y, 0), np.where(y > 0, dy, 0)
    dhat = dy * scale
    dx = (dhat - dhat.mean(axes, keepdims=True) - hat * (dhat * hat).mean(axes, keepdims=True)) / np.sqrt(variance + eps)
    rest = tuple(d for d in range(x.ndim) if scale.shape[d] == 1)
    return {"dst": y, "diff_src": dx, "diff_scale": (dy * hat).sum(rest),
            "diff_shift": dy.sum(rest), "mean": mean, "variance": variance}


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(4, 16, 5, 5), (3, 7, 6), (2, 33, 3, 2, 2), (9, 5)])
@pytest.mark.parametrize("layout", ["first", "last", "any"])
def test_batch_normalization(rng: np.random.Generator, shape: tuple[int, ...], relu: bool, layout: str) -> None:
    x, dy = normal(rng, *shape) * 2 + 1, normal(rng, *shape)
    scale, shift = normal(rng, shape[1]), normal(rng, shape[1])
    wide = (1, -1, *[1] * (len(shape) - 2))
    axes = (0, *range(2, len(shape)))
    expected = normalized(x, dy, axes, scale.reshape(wide), shift.reshape(wide), 1e-3, relu)
    norm = Norm(1e-3, ("scale", "shift", "relu") if relu else ("scale", "shift"))
    laid = described(x, "first" if layout == "any" else layout)  # the input of a normalisation has a layout already
    dst = described(x, layout)
    forward = primitives.batch_normalization(laid, dst, norm)
    result = run(forward, src=x, scale=scale, shift=shift)
    assert ("workspace" in forward.slots) == relu
    for name in ("dst", "mean", "variance"):
        close(result[name].reshape(expected[name].shape), expected[name])
    back = primitives.batch_normalization_backward(dst, dst, laid, norm, forward)
    given = {name: result[name] for name in ("mean", "variance", *(["workspace"] if relu else []))}
    found = run(back, src=x, diff_dst=dy, scale=scale, **given)
    for name in ("diff_src", "diff_scale", "diff_shift"):
        close(found[name], expected[name], 1e-3)


def test_batch_normalization_with_given_statistics(rng: np.random.Generator) -> None:
    x, mean, variance = normal(rng, 2, 5, 4, 4), normal(rng, 5), np.abs(normal(rng, 5)) + 0.1
    prim = primitives.batch_normalization(plain(x), plain(x), Norm(1e-5, ("global_stats",)), "inference")
    expected = (x - mean.reshape(1, 5, 1, 1)) / np.sqrt(variance.reshape(1, 5, 1, 1).astype(float) + 1e-5)
    close(run(prim, src=x, mean=mean, variance=variance)["dst"], expected)


@pytest.mark.parametrize("shape", [(4, 6, 16), (5, 33), (2, 1, 1)])
def test_layer_normalization(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x, dy, scale, shift = normal(rng, *shape), normal(rng, *shape), normal(rng, shape[-1]), normal(rng, shape[-1])
    wide = (*[1] * (len(shape) - 1), -1)
    expected = normalized(x, dy, (len(shape) - 1,), scale.reshape(wide), shift.reshape(wide), 1e-5)
    stat = Desc.of(shape[:-1], dt.float32)
    forward = primitives.layer_normalization(plain(x), plain(x), Norm(), stat)
    result = run(forward, src=x, scale=scale, shift=shift)
    close(result["dst"], expected["dst"])
    back = primitives.layer_normalization_backward(plain(x), plain(x), plain(x), Norm(), forward, stat)
    found = run(back, src=x, diff_dst=dy, scale=scale, shift=shift, mean=result["mean"], variance=result["variance"])
    for name in ("diff_src", "diff_scale", "diff_shift"):
        close(found[name], expected[name], 1e-3)


@pytest.mark.parametrize("shape,axis", [((5, 10), 1), ((5, 10), 0), ((2, 3, 17), -1), ((1, 1), 1), ((3, 21, 4), 1)])
@pytest.mark.parametrize("kind", names.SOFTMAX)
def test_softmax(rng: np.random.Generator, shape: tuple[int, ...], axis: int, kind: str) -> None:
    x, dy = normal(rng, *shape) * 5, normal(rng, *shape)
    log = x - np.log(np.exp(x.astype(float)).sum(axis, keepdims=True))
    p = np.exp(log)
    expected = ((log, dy - p * dy.sum(axis, keepdims=True)) if kind == "log_softmax" else
                (p, p * (dy - (dy * p).sum(axis, keepdims=True))))
    forward = primitives.softmax(plain(x), plain(x), axis, kind)
    y = run(forward, src=x)["dst"]
    close(y, expected[0])
    back = primitives.softmax_backward(plain(x), plain(x), plain(x), axis, forward, kind)
    close(run(back, dst=y, diff_dst=dy)["diff_src"], expected[1])


FUNCTIONS = {"relu": (lambda x: np.maximum(x, 0), lambda x: x > 0), "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
             "exp": (np.exp, np.exp), "square": (np.square, lambda x: 2 * x), "abs": (np.abs, np.sign),
             "logistic": (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2)}


@pytest.mark.parametrize("from_result", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_eltwise(rng: np.random.Generator, name: str, from_result: bool) -> None:
    full = f"{name}_dst" if from_result else name
    if full not in names.ELTWISE:
        with pytest.raises(KeyError):
            primitives.eltwise(full, Desc.of((1,), dt.float32), Desc.of((1,), dt.float32))
        return
    x, dy = normal(rng, 3, 19), normal(rng, 3, 19)
    value, slope = FUNCTIONS[name]
    forward = primitives.eltwise(full, plain(x), plain(x))
    y = run(forward, src=x)["dst"]
    close(y, value(x.astype(float)))
    back = primitives.eltwise_backward(full, plain(x), plain(x), plain(x), forward)
    data = {"dst": y} if from_result else {"src": x}
    close(run(back, diff_dst=dy, **data)["diff_src"], dy * slope(x.astype(float)))


@pytest.mark.parametrize("name,function",
                         [("add", np.add), ("mul", np.multiply), ("max", np.maximum), ("min", np.minimum),
                          ("div", np.divide), ("sub", np.subtract), ("ge", np.greater_equal), ("ne", np.not_equal)])
def test_binary(rng: np.random.Generator, name: str, function: Any) -> None:
    a, b = normal(rng, 3, 5, 7), normal(rng, 1, 5, 1)
    close(run(primitives.binary(name, plain(a), plain(b), plain(a)), src=a, src_1=b)["dst"], function(a, b))


@pytest.mark.parametrize("name,function",
                         [("sum", np.sum), ("mean", np.mean), ("max", np.max), ("min", np.min), ("mul", np.prod)])
@pytest.mark.parametrize("axes", [(0,), (2,), (0, 1, 2)])
def test_reduction(rng: np.random.Generator, name: str, function: Any, axes: tuple[int, ...]) -> None:
    x = normal(rng, 3, 5, 7)
    y = function(x.astype(float), axis=axes, keepdims=True)
    close(run(primitives.reduction(name, plain(x), Desc.of(y.shape, dt.float32)), src=x)["dst"], y)


def gates_of_torch(kind: str, weights: np.ndarray) -> np.ndarray:
    """(…, gates · h, columns) of PyTorch with the gates in oneDNN's order."""
    if kind != "gru":
        return weights
    reset, update, new = np.split(weights, 3, -2)
    return np.concatenate([update, reset, new], -2)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("direction", ["left2right", "concat"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("sizes", [(4, 3, 5, 7), (1, 1, 1, 1), (6, 16, 32, 32)])
def test_recurrent(rng: np.random.Generator, sizes: tuple[int, int, int, int], kind: str, direction: str,
                   batch_first: bool) -> None:
    torch = pytest.importorskip("torch")
    steps, batch, inputs, hidden = sizes
    cell = recurrent.Cell(kind, steps, batch, inputs, hidden, direction=direction, batch_first=batch_first)
    both = cell.directions
    x, h0, c0 = normal(rng, steps, batch, inputs), normal(rng, both, batch, hidden), normal(rng, both, batch, hidden)
    dy, dh, dc = normal(rng, steps, batch,
                        both * hidden), normal(rng, both, batch, hidden), normal(rng, both, batch, hidden)

    family = {"lstm": "LSTM", "gru": "GRU"}.get(kind, "RNN")
    options = {"nonlinearity": kind.removeprefix("rnn_")} if family == "RNN" else {}
    module = getattr(torch.nn, family)(inputs, hidden, bidirectional=both == 2, **options)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, h0, c0)]
    state = (leaves[1], leaves[2]) if kind == "lstm" else leaves[1]
    out, last = module(leaves[0], state)
    lasts = list(last) if kind == "lstm" else [last]
    torch.autograd.backward([out, *lasts], [torch.tensor(g) for g in (dy, dh, dc)[:1 + len(lasts)]])

    def stacked(name: str, gradient: bool = False) -> np.ndarray:
        parts = [getattr(module, f"{name}_l0{end}") for end in ("", "_reverse")[:both]]
        return np.stack([(p.grad if gradient else p.detach()).numpy() for p in parts])

    def weights(name: str, gradient: bool = False) -> np.ndarray:
        full = gates_of_torch(kind, stacked(name, gradient))  # (d, g·h, i) -> (1, d, i, g, h)
        return full.reshape(both, -1, hidden, full.shape[-1]).transpose(0, 3, 1, 2)[None]

    def bias(gradient: bool = False) -> np.ndarray:
        first, second = (stacked(f"bias_{which}", gradient) for which in ("ih", "hh"))
        if kind != "gru":
            return (first if gradient else first + second).reshape(1, both, -1, hidden)
        (r, z, n), (r2, z2, n2) = (np.split(b, 3, -1) for b in (first, second))
        parts = [z, r, n, n2] if gradient else [z + z2, r + r2, n, n2]
        return np.stack(parts, 1)[None]

    values = {"src_layer": x, "src_iter": h0[None], "weights_layer": weights("weight_ih"),
              "weights_iter": weights("weight_hh"), "bias": bias()}
    if kind == "lstm":
        values["src_iter_c"] = c0[None]
    forward = recurrent.forward(cell)
    result = run(forward, **values)
    close(result["dst_layer"], out.detach().numpy())
    for slot, tensor in zip(("dst_iter", "dst_iter_c"), lasts):
        close(result[slot][0], tensor.detach().numpy())

    back = recurrent.backward(cell, forward)
    results = {name: result[name] for name in ("dst_layer", "dst_iter", "dst_iter_c", "workspace") if name in result}
    gradients = {"diff_dst_layer": dy, "diff_dst_iter": dh[None], "diff_dst_iter_c": dc[None]}
    found = run(back, **values, **results, **{name: g for name, g in gradients.items() if name in back.slots})
    close(found["diff_src_layer"], leaves[0].grad.numpy(), 1e-3)
    close(found["diff_src_iter"][0], leaves[1].grad.numpy(), 1e-3)
    close(found["diff_weights_layer"], weights("weight_ih", True), 1e-3)
    close(found["diff_weights_iter"], weights("weight_hh", True), 1e-3)
    close(found["diff_bias"], bias(True), 1e-3)
    if kind == "lstm":
        close(found["diff_src_iter_c"][0], leaves[2].grad.numpy(), 1e-3)


def test_recurrent_weights_as_torch_has_them(rng: np.random.Generator) -> None:
    """PyTorch's weights need one reorder and no copy before it."""
    cell = recurrent.Cell("lstm", 3, 2, 5, 7, initial=False)
    weights = normal(rng, 4 * 7, 5)
    chosen = recurrent.forward(cell).descs["weights_layer"]
    dense = Desc.of(cell.shape("weights_layer"), dt.float32)
    if chosen.blocks is not None:
        found = copied(chosen, dense, copied(cell.torch_weights("weights_layer"), chosen, weights)).view(np.float32)
        np.testing.assert_array_equal(found.reshape(5, 4, 7), weights.reshape(4, 7, 5).transpose(2, 0, 1))


def test_recurrent_inference_without_initial_state(rng: np.random.Generator) -> None:
    cell = recurrent.Cell("rnn_tanh", 2, 1, 3, 4, initial=False)
    x, w, u, b = normal(rng, 2, 1, 3), normal(rng, 1, 1, 3, 1, 4), normal(rng, 1, 1, 4, 1, 4), normal(rng, 1, 1, 1, 4)
    prim = recurrent.forward(cell, "inference")
    assert "src_iter" not in prim.slots and "workspace" not in prim.slots
    first = np.tanh(x[0].astype(float) @ w[0, 0, :, 0] + b[0, 0])
    second = np.tanh(x[1].astype(float) @ w[0, 0, :, 0] + first @ u[0, 0, :, 0] + b[0, 0])
    close(run(prim, src_layer=x, weights_layer=w, weights_iter=u, bias=b)["dst_layer"], np.stack([first, second]))
