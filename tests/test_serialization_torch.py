"""Files in both directions between rushlight and PyTorch."""

from __future__ import annotations

import collections
import io
import zipfile

import numpy as np
import pytest
import serialization_corpus as corpus

import rushlight as rl
from rushlight.serialization import CheckpointError

torch = pytest.importorskip("torch")

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "uint16",
    "uint32",
    "uint64",
]


def ours(obj, legacy=False, **kwargs):
    """What rushlight reads of a file that PyTorch wrote."""
    f = io.BytesIO()
    torch.save(obj, f, _use_new_zipfile_serialization=not legacy)
    f.seek(0)
    return rl.load(f, **kwargs)


def theirs(obj, legacy=False, **kwargs):
    """What PyTorch reads, with weights_only=True, of a file that rushlight wrote."""
    f = io.BytesIO()
    rl.save(obj, f, _use_new_zipfile_serialization=not legacy)
    f.seek(0)
    return torch.load(f, weights_only=True, **kwargs)


def same(a, b) -> None:
    """Equal values, dtypes, strides and flags, through containers; one side PyTorch's, the other ours."""
    if isinstance(a, (torch.Tensor, rl.Tensor)):
        assert str(a.dtype) == str(b.dtype) and tuple(a.shape) == tuple(b.shape)
        assert tuple(a.stride()) == tuple(b.stride()) and a.storage_offset() == b.storage_offset()
        assert a.requires_grad == b.requires_grad
        assert isinstance(a, (torch.nn.Parameter, rl.nn.Parameter)) == isinstance(
            b, (torch.nn.Parameter, rl.nn.Parameter)
        )
        assert raw(a) == raw(b)
    elif isinstance(a, dict):
        assert type(a) is type(b) and list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif type(a) in (list, tuple):
        assert type(a) is type(b) and len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b or str(a) == str(b)


def raw(t) -> bytes:
    """The bytes of the values in row-major order."""
    if isinstance(t, torch.Tensor):
        return t.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes() if t.numel() else b""
    from rushlight.tensor.core import unwrap

    return np.ascontiguousarray(unwrap(t)).tobytes()


def checkpoint(lib):
    """The same nested object made by either library."""
    w = lib.arange(24, dtype=lib.float32).reshape(4, 6)
    everything = {
        "w": w,
        "t": w.t(),
        "row": w[1],
        "column": w[:, 2],
        "step": w[::2, 1::3],
        "wide": lib.ones(1, 3).expand(5, 3),
        "param": lib.nn.Parameter(lib.arange(3.0)),
        "frozen": lib.nn.Parameter(lib.arange(3), requires_grad=False),
        "grad": lib.ones(2, requires_grad=True),
        "scalar": lib.tensor(5),
        "empty": lib.zeros(0, 3),
        "permuted": w.reshape(2, 3, 4).permute(2, 0, 1),
        "nested": [(1, {"x": lib.tensor([True])}), collections.OrderedDict(a=None)],
        "float": 0.1,
        "big": 2**70,
        "size": w.size(),
        "dtype": lib.bfloat16,
        "device": lib.device("cpu"),
        "cuda": lib.device("cuda:1"),
        "text": "ä😀",
        "bytes": b"\x00\xff",
        "array": bytearray(b"x"),
        "complex": 1j,
        "set": {1},
        "counter": collections.Counter("aab"),
    }
    return everything


@pytest.mark.parametrize("legacy", [False, True])
def test_everything_in_both_directions(legacy):
    same(ours(checkpoint(torch), legacy), checkpoint(rl))
    same(theirs(checkpoint(rl), legacy), checkpoint(torch))
    found = ours(checkpoint(torch), legacy)
    assert type(found["size"]) is type(rl.ones(1).size()) and isinstance(found["device"], rl.device)
    assert found["dtype"] is rl.bfloat16


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", DTYPES)
def test_dtypes(name, legacy):
    values = np.array([0, 1, 1, 0, 1, 1]).reshape(2, 3)
    a, b = torch.tensor(values).to(getattr(torch, name)), rl.tensor(values).to(getattr(rl, name))
    same(ours(a.t()), b.t())
    same(theirs(b.t()), a.t())
    if not legacy:
        return
    if name.startswith("uint") and name != "uint8":
        with pytest.raises(NotImplementedError, match="before 1.6"):
            theirs(b, True)
    else:
        same(ours(a.t(), True), b.t())
        same(theirs(b.t(), True), a.t())


