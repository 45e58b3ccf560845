"""Pictures written, read and drawn on: against torchvision.utils and Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import rushlight as rl
from rushlight.tensor.core import unwrap, wrap
from rushlight.vision import io as vio
from rushlight.vision import utils as ours
from vision_oracle import torch, torchvision

theirs = torchvision.utils
RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (3, 40, 50), np.uint8)
FLOATS = RNG.random((3, 40, 50), np.float32)


def pair(values):
    return wrap(values.copy()), torch.from_numpy(values.copy())


def assert_same(function, *arrays, **kwargs):
    """Both libraries' function of the same arrays, equal to one step of a byte."""
    mine, reference = (function(module, *given) for module, given in zip(
        (ours, theirs), zip(*map(pair, arrays)), strict=True))
    a, b = unwrap(mine), reference.numpy()
    assert a.dtype == b.dtype and a.shape == b.shape
    scale = 255 if a.dtype.kind == "f" else 1
    assert np.abs(a.astype(float) - b.astype(float)).max() * scale <= 1.001


@pytest.mark.parametrize("options",
                         [{}, {"nrow": 3, "padding": 5}, {"normalize": True}, {"normalize": True, "scale_each": True},
                          {"normalize": True, "value_range": (-1, 0.5)}, {"pad_value": 0.7}])
@pytest.mark.parametrize("shape", [(7, 3, 5, 6), (2, 1, 5, 6), (3, 5, 6), (1, 5, 6), (5, 6), (1, 3, 5, 6)])
def test_make_grid(options, shape):
    assert_same(lambda m, x: m.make_grid(x, **options), RNG.standard_normal(shape).astype(np.float32))


def test_make_grid_of_a_list_and_errors():
    assert_same(lambda m, x: m.make_grid([x, x], pad_value=9), BYTES)
    for wrong in (3, [3], (1,)):
        with pytest.raises(TypeError, match="^tensor or list of tensors expected, got"):
            ours.make_grid(wrong)


def test_save_image(tmp_path):
    mine, reference = pair(RNG.standard_normal((5, 3, 8, 9)).astype(np.float32))
    ours.save_image(mine, tmp_path / "a.png", normalize=True, nrow=2)
    theirs.save_image(reference, tmp_path / "b.png", normalize=True, nrow=2)
    assert Image.open(tmp_path / "a.png").tobytes() == Image.open(tmp_path / "b.png").tobytes()
    target = io.BytesIO()
    ours.save_image(mine, target, format="jpeg")
    assert target.getvalue()[:2] == b"\xff\xd8"


BOXES = np.array([[2, 3, 20, 30], [10, 5, 45, 38], [1, 1, 1, 1]], np.float32)
TURNED = np.array([[5, 5, 30, 10, 25, 30, 2, 25]], np.float32)


@pytest.mark.parametrize("options",
                         [{}, {"colors": "red"}, {"colors": ["blue", (1, 2, 3), "#00ff00"], "width": 3}, {"fill": True},
                          {"labels": ["one", None, "three"]}, {"labels": ["a", "b", "c"], "label_colors": "white"},
                          {"labels": ["a", "b", "c"], "fill_labels": True, "label_background_colors": ["red"] * 3},
                          {"labels": ["a", "b", "c"], "fill_labels": True}])
@pytest.mark.parametrize("image", [BYTES, BYTES[:1], FLOATS])
def test_draw_bounding_boxes(options, image):
    assert_same(lambda m, x, b: m.draw_bounding_boxes(x, b, **options), image, BOXES)


@pytest.mark.parametrize("options", [{}, {"fill": True, "width": 2, "colors": "red"}])
def test_draw_turned_boxes(options):
    assert_same(lambda m, x, b: m.draw_bounding_boxes(x, b, **options), BYTES, TURNED)


