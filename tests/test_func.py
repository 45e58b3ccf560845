"""torch.func and forward-mode differentiation against PyTorch: values, nesting, options, errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def numpy_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about transforms; executors are compared elsewhere."""
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy")


def data(t: Any, *shape: int, seed: int = 0) -> Any:
    return t.tensor(np.random.default_rng(seed + sum(shape)).standard_normal(shape))


def plain(x: Any) -> Any:
    """Results as nests of arrays and numbers."""
    if isinstance(x, (rl.Tensor, torch.Tensor)):
        return x.detach().numpy()
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [type(x).__name__, *map(plain, x)]
    return x


def same(got: Any, want: Any) -> None:
    if isinstance(want, np.ndarray):
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_allclose(got, want, **({"rtol": 1e-4, "atol": 1e-6} if want.dtype == np.float32
                                                 else {"rtol": 1e-6, "atol": 1e-9}))
    elif isinstance(want, (list, dict)):
        assert type(got) is type(want) and len(got) == len(want)
        for k in (want if isinstance(want, dict) else range(len(want))):
            same(got[k], want[k])
    else:
        assert got == want


def agree(call: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(plain(call(rl)), plain(call(torch)))


def f(x: Any, y: Any) -> Any:
    return (x.sin() @ y).exp().sum()


CALLS: dict[str, Any] = {
    "grad": lambda t: t.func.grad(f)(data(t, 2, 3), data(t, 3, 2)),
    "grad by the second": lambda t: t.func.grad(f, argnums=1)(data(t, 2, 3), data(t, 3, 2)),
    "grad by both": lambda t: t.func.grad(f, argnums=(0, 1))(data(t, 2, 3), data(t, 3, 2)),
    "grad of nests": lambda t: t.func.grad(lambda p, x: (p["w"] * x).sum() + p["b"][0].sin())(
        {"w": data(t, 3), "b": [data(t)]}, data(t, 3, seed=1)),
    "grad with aux": lambda t: t.func.grad(lambda x: (x.sum(), {"twice": 2 * x}), has_aux=True)(data(t, 3)),
    "grad of grad": lambda t: t.func.grad(t.func.grad(lambda x: x.sin() * x))(data(t)),
    "grad thrice": lambda t: t.func.grad(t.func.grad(t.func.grad(lambda x: x ** 5)))(data(t)),
    "grad and value": lambda t: t.func.grad_and_value(f)(data(t, 2, 3), data(t, 3, 2)),
    "grad and value with aux": lambda t: t.func.grad_and_value(lambda x: (x.sum(), x * 2), has_aux=True)(data(t, 3)),
    "perturbations": lambda t: t.func.grad(lambda x: x * t.func.grad(lambda y: x + y)(x))(data(t)),
    "grad of keywords": lambda t: t.func.grad(lambda x, *, k: (x * k).sum())(data(t, 3), k=data(t, 3, seed=1)),
    "vjp": lambda t: (lambda out, pull: (out, pull(data(t, 2, 2, seed=3))))(
        *t.func.vjp(lambda x, y: x @ y, data(t, 2, 3), data(t, 3, 2))),
    "vjp of nests": lambda t: (lambda out, pull: (out, pull({"a": data(t, 3, seed=5)})))(
        *t.func.vjp(lambda x: {"a": x.exp()}, data(t, 3))),
    "vjp with aux": lambda t: (lambda out, pull, aux: (out, pull(data(t, 3, seed=5)), aux))(
        *t.func.vjp(lambda x: (x.exp(), x * 2), data(t, 3), has_aux=True)),
    "jvp": lambda t: t.func.jvp(lambda x, y: x.sin() @ y, (data(t, 2, 3), data(t, 3, 2)),
                                (data(t, 2, 3, seed=5), data(t, 3, 2, seed=7))),
    "jvp with aux": lambda t: t.func.jvp(lambda x: (x.sin(), x * 2), (data(t, 3),),
                                         (data(t, 3, seed=1),), has_aux=True),
    "jvp of jvp": lambda t: t.func.jvp(lambda x: t.func.jvp(t.sin, (x,), (t.ones_like(x),))[1],
                                       (data(t, 3),), (data(t, 3, seed=1),)),
    "grad of jvp": lambda t: t.func.grad(lambda x: t.func.jvp(lambda v: v.sin() * v, (x,),
                                                              (t.ones_like(x),))[1].sum())(data(t, 3)),
    "jvp of grad": lambda t: t.func.jvp(t.func.grad(lambda x: x.sin().sum()), (data(t, 3),), (data(t, 3, seed=1),)),
    "jvp of a constant": lambda t: t.func.jvp(lambda x: t.ones(2, dtype=t.float64),
                                              (data(t, 3),), (data(t, 3, seed=1),)),
    "jacrev": lambda t: t.func.jacrev(lambda x: x.sin() * x.sum())(data(t, 2, 2)),
    "jacrev by both": lambda t: t.func.jacrev(lambda x, y: x @ y, argnums=(0, 1))(data(t, 2, 3), data(t, 3)),
    "jacrev in chunks": lambda t: t.func.jacrev(lambda x: x.sin() * x.sum(), chunk_size=2)(data(t, 5)),
    "jacrev of nests": lambda t: t.func.jacrev(lambda p: {"out": p["w"] * p["b"]})(
        {"w": data(t, 2), "b": data(t, 2, seed=1)}),
    "jacrev with aux": lambda t: t.func.jacrev(lambda x: (x.sin(), x.sum()), has_aux=True)(data(t, 3)),
    "jacfwd": lambda t: t.func.jacfwd(lambda x: x.sin() * x.sum())(data(t, 2, 2)),
    "jacfwd by both": lambda t: t.func.jacfwd(lambda x, y: x @ y, argnums=(0, 1))(data(t, 2, 3), data(t, 3)),
    "jacfwd with aux": lambda t: t.func.jacfwd(lambda x: (x.sin(), x.sum()), has_aux=True)(data(t, 3)),
    "hessian": lambda t: t.func.hessian(lambda x: (x.sin() * x.roll(1)).sum())(data(t, 3)),
    "hessian by both": lambda t: t.func.hessian(lambda x, y: (x * y).sin().sum(),
                                                argnums=(0, 1))(data(t, 2), data(t, 2, seed=1)),
    "forward over reverse": lambda t: t.func.jacfwd(t.func.jacrev(lambda x: (x ** 3).sum()))(data(t, 3)),
    "reverse over forward": lambda t: t.func.jacrev(t.func.jacfwd(lambda x: (x ** 3).sum()))(data(t, 3)),
    "linearize": lambda t: (lambda out, push: (out, push(data(t, 3, seed=1)), push(data(t, 3, seed=2))))(
        *t.func.linearize(lambda x: x.sin() * 2, data(t, 3))),
    "functionalize": lambda t: t.func.functionalize(lambda x: x.clone().add_(1).view(-1))(data(t, 2, 2)),
    "vmap": lambda t: t.func.vmap(t.dot)(data(t, 4, 3), data(t, 4, 3, seed=1)),
    "vmap over columns": lambda t: t.func.vmap(lambda x, y: x * y.sum(), in_dims=(1, None),
                                               out_dims=1)(data(t, 4, 3), data(t, 2)),
    "vmap from the end": lambda t: t.func.vmap(lambda x: x.sum(), in_dims=-1)(data(t, 4, 3)),
    "vmap of nests": lambda t: t.func.vmap(lambda d, x: {"a": d["w"] @ x, "b": (x, d["b"])},
                                           in_dims=({"w": 0, "b": None}, 0), out_dims={"a": 0, "b": (1, 0)})(
                                               {"w": data(t, 4, 2, 3), "b": data(t, 2)}, data(t, 4, 3)),
    "vmap of vmap": lambda t: t.func.vmap(t.func.vmap(lambda x, y: x * y,
                                                      (None, 0)), (0, None))(data(t, 4), data(t, 3)),
    "vmap in chunks": lambda t: t.func.vmap(lambda x: x.cumsum(0), chunk_size=2)(data(t, 5, 3)),
    "vmap of a constant": lambda t: t.func.vmap(lambda x: t.ones(2))(data(t, 3)),
    "vmap out None": lambda t: t.func.vmap(lambda x: (x * 2, t.ones(2)), out_dims=(0, None))(data(t, 3)),
    "vmap of writes": lambda t:
    t.func.vmap(lambda x: x.clone().fill_diagonal_(0).index_fill_(0, t.tensor([0]), 5.))(data(t, 2, 3, 3)),
    "vmap of indexing": lambda t: t.func.vmap(lambda x, i: x[i], (0, 0))(data(t, 3, 4), t.tensor([0, 2, 3])),
    "vmap of the same table": lambda t: t.func.vmap(lambda i, x: x[i],
                                                    (0, None))(t.tensor([[0, 1], [2, 3]]), data(t, 4, 2)),
    "vmap of where": lambda t: t.func.vmap(lambda x: t.where(x > 0, x, -x))(data(t, 5)),
    "samples' gradients": lambda t: t.func.vmap(t.func.grad(lambda w, x: (w @ x).sin().sum()),
                                                (None, 0))(data(t, 2, 3), data(t, 5, 3)),
    "grad of vmap": lambda t: t.func.grad(lambda w: t.func.vmap(lambda x: (w * x).sin())(
        data(t, 5, 3)).sum())(data(t, 3)),
    "vmap of hessian": lambda t: t.func.vmap(t.func.hessian(lambda x: (x ** 3).sum() * x[0]))(data(t, 4, 2)),
    "vmap of jvp": lambda t: t.func.vmap(lambda x, v: t.func.jvp(t.sin, (x,), (v,))[1])(data(t, 4), data(t, 4, seed=1)),
    "convolutions per sample": lambda t: t.func.vmap(lambda x, w: t.nn.functional.conv2d(x[None], w).squeeze(0))(
        data(t, 3, 2, 5, 5), data(t, 3, 4, 2, 3, 3)),
}


@pytest.mark.parametrize("name", CALLS)
def test_as_pytorch(name: str) -> None:
    agree(CALLS[name])


# --- modules ------------------------------------------------------------------------------------------------------
def net(t: Any) -> Any:
    m = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2))
    for i, p in enumerate(m.parameters()):
        p.data = data(t, *p.shape, seed=i).float()
    return m