@pytest.mark.parametrize("legacy", [False, True])
def test_shared_storages_stay_shared(legacy):
    base = torch.zeros(4, 4)
    found = ours({"a": base, "b": base.t(), "c": base[2, 1:3], "d": base}, legacy)
    assert found["a"] is found["d"]
    found["a"].add_(1)
    found["c"].fill_(7)
    assert found["b"][1, 2].item() == 7 and found["b"].sum().item() == 14 + 14
    mine = rl.zeros(4, 4)
    found = theirs({"a": mine, "b": mine.t(), "c": mine[2, 1:3], "d": mine}, legacy)
    assert found["a"] is found["d"]
    assert len({t.untyped_storage().data_ptr() for t in found.values()}) == 1


def test_one_storage_is_written_once():
    w = rl.ones(100, 100)
    data = corpus.saved([w, w.t(), w[0]])
    assert len(data) < 45_000
    assert [n for n in corpus.records_of(data) if "/data/" in n] == ["archive/data/0"]


def model(lib):
    return lib.nn.Sequential(lib.nn.Linear(4, 3), lib.nn.ReLU(), lib.nn.BatchNorm1d(3))


@pytest.mark.parametrize("legacy", [False, True])
def test_state_dicts(legacy):
    source, target = model(torch), model(rl)
    source[2].running_mean.uniform_()
    target.load_state_dict(ours(source.state_dict(), legacy))
    same(target.state_dict(), source.state_dict())
    assert target.state_dict()._metadata == source.state_dict()._metadata
    back = model(torch)
    back.load_state_dict(theirs(target.state_dict(), legacy))
    same(back.state_dict(), source.state_dict())


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_optimizer_states(name):
    def trained(lib, options):
        net = model(lib)
        opt = getattr(lib.optim, name)(net.parameters(), lr=0.1, **options)
        for _ in range(2):
            opt.zero_grad()
            net(lib.ones(5, 4)).sum().backward()
            opt.step()
        return opt

    options = {"momentum": 0.9} if name == "SGD" else {}
    a, b = trained(torch, options), trained(rl, options)
    same(ours(a.state_dict()), a.state_dict())
    b.load_state_dict(ours(a.state_dict()))
    same(theirs(b.state_dict())["state"], a.state_dict()["state"])
    a.load_state_dict(theirs(b.state_dict()))


def test_whole_modules_need_leave():
    net = model(rl).eval()  # in training the calls below would move the running statistics
    data = corpus.saved(net)
    with pytest.raises(
        CheckpointError, match=r"GLOBAL torch\.nn\.modules\.container\.Sequential was not an allowed global"
    ):
        rl.load(io.BytesIO(data))
    x = rl.ones(5, 4)
    found = rl.load(io.BytesIO(data), weights_only=False)
    assert type(found) is rl.nn.Sequential and (found(x) == net(x)).all()
    with rl.serialization.safe_globals([rl.nn.Sequential, rl.nn.Linear, rl.nn.ReLU, rl.nn.BatchNorm1d]):
        assert (rl.load(io.BytesIO(data))(x) == net(x)).all()
    other = torch.load(io.BytesIO(data), weights_only=False)
    assert type(other) is torch.nn.Sequential
    same({k: v for k, v in other.state_dict().items()}, {k: v for k, v in net.state_dict().items()})


def test_attributes_of_tensors():
    t, p = torch.ones(2), torch.nn.Parameter(torch.ones(3))
    t.tag, p.note = "x", [1]
    found = ours([t, p])
    assert found[0].tag == "x" and found[1].note == [1] and isinstance(found[1], rl.nn.Parameter)
    t, p = rl.ones(2), rl.nn.Parameter(rl.ones(3))
    t.tag, p.note = "x", [1]
    found = theirs([t, p])
    assert found[0].tag == "x" and found[1].note == [1]


def test_layout_of_the_archive(tmp_path):
    path = tmp_path / "my.model.pt"
    rl.save({"a": rl.ones(3), "b": rl.ones(70)}, path)
    with zipfile.ZipFile(path) as z:
        assert z.testzip() is None
        names = [i.filename for i in z.infolist()]
        assert names == [
            f"my.model/{n}" for n in ("data.pkl", "byteorder", "data/0", "data/1", "version", ".data/serialization_id")
        ]
        raw_file = path.read_bytes()
        for i in z.infolist():
            extra = int.from_bytes(raw_file[i.header_offset + 28 : i.header_offset + 30], "little")
            assert (i.header_offset + 30 + len(i.filename) + extra) % 64 == 0
    assert torch.load(path, mmap=True)["b"].sum() == 70
    assert torch.load(str(path), map_location="cpu")["a"].sum() == 3
    assert corpus.saved(rl.ones(3)) == corpus.saved(rl.ones(3))


