"""Layer functions of the torch namespace, whose operands stand in ATen's order,
and normalisations that return their statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((4, 6, 3)), RNG.standard_normal(6), RNG.standard_normal(6)
M, V = RNG.standard_normal(6), RNG.random(6) + 0.5


def same(got: Any, want: Any) -> None:
    if isinstance(want, tuple):
        assert len(got) == len(want)
        for g, w in zip(got, want):
            same(g, w)
        return
    assert tuple(got.shape) == tuple(want.shape) and got.dtype.name == str(want.dtype).removeprefix("torch.")
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-6,
                               atol=1e-7 if want.dtype is torch.float32 else 1e-9)


CALLS: dict[str, Any] = {
    "batch_norm": lambda t, f: f.batch_norm(t(X), t(W), t(B), t(M), t(V), False, 0.1, 1e-5, False),
    "batch_norm training": lambda t, f: f.batch_norm(t(X), t(W), t(B), None, None, True, 0.1, 1e-5, False),
    "instance_norm": lambda t, f: f.instance_norm(t(X), t(W), t(B), None, None, True, 0.1, 1e-5, False),
    "layer_norm": lambda t, f: f.layer_norm(t(X), (3,), t(W[:3]), t(B[:3]), 1e-3, False),
    "group_norm": lambda t, f: f.group_norm(t(X), 2, t(W), t(B), 1e-3, False),
    "native_layer_norm": lambda t, f: f.native_layer_norm(t(X), (6, 3), None, None, 1e-5),
    "native_layer_norm affine": lambda t, f: f.native_layer_norm(t(X), (3,), t(W[:3]), t(B[:3]), 1e-5),
    "native_group_norm": lambda t, f: f.native_group_norm(t(X), t(W), t(B), 4, 6, 3, 2, 1e-5),
    "native_batch_norm": lambda t, f: f.native_batch_norm(t(X), t(W), t(B), t(M), t(V), True, 0.1, 1e-5),
    "native_batch_norm evaluation": lambda t, f: f.native_batch_norm(t(X), t(W), t(B), t(M), t(V), False, 0.1, 1e-5),
    "embedding": lambda t, f: f.embedding(t(X[0]), f.tensor([[1, 0], [5, 1]])),
    "embedding_bag sum": lambda t, f: f.embedding_bag(t(X[0]), f.tensor([1, 2, 4, 5, 1]), f.tensor([0, 3]))[:2],
    "embedding_bag mean": lambda t, f: f.embedding_bag(t(X[0]), f.tensor([1, 2, 4, 5, 1]), f.tensor([0, 3]), mode=1)[0],
    "embedding_bag max": lambda t, f: f.embedding_bag(t(X[0]), f.tensor([1, 2, 4, 5, 1]), f.tensor([0, 3]), mode=2),
    "binary_cross_entropy_with_logits": lambda t, f: f.binary_cross_entropy_with_logits(t(W), t(V), None, t(V), 2),
    "cosine_embedding_loss": lambda t, f: f.cosine_embedding_loss(t(X[0]), t(X[1]), f.sign(t(W)), 0.1, 0),
    "hinge_embedding_loss": lambda t, f: f.hinge_embedding_loss(t(W), f.sign(t(B)), 0.5, 0),
    "margin_ranking_loss": lambda t, f: f.margin_ranking_loss(t(W), t(B), f.sign(t(M)), 0.1, 1),
    "triplet_margin_loss": lambda t, f: f.triplet_margin_loss(t(X[0]), t(X[1]), t(X[2]), 1.0, 2, 1e-6, True, 0),
    "kl_div": lambda t, f: f.kl_div(t(W), t(V), 2),
    "poisson_nll_loss": lambda t, f: f.poisson_nll_loss(t(W), t(V), True, True, 1e-8, 0),
    "ctc_loss": lambda t, f: f.ctc_loss(f.log_softmax(t(X), 2), f.tensor([[1, 2], [2, 1], [1, 1], [2, 2], [1, 2],
                                                                          [2, 1]]), [4] * 6, [2, 1, 2, 1, 2, 2], 0, 2),
    "grid_sampler": lambda t, f: f.grid_sampler(t(X[None]), t(np.clip(X[None, :, :, :2], -1, 1)), 0, 1, True),
    "grid_sampler_2d": lambda t, f: f.grid_sampler_2d(t(X[None]), t(X[None, :, :, :2]), 2, 2, False),
    "grid_sampler_3d": lambda t, f: f.grid_sampler_3d(t(X[None, None]), t(X[None, None]), 1, 0, False),
    "dropout": lambda t, f: f.dropout(t(X), 0.5, False),
    "alpha_dropout": lambda t, f: f.alpha_dropout(t(X), 0.5, False),
    "feature_alpha_dropout": lambda t, f: f.feature_alpha_dropout(t(X), 0.5, False),
    "convolution": lambda t, f: f.convolution(t(X), t(X[:2]), t(W[:2]), [1], [2], [1], False, [0], 1),
    "convolution transposed": lambda t, f: f.convolution(t(X), t(X[0][:, None]), None, [2], [1], [1], True, [1], 6),
    "native_dropout": lambda t, f: f.native_dropout(t(X), 0.5, False),
    "feature_dropout": lambda t, f: f.feature_dropout(t(X), 0.5, False),
    "frobenius_norm": lambda t, f: f.frobenius_norm(t(X), [1, 2], True),
    "nuclear_norm": lambda t, f: f.nuclear_norm(t(X[0])),
    "nuclear_norm of dimensions": lambda t, f: f.nuclear_norm(t(X), [0, 2]),
    "norm_except_dim": lambda t, f: f.norm_except_dim(t(X), 2, 1),
    "norm of all": lambda t, f: f.norm_except_dim(t(X), 2, -1),
    "affine_grid_generator": lambda t, f: f.affine_grid_generator(t(X[:, :2]), [4, 1, 3, 2], False),
    "embedding_renorm_": lambda t, f: f.embedding_renorm_(t(X[0]), f.tensor([1, 3]), 0.5, 2.0),
    **{f"{n} {m} {p}": lambda t, f, n=n, m=m, p=p: getattr(f, n + "_window")(m, p)
       for n in ("hann", "hamming", "blackman", "bartlett", "kaiser") for m in (0, 1, 2, 7) for p in (True, False)},
    "hamming by alpha": lambda t, f: f.hamming_window(6, False, 0.3, 0.2, dtype=f.float64),
    "kaiser by beta": lambda t, f: f.kaiser_window(6, True, 3.0),
    "sin_": lambda t, f: f.sin_(t(X)), "clamp_": lambda t, f: f.clamp_(t(X), -0.5, 0.5),
    "detach": lambda t, f: f.detach(t(X)),
    "einsum with labels": lambda t, f: f.einsum(t(X), [0, 1, 2], t(W), [1], [2, 0]),
    "einsum with an ellipsis": lambda t, f: f.einsum(t(X), [..., 2], t(W[:3]), [2]),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_form(name: str) -> None:
    call = CALLS[name]
    same(call(rl.tensor, rl), call(torch.tensor, torch))


@pytest.mark.parametrize("name", ("kl_div", "hinge_embedding_loss"))
def test_reductions_are_numbers(name: str) -> None:
    for lib in (torch, rl):
        with pytest.raises(TypeError):
            getattr(lib, name)(lib.ones(2), lib.ones(2), reduction="mean")


@pytest.mark.parametrize("training", (True, False))
def test_an_empty_batch_leaves_the_statistics(training: bool) -> None:
    for lib in (torch, rl):
        mean, var = lib.zeros(3), lib.ones(3)
        out = lib.nn.functional.batch_norm(lib.ones(0, 3, 2, requires_grad=True), mean, var, training=training)
        assert tuple(out.shape) == (0, 3, 2) and mean.tolist() == [0, 0, 0] and var.tolist() == [1, 1, 1]
        out.sum().backward()


def test_embedding_bag_takes_its_old_order() -> None:
    for lib in (torch, rl):
        with pytest.warns(UserWarning, match="Argument order of nn.functional.embedding_bag was changed"):
            out = lib.nn.functional.embedding_bag(lib.tensor(W).reshape(3, 2), lib.tensor([[0, 1]]))
        np.testing.assert_allclose(out.numpy(), W.reshape(3, 2)[:2].mean(0, keepdims=True))


@pytest.mark.parametrize("dtype", ("float16", "bfloat16", "float32"))
@pytest.mark.parametrize("eps", (None, 0.5))
def test_rms_norm_rounds_half_precision_once(dtype: str, eps: float | None) -> None:
    for scale in (1e-4, 1.0, 300.0):
        want, got = (lib.nn.functional.rms_norm(lib.tensor(X * scale).to(getattr(lib, dtype)), (3,), lib.tensor(W[:3]).to(getattr(lib, dtype)), eps)
                     for lib in (torch, rl))
        assert got.dtype.name == dtype
        np.testing.assert_allclose(got.float().numpy(), want.float().numpy(),
                                   rtol=1e-2 if dtype == "bfloat16" else 2e-3, atol=1e-6)