def test_functional_call_and_per_sample_gradients() -> None:
    def run(t: Any) -> Any:
        m = net(t)
        parameters = {k: p.detach() for k, p in m.named_parameters()}

        def loss(p: Any, x: Any, y: Any) -> Any:
            return ((t.func.functional_call(m, p, (x[None],)) - y) ** 2).mean()
        x, y = data(t, 6, 3).float(), data(t, 6, 2).float()
        return t.func.vmap(t.func.grad(loss), (None, 0, 0))(parameters, x, y)
    agree(run)


def test_functional_call_options() -> None:
    def run(t: Any, **options: Any) -> Any:
        m = net(t)
        m.register_buffer("extra", t.ones(1))
        return (t.func.functional_call(m, ({"0.weight": t.ones(4, 3)}, {"extra": t.zeros(1)}),
                                       data(t, 2, 3).float(), **options))
    agree(run)
    for t in (rl, torch):
        with pytest.raises(RuntimeError, match="Missing key|Error"):
            run(t, strict=True)
        with pytest.raises(ValueError, match="appeared in multiple dictionaries"):
            t.func.functional_call(net(t), ({"0.weight": t.ones(4, 3)}, {"0.weight": t.ones(4, 3)}), data(t, 2, 3))
        with pytest.raises(ValueError, match="Expected parameter_and_buffer_dicts to be a dict"):
            t.func.functional_call(net(t), 3, data(t, 2, 3))