@pytest.mark.parametrize("options", [{}, {"alpha": 0.3, "colors": "red"}, {"colors": ["blue", (10, 20, 30)]}])
@pytest.mark.parametrize("image", [BYTES, FLOATS])
def test_draw_segmentation_masks(options, image):
    masks = np.zeros((2, 40, 50), bool)
    masks[0, 5:20, 5:20] = masks[1, 10:30, 15:45] = True
    assert_same(lambda m, x, b: m.draw_segmentation_masks(x, b, **options), image, masks)
    assert_same(lambda m, x, b: m.draw_segmentation_masks(x, b, **options), image, masks[0])


@pytest.mark.parametrize("options", [{}, {"colors": "red", "radius": 4},
                                     {"connectivity": [(0, 1), (1, 2)], "width": 2, "colors": (1, 2, 3)}])
@pytest.mark.parametrize("image", [BYTES, FLOATS])
def test_draw_keypoints(options, image):
    points = RNG.integers(0, 40, (2, 3, 2)).astype(np.float32)
    seen = np.array([[True, True, False], [True, True, True]])
    assert_same(lambda m, x, p: m.draw_keypoints(x, p, **options), image, points)
    assert_same(lambda m, x, p, v: m.draw_keypoints(x, p, visibility=v, **options), image, points, seen)


@pytest.mark.parametrize("shape", [(2, 9, 11), (3, 2, 9, 11)])
def test_flow_to_image(shape):
    assert_same(lambda m, x: m.flow_to_image(x), RNG.standard_normal(shape).astype(np.float32))


DRAWING_ERRORS = [
    lambda m, t: m.draw_bounding_boxes(3, t(BOXES)), lambda m, t: m.draw_bounding_boxes(t(BYTES)[None], t(BOXES)),
    lambda m, t: m.draw_bounding_boxes(t(BYTES.astype(np.int32)), t(BOXES)),
    lambda m, t: m.draw_bounding_boxes(t(BYTES[:2]), t(BOXES)),
    lambda m, t: m.draw_bounding_boxes(t(BYTES), t(BOXES[:, ::-1])),
    lambda m, t: m.draw_bounding_boxes(t(BYTES), t(BOXES), labels=["a"]),
    lambda m, t: m.draw_bounding_boxes(t(BYTES), t(BOXES), colors=["red"]),
    lambda m, t: m.draw_bounding_boxes(t(BYTES), t(BOXES), colors=3),
    lambda m, t: m.draw_bounding_boxes(t(BYTES), t(BOXES), colors=(1, 2)),
    lambda m, t: m.draw_segmentation_masks(t(BYTES), t(BYTES)),
    lambda m, t: m.draw_segmentation_masks(t(BYTES), t(BYTES[:, 1:] > 3)),
    lambda m, t: m.draw_segmentation_masks(t(BYTES[:1]), t(BYTES > 3)),
    lambda m, t: m.draw_keypoints(t(BYTES), t(BOXES)),
    lambda m, t: m.flow_to_image(t(FLOATS)), lambda m, t: m.flow_to_image(t(BYTES)),
]


@pytest.mark.parametrize("call", DRAWING_ERRORS)
def test_drawing_errors(call):
    with pytest.raises((TypeError, ValueError)) as reference:
        call(theirs, lambda x: torch.from_numpy(x.copy()))
    with pytest.raises(reference.type) as mine:
        call(ours, lambda x: wrap(x.copy()))
    assert str(mine.value)[:40].replace("rushlight", "torch") == str(reference.value)[:40]


# --- io ---

@pytest.mark.parametrize("channels", [1, 3])
def test_png_round_trip(tmp_path, channels):
    image = wrap(BYTES[:channels].copy())
    vio.write_png(image, tmp_path / "a.png", compression_level=1)
    assert rl.equal(vio.read_image(tmp_path / "a.png"), image)
    assert rl.equal(vio.decode_png(vio.encode_png(image)), image)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")),
                          BYTES.transpose(1, 2, 0) if channels == 3 else BYTES[0])


