"""Files in both directions between rushlight and PyTorch: sparse tensors, lazy conjugates, buffers, layouts, whole modules and
optimizers, functions."""

from __future__ import annotations

import importlib
import inspect
import io
import pickle

import numpy as np
import pytest
import serialization_corpus as corpus

import rushlight as rl
from rushlight.serialization import CheckpointError
from rushlight.serialization.names import place

torch = pytest.importorskip("torch")
FORMATS = pytest.mark.parametrize("legacy", [False, True])


def through(obj, saver, loader, legacy=False, **kwargs):
    """What one library reads of what another wrote."""
    f = io.BytesIO()
    saver.save(obj, f, _use_new_zipfile_serialization=not legacy)
    f.seek(0)
    return loader.load(f, **kwargs)


def ways(make, legacy=False, **kwargs):
    """(what PyTorch made, what each way of writing and reading leaves of it), with the library that it is of."""
    for saver, loader in ((rl, rl), (rl, torch), (torch, rl)):
        yield make(torch), through(make(saver), saver, loader, legacy, **kwargs), loader


SPARSE = {
    "coordinates": lambda t: t.sparse_coo_tensor(t.tensor([[0, 1, 1], [2, 0, 2]]), t.tensor([3., 4., 5.]), (2, 3)),
    "repeated": lambda t: t.sparse_coo_tensor(t.tensor([[0, 0], [2, 2]]), t.tensor([[3, 1], [4, 2]]), (2, 3, 2)),
    "coalesced": lambda t: t.sparse_coo_tensor(t.tensor([[0, 0], [2, 2]]), t.tensor([3., 4.]), (2, 3)).coalesce(),
    "empty": lambda t: t.sparse_coo_tensor(t.zeros(2, 0, dtype=t.int64), t.zeros(0), (2, 3)),
    "rows": lambda t: t.eye(3).to_sparse_csr(), "columns": lambda t: t.tensor([[1., 0, 2], [0, 0, 3]]).to_sparse_csc(),
    "small indices": lambda t: t.sparse_csr_tensor(t.tensor([0, 1, 2], dtype=t.int32), t.tensor([1, 0], dtype=t.int32), t.tensor([3., 4.])),
}


@FORMATS
@pytest.mark.parametrize("name", SPARSE)
def test_sparse_tensors(name, legacy):
    for want, got, _ in ways(SPARSE[name], legacy):
        assert (str(got.layout), tuple(got.shape), str(got.dtype)) == (str(want.layout), tuple(want.shape), str(want.dtype))
        assert (got.to_dense().numpy() == want.to_dense().numpy()).all()
        if want.layout == torch.sparse_coo:
            assert got.is_coalesced() == want.is_coalesced()
            assert (got._indices().numpy() == want._indices().numpy()).all()


def test_sparse_gradients_of_an_embedding_in_a_checkpoint():
    def make(t):
        layer = t.nn.Embedding(4, 2, sparse=True)
        layer(t.tensor([1, 3, 1])).sum().backward()
        return {"gradient": layer.weight.grad}
    for want, got, _ in ways(make):
        assert (got["gradient"].to_dense().numpy() == want["gradient"].to_dense().numpy()).all()


@FORMATS
def test_sparse_tensors_whose_parts_do_not_fit_are_refused(legacy):
    bad = torch.sparse_coo_tensor(torch.tensor([[0, 7]]), torch.tensor([3., 4.]), (9,))
    for place_of in (99, -1):
        bad._indices()[0, 1] = place_of
        with pytest.raises(CheckpointError, match="sparse tensor do not fit"):
            through(bad, torch, rl, legacy)
    with pytest.raises(CheckpointError, match="made of tensors of the file"):
        rl.load(io.BytesIO(corpus.checkpoint(
            b"\x80\x02" + corpus.glob("torch._utils _rebuild_sparse_tensor") + corpus.glob("torch.serialization _get_layout")
            + b"X\x10\x00\x00\x00torch.sparse_coo\x85RK\x01K\x02K\x03\x87\x86R.")))


@FORMATS
def test_conjugates_and_negatives_of_memory(legacy):
    base = torch.tensor([1 + 2j, 3 - 1j])
    for made in (base.conj(), base.conj().imag, base[::2].conj(), base.conj().requires_grad_()):
        got = through(made, torch, rl, legacy)
        assert got.requires_grad == made.requires_grad
        assert (got.detach().numpy() == made.detach().resolve_conj().resolve_neg().numpy()).all()
    a, b = through([base, base.conj()], torch, rl, legacy)
    assert (a.conj() == b).all() and (a.numpy() == base.numpy()).all()  # the shared memory itself stays


@FORMATS
def test_storages(legacy):
    for _, got, lib in ways(lambda t: [t.arange(3.).storage(), t.arange(2)], legacy, weights_only=True):
        assert isinstance(got[0], lib.storage.TypedStorage if lib is torch else rl.TypedStorage)
        assert got[0].tolist() == [0, 1, 2] and got[0].dtype is lib.float32 and len(got[0]) == 3
    for _, got, lib in ways(lambda t: t.ones(2).untyped_storage(), weights_only=False):
        assert got.tolist() == [0, 0, 128, 63] * 2
    x = rl.arange(3.)
    storage, tensor = through([x.storage(), x], rl, rl, legacy)
    tensor[1] = 7
    assert storage.tolist() == [0, 7, 2]


