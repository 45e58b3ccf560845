"""Data sets: files in both forms, damage, downloading with mirrors and resuming, and the digits in the package."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest

import realdata
from rushlight.data import DataLoader
from rushlight.tensor.core import unwrap
from rushlight.vision import datasets
from rushlight.vision import transforms as T
from rushlight.vision.datasets import download, idx

SIZES = {"train": 12, "t10k": 5}


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def files():
    """The four files of a small MNIST: name -> contents of the unpacked file."""
    rng = np.random.default_rng(0)
    made = {}
    for part, n in SIZES.items():
        made[f"{part}-images-idx3-ubyte"] = idx_bytes(rng.integers(0, 256, (n, 28, 28), np.uint8))
        made[f"{part}-labels-idx1-ubyte"] = idx_bytes((np.arange(n) % 10).astype(np.uint8))
    return made


def fill(folder, files, packed):
    folder.mkdir(parents=True)
    for name, contents in files.items():
        (folder / (name + ".gz" if packed else name)).write_bytes(gzip.compress(contents) if packed else contents)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", [datasets.MNIST, datasets.FashionMNIST])
def test_both_forms_of_files(tmp_path, files, packed, kind):
    fill(tmp_path / kind.__name__ / "raw", files, packed)
    for train, n in ((True, 12), (False, 5)):
        dataset = kind(tmp_path, train)
        assert len(dataset) == n and tuple(dataset.data.shape) == (n, 28, 28)
        image, target = dataset[3]
        assert image.size == (28, 28) and image.mode == "L" and target == 3 and type(target) is int
        assert unwrap(dataset.data).tobytes() == files[f"{'train' if train else 't10k'}-images-idx3-ubyte"][16:]


def test_transforms_and_loader(tmp_path, files):
    fill(tmp_path / "MNIST" / "raw", files, packed=True)
    dataset = datasets.MNIST(str(tmp_path), transform=T.ToTensor(), target_transform=lambda t: -t)
    image, target = dataset[4]
    assert tuple(image.shape) == (1, 28, 28) and target == -4
    images, targets = next(iter(DataLoader(dataset, batch_size=5)))
    assert tuple(images.shape) == (5, 1, 28, 28) and targets.tolist() == [0, -1, -2, -3, -4]
    assert repr(dataset) == ("Dataset MNIST\n    Number of datapoints: 12\n    Root location: "
                             f"{tmp_path}\n    Split: Train\n    StandardTransform\nTransform: "
                             "ToTensor()\nTarget transform: " + repr(dataset.target_transform))
    assert dataset.class_to_idx["3 - three"] == 3


def test_missing_files_are_named(tmp_path):
    with pytest.raises(RuntimeError, match=r"^Dataset not found\. You can use download=True to download it") as caught:
        datasets.MNIST(tmp_path)
    for name, _ in datasets.MNIST.resources:
        assert name in str(caught.value)
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b[:-1],
                                    lambda b: b[:2000] + bytes([b[2000] ^ 1]) + b[2001:], lambda b: b"\0\0\1" + b[3:]])
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_files_are_named(tmp_path, files, damage, packed):
    name = "train-images-idx3-ubyte"
    contents = gzip.compress(files[name]) if packed else files[name]
    broken = damage(contents)
    path = tmp_path / "broken"
    path.write_bytes(broken)
    if not packed and len(broken) == len(contents) and broken[:4] == contents[:4]:
        assert idx.read(path).shape == (12, 28, 28)  # a plain file has no checksum
        return
    with pytest.raises(ValueError, match="broken is no whole IDX file"):
        idx.read(path)


@pytest.mark.parametrize(("code", "dtype"),
                         [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")])
def test_number_types_of_idx(code, dtype):
    array = np.array([[1, 2, 3], [4, 5, 6]], dtype)
    raw = bytes([0, 0, code, 2]) + struct.pack(">2I", 2, 3) + array.astype(array.dtype.newbyteorder(">")).tobytes()
    got = idx.parse(raw)
    assert got.dtype == array.dtype and (got == array).all()


class Server(http.server.ThreadingHTTPServer):
    """Serves ``contents`` (path -> bytes) with ranges; a path in ``breaks`` ends after so many bytes, once."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents: dict[str, bytes] = {}
        self.breaks: dict[str, int] = {}
        self.log: list[tuple[str, str | None]] = []
        self.ranges = True

    def url(self, path):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.log.append((self.path, wanted))
        body = server.contents.get(self.path)
        if body is None:
            return self.send_error(404)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = server.breaks.pop(self.path, len(body))
        self.wfile.write(body[start:end])


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


BODY = np.random.default_rng(1).bytes(300_000)
SUM = hashlib.md5(BODY).hexdigest()


