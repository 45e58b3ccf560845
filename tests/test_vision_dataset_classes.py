"""Data sets on small files in the published formats, against torchvision's classes;
damage, malice and missing files."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from rushlight.data.collate import default_collate
from rushlight.serialization.errors import CheckpointError
from rushlight.serialization.plain_pickles import load_plain
from rushlight.tensor.core import unwrap
from rushlight.vision import datasets as ours
from rushlight.vision import transforms as T
from rushlight.vision.datasets import archives, utils
from vision_datasets import RNG, assert_same_data, md5, same
from vision_oracle import torchvision

theirs = torchvision.datasets


# --- formats ---

def idx_bytes(array, code=8):
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def pictures(n, *shape):
    return RNG.integers(0, 256, (n, *shape), np.uint8)


class Python2Pickler:
    """Just enough of Python 2's cPickle, protocol 2, for the files of CIFAR."""

    def __init__(self):
        self.out = io.BytesIO(b"")
        self.out.write(b"\x80\x02")

    def text(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        self.out.write((b"U" + bytes([len(raw)]) if len(raw) < 256 else b"T" + struct.pack("<i", len(raw))) + raw)

    def save(self, value):
        if isinstance(value, (str, bytes)):
            self.text(value)
        elif isinstance(value, int):
            self.out.write(b"J" + struct.pack("<i", value))
        elif isinstance(value, list):
            self.out.write(b"](")
            for item in value:
                self.save(item)
            self.out.write(b"e")
        elif isinstance(value, dict):
            self.out.write(b"}(")
            for key, item in value.items():
                self.save(key)
                self.save(item)
            self.out.write(b"u")
        else:
            self.array(value)

    def array(self, value):
        self.out.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85")
        self.text("b")
        self.out.write(b"\x87R(K\x01(" + b"".join(b"J" + struct.pack("<i", n) for n in value.shape)
                       + b"tcnumpy\ndtype\n")
        self.text("u1")
        self.out.write(b"K\x00K\x01\x87R(K\x03")
        self.text("|")
        self.out.write(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        self.text(value.tobytes())
        self.out.write(b"tb")

    def done(self):
        return self.out.getvalue() + b"."


def python2_pickle(value):
    pickler = Python2Pickler()
    pickler.save(value)
    return pickler.done()


def python3_pickle(value):
    return pickle.dumps(value, protocol=2)


def make_cifar(root, kind, dump, monkeypatch, n=6):
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    fine = kind.__name__ == "CIFAR100"
    lists = {"train_list": [], "test_list": []}
    for part in lists:
        for name, _ in getattr(kind, part):
            labels = RNG.integers(0, 10, n).tolist()
            entry = {"batch_label": name, "data": pictures(n, 3072), "filenames": ["x.png"] * n}
            entry |= {"fine_labels": labels, "coarse_labels": labels} if fine else {"labels": labels}
            (folder / name).write_bytes(dump(entry))
            lists[part].append([name, md5(folder / name)])
    meta = dict(kind.meta)
    (folder / meta["filename"]).write_bytes(dump({meta["key"]: [f"class {i}" for i in range(10)]}))
    meta["md5"] = md5(folder / meta["filename"])
    for module in (ours, theirs):
        for name, value in {**lists, "meta": meta}.items():
            monkeypatch.setattr(getattr(module, kind.__name__), name, value)
    return folder


# --- in memory ---

@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dump", [python2_pickle, python3_pickle])
@pytest.mark.parametrize("name", ["CIFAR10", "CIFAR100"])
def test_cifar(tmp_path, monkeypatch, name, dump, train):
    make_cifar(tmp_path, getattr(ours, name), dump, monkeypatch)
    mine, reference = (getattr(module, name)(str(tmp_path), train) for module in (ours, theirs))
    assert_same_data(mine, reference)
    assert np.array_equal(mine.data, reference.data) and mine.targets == reference.targets
    mine.transform = T.Compose([T.ToTensor(), T.Normalize((0.5,) * 3, (0.25,) * 3)])
    images, targets = mine._collated_batch([3, 0, -1])
    expected = default_collate([mine[i] for i in (3, 0, -1)])
    assert unwrap(images).tobytes() == unwrap(expected[0]).tobytes() and targets.tolist() == expected[1].tolist()


def test_the_python2_pickles_of_these_tests_are_pickles():
    value = {"data": pictures(3, 8), "labels": [1, 2], "name": "x"}
    loaded = pickle.loads(python2_pickle(value), encoding="latin1")
    assert loaded["labels"] == [1, 2] and loaded["name"] == "x" and np.array_equal(loaded["data"], value["data"])


def test_cifar_names_what_is_missing_and_damaged(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="^Dataset not found or corrupted. "
                       "You can use download=True to download it") as caught:
        ours.CIFAR10(tmp_path)
    text = str(caught.value)
    assert str(tmp_path / "cifar-10-batches-py") in text and "data_batch_5" in text and "batches.meta" in text
    assert ours.CIFAR10.url in text
    folder = make_cifar(tmp_path, ours.CIFAR10, python2_pickle, monkeypatch)
    (folder / "data_batch_3").write_bytes((folder / "data_batch_3").read_bytes()[:-7])
    with pytest.raises(RuntimeError, match="data_batch_3 is damaged .MD5 .* expected .*delete it") as caught:
        ours.CIFAR10(tmp_path)
    assert "data_batch_2 is" not in str(caught.value)


def rehash(module_class, name, path, monkeypatch):
    """Let the data set expect the file as it is now."""
    monkeypatch.setattr(module_class, "train_list",
                        [[n, md5(path) if n == name else m] for n, m in module_class.train_list])


@pytest.mark.parametrize("damage", [lambda b: b[:len(b) // 2], lambda b: b[:-1], lambda b: b"",
                                    lambda b: b"hello", lambda b: pickle.dumps([1, 2]),
                                    lambda b: pickle.dumps({"data": np.zeros((2, 5), np.uint8), "labels": [1, 2]}),
                                    lambda b: pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]})])
