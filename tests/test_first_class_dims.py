"""functorch.dim: every case runs under PyTorch and under rushlight; values,
shapes, dims, gradients and errors are compared."""

from __future__ import annotations

import importlib
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight

torch = pytest.importorskip("torch")


def library(name: str) -> types.SimpleNamespace:
    """What a case may use of a library."""
    lib = torch if name == "torch" else rushlight
    home = importlib.import_module("functorch" if name == "torch" else "rushlight.functorch")
    dim = importlib.import_module(home.__name__ + ".dim")
    names = {n: getattr(dim, n) for n in ("dims", "dimlists", "Dim", "DimList", "cat", "stack", "split",
                                          "softmax", "index", "Tensor", "DimensionBindError")}
    space = types.SimpleNamespace(torch=lib, functorch=home, F=lib.nn.functional, np=np, **names)
    space.X = lib.tensor(np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32))
    space.Y = lib.tensor(np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32))
    space.N = lib.arange(24).reshape(2, 3, 4)
    space.B = lib.tensor([1, 0, 1])
    return space


def seen(x: object) -> object:
    """What can be compared of a result: of a named tensor the data in the order of its dims' names."""
    if isinstance(x, (list, tuple)):
        return [seen(v) for v in x]
    if type(x).__name__ in ("Dim", "DimList"):
        return repr(x)
    if hasattr(x, "dims") and hasattr(x, "order"):
        order = sorted(x.dims, key=repr)
        return [repr(d) for d in order], tuple(x.shape), seen(x.order(*order))
    if hasattr(x, "detach"):
        return str(x.dtype), tuple(x.shape), np.array(x.detach().tolist())
    return x


def outcome(space: types.SimpleNamespace, source: str) -> object:
    env = dict(vars(space))
    try:
        exec(source, env)
        return seen(env["out"])
    except Exception as e:
        return type(e).__name__, str(e)


def same(a: object, b: object) -> None:
    assert type(a) is type(b), (a, b)
    if isinstance(a, np.ndarray):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), (a, b)
        for x, y in zip(a, b):
            same(x, y)
    else:
        assert a == b