def test_download_from_the_second_mirror(server, tmp_path, capsys):
    server.contents = {"/good": BODY, "/wrong": b"something else"}
    got = download.fetch([server.url("/none"), server.url("/wrong"), server.url("/good")],
                         tmp_path / "new" / "folder", "file", SUM)
    assert got.read_bytes() == BODY and [p.name for p in got.parent.iterdir()] == ["file"]
    assert "file 0.3/0.3 MB" in capsys.readouterr().err
    server.log.clear()
    assert download.fetch([server.url("/good")], got.parent, "file", SUM) == got and server.log == []


def test_download_goes_on_where_it_broke(server, tmp_path):
    server.contents, server.breaks = {"/f": BODY}, {"/f": 100_000}
    assert download.fetch([server.url("/f")], tmp_path, "f", SUM).read_bytes() == BODY
    assert server.log == [("/f", None), ("/f", "bytes=100000-")]


@pytest.mark.parametrize("ranges", [True, False])
def test_download_resumes_a_part_of_an_earlier_run(server, tmp_path, ranges):
    server.contents, server.ranges = {"/f": BODY}, ranges
    (tmp_path / "f.part").write_bytes(BODY[:1234])
    assert download.fetch([server.url("/f")], tmp_path, "f", SUM).read_bytes() == BODY
    assert server.log == [("/f", "bytes=1234-")]


@pytest.mark.parametrize("stale", [BODY, b"x" * 400_000, b"x" * 10])
def test_download_survives_any_part_of_an_earlier_run(server, tmp_path, stale):
    server.contents = {"/f": BODY}
    (tmp_path / "f.part").write_bytes(stale)
    assert download.fetch([server.url("/f"), server.url("/f")], tmp_path, "f", SUM).read_bytes() == BODY


def test_failed_download_says_what_each_mirror_answered(server, tmp_path):
    server.contents = {"/wrong": b"something else"}
    with pytest.raises(download.DownloadError) as caught:
        download.fetch([server.url("/none"), server.url("/wrong"), "http://127.0.0.1:9/f"], tmp_path, "f", SUM)
    text = str(caught.value)
    assert "404" in text and "expected " + SUM in text and "refused" in text
    assert text.startswith("Could not download f:")
    assert list(tmp_path.iterdir()) == []


def test_mnist_downloads_what_is_missing(server, tmp_path, files, monkeypatch):
    packed = {name + ".gz": gzip.compress(contents, mtime=0) for name, contents in files.items()}
    server.contents = {"/mnist/" + name: contents for name, contents in packed.items()}
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server.url("/gone/"), server.url("/mnist/")])
    monkeypatch.setattr(datasets.MNIST, "resources",
                        [(name, hashlib.md5(contents).hexdigest()) for name, contents in packed.items()])
    assert len(datasets.MNIST(tmp_path, download=True)) == 12
    raw = tmp_path / "MNIST" / "raw"
    assert sorted(p.name for p in raw.iterdir()) == sorted(packed)
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    server.log.clear()
    assert len(datasets.MNIST(tmp_path, download=True)) == 12
    assert [path for path, _ in server.log] == ["/gone/train-labels-idx1-ubyte.gz", "/mnist/train-labels-idx1-ubyte.gz"]


def test_mnist_offline_names_folder_and_files(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(RuntimeError, match="Without a network, put these files into") as caught:
        datasets.MNIST(tmp_path, download=True)
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value) and "t10k-labels-idx1-ubyte.gz" in str(caught.value)


@pytest.mark.parametrize("kind", ["MNIST", "FashionMNIST"])
def test_real_files(kind):
    root = realdata.path(f"{kind}/raw").parents[1]
    cls = getattr(datasets, kind)
    for name, md5 in cls.resources:
        assert download.calculate_md5(root / kind / "raw" / name) == md5
    test = cls(root, train=False)
    first_labels = {"MNIST": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9], "FashionMNIST": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]}
    assert len(test) == 10_000 and test.targets[:10].tolist() == first_labels[kind]
    assert test.targets.unique().tolist() == list(range(10))


def test_digits():
    train, test = datasets.Digits(), datasets.Digits(train=False)
    assert len(train) + len(test) == 1797
    counts = np.bincount(np.concatenate([unwrap(train.targets), unwrap(test.targets)]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # UCI's documentation
    assert train.targets[:5].tolist() == [0, 1, 2, 3, 4] and test.targets[-5:].tolist() == [9, 0, 8, 9, 8]
    first = np.array([0, 0, 5, 13, 9, 1, 0, 0])  # first row of UCI's first scan
    np.testing.assert_array_equal(np.rint(unwrap(train.data)[0, 0] * (16 / 255)), first)
    image, target = test[0]
    assert image.size == (8, 8) and image.mode == "L" and target == int(test.targets[0])
    assert (datasets.digits.FILE.with_name("ATTRIBUTION.md")).read_text(encoding="utf8").count("CC BY 4.0") == 1


def test_digits_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.datasets")
    with np.load(datasets.digits.FILE) as archive:
        np.testing.assert_array_equal(archive["images"], sklearn.load_digits().images)
        np.testing.assert_array_equal(archive["labels"], sklearn.load_digits().target)