def test_corrupt_cifar_pickle_is_named(tmp_path, monkeypatch, damage):
    path = make_cifar(tmp_path, ours.CIFAR10, python2_pickle, monkeypatch) / "data_batch_1"
    path.write_bytes(damage(path.read_bytes()))
    rehash(ours.CIFAR10, "data_batch_1", path, monkeypatch)
    with pytest.raises((CheckpointError, ValueError)) as caught:
        ours.CIFAR10(tmp_path)
    assert str(path) in str(caught.value) and "Delete it and fetch it again" in str(caught.value)


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


class MaliciousBuiltin(Malicious):
    def __reduce__(self):
        return eval, (f"open({str(self.marker)!r}, 'w')",)


@pytest.mark.parametrize("kind", [Malicious, MaliciousBuiltin])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_cifar_pickle_runs_no_code(tmp_path, monkeypatch, kind, protocol):
    marker = tmp_path / "marker"
    path = make_cifar(tmp_path, ours.CIFAR10, python2_pickle, monkeypatch) / "data_batch_1"
    path.write_bytes(pickle.dumps({"data": kind(marker), "labels": []}, protocol=protocol))
    pickle.loads(path.read_bytes())
    assert marker.exists()  # it is malicious
    marker.unlink()
    rehash(ours.CIFAR10, "data_batch_1", path, monkeypatch)
    with pytest.raises(CheckpointError) as caught:
        ours.CIFAR10(tmp_path)
    assert not marker.exists() and str(path) in str(caught.value) and "Nothing of it was run" in str(caught.value)


def test_plain_pickles_of_many_kinds(tmp_path):
    value = {"a": [1, 2.5, True, None, "é"], "b": (1, (2, 3)),
             "c": np.arange(6, dtype=np.float64).reshape(2, 3), "d": {"e": [np.int64(3)]}}
    for protocol in range(2, 5):
        (tmp_path / "f").write_bytes(pickle.dumps(value, protocol=protocol))
        got = load_plain(tmp_path / "f")
        assert got["a"] == value["a"] and got["b"] == value["b"] and np.array_equal(got["c"], value["c"])
        assert got["d"] == {"e": [3]}


def test_kmnist(tmp_path):
    raw = tmp_path / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(pictures(5, 28, 28)))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(5, dtype=np.uint8)))
    assert_same_data(ours.KMNIST(tmp_path, train=False), theirs.KMNIST(tmp_path, train=False))