def test_ensembles() -> None:
    def run(t: Any) -> Any:
        models = [net(t) for _ in range(3)]
        for i, m in enumerate(models):
            m[0].weight.data += i
        parameters, buffers = t.func.stack_module_state(models)
        base = models[0]
        out = t.func.vmap(lambda p, b, x: t.func.functional_call(base, (p, b), (x,)), (0, 0, None))(
            parameters, buffers, data(t, 5, 3).float())
        return out, t.stack([m(data(t, 5, 3).float())
                             for m in models]), {k: v.requires_grad for k, v in parameters.items()}
    agree(run)
    with pytest.raises(RuntimeError, match="at least one model"):
        rl.func.stack_module_state([])
    with pytest.raises(RuntimeError, match="same training/eval mode"):
        rl.func.stack_module_state([net(rl), net(rl).eval()])
    with pytest.raises(RuntimeError, match="same class"):
        rl.func.stack_module_state([net(rl), rl.nn.Linear(1, 1)])


# --- random numbers -----------------------------------------------------------------------------------------------
def test_randomness() -> None:
    x = rl.zeros(3)
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        rl.func.vmap(lambda v: v + rl.rand(2))(x)
    rl.manual_seed(0)
    alike = rl.func.vmap(lambda v: v + rl.rand(2), randomness="same")(x)
    rl.manual_seed(0)
    assert rl.equal(alike, rl.rand(2).expand(3, 2))
    rl.manual_seed(0)
    unlike = rl.func.vmap(lambda v: v + rl.rand(2), randomness="different")(x)
    torch.manual_seed(0)
    want = torch.func.vmap(lambda v: v + torch.rand(2), randomness="different")(torch.zeros(3))
    np.testing.assert_array_equal(unlike.numpy(), want.numpy())
    ones = rl.ones(50)
    for mode, equal in (("same", True), ("different", False)):
        dropped = rl.func.vmap(lambda v: rl.nn.functional.dropout(v, 0.5), randomness=mode)(rl.stack([ones, ones]))
        assert rl.equal(dropped[0], dropped[1]) is equal


