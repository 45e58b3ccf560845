"""Transforms v2 against torchvision where pictures are odd: half precision, other integers, one or two channels, empty batches, masks of
two dimensions, boxes of whole numbers, and arguments that are refused."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from PIL import Image

import rushlight as rl
from rushlight.vision import tv_tensors as tv
from rushlight.vision.transforms import v2 as ours
from vision_oracle import torch, torchvision

theirs = importlib.import_module("torchvision.transforms.v2")
BOTH = ((torch, theirs, torchvision.tv_tensors), (rl, ours, tv))
PICTURE = np.random.default_rng(0).integers(0, 256, (3, 9, 7), dtype=np.uint8)
BOXES = np.array([[-5, 3, 6, 9], [2, -7, 5, 4], [1, 1, 3, 2]], np.int64)


def numbers(t, x):
    return np.asarray(x.as_subclass(t.Tensor).to(t.float64).numpy())


def results(call):
    """What both libraries give: kinds, types and numbers."""
    found = []
    for t, T, kinds in BOTH:
        t.manual_seed(3)
        out = call(t, T, kinds)
        found.append((type(out).__name__, str(getattr(out, "dtype", "")), tuple(getattr(out, "canvas_size", ())),
                      numbers(t, out) if isinstance(out, t.Tensor) else np.asarray(out, np.float64)))
    return found


def assert_equal(call, tolerance=0.0):
    (*want, a), (*got, b) = results(call)
    assert got == want and a.shape == b.shape
    np.testing.assert_allclose(b, a, rtol=0, atol=tolerance)


def picture(t, dtype="uint8", pixels=PICTURE):
    made = t.from_numpy(pixels.copy())
    return made if dtype == "uint8" else (made.float() / 255).to(getattr(t, dtype))


COLOURS = {
    "adjust_saturation": (2.5,), "adjust_contrast": (0.4,), "adjust_hue": (0.2,), "adjust_gamma": (0.5, 0.9), "adjust_sharpness": (2.0,),
    "adjust_brightness": (1.4,), "posterize": (3,), "autocontrast": (), "solarize": (0.5,), "invert": (), "rgb_to_grayscale": (3,),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", COLOURS)
def test_colours_in_half_precision(name, dtype):
    if name == "adjust_hue" and dtype == "bfloat16":
        tolerance = 0.1  # PyTorch's hue rounds to bfloat16 at every step
    else:
        tolerance = 0.04 if dtype == "bfloat16" else 0.004
    assert_equal(lambda t, T, _: getattr(T.functional, name)(picture(t, dtype), *COLOURS[name]), tolerance)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("name", ["invert", "solarize", "posterize", "adjust_gamma"])
def test_levels_of_any_number_of_channels(name, channels):
    pixels = np.random.default_rng(1).integers(0, 256, (channels, 4, 5), dtype=np.uint8)
    arguments = {"solarize": (100,), "posterize": (3,), "adjust_gamma": (0.7,)}.get(name, ())
    assert_equal(lambda t, T, _: getattr(T.functional, name)(picture(t, pixels=pixels), *arguments), 1.0 if name == "adjust_gamma" else 0.0)


@pytest.mark.parametrize("size", [[5, 4], [20, 16], [9, 3]])
def test_lanczos_resizes_tensors(size):
    mode = lambda T: T.InterpolationMode.LANCZOS  # noqa: E731
    assert_equal(lambda t, T, _: T.functional.resize(picture(t, "float32"), size, mode(T)), 1e-5)
    assert_equal(lambda t, T, _: T.functional.resize(picture(t), size, mode(T)), 1.0)
    for _, T, _ in BOTH:
        with pytest.raises(ValueError, match="InterpolationMode.LANCZOS requires antialias=True"):
            T.functional.resize(PICTURE_OF[T], size, mode(T), antialias=False)


PICTURE_OF = {T: picture(t) for t, T, _ in BOTH}


@pytest.mark.parametrize("antialias", [True, False])
def test_bytes_overshoot_once_per_axis(antialias):
    pixels = np.where(np.random.default_rng(2).random((3, 12, 11)) < 0.5, 0, 255).astype(np.uint8)  # overshoots everywhere
    assert_equal(lambda t, T, _: T.functional.resize(picture(t, pixels=pixels), [19, 17], T.InterpolationMode.BICUBIC, antialias=antialias), 1.0)


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5)])
def test_resizing_nothing(shape):
    assert_equal(lambda t, T, _: T.functional.resize(t.zeros(shape), [6, 2]))


@pytest.mark.parametrize("angle", [0, 90, 180, 270, -90, 360, 450])
@pytest.mark.parametrize("expand", [False, True])
def test_quarter_turns_are_exact_in_any_mode(angle, expand):
    square = PICTURE if expand or angle % 180 == 0 else PICTURE[:, :7]
    assert_equal(lambda t, T, _: T.functional.rotate(picture(t, pixels=square), angle, T.InterpolationMode.BICUBIC, expand=expand))


MASKS = {
    "affine": lambda F, m, T: F.affine(m, 20, [1, 2], 0.8, [3.0, 0.0], fill=7), "rotate": lambda F, m, T: F.rotate(m, 30, fill=1),
    "perspective": lambda F, m, T: F.perspective(m, [[0, 0], [6, 0], [6, 8], [0, 8]], [[1, 0], [6, 1], [5, 8], [0, 7]], fill=3),
    "resize": lambda F, m, T: F.resize(m, [4, 13]), "exact": lambda F, m, T: F.resize(m, [4, 13], T.InterpolationMode.NEAREST_EXACT),
    "crop": lambda F, m, T: F.crop(m, 1, 2, 4, 3), "resized": lambda F, m, T: F.resized_crop(m, 0, 1, 8, 5, [5, 3], T.InterpolationMode.NEAREST_EXACT),
}


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", MASKS)
def test_masks(name, dimensions):
    values = np.arange(63).reshape(9, 7).astype(np.uint8)[(None,) * (dimensions - 2)]
    assert_equal(lambda t, T, kinds: MASKS[name](T.functional, kinds.Mask(t.from_numpy(values.copy())), T))


PLACES = {
    "horizontal_flip": (), "vertical_flip": (), "resize": ([13, 4],), "crop": (1, 2, 6, 5), "pad": ([1, 2, 3, 4],), "center_crop": ([4, 5],),
}


@pytest.mark.parametrize("form", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("name", PLACES)
def test_boxes_of_whole_numbers(name, form):
    boxes = np.abs(BOXES) if name == "resize" else BOXES
    assert_equal(lambda t, T, kinds: getattr(T.functional, name)(
        kinds.BoundingBoxes(t.from_numpy(boxes.copy()), format=form, canvas_size=(10, 7)), *PLACES[name]))


@pytest.mark.parametrize("old", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("new", ["XYXY", "XYWH", "CXCYWH"])
def test_formats_of_whole_numbers(old, new):
    assert_equal(lambda t, T, kinds: T.functional.convert_bounding_box_format(t.from_numpy(BOXES.copy()), old, new))


def test_converting_in_place_changes_the_numbers():
    def call(t, T, kinds):
        boxes = kinds.BoundingBoxes(t.from_numpy(np.abs(BOXES)).float(), format="XYWH", canvas_size=(10, 7))
        T.functional.convert_bounding_box_format(boxes, new_format="XYXY", inplace=True)
        return boxes.as_subclass(t.Tensor)
    assert_equal(call)


@pytest.mark.parametrize("kind", ["BoundingBoxes", "KeyPoints"])
def test_no_boxes_and_points_stay_on_their_canvas(kind):
    def made(t, kinds):
        facts = {"format": "XYXY"} if kind == "BoundingBoxes" else {}
        return getattr(kinds, kind)(t.zeros(0, 4 if facts else 2), canvas_size=(10, 7), **facts)
    assert_equal(lambda t, T, kinds: T.functional.rotate(made(t, kinds), 30, expand=True))
    assert_equal(lambda t, T, kinds: T.functional.affine(made(t, kinds), 30, [1], 0.0, [0.0]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8"])
@pytest.mark.parametrize("kind", ["Image", "Mask", "BoundingBoxes"])
def test_number_types(kind, dtype):
    def made(t, kinds):
        facts = {"format": "XYXY", "canvas_size": (10, 7)} if kind == "BoundingBoxes" else {}
        return getattr(kinds, kind)(t.from_numpy(np.abs(BOXES).astype(np.float32)) / 10 if facts else picture(t), **facts)
    assert_equal(lambda t, T, kinds: T.functional.convert_image_dtype(made(t, kinds), getattr(t, dtype)))
    assert_equal(lambda t, T, kinds: T.ConvertImageDtype(getattr(t, dtype))(made(t, kinds)))


def test_pil_images():
    gray = Image.fromarray(PICTURE[0])
    assert_equal(lambda t, T, _: T.ConvertImageDtype(t.float32)(gray))
    assert_equal(lambda t, T, _: T.functional.pil_to_tensor(gray.convert("1")))
    assert_equal(lambda t, T, _: T.functional.to_grayscale(picture(t), 3))


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "float16"])
def test_noise_is_drawn_in_the_type_of_the_picture(dtype):
    tolerance = {"uint8": 1.0, "float16": 2e-3}.get(dtype, 1e-6)
    assert_equal(lambda t, T, _: T.functional.gaussian_noise(picture(t, dtype), 0.1, 0.2, clip=False), tolerance)


@pytest.mark.parametrize("kind", ["Image", "Video"])
def test_augmix_of_batches(kind):
    frames = np.stack([PICTURE, PICTURE[:, ::-1].copy()])
    assert_equal(lambda t, T, kinds: T.AugMix()(getattr(kinds, kind)(picture(t, "float32", frames))), 4e-3)


@pytest.mark.parametrize("samples", [1, 3, 9])
def test_frames_of_videos(samples):
    frames = np.stack([PICTURE] * 5) + np.arange(5, dtype=np.uint8)[:, None, None, None]
    assert_equal(lambda t, T, kinds: T.UniformTemporalSubsample(samples)(kinds.Video(picture(t, pixels=frames))))
    assert_equal(lambda t, T, kinds: T.functional.uniform_temporal_subsample_video(picture(t, pixels=frames), samples))


def test_functions_of_plain_tensors_of_one_kind():
    names = [name for name in vars(theirs.functional) if name.endswith(("_image", "_video", "_mask")) and not name.startswith(("get_", "to_image"))]
    assert len(names) > 60 and not [name for name in names if not hasattr(ours.functional, name)]
    assert_equal(lambda t, T, _: T.functional.resize_image(picture(t), [4, 5], antialias=False), 1.0)
    assert_equal(lambda t, T, _: T.functional.crop_mask(picture(t)[0], 1, 2, 3, 4))
    assert_equal(lambda t, T, _: T.functional.adjust_hue_video(picture(t)[None], 0.2), 1.0)


REFUSED = {
    "max_size": (ValueError, lambda t, T, k: T.functional.resize(picture(t), [4, 5], max_size=9)),
    "max_size of boxes": (ValueError, lambda t, T, k: T.functional.resize(k.KeyPoints(t.zeros(1, 2), canvas_size=(4, 4)), [4, 5], max_size=9)),
    "fill": (ValueError, lambda t, T, k: T.functional.pad(picture(t), 1, fill=[1, 2, 3], padding_mode="edge")),
    "gray video": (TypeError, lambda t, T, k: T.functional.rgb_to_grayscale(k.Video(picture(t)[None]))),
    "coloured video": (TypeError, lambda t, T, k: T.functional.grayscale_to_rgb(k.Video(picture(t)[None]))),
    "gray of two channels": (ValueError, lambda t, T, k: T.functional.rgb_to_grayscale(picture(t)[:2])),
    "frames of a picture": (TypeError, lambda t, T, k: T.functional.get_num_frames(k.Image(picture(t)))),
    "kept boxes of a mask": (ValueError, lambda t, T, k: T.functional.sanitize_bounding_boxes(k.Mask(picture(t)))),
    "kept points of boxes": (ValueError, lambda t, T, k: T.functional.sanitize_keypoints(k.Mask(picture(t)))),
    "points without a canvas": (ValueError, lambda t, T, k: T.functional.sanitize_keypoints(t.zeros(2, 2))),
    "clamping without a canvas": (ValueError, lambda t, T, k: T.functional.clamp_keypoints(t.zeros(2, 2))),
    "bits of a bool": (TypeError, lambda t, T, k: T.functional.to_dtype(picture(t) > 9, t.uint8, scale=True)),
    "gamma of int32": (RuntimeError, lambda t, T, k: T.functional.adjust_gamma(picture(t).int(), 0.5)),
    "hue of int64": (RuntimeError, lambda t, T, k: T.functional.adjust_hue(picture(t).long(), 0.1)),
    "mean of two": (RuntimeError, lambda t, T, k: T.functional.normalize(picture(t, "float32"), [0.1, 0.2], [1.0, 1.0])),
}


@pytest.mark.parametrize("name", REFUSED)
def test_same_refusals(name):
    error, call = REFUSED[name]
    for t, T, kinds in BOTH:
        with pytest.raises(error):
            call(t, T, kinds)