def test_buffers_stay_buffers():
    for want, got, lib in ways(lambda t: t.nn.Buffer(t.arange(2.), persistent=False)):
        assert isinstance(got, lib.nn.Buffer) and got.persistent is want.persistent is False
        assert type(got) is lib.Tensor and (got.numpy() == want.numpy()).all()


def test_layouts_and_memory_formats():
    for want, got, lib in ways(lambda t: [t.strided, t.sparse_coo, t.sparse_csr, t.sparse_bsc]):
        assert list(map(str, got)) == list(map(str, want)) and got[1] is lib.sparse_coo
    for saver, loader in ((rl, rl), (rl, torch), (torch, rl)):
        f = io.BytesIO()
        saver.save([saver.channels_last, saver.contiguous_format], f, pickle_protocol=4)  # PyTorch cannot with 2
        f.seek(0)
        assert loader.load(f, weights_only=False) == [loader.channels_last, loader.contiguous_format]


MODULES = {
    "LSTM": (lambda t: t.nn.LSTM(2, 3, 2), (4, 1, 2)), "GRU": (lambda t: t.nn.GRU(2, 3, bidirectional=True), (4, 1, 2)),
    "GRUCell": (lambda t: t.nn.GRUCell(2, 3), (4, 2)), "Bilinear": (lambda t: t.nn.Sequential(t.nn.Linear(2, 3), t.nn.PReLU()), (4, 2)),
    "encoder": (lambda t: t.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0), (3, 2, 4)),
    "encoder of gelu": (lambda t: t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(4, 2, 8, 0.0, "gelu"), 2, enable_nested_tensor=False), (3, 2, 4)),
    "pictures": (lambda t: t.nn.Sequential(t.nn.Conv2d(1, 2, 3), t.nn.BatchNorm2d(2), t.nn.SiLU(), t.nn.Upsample(scale_factor=2)), (2, 1, 4, 4)),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", MODULES)
def test_whole_modules_in_both_directions(name, protocol):
    make, shape = MODULES[name]
    x = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    for saver, loader in ((rl, torch), (torch, rl), (rl, rl)):
        f = io.BytesIO()
        before = make(saver).eval()
        saver.save(before, f, pickle_protocol=protocol)
        f.seek(0)
        after = loader.load(f, weights_only=False)
        assert type(after) is getattr(loader.nn, type(before).__name__)
        want, got = (m(lib.from_numpy(x.copy())) for m, lib in ((before, saver), (after, loader)))
        want, got = (y[0] if isinstance(y, tuple) else y for y in (want, got))
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "Rprop"])
def test_whole_optimizers(name):
    for saver, loader in ((rl, torch), (torch, rl)):
        p = saver.nn.Parameter(saver.ones(2))
        optimizer = getattr(saver.optim, name)([p], lr=0.1)
        (p * p).sum().backward()
        optimizer.step()
        got = through(optimizer, saver, loader, weights_only=False)
        assert type(got) is getattr(loader.optim, name) and got.state_dict()["param_groups"][0]["lr"] == 0.1


def test_state_of_a_scheduler_has_pytorchs_order():
    def keys(t):
        scheduler = t.optim.lr_scheduler.ReduceLROnPlateau(t.optim.SGD([t.nn.Parameter(t.ones(1))], lr=1.0))
        return list(scheduler.state_dict())
    assert keys(rl) == keys(torch)


@pytest.mark.parametrize("protocol_of_handlers", [False, True])
def test_functions_are_called_by_their_public_names(protocol_of_handlers):
    if protocol_of_handlers:
        importlib.import_module("rushlight.overrides")  # functions of linalg, fft and special take the names that handlers see
    for lib, other in ((rl, torch), (torch, rl)):
        names = [lib.add, lib.relu, lib.nn.functional.gelu, lib.nn.functional.relu, lib.nn.functional.cross_entropy, lib.linalg.svd, lib.fft.rfft]
        for protocol in (2, 4):
            f = io.BytesIO()
            lib.save(names, f, pickle_protocol=protocol)
            f.seek(0)
            assert other.load(f, weights_only=False) == [other.add, other.relu, other.nn.functional.gelu, other.nn.functional.relu,
                                                         other.nn.functional.cross_entropy, other.linalg.svd, other.fft.rfft]


@pytest.mark.parametrize("package", ["nn", "optim", "optim.lr_scheduler", "distributions"])
def test_classes_have_pytorchs_places(package):
    mine, theirs = rl, torch
    for part in package.split("."):
        mine, theirs = getattr(mine, part), getattr(theirs, part)
    checked = 0
    for name, kind in vars(theirs).items():
        here = getattr(mine, name, None)
        if inspect.isclass(kind) and inspect.isclass(here) and here.__module__.startswith("rushlight."):
            assert place(here) == (kind.__module__, kind.__qualname__)
            checked += 1
    assert checked > 10


def test_a_name_that_we_do_not_have():
    with pytest.raises(AttributeError, match="the file needs torch.nn.modules.linear.Nothing, which rushlight does not have"):
        rl.load(io.BytesIO(corpus.checkpoint(b"\x80\x02" + corpus.glob("torch.nn.modules.linear Nothing") + b".")), weights_only=False)
    assert pickle.loads(pickle.dumps(rl.channels_last)) is rl.channels_last