# --- functions of numbers ------------------------------------------------------------------------------------------
def _set(x: Any, i: Any) -> Any:
    x = x.clone()
    x[i] = 0.0
    return x


# what each sample computes of x (3, 2), s (3) ascending, v (2), i (2)
ON_NUMBERS: dict[str, Any] = {
    "searchsorted": lambda t, x, s, v, i: t.searchsorted(s, v),
    "searchsorted right": lambda t, x, s, v, i: t.searchsorted(s, x, right=True),
    "searchsorted one sequence": lambda t, x, s, v, i: t.searchsorted(t.tensor([1.0, 2.0, 4.0]), x, out_int32=True),
    "searchsorted one value": lambda t, x, s, v, i: t.searchsorted(s, t.tensor([2.0, 0.5])),
    "searchsorted rows": lambda t, x, s, v, i: t.searchsorted(x.T.contiguous(), x.T.contiguous() + 0.5),
    "bucketize": lambda t, x, s, v, i: t.bucketize(v, s), "isin": lambda t, x, s, v, i: t.isin(i, t.tensor([1, 5])),
    "isin inverted": lambda t, x, s, v, i: t.isin(i, i[:1], invert=True),
    "isin number": lambda t, x, s, v, i: t.isin(i, 2),
    "one_hot": lambda t, x, s, v, i: t.nn.functional.one_hot(i, 4),
    "bincount": lambda t, x, s, v, i: t.bincount(i, minlength=4),
    "histc": lambda t, x, s, v, i: t.histc(x, 4, 0, 12),
    "histogram": lambda t, x, s, v, i: t.histogram(x, 3, range=(0.0, 12.0))[0],
    "frexp": lambda t, x, s, v, i: t.frexp(x), "nonzero_static": lambda t, x, s, v, i: t.nonzero_static(x, size=4),
    "linspace": lambda t, x, s, v, i: t.linspace(s[0], 3, 4),
    "logspace": lambda t, x, s, v, i: t.logspace(0, s[0] / 4, 3),
    "lu_factor": lambda t, x, s, v, i: t.linalg.lu_factor(x.T @ x + t.eye(2)),
    "lstsq": lambda t, x, s, v, i: t.linalg.lstsq(x + t.eye(3, 2), s[:, None])[0],
    "ctc_loss": lambda t, x, s, v, i: t.nn.functional.ctc_loss(x.log_softmax(-1)[:, None], t.tensor([[1]]), [3], [1]),
    "slice_scatter": lambda t, x, s, v, i: t.slice_scatter(x, v[None] * 2, 0, 1, 2),
    "masked_scatter": lambda t, x, s, v, i: x.masked_scatter(x > 3, x * 10),
    "setitem": lambda t, x, s, v, i: _set(x, i),
    "embedding_bag": lambda t, x, s, v, i: t.nn.functional.embedding_bag(i, x, t.tensor([0, 1]), padding_idx=1),
    "embedding_bag offsets": lambda t, x, s, v, i: t.nn.functional.embedding_bag(
        t.tensor([0, 1, 2]), x, t.cat([t.zeros_like(i[:1]), i[1:]]), mode="max"),
}


