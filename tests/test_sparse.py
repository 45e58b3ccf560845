"""Sparse tensors against PyTorch: components, printing, operations, products, gradients, optimizers, errors."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

AT = [[0, 1, 1, 0, 2], [2, 0, 2, 2, 1]]
VALUES = [3.0, 4.0, 5.0, 1.0, -2.0]


def coo(lib, coalesced=False, grad=False, shape=(3, 4)):
    s = lib.sparse_coo_tensor(lib.tensor(AT), lib.tensor(VALUES, dtype=lib.float64), shape)
    s = s.coalesce() if coalesced else s
    return s.requires_grad_() if grad else s


def hybrid(lib):
    return lib.sparse_coo_tensor(lib.tensor([[0, 2, 0]]), lib.arange(6.0).reshape(3, 2), (4, 2))


def dense_of(t):
    t = t.detach()
    return (t.to_dense() if str(t.layout) != "torch.strided" else t).numpy()


def same(a, b, rtol=1e-12):
    assert str(a.layout) == str(b.layout)
    assert tuple(a.shape) == tuple(b.shape)
    assert str(a.dtype) == str(b.dtype)
    np.testing.assert_allclose(dense_of(a), dense_of(b), rtol=rtol, atol=1e-12)
    if str(b.layout) == "torch.sparse_coo":
        assert (a.sparse_dim(), a.dense_dim()) == (b.sparse_dim(), b.dense_dim())


OPERATIONS = {
    "coalesce": lambda lib, s, d: s.coalesce(), "to_dense": lambda lib, s, d: s.to_dense(),
    "neg": lambda lib, s, d: -s, "abs": lambda lib, s, d: s.abs(),
    "times": lambda lib, s, d: s * 2, "rtimes": lambda lib, s, d: 3 * s,
    "divided": lambda lib, s, d: s / 2, "plus": lambda lib, s, d: s + s.t().t(),
    "dense plus": lambda lib, s, d: d + s, "dense plus scaled": lambda lib, s, d: lib.add(d, s, alpha=2),
    "minus": lambda lib, s, d: s - (2 * s).coalesce(),
    "times dense": lambda lib, s, d: s * d, "dense times": lambda lib, s, d: d * s,
    "times sparse": lambda lib, s, d: s.coalesce() * lib.abs(s),
    "sin": lambda lib, s, d: s.sin(), "tanh": lambda lib, s, d: lib.tanh(s),
    "sqrt": lambda lib, s, d: s.abs().sqrt(), "relu": lambda lib, s, d: lib.relu(s.coalesce()),
    "square": lambda lib, s, d: s.coalesce() ** 2,
    "sign": lambda lib, s, d: s.sign(), "log1p": lambda lib, s, d: s.abs().log1p(),
    "sum": lambda lib, s, d: s.sum(), "sum 0": lambda lib, s, d: lib.sparse.sum(s, 0),
    "sum 1": lambda lib, s, d: lib.sparse.sum(s, 1),
    "sum both": lambda lib, s, d: lib.sparse.sum(s, (0, 1)), "sum all": lambda lib, s, d: lib.sparse.sum(s),
    "softmax": lambda lib, s, d: lib.sparse.softmax(s, 1), "softmax 0": lambda lib, s, d: lib.sparse.softmax(s, 0),
    "log_softmax": lambda lib, s, d: lib.sparse.log_softmax(s, -1),
    "mm": lambda lib, s, d: lib.sparse.mm(s, d.t()), "at": lambda lib, s, d: s @ d.t(),
    "matmul": lambda lib, s, d: lib.matmul(s, d.t()), "method": lambda lib, s, d: s.mm(d.t()),
    "dense at": lambda lib, s, d: d.t() @ s, "vector": lambda lib, s, d: s.mv(d[0]),
    "at vector": lambda lib, s, d: s @ d[0],
    "sparse at sparse": lambda lib, s, d: lib.sparse.mm(s, s.t()),
    "addmm": lambda lib, s, d: lib.sparse.addmm(lib.ones(3, 3, dtype=lib.float64), s, d.t(), beta=2.0, alpha=0.5),
    "torch addmm": lambda lib, s, d: lib.addmm(lib.ones(3, 3, dtype=lib.float64), s, d.t()),
    "transposed at": lambda lib, s, d: s.t() @ d,
    "t": lambda lib, s, d: s.t(), "transpose": lambda lib, s, d: s.transpose(0, 1),
    "permute": lambda lib, s, d: s.permute(1, 0), "row": lambda lib, s, d: s[1], "element": lambda lib, s, d: s[0, 2],
    "unsqueeze": lambda lib, s, d: s.unsqueeze(1),
    "index_select": lambda lib, s, d: s.index_select(0, lib.tensor([2, 0, 0])),
    "index_select 1": lambda lib, s, d: s.index_select(1, lib.tensor([1, 2])),
    "cat": lambda lib, s, d: lib.cat([s, 2 * s]), "cat 1": lambda lib, s, d: lib.cat([s, s], 1),
    "float": lambda lib, s, d: s.float(), "to": lambda lib, s, d: s.to(lib.float32),
    "clone": lambda lib, s, d: s.clone(), "detach": lambda lib, s, d: s.detach(),
    "mask": lambda lib, s, d: d.sparse_mask(s.coalesce()),
    "sparse mask": lambda lib, s, d: s.sparse_mask(s.coalesce() * 2), "csr": lambda lib, s, d: s.to_sparse_csr(),
    "csc": lambda lib, s, d: s.to_sparse_csc(), "back": lambda lib, s, d: s.to_sparse_csr().to_sparse(),
    "csr dense": lambda lib, s, d: s.to_sparse_csr().to_dense(),
    "csr at": lambda lib, s, d: s.to_sparse_csr() @ d.t(),
    "csr times": lambda lib, s, d: s.to_sparse_csr() * 2, "csr t": lambda lib, s, d: s.to_sparse_csr().t(),
    "csr neg": lambda lib, s, d: -s.to_sparse_csr(), "csr sin": lambda lib, s, d: s.to_sparse_csr().sin(),
    "csr sum": lambda lib, s, d: s.to_sparse_csr().sum(), "csc back": lambda lib, s, d: s.to_sparse_csc().to_sparse(),
    "csr vector": lambda lib, s, d: s.to_sparse_csr() @ d[0],
    "sparse of dense": lambda lib, s, d: (d * s.to_dense()).to_sparse(),
    "rows of dense": lambda lib, s, d: s.to_dense().to_sparse(1),
    "csr of dense": lambda lib, s, d: s.to_dense().to_sparse_csr(),
    "layout": lambda lib, s, d: s.to_dense().to_sparse(layout=lib.sparse_csr),
    "deepcopy": lambda lib, s, d: copy.deepcopy(s),
    "norm": lambda lib, s, d: s.coalesce().norm(),
    "spdiags": lambda lib, s, d: lib.sparse.spdiags(lib.arange(9.0).reshape(3, 3), lib.tensor([0, -1, 2]), (4, 3)),
    "zero_": lambda lib, s, d: s.clone().zero_(), "add_": lambda lib, s, d: s.clone().add_(2 * s),
    "mul_": lambda lib, s, d: s.clone().mul_(3), "isnan": lambda lib, s, d: s.coalesce().isnan(),
}


@pytest.mark.parametrize("coalesced", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name, coalesced):
    d = np.random.RandomState(0).randn(3, 4)
    same(OPERATIONS[name](rl, coo(rl, coalesced), rl.tensor(d)),
         OPERATIONS[name](torch, coo(torch, coalesced), torch.tensor(d)))


HYBRID = {
    "coalesce": lambda lib, s: s.coalesce(), "sum": lambda lib, s: s.sum(),
    "sum 0": lambda lib, s: lib.sparse.sum(s, 0), "sum 1": lambda lib, s: lib.sparse.sum(s, 1),
    "dense": lambda lib, s: s.to_dense(), "times": lambda lib, s: s * lib.ones(4, 2),
    "plus": lambda lib, s: s + s.coalesce(), "row": lambda lib, s: s[0],
    "softmax": lambda lib, s: lib.sparse.softmax(s, 1), "softmax 0": lambda lib, s: lib.sparse.softmax(s, 0),
    "index_select": lambda lib, s: s.index_select(0, lib.tensor([0, 2, 1])),
    "dense plus": lambda lib, s: lib.ones(4, 2) + s, "abs": lambda lib, s: s.abs(),
    "mask": lambda lib, s: lib.ones(4, 2).sparse_mask(s.coalesce()),
}


@pytest.mark.parametrize("name", HYBRID)
def test_values_that_are_rows(name):
    same(HYBRID[name](rl, hybrid(rl)), HYBRID[name](torch, hybrid(torch)), 1e-6)


def test_components():
    for lib in (rl, torch):
        s = coo(lib)
        c = s.coalesce()
        assert (s._nnz(), c._nnz(), s.is_coalesced(), c.is_coalesced()) == (5, 4, False, True)
        assert c.indices().tolist() == [[0, 1, 1, 2], [2, 0, 2, 1]]
        assert c.values().tolist() == [4.0, 4.0, 5.0, -2.0]
        assert s._indices().tolist() == AT
        assert s._values().tolist() == VALUES
        r = s.to_sparse_csr()
        assert r.crow_indices().tolist() == [0, 1, 3, 4]
        assert r.col_indices().tolist() == [2, 0, 2, 1]
        assert r.values().tolist() == [4.0, 4.0, 5.0, -2.0]
        k = s.to_sparse_csc()
        assert k.ccol_indices().tolist() == [0, 1, 2, 4, 4]
        assert k.row_indices().tolist() == [1, 2, 0, 1]
        assert (s.is_sparse, r.is_sparse, r.is_sparse_csr, lib.ones(1).is_sparse) == (True, False, True, False)
        assert (s.dim(), s.numel(), len(s), s.is_contiguous()) == (2, 12, 3, False)
        assert isinstance(s, lib.Tensor)
        assert lib.is_tensor(s)
        assert lib.ones(2).to_dense().tolist() == [1.0, 1.0]


PRINTED = {
    "coo": lambda lib: coo(lib).float(), "double": lambda lib: coo(lib),
    "coalesced": lambda lib: coo(lib, True), "hybrid": lambda lib: hybrid(lib),
    "csr": lambda lib: coo(lib).float().to_sparse_csr(),
    "csr double": lambda lib: coo(lib).to_sparse_csr(), "csc": lambda lib: coo(lib).to_sparse_csc(),
    "empty": lambda lib: lib.sparse_coo_tensor((2, 3)),
    "int": lambda lib: lib.sparse_coo_tensor([[0, 1]], [1, 2]), "bool": lambda lib: coo(lib).bool(),
    "grad": lambda lib: coo(lib).float().requires_grad_(),
    "long": lambda lib: lib.sparse_coo_tensor([list(range(40))], [float(i) for i in range(40)]),
    "int32": lambda lib: lib.sparse_coo_tensor([[0, 1]], [1, 2], dtype=lib.int32),
}


@pytest.mark.parametrize("name", PRINTED)
def test_printing(name):
    assert repr(PRINTED[name](rl)) == repr(PRINTED[name](torch))


def test_creation():
    for lib in (rl, torch):
        assert tuple(lib.sparse_coo_tensor([[0, 4]], [1.0, 2.0]).shape) == (5,)
        assert tuple(lib.sparse_coo_tensor([[0], [1]], [[1.0, 2.0]]).shape) == (1, 2, 2)
        assert lib.sparse_coo_tensor((2, 3))._nnz() == 0
        assert lib.sparse_coo_tensor(lib.tensor([[0, 1]]), lib.tensor([1, 2]), (3,),
                                     dtype=lib.float32).dtype is lib.float32
        assert lib.sparse_coo_tensor([[1, 0]], [1.0, 2.0], (3,), is_coalesced=True).is_coalesced()
        assert lib.sparse_csr_tensor([0, 1, 3], [1, 0, 1], [1.0, 2.0, 3.0]).to_dense().tolist() == [[0, 1], [2, 3]]
        assert lib.sparse_csc_tensor([0, 1, 3], [1, 0,
                                                 1], [1.0, 2.0, 3.0], (2, 2)).to_dense().tolist() == [[0, 2], [1, 3]]
        made = lib.sparse_compressed_tensor([0, 1, 3], [1, 0, 1], [1.0, 2.0, 3.0], (2, 2), layout=lib.sparse_csr)
        assert str(made.layout) == "torch.sparse_csr"
    assert rl.sparse.FloatTensor(rl.tensor([[0, 1]]), rl.tensor([1, 2]), rl.Size([3])).to_dense().tolist() == [1, 2, 0]


# --- gradients --------------------------------------------------------------------------------------------------------
DIFFERENTIABLE = {
    "mm": lambda lib, s, d: lib.sparse.mm(s, d.t()), "at": lambda lib, s, d: (s @ d.t()) ** 2,
    "vector": lambda lib, s, d: s @ d[0], "addmm": lambda lib, s, d: lib.sparse.addmm(d @ d.t(), s, d.t(), alpha=0.5),
    "dense plus": lambda lib, s, d: d + s, "dense": lambda lib, s, d: s.to_dense() * d,
    "sum": lambda lib, s, d: lib.sparse.sum(s) * d.sum(),
    "softmax": lambda lib, s, d: lib.sparse.softmax(s, 1).to_dense() * d,
    "sum 0": lambda lib, s, d: lib.sparse.sum(s, 0).to_dense() * d[0],
    "mask": lambda lib, s, d: (d * d).sparse_mask(s.coalesce()).to_dense(),
    "log_softmax": lambda lib, s, d: lib.sparse.log_softmax(s, 1).to_dense() * d,
    "times": lambda lib, s, d: (s * 3).to_dense() * d, "csr": lambda lib, s, d: s.to_sparse_csr() @ d.t(),
    "sparse at sparse": lambda lib, s, d: lib.sparse.mm(s, s.t()).to_dense() * d.sum(),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_of_values_and_dense_operands(name):
    r = np.random.RandomState(1)
    found = []
    for lib in (rl, torch):
        v = lib.tensor(VALUES, dtype=lib.float64, requires_grad=True)
        d = lib.tensor(r.__class__(3).randn(3, 4), requires_grad=True)
        s = lib.sparse_coo_tensor(lib.tensor(AT), v, (3, 4)).coalesce()
        out = DIFFERENTIABLE[name](lib, s, d)
        (out * lib.cos(lib.arange(out.numel(), dtype=lib.float64)).reshape(out.shape)).sum().backward()
        found.append([np.zeros(5) if v.grad is None else v.grad.numpy(),
                      np.zeros(1) if d.grad is None else dense_of(d.grad)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_gradient_of_a_sparse_leaf_is_sparse():
    found = []
    for lib in (rl, torch):
        s = coo(lib, True, True)
        lib.sparse.mm(s, lib.ones(4, 2, dtype=lib.float64)).pow(2).sum().backward()
        assert s.grad.is_sparse
        assert (s.is_leaf, s.requires_grad, s.grad_fn) == (True, True, None)
        found.append(s.grad)
    same(*found)


def test_to_sparse_passes_gradients_to_the_dense_tensor():
    found = []
    for lib in (rl, torch):
        d = lib.tensor([[0.0, 2.0], [3.0, 0.0]], requires_grad=True)
        lib.sparse.mm(d.to_sparse(), lib.tensor([[1.0], [2.0]])).sum().backward()
        found.append(dense_of(d.grad))
    # PyTorch also sends gradients to the places that were zero: those it has no values for
    assert (found[0] == np.where([[0, 1], [1, 0]], found[1], 0)).all()


def graph_convolution(lib):
    """Two graph convolutions on a ring, trained for some steps."""
    lib.manual_seed(0)
    n = 12
    rows = [i for i in range(n) for _ in range(3)]
    columns = [(i + k) % n for i in range(n) for k in (-1, 0, 1)]
    adjacency = lib.sparse_coo_tensor(lib.tensor([rows, columns]), lib.full((3 * n,), 1 / 3), (n, n))
    first, second = lib.nn.Linear(5, 8), lib.nn.Linear(8, 3)
    x, y = lib.randn(n, 5), lib.arange(n) // 4
    optimizer = lib.optim.Adam([*first.parameters(), *second.parameters()], lr=0.05)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        h = lib.relu(lib.sparse.mm(adjacency, first(x)))
        loss = lib.nn.functional.cross_entropy(lib.spmm(adjacency, second(h)), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_graph_convolution_learns_as_in_pytorch():
    ours, theirs = graph_convolution(rl), graph_convolution(torch)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert ours[-1] < ours[0] * 0.8


# --- embeddings and optimizers ----------------------------------------------------------------------------------------
def train(lib, optimizer, steps=4, **settings):
    lib.manual_seed(0)
    e = lib.nn.Embedding(10, 3, sparse=True, padding_idx=2)
    b = lib.nn.EmbeddingBag(10, 3, sparse=True, mode=settings.pop("mode", "mean"))
    o = getattr(lib.optim, optimizer)([*e.parameters(), *b.parameters()], **settings)
    x = lib.tensor([[1, 2, 3], [1, 1, 4]])
    for i in range(steps):
        o.zero_grad()
        ((e(x + i % 2) ** 2).sum() + (b(x) ** 3).sum()).backward()
        o.step()
    return e, b, o


OPTIMIZERS = [("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "maximize": True}),
              ("SGD", {"lr": 0.1, "momentum": 0.9}), ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
              ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "mode": "sum"}),
              ("Adagrad", {"lr": 0.1}), ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
              ("SparseAdam", {"lr": 0.05}), ("SparseAdam", {"lr": 0.05, "betas": (0.5, 0.9), "maximize": True})]


@pytest.mark.parametrize(("optimizer", "settings"), OPTIMIZERS)
def test_optimizers_on_sparse_gradients(optimizer, settings):
    (e, b, o), (f, c, p) = train(rl, optimizer, **settings), train(torch, optimizer, **settings)
    for x, y in ((e, f), (b, c)):
        np.testing.assert_allclose(x.weight.detach().numpy(), y.weight.detach().numpy(), rtol=1e-5, atol=1e-6)
        assert x.weight.grad.is_sparse
        assert x.weight.grad._nnz() == y.weight.grad._nnz()
        np.testing.assert_allclose(dense_of(x.weight.grad), dense_of(y.weight.grad), rtol=1e-5, atol=1e-5)
    ours, theirs = o.state_dict()["state"], p.state_dict()["state"]
    assert {k: sorted(v) for k, v in ours.items()} == {k: sorted(v) for k, v in theirs.items()}
    again = getattr(rl.optim, optimizer)([*e.parameters(), *b.parameters()],
                                         **{k: v for k, v in settings.items() if k != "mode"})
    if "momentum" not in settings:
        again.load_state_dict(o.state_dict())


def test_sparse_gradients_add_up():
    found = []
    for lib in (rl, torch):
        lib.manual_seed(1)
        e = lib.nn.Embedding(5, 2, sparse=True)
        for index in ([0, 1], [1, 4]):
            e(lib.tensor(index)).sum().backward()
        assert e.weight.grad.is_sparse
        sparse = dense_of(e.weight.grad)
        (e(lib.tensor([3])).sum() + (e.weight * 2).sum()).backward()
        found.append((sparse, dense_of(e.weight.grad)))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimizer",
                         ["Adam", "AdamW", "RMSprop", "Adadelta", "Rprop", "ASGD", "Adamax", "NAdam", "RAdam"])
def test_optimizers_that_take_no_sparse_gradients(optimizer):
    with pytest.raises(RuntimeError) as theirs, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(torch, optimizer)
    with pytest.raises(RuntimeError) as ours:
        train(rl, optimizer)
    assert "sparse gradients" in str(ours.value)
    if "does not support sparse gradients" in str(theirs.value):
        assert str(ours.value) == str(theirs.value)


def test_functional_embedding():
    w = rl.randn(5, 2, requires_grad=True)
    g, = rl.autograd.grad(rl.nn.functional.embedding(rl.tensor([1, 1, 3]), w, sparse=True).sum(), w)
    assert g.is_sparse
    assert g.to_dense().tolist() == [[0, 0], [2, 2], [0, 0], [1, 1], [0, 0]]
    with pytest.raises(RuntimeError, match="scale_grad_by_freq not supported with sparse gradients"):
        rl.nn.functional.embedding(rl.tensor([1]), w, sparse=True, scale_grad_by_freq=True)
    with pytest.raises(ValueError, match="max mode does not support sparse weights"):
        rl.nn.functional.embedding_bag(rl.tensor([[1]]), w, sparse=True, mode="max")


# --- errors -----------------------------------------------------------------------------------------------------------
ERRORS = {
    "indices": lambda lib: coo(lib).indices(), "values": lambda lib: coo(lib).values(),
    "nnz": lambda lib: lib.sparse_coo_tensor(lib.tensor(AT), lib.ones(3)),
    "exp": lambda lib: coo(lib).exp(), "number": lambda lib: coo(lib) + 1,
    "sparse plus dense": lambda lib: coo(lib) + lib.ones(3, 4, dtype=lib.float64),
    "numpy": lambda lib: coo(lib).numpy(), "item": lambda lib: coo(lib).item(),
    "crow": lambda lib: coo(lib).crow_indices(), "view": lambda lib: coo(lib).view(12),
    "reshape": lambda lib: coo(lib).reshape(12), "storage": lambda lib: coo(lib).storage(),
    "bool": lambda lib: bool(coo(lib)), "max": lambda lib: coo(lib).max(),
    "eq": lambda lib: coo(lib) == coo(lib), "shapes": lambda lib: coo(lib) @ lib.ones(3, 2, dtype=lib.float64),
    "narrow": lambda lib: coo(lib).narrow(0, 0, 1),
    "dense coalesce": lambda lib: lib.ones(2).coalesce(), "dense indices": lambda lib: lib.ones(2).indices(),
    "dense crow": lambda lib: lib.ones(2, 2).crow_indices(),
    "dense adam": lambda lib: train_dense(lib),
    "lr": lambda lib: lib.optim.SparseAdam([lib.ones(1, requires_grad=True)], lr=-1.0),
    "beta": lambda lib: lib.optim.SparseAdam([lib.ones(1, requires_grad=True)], betas=(0.9, 1.0)),
    "sizes": lambda lib: coo(lib) + coo(lib, shape=(4, 4)),
    "dims": lambda lib: lib.sparse_coo_tensor(lib.tensor(AT), lib.ones(5), (3,)),
    "index": lambda lib: coo(lib)[5], "div": lambda lib: coo(lib) / coo(lib),
}


def train_dense(lib):
    p = lib.ones(2, requires_grad=True)
    p.sum().backward()
    lib.optim.SparseAdam([p]).step()


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    with pytest.raises(Exception) as theirs:
        ERRORS[name](torch)
    with pytest.raises(type(theirs.value)) as ours:
        ERRORS[name](rl)
    known = str(theirs.value).split(". ")[0].split("\n")[0]
    if name not in ("max", "eq", "narrow", "shapes", "sizes", "storage"):
        assert str(ours.value).split(". ")[0].split(" (")[0][:60] == known.split(" (")[0][:60]


def test_views_of_sparse_tensors_are_no_tensors():
    with pytest.raises(NotImplementedError, match="as_strided"):
        rl.narrow(coo(rl), 0, 0, 1)
    with pytest.raises(NotImplementedError, match="as_strided"):
        rl.as_strided(coo(rl), (2, 2), (1, 1))
    assert rl.squeeze(coo(rl).unsqueeze(0), 0).to_dense().tolist() == coo(rl).to_dense().tolist()


MOVES = {
    "t": lambda lib, s: lib.t(s), "transpose": lambda lib, s: lib.transpose(s, 0, 1),
    "permute": lambda lib, s: lib.permute(s, (1, 0)), "unsqueeze": lambda lib, s: lib.unsqueeze(s, 1),
    "stack": lambda lib, s: lib.stack([s, 2 * s]), "stack 1": lambda lib, s: lib.stack([s, 2 * s], 1),
    "swapaxes": lambda lib, s: lib.swapaxes(s, 0, 1),
    "zeros": lambda lib, s: lib.zeros(2, 3, layout=lib.sparse_coo),
    "zeros csr": lambda lib, s: lib.zeros(2, 3, layout=lib.sparse_csr), "zeros_like": lambda lib, s: lib.zeros_like(s),
    "like dense": lambda lib, s: lib.zeros_like(lib.ones(2, 2), layout=lib.sparse_coo),
    "linear": lambda lib, s: lib.nn.functional.linear(s, lib.ones(2, 4, dtype=lib.float64),
                                                      lib.ones(2, dtype=lib.float64)),
    "any": lambda lib, s: s.any(), "pow": lambda lib, s: s.abs().pow(-0.5),
    "csr transpose": lambda lib, s: lib.transpose(s.to_sparse_csr(), 0, 1),
}


@pytest.mark.parametrize("name", MOVES)
def test_functions_that_move_dimensions_and_others(name):
    same(MOVES[name](rl, coo(rl, True)), MOVES[name](torch, coo(torch, True)))


def test_autograd_grad_of_a_sparse_leaf():
    found = []
    for lib in (rl, torch):
        s = coo(lib, True, True)
        g, = lib.autograd.grad(lib.sparse.mm(s, lib.ones(4, 2, dtype=lib.float64)).pow(2).sum(), s)
        assert g.is_sparse
        found.append(g)
        assert s.type() == "torch.sparse.DoubleTensor"
    same(*found)


def test_sparse_buffers_of_modules():
    found = []
    for lib in (rl, torch):
        m = lib.nn.Module()
        m.register_buffer("adjacency", coo(lib, True))
        m = m.float()
        other = copy.deepcopy(m)
        other.load_state_dict(m.state_dict())
        found.append(other.adjacency)
    same(*found)
    with pytest.raises(NotImplementedError, match="fill_"):
        rl.ones_like(coo(rl))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("reduce", ("sum", "mean", "amax", "amin", "max", "min"))
def test_products_reduced_in_other_ways(reduce):
    """Of a CSR matrix with an empty row; gradients of both factors too."""
    found = []
    for lib in (rl, torch):
        a = lib.tensor([[1.0, 0, 2], [0, 0, 0], [3, 4, 0]]).to_sparse_csr().requires_grad_()
        b = lib.tensor([[1.0, -5], [3, 4], [5, 6]], requires_grad=True)
        out = lib.sparse.mm(a, b, reduce)
        (out * lib.tensor([1.0, 10.0])).sum().backward()
        found.append((out.tolist(), b.grad.tolist(), a.grad.to_dense().tolist()))
    assert found[0] == found[1]


def test_products_are_reduced_in_known_ways_only():
    csr = rl.eye(2).to_sparse_csr()
    with pytest.raises(RuntimeError, match="reduce type of prod has not been enabled"):
        rl.sparse.mm(csr, rl.ones(2, 2), "prod")
    with pytest.raises(NotImplementedError, match="takes a CSR matrix, not torch.sparse_coo"):
        rl.sparse.mm(rl.eye(2).to_sparse(), rl.ones(2, 2), "amax")


@pytest.mark.parametrize("shape,dim,index", [((3, 4), 1, [[0, 2], [1, 1], [0, 3]]), ((3, 4), 0, [[0, 2, 2, 1]]), ((4,), -1, [1, 1, 3]),
                                             ((), 0, [0]), ((2, 3, 2), 1, [[[0, 2], [1, 1]]]), ((3, 2), 0, [])])
def test_gather_with_a_sparse_gradient(shape, dim, index):
    found = []
    for lib in (torch, rl):
        x = lib.arange(float(np.prod(shape)), dtype=lib.float64).reshape(shape).requires_grad_()
        at = lib.tensor(index, dtype=lib.int64) if index else lib.zeros((0, 2), dtype=lib.int64)
        y = x.gather(dim, at, sparse_grad=True)
        with lib.no_grad():
            assert not lib.gather(x, dim, at, sparse_grad=True).requires_grad
        (y * lib.arange(1.0, 1 + y.numel(), dtype=lib.float64).reshape(y.shape)).sum().backward()
        found.append((y.detach(), x.grad))
    same(*[y for y, _ in found])
    same(*[g for _, g in found])