CASES = """
i, j, k = dims(); out = X[i, j, k]
i, j = dims(); out = X[i, j]
i, j = dims(); out = X[:, i]
i, j = dims(); out = X[..., i]
i, j = dims(); out = X[i, :, j]
i, j = dims(); out = X[i, 1:, j]
i, j = dims(); out = X[i, 2, j]
i, j = dims(); out = X[i, None, j]
i, j = dims(); out = X[i][j]
i, j, k = dims(); out = X[i, j, k] + X[i, j, k]
i, j, k = dims(); out = (X[i, j, k] * Y[k, j]).sum(k)
i, j, k = dims(); out = (X[i, j, k] * Y[k, j]).sum((k, j))
i, j, k = dims(); out = (X[i] @ Y).order(i)
i, j, k = dims(); out = X[i, j, k] - Y[k, j]
i, j, k = dims(); out = X[i, j] + Y[k, j]
i, j, k = dims(); out = 2 / (X[i, j, k].abs() + 1) ** 2 - 1
i, j, k = dims(); out = torch.exp(X[i, j, k]).order(k, j, i)
i, j, k = dims(); out = torch.maximum(X[i, j, k], Y[k, j]).order(k, j, i)
i, j, k = dims(); out = torch.where(X[i, j, k] > 0, X[i, j, k], Y[k, j]).order(i, j, k)
i, j, k = dims(); out = F.relu(X[i, j, k]).order((i, j), k)
i, j, k = dims(); out = X[i, j, k].order(k, (j, i))
i, j, k = dims(); out = X[i, j].order(j)
i, j, k = dims(); out = X[i, j].order(0, i)
i, j, k = dims(); out = X[i].order(i, 1)
i, j, k = dims(); out = X[i].order((i, 0))
i, j, k = dims(); out = X[i].order(-1, i)
i, j, k = dims(); out = X[i, j].order(i, i)
i, j, k = dims(); out = X[i, j].order(k)
i, j, k = dims(); out = X[i, j, k].sum(i)
i, j, k = dims(); out = X[i, j, k].sum((i, k))
i, j, k = dims(); out = X[i, j].sum()
i, j, k = dims(); out = X[i, j].sum(0)
i, j, k = dims(); out = X[i].sum(dim=i)
i, j, k = dims(); out = X[i, j].mean(j), X[i, j].std(j), X[i, j].var(i), X[i, j].amax(j), X[i, j].prod(0), X[i, j].logsumexp(j)
i, j, k = dims(); out = tuple(X[i, j].max(j)) + tuple(X[i, j].min(0))
i, j, k = dims(); out = X[i, j].argmax(j), X[i, j].argmin(0), (X[i, j] > 0).any(j), (X[i, j] > 0).all(0), (X[i, j] > 0).count_nonzero(0)
i, j, k = dims(); out = X[i, j].softmax(j), X[i, j].softmax(0), X[i, j].cumsum(i), tuple(X[i, j].sort(j)), X[i, j].argsort(j)
i, j, k = dims(); out = X[i, j].sum(i, keepdim=True)
i, j, k = dims(); out = X[i, j].sum(0, keepdim=True)
i, j, k = dims(); out = X[i, j].sum(k)
i, j, k = dims(); out = X[i, j].median(j).values, X[i, j].nansum(j), X[i, j].aminmax(dim=j)[0]
i, j, k = dims(); out = softmax(X[i, j], j), torch.softmax(X[i, j], j)
i, j = dims(); out = X.index(1, i)
i, j = dims(); out = X.index((0, 2), (i, j))
i, j = dims(); out = X.index([(0, 2)], [i])
i, j = dims(); out = X.index([(0, 2), 1], [i, j])
i, j = dims(sizes=[2, 2]); out = X.index(2, (i, j))
i, j, k = dims(); out = X[i, j, k].index((i, k), (0, 1))
i, j, k = dims(); out = X[i, j, k].index([(i, k)], [slice(None)])
i, j, k = dims(); out = X[i, j].index(j, B)
i, j, k = dims(); out = X.index((0, 1), (i,))
i, j, k = dims(); out = index(X, 0, i)
i, j, k = dims(); out = Y[X[i, j].argmax(0), :2].sum(0)
i, j, k = dims(); out = Y[X[i, j].argmax(0)]
i, j, k = dims(); out = X[i, B[j], k]
i, j, k = dims(); out = X[i, B[j]]
i, j, k = dims(); out = X[i, B[j], j]
i, j, k = dims(); out = Y[:, i][i]
i, j, k = dims(); out = Y[:3][i, i]
i, j, k = dims(); out = N[:, i, i]
i, j, k = dims(); out = X[i, [0, 2], j]
i, j, k = dims(); out = X[i, B, 1:3]
i, j, k = dims(); out = X[i, j, k][None]
i, j, k = dims(); j.size = 2; out = X[i, :, (j, k)]
i, j, k = dims(); out = X[i, :, (j, k)]
i, j, k = dims(); j.size = 3; out = X[i, :, (j, k)]
i, j, k = dims(); i.size = 2; i.size = 3; out = 0
i, j, k = dims(); out = X[i, j, k, i]
i, = (dims(1),); out = i.size
i, j = dims(); out = X[i, j, ..., ...]
i, j = dims(sizes=[2, 3]); out = i + j, i * 2, (i == 0), (i + j).order(j, i)
i, j, k = dims(); X[i, j, k]; out = torch.where(i > j, i, j)
i, j, k = dims(); out = X[i, j].expand(2, 4)
i, j, k = dims(sizes=[2, 3, 5]); out = X[i, j].expand(k).order(k, i, j), X.sum().expand(2)
i, j, k = dims(sizes=[2, 3, 5]); out = X[i, j].expand(j)
i, j, k = dims(); out = stack([X[i, j], X[i, j] * 2, Y.sum() + X[i, j]], k)
i, j, k = dims(); out = stack([], k)
i, j, k = dims(); out = cat([X[i, j], X[i, j] + 1], j, k)
i, j, k = dims(); out = X[i, :, 0].split([j, k], dim=0)
i, j, k = dims(); j.size = 1; out = X[i].split([j, k], dim=0), j.size, k.size
i, j, k = dims(); out = X[:, j, 0].split([i, k], dim=0)
i, j, k, q = dims(); out = X[i, j, 0].split([q, k], dim=j)
i, j, k = dims(); j.size = 1; k.size = 1; out = X[i].split([j, k], dim=0)
i, j, k = dims(); out = X[i].split([j, 2], dim=0)
i, j, k = dims(); out = X[i, j].split(2, dim=0), X[i, j].split([1, 3], dim=0)
i, j, k = dims(); out = X[i, j].split(2, dim=j)
i, j, k = dims(); out = X[i, j].unbind(0)
i, j, k = dims(); out = X[i, j].chunk(2, 0)
i, j, k = dims(); Z = torch.zeros(2, 3, 4); Z[i, j, k] = X[i, j, k] * 2; out = Z
i, j, k = dims(); Z = torch.zeros(3, 2); Z[i, j] = X[j, i].sum(0); out = Z
i, j, k = dims(); Z = torch.zeros(2, 3, 4); Z[i] = X[i].sum(0); out = Z
i, j, k = dims(); Z = torch.zeros(2, 3, 4); Z[i, B[j]] = 5.; out = Z
i, j, k = dims(); Z = torch.zeros(2, 3, 4); Z[i, 0, j] = X[i, 1, j]; out = Z
i, j, k = dims(); Z = torch.zeros(3, 3); Z[i, i] = Y[0, i]; out = Z
i, j, k = dims(); Z = torch.zeros(2, 3); Z[i, j] = X[i, j, k]; out = Z
i, j, k = dims(); Z = torch.zeros(2, 3); Z[i, j] = i; out = Z
i, j, k = dims(); Z = X.clone()[i]; Z[j] = 0.; out = Z
i, j, k = dims(); Z = X.clone(); Z[i].add_(1); out = Z
i, j, k = dims(); Z = X.clone(); W = Z[i, j]; W *= 2; out = Z
d = dimlists(); out = X[d,].sum(d[1]), len(d), d.is_bound
d = dimlists(); i = dims(); out = X[i, d]
d = dimlists(); i = dims(); out = X[d, i].order(d, i)
d, e = dimlists(2); out = X[d, e]
d = dimlists(1, sizes=[[2, 3]]); out = X[d,]
d = dimlists(1, sizes=[2]); out = X[d,], d
d = DimList(name="d"); out = d, d.is_bound
d = DimList(2, name="d"); d.bind((2, 3)); out = d, d[0].size, d[:1]
d = DimList(2, name="d"); d.bind_len(3); out = 0
d = DimList(name="d"); out = len(d)
i, j = dims(); out = X[i, j].shape, X[i, j].ndim, X[i, j].dim(), X[i, j].dims, X[i, j].size(0), len(X[i, j])
i, j = dims(2, [2, 3]); out = i, j, i.size, i.is_bound
out = dims(3), dims(2)
dims()
out = dims(2, [1])
i, j, k = dims(); out = X[i, j, k].T
i, j, k = dims(); out = X[i].t().order(i), X[i].transpose(0, 1).order(i), X[i].reshape(-1).order(i), X[i].view(2, 6).order(i), X[i].flatten().order(i)
i, j, k = dims(); out = torch.stack([Y, Y])[i].order(i), torch.cat([X[i], X[i]], 0).order(i)
i, j, k = dims(); out = torch.matmul(X[i], Y).order(i), F.linear(X[i], Y.t()).order(i), torch.bmm(X, X.transpose(1, 2))[i].order(i)
i, j, k = dims(); out = F.layer_norm(X[i], (4,)).order(i), torch.nn.functional.softmax(X[i], 1).order(i)
i, j, k = dims(); out = X[i, j, k].to(torch.float64).order(i, j, k), str(X[i, j, k].double().dtype), X[i].is_floating_point()
i, j, k = dims(); V = X.clone().requires_grad_(); (V[i, j, k] * Y[k, j]).sum((i, j, k)).backward(); out = V.grad
i, j, k = dims(); V = Y.clone().requires_grad_(); (X[i, j, k] * V[k, j]).sum(k).pow(2).order(i, j).sum().backward(); out = V.grad
i, j, k = dims(); V = Y.clone().requires_grad_(); (V[B[i]] * X[j, i, k]).order(i, j, k).exp().sum().backward(); out = V.grad
i, j, k = dims(); q, w, h = dims(); out = ((X[i, q, h] * X[i, w, h]).sum(h).softmax(w) * X[i, w, k]).sum(w).order(i, q, k)
""".strip().splitlines()