@pytest.mark.parametrize("name", ON_NUMBERS)
def test_functions_of_numbers_inside_vmap(name: str) -> None:
    def run(t: Any) -> Any:
        x = t.arange(24.0).reshape(4, 3, 2) / 2
        s, i = x[..., 0] + t.tensor([0.0, 0.5, 1.0]), t.tensor([[0, 2], [2, 1], [1, 1], [0, 2]])
        f = lambda x, s, i: ON_NUMBERS[name](t, x, s, x[1] - 0.25, i)
        once, pairs = t.func.vmap(f)(x, s, i), [y.reshape(2, 2, *y.shape[1:]) for y in (x, s, i)]
        return once, t.func.vmap(t.func.vmap(f))(*pairs)
    agree(run)


# what each sample computes of x (3, 4): copies that lie in memory as the transposed sample does
TURNED: dict[str, Any] = {
    "clone": lambda t, x: x.T.clone(), "flip": lambda t, x: x.T.flip(0),
    "sort": lambda t, x: x.T.sort(0).values, "rot90": lambda t, x: t.rot90(x),
    "permute_copy": lambda t, x: t.permute_copy(x, (1, 0)),
    "transpose_copy": lambda t, x: t.transpose_copy(x, 0, 1), "t_copy": lambda t, x: t.t_copy(x),
    "contiguous": lambda t, x: x.T.contiguous(), "to": lambda t, x: x.T.double(),
    "masked_fill": lambda t, x: x.T.masked_fill(x.T > 3, 0.0),
    "clone and reshape": lambda t, x: x.T.clone().reshape(-1),
    "in place": lambda t, x: x.T.clone().mul_(2).t(), "empty": lambda t, x: t.full_like(x.T, 2) * x.T,
    "narrow": lambda t, x: x.T.narrow(0, 1, 2).clone(),
    "deg2rad": lambda t, x: t.deg2rad(x.T), "round": lambda t, x: x.T.round(decimals=1),
    "nan_to_num": lambda t, x: x.T.nan_to_num(),
}


@pytest.mark.parametrize("name", TURNED)
def test_samples_that_are_turned_inside_vmap(name: str) -> None:
    def run(t: Any) -> Any:
        x = t.arange(24.0).reshape(2, 3, 4)
        return t.func.vmap(lambda s: TURNED[name](t, s))(x), t.func.vmap(t.func.vmap(lambda s: TURNED[name](t, s)))(
            x.reshape(1, 2, 3, 4))
    agree(run)


