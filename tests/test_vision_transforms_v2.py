"""Transforms v2 against torchvision: samples of pictures with boxes, masks and points;
MixUp and CutMix; structure and errors."""

from __future__ import annotations

import copy
import importlib

import numpy as np
import pytest
from PIL import Image

import rushlight as rl
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision import tv_tensors as tv
from rushlight.vision.transforms import v2 as ours
from test_vision_transforms_parity import assert_close, real_pictures
from vision_oracle import torch, torchvision

theirs = importlib.import_module("torchvision.transforms.v2")
SEEDS = range(20)
B = "bilinear"

PLACES = {
    "Resize": lambda T: T.Resize((31, 47)), "Resize edge": lambda T: T.Resize(30, max_size=40),
    "Resize none": lambda T: T.Resize(None, max_size=50),
    "CenterCrop": lambda T: T.CenterCrop((30, 100)),
    "Pad": lambda T: T.Pad((1, 2, 3, 4)), "Flip": lambda T: T.RandomHorizontalFlip(),
    "VerticalFlip": lambda T: T.RandomVerticalFlip(), "RandomCrop": lambda T: T.RandomCrop(40, padding=4),
    "RandomCrop wide": lambda T: T.RandomCrop((30, 120), pad_if_needed=True),
    "RandomResizedCrop": lambda T: T.RandomResizedCrop(32),
    "RandomRotation": lambda T: T.RandomRotation(30),
    "RandomRotation expand": lambda T: T.RandomRotation(60, expand=True),
    "RandomRotation centre": lambda T: T.RandomRotation(60, center=[10, 20], interpolation=B),
    "RandomAffine": lambda T: T.RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 10, interpolation=B),
    "RandomPerspective": lambda T: T.RandomPerspective(0.4, 0.8),
    "ElasticTransform": lambda T: T.ElasticTransform(40.0),
    "RandomZoomOut": lambda T: T.RandomZoomOut(p=0.8), "ScaleJitter": lambda T: T.ScaleJitter((50, 60)),
    "RandomShortestSize": lambda T: T.RandomShortestSize([20, 30, 40], max_size=45),
    "RandomResize": lambda T: T.RandomResize(20, 60),
    "RandomIoUCrop": lambda T: T.RandomIoUCrop(),
    "Choice": lambda T: T.RandomChoice([T.RandomRotation(10), T.Resize(20)], [1.0, 3.0]),
    "Order": lambda T: T.RandomOrder([T.RandomHorizontalFlip(), T.Resize(20), T.RandomCrop(10)]),
    "Apply": lambda T: T.RandomApply([T.Resize(20), T.RandomCrop(15)], 0.5),
}
COLOURS = {
    "ColorJitter": lambda T: T.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "Photometric": lambda T: T.RandomPhotometricDistort(), "Gray": lambda T: T.Grayscale(3),
    "RandomGrayscale": lambda T: T.RandomGrayscale(0.5),
    "Blur": lambda T: T.GaussianBlur(5), "Equalize": lambda T: T.RandomEqualize(),
    "Invert": lambda T: T.RandomInvert(), "Posterize": lambda T: T.RandomPosterize(3),
    "Solarize": lambda T: T.RandomSolarize(90.0),
    "Autocontrast": lambda T: T.RandomAutocontrast(), "Sharpness": lambda T: T.RandomAdjustSharpness(2.0),
    "Permutation": lambda T: T.RandomChannelPermutation(),
    "Erasing": lambda T: T.RandomErasing(0.8, value=(1, 2, 3)),
    "RGB": lambda T: T.RGB(), "Identity": lambda T: T.Identity(),
}
AUTOMATIC = {
    "AutoAugment": lambda T: T.AutoAugment(), "RandAugment": lambda T: T.RandAugment(fill=3),
    "Trivial": lambda T: T.TrivialAugmentWide(),
    "AugMix": lambda T: T.AugMix(),
}
CORNERS = np.array([[5, 6, 30, 40], [40, 10, 80, 55], [0, 0, 82, 60]], np.float32)
WRITTEN = {"XYXY": lambda b: b, "XYWH": lambda b: np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], 1),
           "CXCYWH": lambda b: np.concatenate([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1)}


@pytest.fixture(scope="module")
def pictures():
    return real_pictures(20)