@pytest.mark.parametrize("source", CASES)
def test_the_same_as_functorch(source: str) -> None:
    same(outcome(library("torch"), source), outcome(library("rushlight"), source))


SIZES = st.lists(st.integers(1, 3), min_size=3, max_size=3)


@settings(max_examples=30, deadline=None)
@given(SIZES, st.permutations("ijk"),
       st.sampled_from(["mul", "add", "sub", "maximum"]), st.sets(st.sampled_from("ijk")))
def test_named_dims_are_einsum_with_letters(sizes: list[int], order: list[str], name: str, gone: set[str]) -> None:
    size = dict(zip("ijk", sizes))
    a = rushlight.tensor(np.random.default_rng(0).standard_normal([size[n] for n in "ijk"]))
    b = rushlight.tensor(np.random.default_rng(1).standard_normal([size[n] for n in order]))
    space = library("rushlight")
    d = dict(zip("ijk", space.dims(3)))
    named = getattr(rushlight, name)(a[d["i"], d["j"], d["k"]], b[tuple(d[n] for n in order)])
    plain = getattr(rushlight, name)(a, b.permute(*[order.index(n) for n in "ijk"]))
    if gone:
        named = named.sum(tuple(d[n] for n in sorted(gone)))
        plain = plain.sum(["ijk".index(n) for n in sorted(gone)])
    left = [d[n] for n in "ijk" if n not in gone]
    np.testing.assert_allclose((named.order(*left) if left else named).numpy(), plain.numpy(), rtol=1e-12, atol=1e-12)