@pytest.mark.parametrize("split", ours.EMNIST.splits)
def test_emnist(tmp_path, split):
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "test"):
        (raw / f"emnist-{split}-{part}-images-idx3-ubyte").write_bytes(idx_bytes(pictures(5, 28, 28)))
        (raw / f"emnist-{split}-{part}-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(5, dtype=np.uint8)))
    for train in (True, False):
        mine, reference = (module.EMNIST(tmp_path, split, train=train) for module in (ours, theirs))
        assert mine.classes == reference.classes and len(mine) == len(reference) == 5
        assert all(same(mine[i], reference[i]) for i in range(5))
    with pytest.raises(ValueError, match="Unknown value 'odd' for argument split"):
        ours.EMNIST(tmp_path, "odd")
    with pytest.raises(RuntimeError, match="emnist-digits-test-labels-idx1-ubyte.gz") if split != "digits" else pytest.raises(TypeError):
        ours.EMNIST(tmp_path, "digits", train=False) if split != "digits" else ours.EMNIST(tmp_path)


def test_emnist_from_its_archive(tmp_path, monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for part in ("train", "test"):
            archive.writestr(f"gzip/emnist-mnist-{part}-images-idx3-ubyte.gz",
                             gzip.compress(idx_bytes(pictures(4, 28, 28))))
            archive.writestr(f"gzip/emnist-mnist-{part}-labels-idx1-ubyte.gz",
                             gzip.compress(idx_bytes(np.arange(4, dtype=np.uint8))))
    source = tmp_path / "gzip.zip"
    source.write_bytes(packed.getvalue())
    monkeypatch.setattr(ours.EMNIST, "url", source.as_uri())
    monkeypatch.setattr(ours.EMNIST, "md5", md5(source))
    mine = ours.EMNIST(tmp_path, "mnist", download=True)
    assert mine[2][1] == 2 and not (tmp_path / "EMNIST" / "raw" / "gzip").exists()
    assert_same_data(mine, theirs.EMNIST(tmp_path, "mnist"))


@pytest.mark.parametrize(("what", "compat"),
                         [("train", True), ("test", False), ("test10k", True), ("test50k", True), ("nist", False)])
def test_qmnist(tmp_path, what, compat):
    raw = tmp_path / "QMNIST" / "raw"
    raw.mkdir(parents=True)
    n = 10_003 if what.startswith("test") else 4
    for url, _ in ours.QMNIST.resources[ours.QMNIST.subsets[what]]:
        name = os.path.splitext(os.path.basename(url))[0]
        values = pictures(n, 28, 28) if "images" in name else RNG.integers(0, 9, (n, 8)).astype(">i4")
        (raw / name).write_bytes(idx_bytes(values, 8 if "images" in name else 12))
    mine, reference = (module.QMNIST(tmp_path, what, compat=compat) for module in (ours, theirs))
    assert len(mine) == len(reference) and repr(mine) == repr(reference)
    assert all(same(mine[i], reference[i]) for i in range(3))
    mine.transform = T.ToTensor()
    batch = mine._collated_batch([0, 1])
    assert batch[1].tolist() == [mine[0][1], mine[1][1]] if compat else batch is None


def test_xz_files(tmp_path):
    raw = tmp_path / "QMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "xnist-images-idx3-ubyte.xz").write_bytes(lzma.compress(idx_bytes(pictures(3, 28, 28))))
    (raw / "xnist-labels-idx2-int.xz").write_bytes(lzma.compress(idx_bytes(
        np.arange(24).reshape(3, 8).astype(">i4"), 12)))
    assert [t for _, t in ours.QMNIST(tmp_path, "nist")] == [0, 8, 16]


def test_svhn(tmp_path, monkeypatch):
    scipy = pytest.importorskip("scipy.io")
    scipy.savemat(tmp_path / "test_32x32.mat",
                  {"X": pictures(32, 32, 3, 5), "y": np.array([[1], [10], [3], [9], [10]], np.uint8)})
    for module in (ours, theirs):
        monkeypatch.setitem(module.SVHN.split_list, "test", ["", "test_32x32.mat", md5(tmp_path / "test_32x32.mat")])
    mine, reference = (module.SVHN(str(tmp_path), "test") for module in (ours, theirs))
    assert_same_data(mine, reference)
    assert np.array_equal(mine.data, reference.data)
    mine.transform = T.ToTensor()
    images, targets = mine._collated_batch([1, 2])
    assert targets.tolist() == [0, 3] and unwrap(images)[1].tobytes() == unwrap(mine[2][0]).tobytes()
    (tmp_path / "test_32x32.mat").write_bytes((tmp_path / "test_32x32.mat").read_bytes()[:500])
    monkeypatch.setitem(ours.SVHN.split_list, "test", ["", "test_32x32.mat", md5(tmp_path / "test_32x32.mat")])
    with pytest.raises(ValueError, match="test_32x32.mat is no whole Matlab file"):
        ours.SVHN(tmp_path, "test")
    with pytest.raises(RuntimeError, match="train_32x32.mat"):
        ours.SVHN(tmp_path)


@pytest.mark.parametrize(("split", "folds"),
                         [("train", None), ("train", 1), ("test", None), ("unlabeled", None), ("train+unlabeled", 0)])
def test_stl10(tmp_path, monkeypatch, split, folds):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for name, n in (("train", 5), ("test", 3), ("unlabeled", 2)):
        pictures(n, 3 * 96 * 96).tofile(folder / f"{name}_X.bin")
        (np.arange(n) + 1).astype(np.uint8).tofile(folder / f"{name}_y.bin")
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    (folder / "fold_indices.txt").write_text("0 2\n4 1 3\n")
    for module in (ours, theirs):
        for part in ("train_list", "test_list"):
            monkeypatch.setattr(module.STL10, part,
                                [[name, md5(folder / name)] for name, _ in getattr(module.STL10, part)])
    if folds is not None:
        # for the oracle
        monkeypatch.setattr(np, "fromstring", lambda text, dtype, sep: np.array(text.split(sep), dtype), raising=False)
    assert_same_data(ours.STL10(str(tmp_path), split, folds), theirs.STL10(str(tmp_path), split, folds))
    with pytest.raises(ValueError, match="in the range"):
        ours.STL10(tmp_path, folds=10)


def test_fakedata():
    arguments = {"size": 4, "image_size": (3, 9, 7), "num_classes": 5, "random_offset": 3}
    mine, reference = ours.FakeData(**arguments), theirs.FakeData(**arguments)
    assert_same_data(mine, reference)
    with pytest.raises(IndexError):
        mine[4]


# --- archives ---

def test_archives(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file.txt").write_text("hello")
    for suffix in ("tar", "tar.gz", "tgz", "tar.xz", "tar.bz2"):
        mode = {"tar": "w", "tgz": "w:gz"}.get(suffix, f"w:{suffix[4:]}")
        with tarfile.open(tmp_path / f"a.{suffix}", mode) as archive:
            archive.add(tmp_path / "inner", "top")
        utils.extract_archive(tmp_path / f"a.{suffix}", tmp_path / suffix)
        assert (tmp_path / suffix / "top" / "file.txt").read_text() == "hello"
        assert len(list((tmp_path / suffix).iterdir())) == 1
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"hello"))
    assert utils.extract_archive(str(tmp_path / "b.txt.gz"), remove_finished=True) == str(tmp_path / "b.txt")
    assert (tmp_path / "b.txt").read_text() == "hello" and not (tmp_path / "b.txt.gz").exists()
    for name in ("x", "x.rar"):
        with pytest.raises(RuntimeError):
            utils.extract_archive(tmp_path / name)


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/rushlight-outside.txt"])
def test_an_archive_writes_nothing_outside(tmp_path, name):
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        info = tarfile.TarInfo(name)
        info.size = 5
        archive.addfile(info, io.BytesIO(b"hello"))
    target = tmp_path / "a" / "b"
    try:
        utils.extract_archive(tmp_path / "evil.tar", target)
    except RuntimeError as e:
        assert "evil.tar" in str(e)
    assert not (tmp_path / "a" / "outside.txt").exists() and not os.path.exists("/tmp/rushlight-outside.txt")


def test_a_truncated_archive_is_named(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(__file__, "file")
    (tmp_path / "a.tar.gz").write_bytes((tmp_path / "a.tar.gz").read_bytes()[:500])
    with pytest.raises(RuntimeError, match="a.tar.gz is no whole archive.*Delete it"):
        utils.extract_archive(tmp_path / "a.tar.gz", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_cifar_download_unpacks(tmp_path, monkeypatch):
    source = tmp_path / "source"
    make_cifar(source, ours.CIFAR10, python2_pickle, monkeypatch)
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as archive:
        archive.add(source / ours.CIFAR10.base_folder, ours.CIFAR10.base_folder)
    monkeypatch.setattr(ours.CIFAR10, "url", (tmp_path / "c.tar.gz").as_uri())
    monkeypatch.setattr(ours.CIFAR10, "tgz_md5", md5(tmp_path / "c.tar.gz"))
    assert len(ours.CIFAR10(tmp_path / "new", download=True)) == 30
    monkeypatch.setattr(ours.CIFAR10, "url", "http://127.0.0.1:9/c.tar.gz")
    with pytest.raises(RuntimeError, match="Without a network, put these files into"):
        ours.CIFAR10(tmp_path / "offline", download=True)


def test_kinds_of_archives():
    assert archives.kind_of("x/cifar-10-python.tar.gz") == (".tar.gz", ".tar", ".gz")