def test_refusals_of_vmap_say_what_helps() -> None:
    i = rl.tensor([[0, 2], [1, 1]])
    with pytest.raises(RuntimeError, match="explicit positive num_classes"):
        rl.func.vmap(rl.nn.functional.one_hot)(i)
    with pytest.raises(RuntimeError, match="same randomness with a batched tensor input"):
        rl.func.vmap(rl.bernoulli, randomness="same")(i / 4)
    with pytest.raises(RuntimeError, match=r"Batch element 1.*U\[1,1\] is zero"):
        rl.func.vmap(rl.linalg.lu_factor)(rl.stack([rl.eye(2), rl.zeros(2, 2)]))
    with pytest.raises(RuntimeError, match="Class values must be smaller"):
        rl.func.vmap(lambda v: rl.nn.functional.one_hot(v, 2))(i)


# --- the tape beside the transforms -------------------------------------------------------------------------------
def test_gradients_flow_through_transforms_to_tensors_outside() -> None:
    def run(t: Any) -> Any:
        w = data(t, 3).requires_grad_()
        g = t.func.grad(lambda x: (w * x ** 2).sum())(data(t, 3, seed=1))
        g.sum().backward()
        v = data(t, 3).requires_grad_()
        t.func.vmap(lambda x: (v * x).sin())(data(t, 5, 3)).sum().backward()
        return w.grad, v.grad
    agree(run)


def test_results_have_no_history_and_inputs_no_gradient() -> None:
    x = data(rl, 3)
    assert not rl.func.grad(lambda v: v.sin().sum())(x).requires_grad
    y = data(rl, 3).requires_grad_()
    assert rl.func.grad(lambda v: v.sin().sum())(y).requires_grad
    with rl.no_grad():
        assert not rl.func.grad(lambda v: v.sin().sum())(y).requires_grad
    assert y.grad is None