def test_a_summed_product_is_a_contraction() -> None:
    i, j, k = library("rushlight").dims(3)
    product = rushlight.ones(2, 3)[i, k] * rushlight.ones(3, 4)[k, j]
    assert product.factors
    assert product.sum(k).order(i, j).tolist() == [[3.0] * 4] * 2


@pytest.mark.parametrize("name", ["grad", "vjp", "jvp", "jacrev", "jacfwd", "hessian", "vmap",
                                  "grad_and_value", "functionalize"])
def test_the_transforms_are_those_of_func(name: str) -> None:
    from rushlight import func, functorch
    assert getattr(functorch, name) is getattr(func, name)


def test_modules_as_functions() -> None:
    results = []
    for name in ("torch", "rushlight"):
        space = library(name)
        lib, home = space.torch, space.functorch
        lib.manual_seed(0)
        models = [lib.nn.Sequential(lib.nn.Linear(3, 2), lib.nn.BatchNorm1d(2)).eval() for _ in range(3)]
        x = lib.ones(4, 3)
        f, params, buffers = home.make_functional_with_buffers(models[0])
        g, weights = home.make_functional(models[0][0])
        h, stacked, states = home.combine_state_for_ensemble(models)
        with pytest.raises(RuntimeError, match="has buffers"):
            home.make_functional(models[0])
        if name == "torch":  # its levels may be stuck after a case that failed inside one
            many = lib.stack([m(x) for m in models])
            slope = lib.autograd.grad(g(weights, x).sum(), weights)[0]
        else:
            many = home.vmap(h, (0, 0, None))(stacked, states, x)
            slope = home.grad(lambda w: g(w, x).sum())(weights)[0]
        results.append(seen([f(params, buffers, x), g(weights, x), many, slope, [p.requires_grad for p in weights]]))
    same(*results)


PATTERNS = [
    ("b (h w) c -> b c h w", {"h": 3}), ("b h c -> (b h) c", {}),
    ("... c -> c ...", {}), ("b ... -> (b ...)", {}), ("a b c -> a 1 (c b)", {}),
    ("(a b) c d -> a (b d) c", {"a": 2}), ("b h c -> b h", {}), ("b h -> h b", {}),
    ("b h c - c", {}), ("(b h) h c -> b h c", {"b": 2}), ("b (h c -> b h c", {}),
    ("(x y) h c -> x y h c", {}), ("(x y) h c -> x y h c", {"x": 5}),
    ("b h c -> b h c", {"z": 1}), ("b h c -> b c -> h", {}),
]


# PyTorch's is there once
REARRANGE = {name: importlib.import_module(name + ".einops").rearrange for name in ("functorch", "rushlight.functorch")}


def rearranged(name: str, pattern: str, sizes: dict[str, int]) -> object:
    lib = torch if name == "functorch" else rushlight
    try:
        return REARRANGE[name](lib.arange(2 * 12 * 5).reshape(2, 12, 5), pattern, **sizes).tolist()
    except Exception:
        return "an error"  # of PyTorch's parser there are several kinds


# now: later PyTorch has no more numbers for the dims that it makes
EXPECTED = [rearranged("functorch", *p) for p in PATTERNS]


@pytest.mark.parametrize(("pattern", "expected"), zip(PATTERNS, EXPECTED))
def test_rearrange(pattern: tuple[str, dict[str, int]], expected: object) -> None:
    assert rearranged("rushlight.functorch", *pattern) == expected


def test_functorch_by_its_own_name() -> None:
    import subprocess
    import sys
    code = ("import functorch, functorch.dim; from functorch.dim import dims; "
            "i = dims(); print(functorch.vmap.__module__, i)")
    run = subprocess.run([sys.executable, "-m", "rushlight", "run", "-c", code], capture_output=True, text=True)
    assert run.stdout.split() == ["rushlight.func.vectorize", "i"], run.stderr