class Side:
    """One of the two libraries: its modules, and how to make its tensors."""

    def __init__(self, mine):
        self.T, self.tv = (ours, tv) if mine else (theirs, torchvision.tv_tensors)
        self.tensor = (lambda a: wrap(a.copy())) if mine else (lambda a: torch.from_numpy(a.copy()))
        self.seed = rl.manual_seed if mine else torch.manual_seed
        self.state = ((lambda: unwrap(rl.get_rng_state()).tobytes()) if mine else
                      (lambda: torch.get_rng_state().numpy().tobytes()))

    def sample(self, pixels, form, pil):
        height, width = pixels.shape[:2]
        mask = (np.arange(height * width).reshape(height, width) // 97 % 5).astype(np.uint8)
        points = np.array([[3, 4], [50, 30], [82, 60]], np.float32)
        image = Image.fromarray(pixels) if pil else self.tv.Image(self.tensor(
            np.ascontiguousarray(np.moveaxis(pixels, -1, 0))))
        return {"image": image, "masks": self.tv.Mask(self.tensor(np.stack([mask, mask[::-1]]))),
                "label": 7, "more": [self.tensor(np.arange(3)), "text"],
                "boxes": self.tv.BoundingBoxes(self.tensor(WRITTEN[form](CORNERS)),
                                               format=form, canvas_size=(height, width)),
                "points": self.tv.KeyPoints(self.tensor(points), canvas_size=(height, width))}


BOTH = Side(True), Side(False)


def assert_same_sample(mine, reference):
    assert list(mine) == list(reference)
    assert mine["label"] == 7 and mine["more"][1] == "text"
    assert_close(mine["image"], reference["image"])
    assert_close(mine["masks"], reference["masks"])
    for name in ("boxes", "points"):
        assert type(mine[name]).__name__ == type(reference[name]).__name__
        assert tuple(mine[name].canvas_size) == tuple(reference[name].canvas_size)
        np.testing.assert_allclose(unwrap(mine[name]), reference[name].numpy(), rtol=1e-4, atol=2e-3)
    assert mine["boxes"].format.name == reference["boxes"].format.name
    assert type(mine["masks"]).__name__ == "Mask"


@pytest.mark.parametrize("pil", [True, False])
@pytest.mark.parametrize("name", [*PLACES, *COLOURS])
def test_samples(name, pil, pictures):
    make = {**PLACES, **COLOURS}[name]
    for seed in SEEDS:
        form = list(WRITTEN)[seed % 3]
        out, states = [], []
        for side in BOTH:
            sample = side.sample(pictures[seed], form, pil)
            if name == "Erasing":
                sample = {key: sample[key] for key in ("image", "label")}
            transform = make(side.T)
            side.seed(seed)
            out.append(transform(sample))
            states.append(side.state())
        assert states[0] == states[1]
        if name == "Erasing":
            assert_close(out[0]["image"], out[1]["image"])
        else:
            assert_same_sample(*out)


@pytest.mark.parametrize("pil", [True, False])
@pytest.mark.parametrize("name", list(AUTOMATIC))
def test_automatic(name, pil, pictures):
    for seed in range(20):
        out, states = [], []
        for side in BOTH:
            sample = side.sample(pictures[seed], "XYXY", pil)
            side.seed(seed)
            out.append(AUTOMATIC[name](side.T)(sample["image"], 3))
            states.append(side.state())
        assert states[0] == states[1] and out[0][1] == 3
        assert_close(out[0][0], out[1][0])


@pytest.mark.parametrize("name", [*PLACES, *COLOURS, *AUTOMATIC])
def test_repr(name):
    make = {**PLACES, **COLOURS, **AUTOMATIC}[name]
    assert repr(make(ours)) == repr(make(theirs))


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
@pytest.mark.parametrize("labels", ["numbers", "shares"])
def test_mixing(name, labels):
    rng = np.random.default_rng(0)
    pixels, numbers = rng.random((4, 3, 20, 30), np.float32), np.array([0, 2, 1, 2])
    target = numbers if labels == "numbers" else np.eye(3, dtype=np.float32)[numbers]
    for seed in range(12):
        out = []
        for side in BOTH:
            transform = getattr(side.T, name)(alpha=[0.3, 1.0, 2.5][seed % 3], num_classes=3)
            side.seed(seed)
            out.append((transform(side.tensor(pixels), side.tensor(target)), side.state()))
        assert out[0][1] == out[1][1]
        for mine, reference in zip(out[0][0], out[1][0]):
            np.testing.assert_allclose(unwrap(mine), reference.numpy(), atol=1e-5)


def test_mixing_refuses():
    image = rl.zeros(2, 3, 4, 4)
    for call, error in [(lambda: ours.MixUp()(image, rl.tensor([0, 1])),
                         "num_classes must be passed"), (lambda: ours.MixUp(num_classes=3)(image, 3), "labels_getter"),
                        (lambda: ours.CutMix(num_classes=3)(image, rl.tensor([0, 1, 2])), "batch size"),
                        (lambda: ours.CutMix(num_classes=3)(image[0], rl.tensor([0, 1])), "batched input"), (
                                lambda: ours.MixUp(num_classes=3)(image, rl.zeros(2, 4)), "must match num_classes")]:
        with pytest.raises(ValueError, match=error):
            call()


def test_sanitize():
    out = []
    for side in BOTH:
        boxes = np.array([[1, 1, 5, 5], [3, 3, 3.5, 9], [-1, 0, 4, 4], [10, 10, 30, 20]], np.float32)
        sample = {"boxes": side.tv.BoundingBoxes(side.tensor(boxes), format="XYXY", canvas_size=(20, 30)),
                  "labels": side.tensor(np.arange(4)),
                  "masks": side.tv.Mask(side.tensor(np.arange(4 * 6).reshape(4, 2, 3))),
                  "image": side.tv.Image(side.tensor(np.zeros((3, 20, 30), np.uint8)))}
        out.append(side.T.SanitizeBoundingBoxes()(sample))
    for name in ("boxes", "labels", "masks"):
        assert unwrap(out[0][name]).tolist() == out[1][name].tolist()
    assert unwrap(out[0]["labels"]).tolist() == [0, 3] and type(out[0]["boxes"]) is tv.BoundingBoxes


@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize("new", list(WRITTEN))
@pytest.mark.parametrize("old", list(WRITTEN))
def test_formats(old, new, integers):
    values = WRITTEN[old](CORNERS).astype(np.int64 if integers else np.float32)
    mine, reference = (side.T.functional.convert_bounding_box_format(side.tensor(values), side.tv.BoundingBoxFormat[old], new) for side in BOTH)
    assert unwrap(mine).tolist() == reference.tolist()


def test_clamping():
    wide = np.array([[-5, -5, 200, 20], [50, 50, 60, 90]], np.float32)
    for mode in ("soft", None):
        mine, reference = (side.T.ClampBoundingBoxes()(side.tv.BoundingBoxes(side.tensor(wide), format="XYXY", canvas_size=(61, 83), clamping_mode=mode)) for side in BOTH)
        assert unwrap(mine).tolist() == reference.tolist()
    mine, reference = (side.T.ClampKeyPoints()(side.tv.KeyPoints(side.tensor(wide[:, :2]), canvas_size=(61, 83)))
                       for side in BOTH)
    assert unwrap(mine).tolist() == reference.tolist()


def test_the_usual_chains(pictures):
    chain = {}
    for side, float32 in zip(BOTH, (rl.float32, torch.float32)):
        transform = side.T.Compose([side.T.ToImage(), side.T.RandomResizedCrop((24, 24), antialias=True),
                                    side.T.RandomHorizontalFlip(), side.T.ToDtype(float32, scale=True),
                                    side.T.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])])
        side.seed(3)
        chain[side] = transform(Image.fromarray(pictures[0]), 5)
    mine, reference = chain[BOTH[0]], chain[BOTH[1]]
    assert mine[1] == 5 and type(mine[0]) is tv.Image
    assert np.abs(unwrap(mine[0]) - reference[0].numpy()).max() < 0.02 / 0.2


