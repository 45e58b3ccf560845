"""torch.nested beside PyTorch's: both layouts, values, gradients, errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
warnings.filterwarnings("ignore", message="The PyTorch API of nested tensors")
LAYOUTS = ("strided", "jagged")
A, B = np.arange(6, dtype=np.float32).reshape(2, 3) / 3, np.arange(12, dtype=np.float32).reshape(4, 3) / 5 - 1
W, BIAS = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3), np.ones(5, np.float32)


def make(lib: Any, layout: str, *arrays: Any, **options: Any) -> Any:
    """The same nested tensor of either library."""
    return lib.nested.nested_tensor([lib.tensor(a) for a in arrays or (A, B)], layout=getattr(lib, layout), **options)


def plain(x: Any) -> Any:
    """A result as arrays and numbers that can be compared."""
    if hasattr(x, "is_nested") and x.is_nested:
        return ["nested", str(x.layout), [plain(p) for p in x.unbind()]]
    if hasattr(x, "detach"):
        return ["tensor", str(x.dtype), x.detach().numpy()]
    if isinstance(x, (tuple, list)):
        return [plain(v) for v in x]
    return x


def same(a: Any, b: Any) -> None:
    """Two results in that form."""
    assert type(a) is type(b), (a, b)
    if isinstance(a, list):
        assert len(a) == len(b), (a, b)
        for p, q in zip(a, b):
            same(p, q)
    elif isinstance(a, np.ndarray):
        assert a.shape == b.shape, (a.shape, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    else:
        assert a == b


BOTH: dict[str, Any] = {
    "unbind": lambda t, lib: t.unbind(),
    "first": lambda t, lib: (t[0], t[-1], t[0, 1], t.select(0, 1), t.select(2, 1)),
    "padded": lambda t, lib: lib.nested.to_padded_tensor(t, 7.0),
    "padded method": lambda t, lib: t.to_padded_tensor(-1.0, (2, 5, 3)),
    "numbers": lambda t, lib: (t + 1, t - 1, t * 2, t / 2, -t, t > 0.5, t.clone(), t.detach()),
    "two": lambda t, lib: (t + t, t * t, t - t * 2, t / (t + 10)),
    "unary": lambda t, lib: (
        t.relu(),
        t.tanh(),
        t.abs(),
        t.sin(),
        t.cos(),
        t.isnan(),
        lib.sgn(t),
        lib.nn.functional.gelu(t),
        lib.nn.functional.silu(t),
        t.logical_not(),
        (t + 2).sqrt(),
    ),
    "in place": lambda t, lib: (t.clone().relu_(), t.clone().mul_(3.0), t.clone().fill_(2.0)),
    "softmax": lambda t, lib: (t.softmax(-1), t.softmax(1), lib.nn.functional.softmax(t, 2)),
    "linear": lambda t, lib: lib.nn.functional.linear(t, lib.tensor(W), lib.tensor(BIAS)),
    "layer_norm": lambda t, lib: lib.nn.functional.layer_norm(t, (3,), lib.ones(3) * 2, lib.ones(3)),
    "dropout": lambda t, lib: lib.nn.functional.dropout(t, 0.0),
    "transpose": lambda t, lib: (t.transpose(1, 2), t.transpose(1, 2).transpose(1, 2) + 1),
    "views": lambda t, lib: (
        t.view(2, -1, 1, 3),
        t.reshape(2, -1, 3, 1),
        t.unsqueeze(-1),
        t.unsqueeze(1),
        t.unsqueeze(-1).squeeze(-1),
    ),
    "chunk": lambda t, lib: t.chunk(3, -1),
    "cat": lambda t, lib: lib.cat([t, t * 2], -1),
    "dtypes": lambda t, lib: (t.double(), t.to(lib.float64)),
    "likes": lambda t, lib: (lib.ones_like(t), lib.zeros_like(t)),
    "keepdim": lambda t, lib: t.sum(-1, keepdim=True),
    "masked_fill": lambda t, lib: t.masked_fill(t > 0.5, 0.0),
    "facts": lambda t, lib: (
        t.is_nested,
        t.dim(),
        t.ndim,
        t.numel(),
        t.size(0),
        t.size(2),
        t.size(-1),
        t.requires_grad,
        t.is_leaf,
        str(t.layout),
        str(t.dtype),
    ),
}
JAGGED: dict[str, Any] = {
    "dense": lambda t, lib: (
        t + lib.ones(3),
        t * lib.tensor([[[1.0]], [[3.0]]]),
        t + lib.ones(2, 1, 3),
        t + lib.ones(1, 1, 3),
        t * lib.tensor(2.0),
    ),
    "exp": lambda t, lib: (t.exp(), t.sigmoid(), t.round()),
    "matmul": lambda t, lib: t @ lib.tensor(W).t(),
    "sums": lambda t, lib: (t.sum(), t.sum(-1), t.sum(1), t.mean(), t.mean(1), t.mean(-1), t.amax(1), t.max()),
    "where": lambda t, lib: lib.where(t > 0.5, t, 0.0),
    "values": lambda t, lib: (t.values(), t.offsets()),
    "permute": lambda t, lib: t.permute(0, 2, 1),
    "len": lambda t, lib: (len(t), list(t)),
    "eq": lambda t, lib: t == t,
    "split": lambda t, lib: t.split(1, -1),
    "truncated": lambda t, lib: t.to_padded_tensor(0.0, (2, 3, 3)),
    "unflatten": lambda t, lib: t.unflatten(-1, (1, 3)),
    "ragged view": lambda t, lib: t.view(t.size(0), t.size(1), 3, 1),
}
STRIDED: dict[str, Any] = {
    "matmul": lambda t, lib: (t @ t.transpose(1, 2), lib.bmm(t, t.transpose(1, 2))),
    "cat0": lambda t, lib: lib.cat([t, t]),
    "values": lambda t, lib: t.values(),
    "sizes": lambda t, lib: t._nested_tensor_size(),
}


@pytest.mark.parametrize(
    ("layout", "name"),
    [(y, n) for y in LAYOUTS for n in BOTH] + [("jagged", n) for n in JAGGED] + [("strided", n) for n in STRIDED],
)
def test_results(layout: str, name: str) -> None:
    f = (
        (BOTH | (JAGGED if layout == "jagged" else STRIDED))[name]
        if not (layout == "strided" and name in STRIDED)
        else STRIDED[name]
    )
    same(plain(f(make(rl, layout), rl)), plain(f(make(torch, layout), torch)))


ERRORS: dict[str, Any] = {
    "size strided": ("strided", lambda t, lib: t.size(1)),
    "sizes": ("strided", lambda t, lib: t.size()),
    "small": ("strided", lambda t, lib: t.to_padded_tensor(0.0, (2, 1, 3))),
    "unbind": ("strided", lambda t, lib: t.unbind(1)),
    "unbind jagged": ("jagged", lambda t, lib: t.unbind(1)),
    "index": ("strided", lambda t, lib: t[2]),
    "slice": ("jagged", lambda t, lib: t[:1]),
    "dense": ("strided", lambda t, lib: t + lib.ones(3)),
    "others": ("strided", lambda t, lib: t + make(lib, "strided", B, A)),
    "others jagged": ("jagged", lambda t, lib: t + make(lib, "jagged", B, A)),
    "softmax": ("strided", lambda t, lib: t.softmax(0)),
    "softmax jagged": ("jagged", lambda t, lib: t.softmax(0)),
    "matmul": ("strided", lambda t, lib: t @ lib.ones(3, 4)),
    "transpose": ("strided", lambda t, lib: t.transpose(0, 1)),
    "transpose jagged": ("jagged", lambda t, lib: t.transpose(0, 1)),
    "sum": ("strided", lambda t, lib: t.sum(1)),
    "keepdim": ("strided", lambda t, lib: t.sum(-1)),
    "chunk": ("strided", lambda t, lib: t.chunk(2, 0)),
    "cat": ("jagged", lambda t, lib: lib.cat([t, t])),
    "matmul jagged": ("jagged", lambda t, lib: t @ t.transpose(1, 2)),
    "item": ("jagged", lambda t, lib: t.item()),
    "padding a dense one": ("jagged", lambda t, lib: lib.nested.to_padded_tensor(lib.ones(2), 0.0)),
    "median": ("strided", lambda t, lib: t.median()),
    "no list": ("strided", lambda t, lib: lib.nested.nested_tensor(3)),
    "ranks": ("strided", lambda t, lib: lib.nested.nested_tensor([lib.ones(2), lib.ones(2, 2)])),
    "layout": ("strided", lambda t, lib: lib.nested.nested_tensor([lib.ones(2)], layout=lib.sparse_coo)),
    "squeeze": ("strided", lambda t, lib: t.squeeze()),
    "nothing": ("jagged", lambda t, lib: lib.nested.nested_tensor_from_jagged(lib.ones(2))),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    layout, f = ERRORS[name]
    with pytest.raises(Exception) as theirs:
        f(make(torch, layout), torch)
    with pytest.raises(theirs.type) as mine:
        f(make(rl, layout), rl)
    if theirs.type is not NotImplementedError and name not in ("index", "others jagged", "matmul jagged"):
        first = str(theirs.value).split(". ")[0].split("\n")[0].rstrip(".")
        assert str(mine.value).startswith(first[:60]), (str(mine.value), first)


def test_constructors() -> None:
    for lib in (rl, torch):
        n = lib.nested
        assert [list(p.shape) for p in n.nested_tensor([[1, 2], [3.0]]).unbind()] == [[2], [1]]
        assert str(n.nested_tensor([lib.ones(2), lib.ones(3, dtype=lib.int64)]).dtype) == "torch.float32"
        assert n.nested_tensor([1, 2]).dtype == lib.int64 and n.nested_tensor([]).size(0) == 0
        assert str(n.nested_tensor([lib.ones(2)], dtype=lib.float64).dtype) == "torch.float64"
    dense = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    offsets, mask = np.array([0, 2, 5]), np.array([[True, False, True], [True, True, True]])
    for f in (
        lambda lib: lib.nested.as_nested_tensor(lib.tensor(dense)),
        lambda lib: lib.nested.as_nested_tensor(lib.tensor(dense), layout=lib.jagged),
        lambda lib: lib.nested.nested_tensor_from_jagged(lib.tensor(dense.reshape(6, 4)[:5]), lib.tensor(offsets)),
        lambda lib: lib.nested.nested_tensor_from_jagged(
            lib.tensor(dense.reshape(6, 4)[:5]), lengths=lib.tensor([2, 3])
        ),
        lambda lib: lib.nested.narrow(lib.tensor(dense), 1, lib.tensor([0, 1]), lib.tensor([2, 1]), layout=lib.jagged),
        lambda lib: lib.nested.masked_select(lib.tensor(dense[:, :, 0]), lib.tensor(mask)),
        lambda lib: lib.nested.nested_tensor([lib.ones(2, 3), lib.ones(2, 4)], layout=lib.jagged),
    ):
        same(plain(f(rl)), plain(f(torch)))
    with pytest.raises(RuntimeError, match="single ragged dimension"):
        rl.nested.nested_tensor([rl.ones(1, 2), rl.ones(2, 3)], layout=rl.jagged)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients(layout: str) -> None:
    outs = []
    for lib in (rl, torch):
        p = lib.tensor(A, requires_grad=True)
        nested = lib.nested.as_nested_tensor([p, lib.tensor(B)], layout=getattr(lib, layout))
        assert nested.requires_grad and not nested.is_leaf
        weight = lib.tensor(W, requires_grad=True)
        out = lib.nn.functional.linear((nested * 2).relu(), weight)
        out.softmax(-1).to_padded_tensor(0.0)[..., :2].pow(2).sum().backward()
        leaf = make(lib, layout, requires_grad=True)
        (leaf * leaf).to_padded_tensor(0.0).sum().backward()
        outs.append([plain(p.grad), plain(weight.grad), plain(leaf.grad), leaf.is_leaf])
    same(*outs)


def test_attention() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((n, 2, 8)).astype(np.float32) for n in (3, 5)]
    outs = []
    for lib in (rl, torch):
        q = make(lib, "jagged", *rows).transpose(1, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outs.append(plain(lib.nn.functional.scaled_dot_product_attention(q, q * 2, q + 1).transpose(1, 2)))
    same(*outs)
    dense = rl.tensor(rows[0]).transpose(0, 1)
    alone = rl.nn.functional.scaled_dot_product_attention(dense, dense, dense, is_causal=True)
    nested = make(rl, "jagged", *rows).transpose(1, 2)
    together = rl.nn.functional.scaled_dot_product_attention(nested, nested, nested, is_causal=True)
    np.testing.assert_allclose(together.unbind()[0].numpy(), alone.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_modules(layout: str) -> None:
    outs = []
    for lib in (rl, torch):
        lib.manual_seed(0)
        model = lib.nn.Sequential(
            lib.nn.Linear(3, 8), lib.nn.GELU(), lib.nn.LayerNorm(8), lib.nn.Linear(8, 2), lib.nn.Dropout(0.0)
        )
        table = lib.nn.Embedding(5, 3)
        words = lib.nested.nested_tensor([lib.tensor([1, 2, 4]), lib.tensor([3])], layout=getattr(lib, layout))
        outs.append([plain(model(make(lib, layout))), plain(model(table(words)))])
    same(*outs)


def test_printing() -> None:
    assert repr(make(rl, "strided")) == repr(make(torch, "strided"))
    text = repr(make(rl, "jagged"))
    assert text.startswith("NestedTensor(size=(2, j")
    assert text.endswith(", 3), offsets=tensor([0, 2, 6]), contiguous=True)")
    t = make(rl, "jagged")
    assert isinstance(t.size(1), rl.SymInt) and t.size(1) == (t + 1).size(1) and t.size(1) != make(rl, "jagged").size(1)
    assert not rl.ones(1).is_nested and isinstance(t, rl.Tensor)