def test_large_archives_use_zip64(monkeypatch):
    from rushlight.serialization import zip_writer

    monkeypatch.setattr(zip_writer, "WIDE", 1000)
    state = {"a": rl.arange(900), "b": rl.ones(3)}
    f = io.BytesIO()
    rl.save(state, f)
    assert b"PK\x06\x06" in f.getvalue()
    with zipfile.ZipFile(io.BytesIO(f.getvalue())) as z:
        assert z.testzip() is None
    assert torch.load(io.BytesIO(f.getvalue()))["a"].sum() == 899 * 450
    assert rl.load(io.BytesIO(f.getvalue()))["a"].sum().item() == 899 * 450


def test_files_without_checksums():
    torch.serialization.set_crc32_options(False)
    try:
        assert ours({"a": torch.ones(3)})["a"].sum().item() == 3
    finally:
        torch.serialization.set_crc32_options(True)


def test_mmap(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"a": torch.arange(5.0)}, path)
    before = path.read_bytes()
    found = rl.load(path, mmap=True)["a"]
    found.add_(1)
    assert found.tolist() == [1, 2, 3, 4, 5] and path.read_bytes() == before
    with pytest.raises(ValueError, match="f must be a file path in order to use the mmap argument"):
        rl.load(io.BytesIO(before), mmap=True)
    torch.save([1], path, _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="mmap can only be used with files saved with"):
        rl.load(path, mmap=True)


def test_map_location():
    where = []
    state = {"a": torch.ones(2)}
    ours(state, map_location=lambda storage, location: where.append(location) or storage)
    assert where == ["cpu"]
    for place in ("cpu", rl.device("cpu"), {"cpu": "cpu"}, lambda s, loc: None, lambda s, loc: s.cpu()):
        same(ours(state, map_location=place), {"a": rl.ones(2)})
    with pytest.raises(ZeroDivisionError):
        ours(state, map_location=lambda s, loc: 1 / 0)
    gpu = corpus.checkpoint(b"\x80\x02" + corpus.tensor(corpus.storage_id(location="cuda:0")) + b".", {"0": bytes(16)})
    with pytest.raises(
        RuntimeError, match="^Attempting to deserialize object on a CUDA device but torch.cuda.is_available"
    ):
        rl.load(io.BytesIO(gpu))
    assert rl.load(io.BytesIO(gpu), map_location="cpu").tolist() == [0] * 4
    assert rl.load(io.BytesIO(gpu), map_location={"cuda:0": "cpu"}).tolist() == [0] * 4


def test_several_files_in_one_stream_and_odd_file_objects(tmp_path):
    f = io.BytesIO()
    for i in range(3):
        torch.save(torch.tensor([i]), f, _use_new_zipfile_serialization=False)
    f.seek(0)
    assert [rl.load(f).item() for _ in range(3)] == [0, 1, 2]
    f = io.BytesIO(b"header")
    f.seek(6)
    rl.save(rl.ones(2), f)
    f.seek(6)
    assert rl.load(f).sum().item() == 2
    with open(tmp_path / "raw.pt", "wb", buffering=0) as out:
        rl.save(rl.ones(200_000), out)
    with open(tmp_path / "raw.pt", "rb", buffering=0) as raw_file:
        assert rl.load(raw_file).sum().item() == 200_000

    class Minimal:
        def __init__(self):
            self.parts = []

        def write(self, data):
            self.parts.append(bytes(data))

    sink = Minimal()
    rl.save(rl.ones(2), sink)
    assert torch.load(io.BytesIO(b"".join(sink.parts))).sum() == 2


def test_same_refusals_as_pytorch(tmp_path):
    a = torch.zeros(4)
    b = rl.zeros(4)
    for lib, t in ((torch, a), (rl, b)):
        with pytest.raises(
            RuntimeError, match="Cannot save multiple tensors or storages that view the same data as different types"
        ):
            lib.save([t, t.view(lib.int32)], io.BytesIO())
    with pytest.raises(CheckpointError, match="sparse"):
        ours(torch.eye(4).to_sparse_bsr((2, 2)))


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "m.safetensors"
    for name in ("float32", "bfloat16", "int64", "bool", "float16", "uint8"):
        values = np.array([[0, 1, 1], [1, 0, 1]])
        a, b = torch.tensor(values).to(getattr(torch, name)), rl.tensor(values).to(getattr(rl, name))
        rl.serialization.save_safetensors({"x": b, "y": b[0].clone()}, path, {"made": "here"})
        same(safetensors.load_file(path), {"x": a, "y": a[0].clone()})
        safetensors.save_file({"x": a}, path)
        same(rl.load(path), {"x": b})
    with pytest.raises(RuntimeError, match="Some tensors share memory"):
        rl.serialization.save_safetensors({"x": b, "y": b.t()}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="m.safetensors"):
        rl.load(path)