def test_plain_tensors_beside_pictures_pass():
    image, other = tv.Image(rl.zeros(3, 4, 4)), rl.ones(3, 4, 4)
    out = ours.Resize((2, 2))(image, other)
    assert tuple(out[0].shape) == (3, 2, 2) and out[1] is other
    first, second = ours.Resize((2, 2))(other, rl.ones(3, 4, 4))
    assert tuple(first.shape) == (3, 2, 2) and tuple(second.shape) == (3, 4, 4)


def test_kinds_are_kept_and_lost():
    boxes = tv.BoundingBoxes([[1, 2, 3, 4]], format="xywh", canvas_size=(10, 12))
    assert boxes.format is tv.BoundingBoxFormat.XYWH and isinstance(boxes, Tensor)
    for same in (boxes.clone(), boxes.to(rl.float32), boxes.detach(), copy.deepcopy(boxes)):
        assert type(same) is tv.BoundingBoxes and same.canvas_size == (10, 12)
    assert type(boxes + 1) is Tensor and type(boxes[0]) is Tensor and type(boxes.as_subclass(Tensor)) is Tensor
    assert type(tv.wrap(boxes + 1, like=boxes)) is tv.BoundingBoxes
    weights = tv.Image(rl.ones(3, 2, 2), requires_grad=True)
    (weights * 2).sum().backward()
    assert unwrap(weights.grad).tolist() == (np.full((3, 2, 2), 2.0)).tolist()


