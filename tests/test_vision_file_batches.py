"""Batches of pictures from files at once: the same samples as one by one, to one level of a byte."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from PIL import Image

import rushlight as rl
from rushlight.data import DataLoader, Subset
from rushlight.tensor.core import unwrap
from rushlight.vision import datasets
from rushlight.vision import transforms as T
from rushlight.vision.datasets import file_batches, folder
from test_vision_transforms_parity import real_pictures

compiled = pytest.importorskip("rushlight.vision.transforms.compiled.resample", reason="needs llvmlite")
if not compiled.available():
    pytest.skip("kernels cannot be compiled here", allow_module_level=True)
from rushlight.vision.datasets import rows
from rushlight.vision.datasets.jpeg_frame import frame_of
from rushlight.vision.datasets.rows import Opened
from rushlight.vision.transforms.compiled.pillow_memory import address
from rushlight.vision.transforms.compiled.rooms import SPARE, room

RNG = np.random.default_rng(0)
NORMALIZE = T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    for i, pixels in enumerate(real_pictures(12)):
        (path / f"class{i % 3}").mkdir(exist_ok=True)
        Image.fromarray(pixels).resize((120 + 7 * i, 150 - 5 * i)).save(
            path / f"class{i % 3}" / f"{i}.{'png' if i % 4 == 3 else 'jpg'}", quality=90)
    return path


@pytest.fixture(params=["Pillow", "simplejpeg"])
def decoder(request, monkeypatch):
    """Both libraries in turn."""
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setattr(rows, "simplejpeg", lambda: None)
    return request.param


CHAINS = {
    "training": [T.RandomResizedCrop(48), T.RandomHorizontalFlip(), T.ToTensor(), NORMALIZE],
    "evaluation": [T.Resize(56), T.CenterCrop(48), T.ToTensor(), NORMALIZE],
    "crop": [T.RandomCrop((40, 60)), T.RandomHorizontalFlip(), T.RandomHorizontalFlip(0.9), T.ToTensor()],
    "bytes": [T.RandomHorizontalFlip(), T.Resize((30, 50)), T.RandomHorizontalFlip(),
              T.RandomCrop(20), T.PILToTensor(), T.ConvertImageDtype(rl.float32)],
}
OTHERS = {
    "bicubic": [T.Resize((30, 50), interpolation=T.InterpolationMode.BICUBIC), T.ToTensor()],
    "jitter": [T.Resize((9, 9)), T.ColorJitter(0.5), T.ToTensor()],
    "padded": [T.RandomCrop(40, padding=2), T.ToTensor()],
    "lambda": [T.Resize((9, 9)), T.ToTensor(), T.Lambda(lambda x: x * 2)], "none": [T.Resize((9, 9))],
    "bytes": [T.Resize((9, 9)), T.PILToTensor()],
}


def one_by_one(monkeypatch):
    monkeypatch.setattr(folder, "collated", lambda *args: None)


def epoch(dataset, workers):
    rl.manual_seed(3)
    return [(unwrap(x), y.tolist()) for x, y in DataLoader(dataset, batch_size=5, shuffle=True, num_workers=workers)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", list(CHAINS))
def test_batches_are_the_samples(root, name, workers, decoder, monkeypatch):
    dataset = datasets.ImageFolder(root, T.Compose(CHAINS[name]))
    assert file_batches.chain_of(dataset.transform) is not None
    at_once = epoch(dataset, workers)
    state = unwrap(rl.get_rng_state()).tobytes()
    one_by_one(monkeypatch)
    scale = 255 * (0.225 if NORMALIZE in CHAINS[name] else 1)
    for (x, y), (reference, labels) in zip(at_once, epoch(dataset, workers), strict=True):
        assert y == labels and x.shape == reference.shape and x.dtype == reference.dtype
        assert np.abs(x - reference).max() * scale < 1.03 and (np.abs(x - reference) > 1e-6).mean() < 0.2
    assert state == unwrap(rl.get_rng_state()).tobytes()


@pytest.mark.parametrize("name", list(OTHERS))
def test_other_chains_go_one_by_one(root, name):
    assert file_batches.chain_of(T.Compose(OTHERS[name])) is None
    dataset = datasets.ImageFolder(root, T.Compose(OTHERS[name]))
    if name not in ("none", "bytes"):
        assert len(epoch(dataset, 0)) == 3


def test_what_one_picture_cannot_is_done_one_by_one(root):
    """The second picture is too small: the batch begins again, with the same numbers of chance."""
    Image.new("RGB", (30, 30)).save(root / "class0" / "zz.png")
    try:
        dataset = datasets.ImageFolder(root,
                                       T.Compose([T.RandomHorizontalFlip(), T.CenterCrop((40, 40)), T.ToTensor()]))
        rows = [0, [path for path, _ in dataset.samples].index(str(root / "class0" / "zz.png"))]
        rl.manual_seed(1)
        before = unwrap(rl.get_rng_state()).tobytes()
        assert dataset._collated_batch(rows) is None
        assert unwrap(rl.get_rng_state()).tobytes() == before
        assert tuple(next(iter(DataLoader(Subset(dataset, rows), batch_size=2)))[0].shape) == (2, 3, 40, 40)
    finally:
        (root / "class0" / "zz.png").unlink()


def test_subclasses_and_other_loaders_are_respected(root):
    class Own(datasets.ImageFolder):
        def __getitem__(self, index):
            return index

    chain = T.Compose(CHAINS["evaluation"])
    assert Own(root, chain)._collated_batch([0]) is None
    assert datasets.ImageFolder(root, chain,
                                loader=lambda path: Image.open(path).convert("RGB"))._collated_batch([0]) is None
    assert datasets.ImageFolder(root, chain, target_transform=str)._collated_batch([0]) is None
    hooked = T.Resize((9, 9))
    hooked.register_forward_hook(lambda *_: None)
    assert file_batches.chain_of(T.Compose([hooked, T.ToTensor()])) is None


@pytest.mark.parametrize("bytes_each", [3, 4])
@pytest.mark.parametrize("size", [(1, 1), (2, 300), (37, 53), (375, 500), (100, 17)])
def test_resampling_is_pillows(size, bytes_each):
    """Windows of all sizes, also narrower than what is read at once, also in the last corner."""
    image = Image.fromarray(RNG.integers(0, 256, (375, 500, 3), np.uint8))
    pixels = np.pad(np.asarray(image), ((0, 0), (0, 0), (0, bytes_each - 3)))
    memory = np.concatenate([pixels.reshape(-1), np.full(SPARE, 255, np.uint8)])
    windows = [(375, int(RNG.integers(1, 6)), 0, 495), (int(RNG.integers(1, 9)), 3, 360, 497), (1, 1, 374, 499)]
    for _ in range(12):
        height, width = int(RNG.integers(1, 376)), int(RNG.integers(1, 501))
        windows.append((height, width, int(RNG.integers(0, 376 - height)), int(RNG.integers(0, 501 - width))))
    for height, width, top, left in windows:
        place = memory.ctypes.data + bytes_each * (500 * top + left)
        got = compiled.resample(place, 500 * bytes_each, height, width, *size, bytes_each)[..., :3]
        reference = np.asarray(image.crop((left, top, left + width, top + height)).resize(
            size[::-1], Image.Resampling.BILINEAR))
        assert np.abs(got.astype(int) - reference).max() <= 1


JPEGS = {"4:2:0": {"subsampling": 2}, "4:2:2": {"subsampling": 1},
         "4:4:4": {"subsampling": 0}, "progressive": {"progressive": True},
         "restarts": {"restart_marker_rows": 1}, "optimized": {"optimize": True, "quality": 30}}


@pytest.mark.parametrize("kind", list(JPEGS))
def test_upper_rows_are_pillows(tmp_path, kind, decoder):
    path = tmp_path / "a.jpg"
    Image.fromarray(RNG.integers(0, 256, (203, 171, 3), np.uint8)).resize((310, 407)).save(path, **JPEGS[kind])
    reference = np.asarray(Image.open(path))
    for count in (1, 8, 100, 201, 399, 406, 407):
        opened = Opened(path)
        assert (opened.height, opened.width, opened.jpeg is not None) == (407, 310, decoder == "simplejpeg")
        place, size, owner = opened.pixels(count)
        pixels = np.ctypeslib.as_array((ctypes.c_ubyte * (size * count * 310)).from_address(place)).reshape(count, 310, size)
        assert np.array_equal(pixels[..., :3], reference[:count])
        del owner


@pytest.mark.parametrize("sampling", ["444", "422", "420", "440", "411"])
def test_any_number_of_rows_is_that_of_the_whole(tmp_path, sampling):
    """Also where the colours of the last row are blended with those of the row below, which the decoder has to know."""
    simplejpeg = pytest.importorskip("simplejpeg")
    path = tmp_path / "a.jpg"
    pixels = np.asarray(Image.fromarray(RNG.integers(0, 256, (25, 20, 3), np.uint8)).resize((67, 85)))
    path.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 90, colorsubsampling=sampling))
    whole = simplejpeg.decode_jpeg(path.read_bytes(), "RGB")
    opened = Opened(path)
    for count in range(1, 86):
        room("decoded", 3 * 85 * 67)[:] = 9
        place, size, owner = opened.pixels(count)
        got = np.ctypeslib.as_array((ctypes.c_ubyte * (3 * 85 * 67)).from_address(place)).reshape(85, 67, 3)
        assert size == 3 and np.array_equal(got[:count], whole[:count])
        assert count > 85 - 8 or (got[count + 8:] == 9).all()  # nobody decoded those
        assert opened.raw == path.read_bytes()
        del owner


def test_frames_that_cannot_be_left_early(tmp_path):
    """A progressive one, one that is no JPEG, and any that is cut off within its headers."""
    path = tmp_path / "a.jpg"
    image = Image.fromarray(RNG.integers(0, 256, (40, 50, 3), np.uint8))
    image.save(path, progressive=True)
    assert frame_of(bytearray(path.read_bytes())) is None
    assert frame_of(bytearray()) is None and frame_of(bytearray(b"\xff\xd8" + bytes(40))) is None
    assert frame_of(bytearray(b"\xff\xff\xff\xc0" + b"\x01" * 40)) is None
    image.save(path, comment=b"\xff\xc0" * 20)  # what looks like a frame within a comment is none
    raw = bytearray(path.read_bytes())
    frame = frame_of(raw)
    assert raw[frame.place:frame.place + 4] == bytes([0, 40, 0, 50]) and frame.below == 4
    begins = frame.place + 5 + 3 * 3
    assert [n for n in range(len(raw)) if frame_of(raw[:n]) is not None] == list(range(begins, len(raw)))


def test_what_is_not_needed_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "simplejpeg", lambda: None)
    path = tmp_path / "a.jpg"
    Image.fromarray(RNG.integers(0, 256, (400, 500, 3), np.uint8)).save(path)
    opened = Opened(path)
    seen = []
    monkeypatch.setattr(opened, "_open", lambda opening=opened._open: seen.append(opening()) or seen[-1])
    opened.pixels(40)
    assert [image.size for image in seen] == [(500, 44)]
    opened.pixels(397)
    assert [image.size for image in seen] == [(500, 44), (500, 400)]


def test_pictures_that_simplejpeg_leaves_to_pillow(tmp_path):
    """Grey and CMYK ones, and what is a JPEG by its first bytes alone."""
    pytest.importorskip("simplejpeg")
    for mode in ("L", "CMYK"):
        path = tmp_path / f"{mode}.jpg"
        Image.fromarray(RNG.integers(0, 256, (40, 50, 3), np.uint8)).convert(mode).save(path)
        opened = Opened(path)
        assert opened.jpeg is None and (opened.height, opened.width) == (40, 50)
    path.write_bytes(b"\xff\xd8 nothing")
    with pytest.raises(Image.UnidentifiedImageError, match="CMYK.jpg"):
        Opened(path)


def test_damage_below_the_window_is_found(tmp_path, decoder):
    path = tmp_path / "a.jpg"
    Image.fromarray(RNG.integers(0, 256, (400, 500, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(OSError, match="a.jpg.*The picture is damaged"):
        Opened(path).pixels(40)


def test_many_pictures_and_any_number_of_threads(root, monkeypatch):
    """More than are in memory at a time; the numbers do not depend on the threads."""
    monkeypatch.setattr(file_batches, "TOGETHER", 5)
    dataset = datasets.ImageFolder(root, T.Compose(CHAINS["training"]))
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(file_batches.threads, "count", lambda count=count: count)
        rl.manual_seed(5)
        found.append(unwrap(dataset._collated_batch(list(range(12)) * 2)[0]))
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


def test_memory_of_other_pictures_is_not_taken():
    assert address(Image.new("L", (3, 3))) is None and address(Image.new("RGBA", (3, 3))) is None


def test_errors_name_the_file(root):
    bad = root / "class1" / "bad.jpg"
    bad.write_bytes(next((root / "class1").glob("*.jpg")).read_bytes()[:400])
    try:
        with pytest.raises(OSError, match="bad.jpg"):
            epoch(datasets.ImageFolder(root, T.Compose(CHAINS["training"])), 2)
    finally:
        bad.unlink()