# --- errors -------------------------------------------------------------------------------------------------------
ERRORS: dict[str, Any] = {
    "grad of a vector": lambda t: t.func.grad(lambda x: x)(data(t, 3)),
    "grad of no tensor": lambda t: t.func.grad(lambda x: 3)(data(t, 3)),
    "argnums beyond": lambda t: t.func.grad(lambda x: x.sum(), argnums=1)(data(t, 3)),
    "argnums of a float": lambda t: t.func.grad(lambda x: x.sum(), argnums=1.5)(data(t, 3)),
    "aux missing": lambda t: t.func.grad(lambda x: x.sum(), has_aux=True)(data(t, 3)),
    "cotangents of another structure": lambda t: t.func.vjp(lambda x: (x, x), data(t, 3))[1](data(t, 3)),
    "primals no tuple": lambda t: t.func.jvp(lambda x: x, data(t, 3), data(t, 3)),
    "tangents of another structure": lambda t: t.func.jvp(lambda x: x, (data(t, 3),), (data(t, 3), data(t, 3))),
    "chunks of nothing": lambda t: t.func.jacrev(lambda x: x, chunk_size=0)(data(t, 3)),
    "in_dims of another structure": lambda t: t.func.vmap(lambda x: x, in_dims=(0, 0))(data(t, 3)),
    "in_dims None only": lambda t: t.func.vmap(lambda x: x, in_dims=(None,))(data(t, 3)),
    "in_dims beyond": lambda t: t.func.vmap(lambda x: x, in_dims=2)(data(t, 3)),
    "in_dims of a number": lambda t: t.func.vmap(lambda x, y: x, in_dims=(0, 0))(data(t, 3), 3),
    "sizes differ": lambda t: t.func.vmap(lambda x, y: x)(data(t, 3), data(t, 4)),
    "no inputs": lambda t: t.func.vmap(lambda: 3)(),
    "out_dims of another structure": lambda t: t.func.vmap(lambda x: x, out_dims=(0, 0))(data(t, 3)),
    "result no tensor": lambda t: t.func.vmap(lambda x: 3)(data(t, 3)),
    "result batched with None": lambda t: t.func.vmap(lambda x: x, out_dims=None)(data(t, 3)),
    "item": lambda t: t.func.vmap(lambda x: x * x.item())(data(t, 3)),
    "if": lambda t: t.func.vmap(lambda x: x if x > 0 else -x)(data(t, 3)),
    "write outside": lambda t: (lambda out: t.func.vmap(lambda x: out.add_(x))(data(t, 3, 2)))(
        t.zeros(2, dtype=t.float64)),
    "randomness": lambda t: t.func.vmap(lambda x: x, randomness="some")(data(t, 3)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_pytorchs(name: str) -> None:
    with pytest.raises(Exception) as want:
        ERRORS[name](torch)
    with pytest.raises(want.type) as got:
        ERRORS[name](rl)
    assert name == "write outside" or str(got.value)[:18] == str(want.value)[:18]


# --- forward mode -------------------------------------------------------------------------------------------------
def test_dual_tensors() -> None:
    def run(t: Any) -> Any:
        ad = t.autograd.forward_ad
        x, v = data(t, 3), data(t, 3, seed=1)
        with ad.dual_level():
            dual = ad.make_dual(x, v)
            out = (dual.sin() * x).sum()
            first = ad.unpack_dual(out)
            back = ad.unpack_dual(dual)
            none = ad.unpack_dual(x.sin()).tangent
        return first.primal, first.tangent, back.primal, back.tangent, none, ad.unpack_dual(dual).tangent
    agree(run)


def test_dual_parameters_of_a_module() -> None:
    def run(t: Any) -> Any:
        ad = t.autograd.forward_ad
        m = net(t)
        parameters = {k: p.detach() for k, p in m.named_parameters()}
        with ad.dual_level():
            duals = {k: ad.make_dual(p, t.ones_like(p)) for k, p in parameters.items()}
            out = t.func.functional_call(m, duals, (data(t, 2, 3).float(),))
            return ad.unpack_dual(out).tangent
    agree(run)


def test_dual_levels_refuse_what_pytorch_refuses() -> None:
    for t in (rl, torch):
        ad = t.autograd.forward_ad
        with pytest.raises(RuntimeError, match="create a dual"):
            ad.make_dual(data(t, 3), data(t, 3))
        with ad.dual_level():
            with pytest.raises(RuntimeError, match="Nested forward mode AD is not supported"), ad.dual_level():
                pass
            with pytest.raises(RuntimeError, match="different size"):
                ad.make_dual(data(t, 3), data(t, 2))
            with pytest.raises(ValueError, match="floating point"):
                ad.make_dual(t.ones(3, dtype=t.int64), t.ones(3))


def test_gradcheck_of_forward_mode() -> None:
    x = data(rl, 3).requires_grad_()
    assert rl.autograd.gradcheck(lambda v: (v.sin() * v.roll(1)).cumsum(0), x,
                                 check_forward_ad=True, check_batched_grad=True)


ACTIVATIONS = ("gelu", "silu", "elu", "leaky_relu", "softplus", "mish", "logsigmoid", "softsign", "selu", "hardswish", "hardsigmoid", "tanhshrink", "celu",
               "relu6", "hardtanh", "softshrink", "relu", "glu", "normalize")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_many_gradients_of_one_sample_and_one_of_many(name: str) -> None:
    """The gradients have a dimension of samples, or what they go back to has; then Jacobians both ways."""
    f = getattr(rl.nn.functional, name)
    rl.manual_seed(0)
    x, several = rl.linspace(-2, 2.1, 12).reshape(3, 4), rl.randn(5, 3, 4)
    slopes = rl.randn(5, *f(x).shape)
    back = rl.func.vjp(f, x)[1]
    assert rl.allclose(rl.vmap(back)(slopes)[0], rl.stack([back(g)[0] for g in slopes]), atol=1e-5)

    def one(t: Any) -> Any:
        return rl.func.vjp(f, t)[1](slopes[0])[0]
    assert rl.allclose(rl.vmap(one)(several), rl.stack([one(t) for t in several]), atol=1e-5)
    assert rl.allclose(rl.func.jacfwd(f)(x), rl.func.jacrev(f)(x), atol=1e-4)