def test_jpeg(tmp_path):
    smooth = np.ascontiguousarray(np.moveaxis(
        np.asarray(Image.fromarray(BYTES.transpose(1, 2, 0)).resize((8, 8)).resize((64, 48))), -1, 0))
    vio.write_jpeg(wrap(smooth.copy()), str(tmp_path / "a.jpg"), quality=95)
    read = vio.read_image(str(tmp_path / "a.jpg"))
    assert np.abs(unwrap(read).astype(int) - smooth).mean() < 3
    assert np.array_equal(unwrap(read), np.moveaxis(np.asarray(Image.open(tmp_path / "a.jpg")), -1, 0))
    data = vio.read_file(tmp_path / "a.jpg")
    assert [tuple(x.shape) for x in vio.decode_jpeg([data, data], mode="gray")] == [(1, 48, 64)] * 2
    assert len(vio.encode_jpeg([read, read], quality=10)[0]) < len(vio.encode_jpeg(read, quality=90))


@pytest.mark.parametrize(("mode", "channels"), [("UNCHANGED", {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "P": 3}),
                                                ("GRAY", 1), ("GRAY_ALPHA", 2), ("RGB", 3), ("RGB_ALPHA", 4)])
@pytest.mark.parametrize("kind", ["L", "LA", "RGB", "RGBA", "P"])
def test_read_modes(tmp_path, mode, channels, kind):
    Image.fromarray(BYTES.transpose(1, 2, 0)).convert(kind).save(tmp_path / "a.png")
    wanted = channels if isinstance(channels, int) else channels[kind]
    for given in (vio.ImageReadMode[mode], mode.lower()):
        assert tuple(vio.read_image(tmp_path / "a.png", given).shape) == (wanted, 40, 50)


def test_sixteen_bits_gif_webp_and_orientation(tmp_path):
    Image.fromarray(np.arange(2000, dtype=np.uint16).reshape(40, 50) * 30).save(tmp_path / "a.png")
    deep = vio.read_image(tmp_path / "a.png")
    assert deep.dtype is rl.uint16 and unwrap(deep)[0, 39, 49] == 1999 * 30
    frames = [Image.fromarray(BYTES.transpose(1, 2, 0)), Image.fromarray(255 - BYTES.transpose(1, 2, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "b.gif")
    assert tuple(vio.read_image(tmp_path / "a.gif").shape) == (2, 3, 40, 50)
    assert tuple(vio.read_image(tmp_path / "b.gif").shape) == (3, 40, 50)
    frames[0].save(tmp_path / "a.webp", lossless=True)
    assert np.array_equal(unwrap(vio.decode_webp(vio.read_file(tmp_path / "a.webp"))), BYTES)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames[0].save(tmp_path / "a.jpg", exif=exif)
    assert tuple(vio.read_image(tmp_path / "a.jpg").shape) == (3, 40, 50)
    assert tuple(vio.read_image(tmp_path / "a.jpg", apply_exif_orientation=True).shape) == (3, 50, 40)


def test_bad_files_are_named(tmp_path):
    (tmp_path / "text.png").write_text("This is a text.")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(BYTES.transpose(1, 2, 0)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    for name, text in (("text.png", "begins with b'This is a te'"), ("empty.png", "Expected a non empty file"),
                       ("cut.jpg", "damaged"), ("none.png", "No such file")):
        with pytest.raises(RuntimeError, match=text) as caught:
            vio.read_image(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(RuntimeError, match="Unsupported image file"):
        vio.decode_png(vio.read_file(tmp_path / "whole.jpg"))
    for wrong in (wrap(FLOATS.copy()), wrap(BYTES.copy()), rl.zeros(0, dtype=rl.uint8)):
        with pytest.raises(RuntimeError, match="^Expected a"):
            vio.decode_image(wrong)
    for call in (lambda: vio.encode_png(wrap(FLOATS.copy())), lambda: vio.encode_png(wrap(BYTES[0].copy())),
                 lambda: vio.encode_jpeg(wrap(BYTES[:2].copy())), lambda: vio.encode_png(wrap(BYTES.copy()), 10)):
        with pytest.raises(RuntimeError):
            call()
    for call in (lambda: vio.encode_jpeg(wrap(BYTES.copy()), 0),
                 lambda: vio.encode_jpeg([]), lambda: vio.decode_jpeg([])):
        with pytest.raises(ValueError):
            call()
