"""MultiheadAttention and Transformer modules against PyTorch: every option,
forward and gradients; flex attention and causal biases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def pair(name, *args, **kw):
    """The same module in both, with the same weights."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kw)
    with torch.no_grad():
        for p in theirs.parameters():  # biases are zeros at first
            p.add_(torch.randn_like(p) * 0.1)
    ours = getattr(rl.nn, name)(*args, **kw)
    ours.load_state_dict({k: rl.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    return ours, theirs


def array(*shape, seed=0):
    return np.random.RandomState(seed + sum(shape)).randn(*shape).astype(np.float32)


def both(value):
    if isinstance(value, np.ndarray):
        ours, theirs = rl.tensor(value), torch.tensor(value)
        return ((ours.requires_grad_(), theirs.requires_grad_())
                if value.dtype == np.float32 and value.ndim > 2 else (ours, theirs))
    return value, value


def num(t):
    return t.detach().numpy()


def compare(ours, theirs, args, kwargs, rtol=2e-4, atol=2e-5):
    """Results, and gradients of inputs and parameters, of two modules."""
    a, b = zip(*map(both, args), strict=True) if args else ((), ())
    named = {k: both(v) for k, v in kwargs.items()}
    x = ours(*a, **{k: v[0] for k, v in named.items()})
    y = theirs(*b, **{k: v[1] for k, v in named.items()})
    x, y = (t if isinstance(t, tuple) else (t,) for t in (x, y))
    assert len(x) == len(y)
    total, expected = 0, 0
    for s, t in zip(x, y, strict=True):
        if t is None:
            assert s is None
            continue
        assert tuple(s.shape) == tuple(t.shape)
        np.testing.assert_allclose(num(s), num(t), rtol=rtol, atol=atol)
        w = np.cos(np.arange(t.numel())).reshape(tuple(t.shape)).astype(np.float32)
        total, expected = total + (s * rl.tensor(w)).sum(), expected + (t * torch.tensor(w)).sum()
    if not expected.requires_grad or bool(torch.isnan(expected)):
        return
    total.backward()
    expected.backward()
    leaves = [(p, q) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)]
    leaves += [(s, t) for s, t in zip(a, b, strict=True) if isinstance(t, torch.Tensor)
               and t.is_leaf and t.requires_grad]
    for p, q in leaves:
        if q.grad is None:
            assert p.grad is None
        else:
            np.testing.assert_allclose(num(p.grad), num(q.grad), rtol=10 * rtol, atol=10 * atol)


BOOL_MASK = np.triu(np.ones((5, 6), bool), 2)
MHA = [
    dict(), dict(bias=False), dict(add_bias_kv=True), dict(add_zero_attn=True),
    dict(add_bias_kv=True, add_zero_attn=True), dict(kdim=6, vdim=10),
    dict(batch_first=True), dict(batch_first=True, kdim=6, vdim=10, add_bias_kv=True),
    dict(batch_first=True, add_zero_attn=True, bias=False),
]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("options", MHA, ids=str)
def test_multihead_attention(options, train):
    ours, theirs = pair("MultiheadAttention", 8, 2, **options)
    ours.train(train)
    theirs.train(train)
    first = options.get("batch_first", False)

    def seq(length, size, seed):
        x = array(length, 3, size, seed=seed)
        return np.ascontiguousarray(x.transpose(1, 0, 2)) if first else x
    q, k, v = seq(5, 8, 1), seq(6, options.get("kdim", 8), 2), seq(6, options.get("vdim", 8), 3)
    padding = np.zeros((3, 6), bool)
    padding[1, 4:] = padding[2, 1] = True
    float_padding = np.where(padding, -2.0, 0.0).astype(np.float32)
    masks = [None, BOOL_MASK, np.where(BOOL_MASK, -np.inf, 0.3).astype(np.float32),
             np.broadcast_to(BOOL_MASK, (6, 5, 6)).copy()]
    for need, average, mask, pad in itertools.product((True, False), (True, False),
                                                      range(4), (None, padding, float_padding)):
        if pad is not None and masks[mask] is not None and pad.dtype != masks[mask].dtype or not need and not average:
            continue
        given = {"need_weights": need, "average_attn_weights": average,
                 "attn_mask": masks[mask], "key_padding_mask": pad}
        with torch.no_grad() if mask > 1 else torch.enable_grad(), rl.no_grad() if mask > 1 else rl.enable_grad():
            compare(ours, theirs, (q, k, v), {k_: v_ for k_, v_ in given.items() if v_ is not None})
        ours.zero_grad()
        theirs.zero_grad()


def test_multihead_attention_without_batches_and_causal():
    ours, theirs = pair("MultiheadAttention", 8, 4)
    x = array(5, 8)
    causal = np.triu(np.ones((5, 5), bool), 1)
    for kwargs in ({}, {"need_weights": False}, {"average_attn_weights": False},
                   {"attn_mask": causal, "is_causal": True},
                   {"attn_mask": causal, "is_causal": True, "need_weights": False},
                   {"key_padding_mask": np.array([False, True, False, False, True])},
                   {"attn_mask": np.broadcast_to(causal, (4, 5, 5)).copy()}):
        compare(ours, theirs, (x, x, x), kwargs)
        ours.zero_grad()
        theirs.zero_grad()


BAD = {
    "heads": lambda lib: lib.nn.MultiheadAttention(7, 2), "zero": lambda lib: lib.nn.MultiheadAttention(0, 2),
    "dimensions": lambda lib: lib.nn.MultiheadAttention(8, 2)(lib.ones(1, 2, 3, 8),
                                                              lib.ones(2, 3, 8), lib.ones(2, 3, 8)),
    "mask": lambda lib: lib.nn.MultiheadAttention(8, 2)(*[lib.ones(4, 3, 8)] * 3, attn_mask=lib.zeros(3, 3)),
    "causal": lambda lib: lib.nn.MultiheadAttention(8, 2)(*[lib.ones(4, 3, 8)] * 3, is_causal=True),
    "padding": lambda lib: lib.nn.MultiheadAttention(8, 2)(*[lib.ones(4, 3, 8)] * 3, key_padding_mask=lib.zeros(4, 4)),
    "embedding": lambda lib: lib.nn.MultiheadAttention(8, 2)(*[lib.ones(4, 3, 6)] * 3),
    "transformer batch": lambda lib: lib.nn.Transformer(8, 2, 1, 1, 16)(lib.ones(4, 3, 8), lib.ones(4, 2, 8)),
    "transformer size": lambda lib: lib.nn.Transformer(8, 2, 1, 1, 16)(lib.ones(4, 3, 6), lib.ones(4, 3, 6)),
    "activation": lambda lib: lib.nn.TransformerEncoderLayer(8, 2, activation="tanh"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    with pytest.raises(Exception) as theirs:
        BAD[name](torch)
    with pytest.raises(type(theirs.value)) as ours:
        BAD[name](rl)
    assert str(ours.value)[:40] == str(theirs.value)[:40]


LAYERS = [dict(), dict(norm_first=True), dict(activation="gelu"), dict(batch_first=True),
          dict(bias=False), dict(layer_norm_eps=1e-2, norm_first=True, bias=False)]


def causal(n):
    return np.triu(np.full((n, n), -np.inf, np.float32), 1)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_encoder_and_decoder_layers(options, train):
    first = options.get("batch_first", False)
    padding = np.zeros((3, 5), bool)
    padding[0, 3:] = True
    source, target = (array(3, n, 8) if first else array(n, 3, 8) for n in (5, 4))
    ours, theirs = pair("TransformerEncoderLayer", 8, 2, 16, 0.0, **options)
    ours.train(train)
    theirs.train(train)
    for kwargs in ({}, {"src_mask": causal(5), "is_causal": True},
                   {"src_mask": np.triu(np.ones((5, 5), bool), 1)}, {"src_key_padding_mask": padding},
                   {"src_mask": np.triu(np.ones((5, 5), bool), 1), "src_key_padding_mask": padding}):
        compare(ours, theirs, (source,), kwargs)
        ours.zero_grad()
        theirs.zero_grad()
    ours, theirs = pair("TransformerDecoderLayer", 8, 2, 16, 0.0, **options)
    ours.train(train)
    theirs.train(train)
    for kwargs in ({}, {"tgt_mask": causal(4), "tgt_is_causal": True},
                   {"memory_key_padding_mask": padding}, {"memory_mask": BOOL_MASK[:4, :5]},
                   {"tgt_mask": np.triu(np.ones((4, 4), bool), 1), "tgt_key_padding_mask": padding[:, 1:],
                    "memory_key_padding_mask": padding}):
        compare(ours, theirs, (target, source), kwargs)
        ours.zero_grad()
        theirs.zero_grad()


def test_encoder_layer_with_a_function_as_activation():
    torch.manual_seed(0)
    theirs = torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation=torch.tanh)
    ours = rl.nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation=rl.tanh)
    ours.load_state_dict({k: rl.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    compare(ours, theirs, (array(5, 3, 8),), {})


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("train", [True, False])
def test_encoder_and_decoder(norm, train):
    def build(lib, encoder):
        layer = (lib.nn.TransformerEncoderLayer if encoder else lib.nn.TransformerDecoderLayer)(
            8, 2, 16, 0.0, batch_first=True)
        return (lib.nn.TransformerEncoder if encoder else lib.nn.TransformerDecoder)(
            layer, 2, lib.nn.LayerNorm(8) if norm else None)
    padding = np.zeros((3, 5), bool)
    padding[0, 3:] = True
    for encoder in (True, False):
        torch.manual_seed(0)
        theirs, ours = build(torch, encoder), build(rl, encoder)
        ours.load_state_dict({k: rl.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
        ours.train(train)
        theirs.train(train)
        if encoder:
            compare(ours, theirs, (array(3, 5, 8),), {"mask": causal(5), "is_causal": True})
            with torch.no_grad(), rl.no_grad():
                compare(ours, theirs, (array(3, 5, 8),), {"src_key_padding_mask": padding} if train else {})
        else:
            compare(ours, theirs, (array(3, 4, 8), array(3, 5, 8)),
                    {"tgt_mask": causal(4), "memory_key_padding_mask": padding})


@pytest.mark.parametrize(
    "options", [dict(), dict(batch_first=True, norm_first=True, activation="gelu"), dict(bias=False)], ids=str)
def test_transformer(options):
    ours, theirs = pair("Transformer", 8, 2, 2, 2, 16, 0.0, **options)
    first = options.get("batch_first", False)
    source, target = (array(3, n, 8) if first else array(n, 3, 8) for n in (5, 4))
    padding = np.zeros((3, 5), bool)
    padding[1, 4:] = True
    mask = np.triu(np.ones((4, 4), bool), 1)
    for kwargs in ({}, {"tgt_mask": causal(4), "tgt_is_causal": True},
                   {"src_key_padding_mask": padding, "memory_key_padding_mask": padding, "tgt_mask": mask}):
        compare(ours, theirs, (source, target), kwargs, 1e-3, 1e-4)
        ours.zero_grad()
        theirs.zero_grad()
    np.testing.assert_array_equal(rl.nn.Transformer.generate_square_subsequent_mask(4).numpy(),
                                  torch.nn.Transformer.generate_square_subsequent_mask(4).numpy())


def test_transformer_starts_as_in_pytorch():
    rl.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs = rl.nn.Transformer(8, 2, 1, 1, 16), torch.nn.Transformer(8, 2, 1, 1, 16)
    for (name, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy(), err_msg=name)


def test_custom_encoder():
    class Twice(rl.nn.Module):
        def forward(self, src, mask=None, src_key_padding_mask=None, is_causal=False):
            return src * 2
    model = rl.nn.Transformer(8, 2, 1, 1, 16, 0.0, custom_encoder=Twice())
    assert model(rl.ones(4, 3, 8), rl.ones(2, 3, 8)).shape == (2, 3, 8)


# --- torch.nn.attention -----------------------------------------------------------------------------------------------
def flex(lib, case):
    module = __import__(f"{lib.__name__}.nn.attention.flex_attention", fromlist=["x"])
    r = np.random.RandomState(0)
    sizes = (4, 2, 2) if case == "grouped" else (4, 4, 4)
    q, k, v = (lib.tensor(r.randn(2, n, 6, 8).astype(np.float32)) for n in sizes)
    bias, documents = lib.tensor(r.randn(4).astype(np.float32)), lib.tensor([0, 0, 0, 1, 1, 1])

    def mask(mod, batches=None):
        return {"block_mask": module.create_block_mask(mod, batches, None, 6, 6, device="cpu")}
    settings = {
        "plain": {}, "scale": {"scale": 0.3},
        "bias": {"score_mod": lambda s, b, h, i, j: s + bias[h] * (i - j)}, "grouped": {"enable_gqa": True},
        "cap": {"score_mod": lambda s, b, h, i, j: 5 * lib.tanh(s / 5)}, "causal": mask(lambda b, h, i, j: i >= j),
        "documents": mask(module.and_masks(lambda b, h, i, j: i >= j,
                                           lambda b, h, i, j: documents[i] == documents[j]), 2),
        "hidden": mask(lambda b, h, i, j: i > j), "lse": {"return_lse": True},
    }
    out = module.flex_attention(q, k, v, **settings[case])
    return [num(o) for o in (out if isinstance(out, tuple) else (out,))]


@pytest.mark.parametrize("case", ["plain", "scale", "bias", "grouped", "cap", "causal", "documents", "hidden", "lse"])
def test_flex_attention(case):
    for a, b in zip(flex(rl, case), flex(torch, case), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_gradients_of_flex_attention():
    """Against causal attention, because PyTorch's has no gradients on the CPU; rows that see nothing have none."""
    from rushlight.nn.attention.flex_attention import create_block_mask, flex_attention
    found = []
    for flexible in (True, False):
        rl.manual_seed(0)
        q, k, v = (rl.randn(1, 2, 5, 4, requires_grad=True) for _ in range(3))
        out = flex_attention(q, k, v, block_mask=create_block_mask(lambda b, h, i, j: i >= j, None, None, 5, 5)) if flexible else \
            rl.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        (out * out).sum().backward()
        found.append([num(t.grad) for t in (q, k, v)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    q = rl.randn(1, 1, 2, 4, requires_grad=True)
    flex_attention(q, q.detach(), q.detach(),
                   block_mask=create_block_mask(lambda b, h, i, j: i > j, None, None, 2, 2)).sum().backward()
    assert not bool(q.grad.isnan().any())
    assert bool((q.grad[..., 0, :] == 0).all())


@pytest.mark.parametrize("mask", [lambda b, h, i, j: i >= j, lambda b, h, i, j: (i - j < 100) & (i >= j),
                                  lambda b, h, i, j: (j < 7) | (b == 1)])
def test_block_masks(mask):
    from rushlight.nn.attention import flex_attention as ours
    from torch.nn.attention import flex_attention as theirs
    for size in (128, (64, 32)):
        a, b = ours.create_block_mask(mask, 2, None, 300, 200, BLOCK_SIZE=size), theirs.create_block_mask(
            mask, 2, None, 300, 200, device="cpu", BLOCK_SIZE=size)
        assert (a.shape, round(a.sparsity(), 6)) == (b.shape, round(b.sparsity(), 6))
        for name in ("kv_num_blocks", "kv_indices", "full_kv_num_blocks",
                     "full_kv_indices", "q_num_blocks", "q_indices"):
            x, y = getattr(a, name), getattr(b, name)
            assert str(x.dtype) == str(y.dtype)
            np.testing.assert_array_equal(x.numpy(), y.numpy())
        np.testing.assert_array_equal(a.to_dense().numpy(), b.to_dense().numpy())
    np.testing.assert_array_equal(ours.create_mask(mask, 2, 1, 9, 8).numpy(),
                                  theirs.create_mask(mask, 2, 1, 9, 8, device="cpu").numpy())


def test_causal_biases():
    from rushlight.nn.attention import bias as ours
    from torch.nn.attention import bias as theirs
    q, k = array(1, 2, 3, 4), array(1, 2, 5, 4)
    for name in ("causal_upper_left", "causal_lower_right"):
        for size in ((3, 5), (5, 3), (4, 4)):
            np.testing.assert_array_equal(getattr(ours, name)(*size).numpy(),
                                          getattr(theirs, name)(*size)._materialize().numpy())
        a = rl.nn.functional.scaled_dot_product_attention(rl.tensor(q), rl.tensor(k), rl.tensor(k),
                                                          attn_mask=getattr(ours, name)(3, 5))
        b = torch.nn.functional.scaled_dot_product_attention(torch.tensor(q), torch.tensor(k), torch.tensor(k),
                                                             attn_mask=getattr(theirs, name)(3, 5))
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_sdpa_kernel():
    from rushlight.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.attention import SDPBackend as Theirs
    assert {b.name: b.value for b in SDPBackend} == {n: int(b) for n, b in Theirs.__members__.items()}
    x = rl.randn(1, 2, 4, 8)
    for backends in (SDPBackend.MATH, [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
        with sdpa_kernel(backends):
            out = rl.nn.functional.scaled_dot_product_attention(x, x, x)
        np.testing.assert_array_equal(out.numpy(), rl.nn.functional.scaled_dot_product_attention(x, x, x).numpy())