def test_printing():
    mine, reference = (side.tv.BoundingBoxes(side.tensor(CORNERS), format="XYXY", canvas_size=(61, 83)) for side in BOTH)
    assert repr(mine) == repr(reference)
    assert repr(tv.Mask(rl.zeros(2))) == repr(torchvision.tv_tensors.Mask(torch.zeros(2)))


def test_to_dtype_by_kind():
    sample = {"image": tv.Image(rl.ones(3, 2, 2)), "mask": tv.Mask(rl.ones(2, 2, dtype=rl.uint8))}
    out = ours.ToDtype({tv.Image: rl.uint8, tv.Mask: rl.int64, "others": None}, scale=True)(sample)
    assert out["image"].dtype is rl.uint8 and unwrap(out["image"]).max() == 255
    assert out["mask"].dtype is rl.int64 and unwrap(out["mask"]).max() == 1 and type(out["mask"]) is tv.Mask


def test_a_kernel_of_ones_own():
    class Sound(tv.TVTensor):
        pass

    @ours.functional.register_kernel(ours.functional.horizontal_flip, Sound)
    def flipped(inpt):
        return "backwards"

    sound = Sound.wrap(rl.zeros(3), rl.zeros(3))
    assert ours.functional.horizontal_flip(sound) == "backwards"
    assert ours.RandomHorizontalFlip(1.0)(sound) == "backwards"
    with pytest.raises(TypeError, match="resize supports inputs of type"):
        ours.functional.resize(sound, 3)


ERRORS = [lambda T: T.Compose([]), lambda T: T.Compose(3), lambda T: T.RandomHorizontalFlip(2),
          lambda T: T.Resize(2.5), lambda T: T.Resize(None), lambda T: T.RandomChoice([T.Identity()], p=[1, 2]),
          lambda T: T.RandomZoomOut(side_range=(0.5, 1)), lambda T: T.JPEG(0), lambda T: T.JPEG(True),
          lambda T: T.ToDtype("x"), lambda T: T.SanitizeBoundingBoxes(min_size=0),
          lambda T: T.SetClampingMode("x"), lambda T: T.Pad("x"), lambda T: T.RandomPerspective(2.0),
          lambda T: T.GaussianBlur(2), lambda T: T.RandAugment(num_ops=-1), lambda T: T.AugMix(severity=0),
          lambda T: T.Resize(3)(Image.new("RGB", (4, 4)), 3) and T.RandomIoUCrop()(Image.new("RGB", (4, 4))),
          lambda T: T.Normalize([1], [1])(Image.new("L", (2, 2))), lambda T: T.RandomCrop(9)(Image.new("RGB", (4, 4))),
          lambda T: T.AutoAugment()("x"), lambda T: T.RandomResizedCrop(3)("x", 3) and T.RandomErasing(1.0)("x")]


@pytest.mark.parametrize("call", ERRORS)
def test_errors(call):
    with pytest.raises(Exception) as reference:  # noqa: B017, PT011 - whatever the oracle raises
        call(theirs)
    with pytest.raises(reference.type) as mine:
        call(ours)
    assert str(mine.value)[:25] == str(reference.value)[:25]
