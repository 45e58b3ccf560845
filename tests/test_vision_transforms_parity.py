"""Transforms against torchvision: 40 of them × 20 seeds, PIL images and tensors:
equal decisions, pixels within 1/255."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

import realdata
import rushlight as rl
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision import transforms as ours
from vision_oracle import torch, torchvision

theirs = torchvision.transforms
SEEDS = range(20)

# name: (how to make it from a module of transforms, what it takes: p PIL, t byte tensors, f float tensors)
TRANSFORMS = {
    "Resize": (lambda T: T.Resize((37, 53)), "ptf"),
    "Resize shorter edge": (lambda T: T.Resize(33, max_size=40), "ptf"),
    "Resize larger": (lambda T: T.Resize((90, 111)), "ptf"),
    "Resize bicubic": (lambda T: T.Resize((30, 41), interpolation=T.InterpolationMode.BICUBIC), "ptf"),
    "Resize nearest": (lambda T: T.Resize((29, 100), interpolation=T.InterpolationMode.NEAREST), "tf"),
    "Resize exact": (lambda T: T.Resize((29, 100), interpolation=T.InterpolationMode.NEAREST_EXACT), "ptf"),
    "Resize plain": (lambda T: T.Resize((30, 100), antialias=False), "tf"),
    "Resize plain bicubic": (lambda T: T.Resize((30, 100),
                                                interpolation=T.InterpolationMode.BICUBIC, antialias=False), "tf"),
    "CenterCrop": (lambda T: T.CenterCrop((41, 39)), "ptf"),
    "CenterCrop beyond": (lambda T: T.CenterCrop((101, 39)), "ptf"),
    "Pad": (lambda T: T.Pad((1, 2, 3, 4), fill=7), "pt"),
    "Pad reflect": (lambda T: T.Pad((5, 9), padding_mode="reflect"), "ptf"),
    "Pad symmetric": (lambda T: T.Pad((5, 9), padding_mode="symmetric"), "ptf"),
    "Pad edge": (lambda T: T.Pad(4, padding_mode="edge"), "ptf"),
    "RandomCrop": (lambda T: T.RandomCrop(40, padding=5, padding_mode="reflect"), "ptf"),
    "RandomCrop if needed": (lambda T: T.RandomCrop((90, 30), pad_if_needed=True), "ptf"),
    "RandomResizedCrop": (lambda T: T.RandomResizedCrop(32), "ptf"),
    "RandomResizedCrop narrow": (lambda T: T.RandomResizedCrop((32, 20), scale=(0.9, 1.0), ratio=(3.0, 5.0)), "ptf"),
    "RandomHorizontalFlip": (lambda T: T.RandomHorizontalFlip(), "ptf"),
    "RandomVerticalFlip": (lambda T: T.RandomVerticalFlip(0.3), "ptf"),
    "RandomRotation": (lambda T: T.RandomRotation(40, fill=9), "ptf"),
    "RandomRotation bilinear": (lambda T: T.RandomRotation((10, 70), T.InterpolationMode.BILINEAR, expand=True), "ptf"),
    "RandomRotation centre": (lambda T: T.RandomRotation(30, center=(10, 12)), "ptf"),
    "RandomAffine": (lambda T: T.RandomAffine(30, (0.1, 0.2), (0.8, 1.3), (5, 10, -5, 5), fill=3), "ptf"),
    "RandomAffine bilinear": (lambda T: T.RandomAffine(30, None, (0.8, 1.3), 9,
                                                       T.InterpolationMode.BILINEAR, center=(1, 2)), "ptf"),
    "RandomPerspective": (lambda T: T.RandomPerspective(0.6, p=0.8), "ptf"),
    "RandomPerspective nearest": (lambda T: T.RandomPerspective(0.3, 1.0, T.InterpolationMode.NEAREST, fill=200), "pt"),
    "ColorJitter": (lambda T: T.ColorJitter(0.4, 0.5, 0.6, 0.1), "ptf"),
    "ColorJitter hue": (lambda T: T.ColorJitter(hue=(-0.5, 0.5)), "ptf"),
    "GaussianBlur": (lambda T: T.GaussianBlur((5, 9), (0.3, 3.0)), "ptf"),
    "RandomErasing": (lambda T: T.RandomErasing(0.8, value=(1, 2, 3)), "tf"),
    "RandomErasing noise": (lambda T: T.RandomErasing(1.0, value="random"), "f"),
    "Grayscale": (lambda T: T.Grayscale(3), "ptf"),
    "RandomGrayscale": (lambda T: T.RandomGrayscale(0.5), "ptf"),
    "RandomInvert": (lambda T: T.RandomInvert(), "ptf"),
    "RandomPosterize": (lambda T: T.RandomPosterize(3), "pt"),
    "RandomSolarize": (lambda T: T.RandomSolarize(100), "pt"),
    "RandomAdjustSharpness": (lambda T: T.RandomAdjustSharpness(2.5), "ptf"),
    "RandomAutocontrast": (lambda T: T.RandomAutocontrast(), "ptf"),
    "RandomEqualize": (lambda T: T.RandomEqualize(), "pt"),
    "ElasticTransform": (lambda T: T.ElasticTransform(60.0, 4.0), "ptf"),
    "ElasticTransform nearest": (lambda T: T.ElasticTransform([30.0, 60.0], [3.0, 4.0],
                                                              T.InterpolationMode.NEAREST, fill=5), "pt"),
    "AutoAugment": (lambda T: T.AutoAugment(), "pt"),
    "AutoAugment cifar": (lambda T: T.AutoAugment(T.AutoAugmentPolicy.CIFAR10, fill=128), "pt"),
    "AutoAugment svhn": (lambda T: T.AutoAugment(T.AutoAugmentPolicy.SVHN), "pt"),
    "RandAugment": (lambda T: T.RandAugment(3, 12), "pt"),
    "TrivialAugmentWide": (lambda T: T.TrivialAugmentWide(), "pt"),
    "AugMix": (lambda T: T.AugMix(), "pt"),
    "AugMix some": (lambda T: T.AugMix(5, 2, 2, 0.5, all_ops=False), "pt"),
    "RandomApply": (lambda T: T.RandomApply([T.RandomRotation(10), T.RandomVerticalFlip()], 0.6), "ptf"),
    "RandomChoice": (lambda T: T.RandomChoice([T.RandomRotation(10),
                                               T.RandomVerticalFlip(), T.Pad(3)], (1, 2, 3)), "ptf"),
    "RandomOrder": (lambda T: T.RandomOrder([T.RandomRotation(10), T.RandomVerticalFlip(),
                                             T.Pad(3), T.Resize((20, 70))]), "ptf"),
    "FiveCrop": (lambda T: T.FiveCrop((21, 30)), "ptf"),
    "TenCrop": (lambda T: T.TenCrop(20, vertical_flip=True), "ptf"),
    "Compose": (lambda T: T.Compose([T.RandomResizedCrop(24), T.RandomHorizontalFlip(),
                                     T.ToTensor(), T.Normalize((0.4,) * 3, (0.25,) * 3)]), "p"),
}


def real_pictures(count):
    """Photographs (61, 83, 3): four of CIFAR-10 in a square, enlarged."""
    with np.load(realdata.path("cifar10/cifar10_lossless_6102.npz")) as archive:
        small = archive["data_batch_1_x"][:4 * count].reshape(count, 2, 2, 3, 32, 32)
    squares = small.transpose(0, 1, 4, 2, 5, 3).reshape(count, 64, 64, 3)
    return [np.asarray(Image.fromarray(square).resize((83, 61), Image.Resampling.BICUBIC)) for square in squares]


@pytest.fixture(scope="module")
def pictures():
    return real_pictures(20)


def seed_all(seed):
    torch.manual_seed(seed)
    random.seed(seed)
    rl.manual_seed(seed)


def array(out):
    """The numbers of a PIL image or tensor of either library."""
    if isinstance(out, Image.Image):
        return np.asarray(out)
    return unwrap(out) if isinstance(out, Tensor) else out.numpy()


def assert_close(mine, reference):
    if isinstance(reference, tuple):
        assert isinstance(mine, tuple) and len(mine) == len(reference)
        for a, b in zip(mine, reference):
            assert_close(a, b)
        return
    a, b = array(mine), array(reference)
    assert a.shape == b.shape and a.dtype == b.dtype
    if isinstance(reference, Image.Image):
        assert mine.mode == reference.mode
    scale = 255 if a.dtype.kind == "f" else 1
    assert np.abs(a.astype(float) - b.astype(float)).max() * scale <= 1.01


def both(make, seed, kind, pixels):
    """The results of both libraries after the same seed, and whether they have drawn the same numbers."""
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, -3)) if pixels.ndim > 2 else pixels
    planes = planes.astype(np.float32) / 255 if kind == "f" else planes
    inputs = {"p": lambda: (Image.fromarray(pixels),) * 2}.get(kind, lambda: (wrap(planes.copy()), torch.from_numpy(planes.copy())))()
    results, after = [], []
    for module, given in zip((ours, theirs), inputs):
        transform = make(module)
        seed_all(seed)
        results.append(transform(given))
        state = unwrap(rl.get_rng_state()) if module is ours else torch.get_rng_state().numpy()
        after.append((random.getstate(), state.tobytes()))
    assert after[0] == after[1]
    return results


CASES = [(name, kind) for name, (_, kinds) in TRANSFORMS.items() for kind in kinds]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_parity(name, kind, pictures):
    make, _ = TRANSFORMS[name]
    for seed in SEEDS:
        assert_close(*both(make, seed, kind, pictures[seed]))


@pytest.mark.parametrize("name",
                         [name for name, kind in CASES if kind == "t" and not name.startswith("RandomErasing noise")])
def test_parity_of_batches(name, pictures):
    make, _ = TRANSFORMS[name]
    for seed in range(3):
        assert_close(*both(make, seed, "t", np.stack(pictures[seed:seed + 3])))


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_repr(name):
    make, _ = TRANSFORMS[name]
    assert repr(make(ours)) == repr(make(theirs))


GRAY = {"Resize", "RandomResizedCrop", "RandomRotation", "ColorJitter",
        "GaussianBlur", "RandomPosterize", "RandomEqualize", "RandomAutocontrast",
        "RandomAdjustSharpness", "Pad", "RandomPerspective", "Grayscale", "RandAugment"}


@pytest.mark.parametrize("name", sorted(GRAY))
@pytest.mark.parametrize("kind", "pt")
def test_parity_of_gray_pictures(name, kind, pictures):
    make, _ = TRANSFORMS[name]
    for seed in range(5):
        gray = pictures[seed][..., 1]
        assert_close(*both(make, seed, kind, gray if kind == "p" else gray[..., None]))


FUNCTIONS = {
    "adjust_gamma": lambda F, x: F.adjust_gamma(x, 0.7, 1.1),
    "hflip": lambda F, x: F.hflip(x), "vflip": lambda F, x: F.vflip(x),
    "crop outside": lambda F, x: F.crop(x, -5, 40, 30, 60), "crop far": lambda F, x: F.crop(x, 100, 100, 5, 5),
    "rotate 90": lambda F, x: F.rotate(x, 90.0, expand=True),
    "affine": lambda F, x: F.affine(x, 15, [3, -4], 1.2, 7.0, fill=[1.0]),
    "resized_crop": lambda F, x: F.resized_crop(x, 3, 4, 30, 40, [20, 24]),
    "brightness": lambda F, x: F.adjust_brightness(x, 1.7),
    "contrast": lambda F, x: F.adjust_contrast(x, 1.7), "saturation": lambda F, x: F.adjust_saturation(x, 0.2),
    "sharpness": lambda F, x: F.adjust_sharpness(x, 0.3), "gaussian_blur": lambda F, x: F.gaussian_blur(x, 7),
    "get_dimensions": lambda F, x: F.get_dimensions(x), "get_image_size": lambda F, x: F.get_image_size(x),
    "perspective": lambda F, x: F.perspective(x, [[0, 0], [82, 0], [82, 60], [0, 60]],
                                              [[5, 5], [80, 3], [70, 55], [2, 60]]),
}


@pytest.mark.parametrize("name", list(FUNCTIONS))
@pytest.mark.parametrize("kind", "ptf")
def test_functions(name, kind, pictures):
    results = both(lambda T: lambda x: FUNCTIONS[name](T.functional, x), 0, kind, pictures[3])
    if isinstance(results[1], list):
        assert results[0] == results[1]
    else:
        assert_close(*results)


@pytest.mark.parametrize(("shape", "dtype", "mode"),
                         [((5, 7, 3), np.uint8, None), ((5, 7), np.uint8, None), ((5, 7, 4), np.uint8, "CMYK"),
                          ((5, 7, 2), np.uint8, None), ((5, 7, 3), np.float32, None), ((5, 7, 1), np.float32, "F"),
                          ((5, 7), np.int32, None), ((5, 7, 3), np.uint8, "HSV")])
def test_to_pil_image(shape, dtype, mode):
    values = (np.random.default_rng(0).random(shape) * (1 if dtype == np.float32 else 255)).astype(dtype)
    mine, reference = ours.ToPILImage(mode)(values), theirs.ToPILImage(mode)(values)
    assert mine.mode == reference.mode and mine.tobytes() == reference.tobytes()
    planes = np.ascontiguousarray(np.moveaxis(np.atleast_3d(values), -1, 0))
    assert ours.ToPILImage(mode)(wrap(planes)).tobytes() == theirs.ToPILImage(mode)(torch.from_numpy(planes)).tobytes()


def test_linear_transformation(pictures):
    planes = np.ascontiguousarray(pictures[0][:4, :5].transpose(2, 0, 1)).astype(np.float32)
    rng = np.random.default_rng(0)
    matrix, mean = rng.standard_normal((60, 60)).astype(np.float32), rng.standard_normal(60).astype(np.float32)
    mine = ours.LinearTransformation(wrap(matrix), wrap(mean))(wrap(planes))
    reference = theirs.LinearTransformation(torch.from_numpy(matrix), torch.from_numpy(mean))(torch.from_numpy(planes))
    np.testing.assert_allclose(unwrap(mine), reference.numpy(), rtol=1e-4, atol=1e-2)


def test_gradients_pass_through_places_and_sizes():
    for function in (lambda F, x: F.resize(x, [5, 7]), lambda F, x: F.crop(x, 2, 3, 5, 5),
                     lambda F, x: F.hflip(x), lambda F, x: F.pad(x, [1, 2]),
                     lambda F, x: F.crop(x, -2, 3, 5, 50), lambda F, x: F.pad(x, [1, 2], padding_mode="reflect")):
        values = np.random.default_rng(0).random((3, 9, 11), np.float32)
        mine, reference = wrap(values.copy()).requires_grad_(), torch.from_numpy(values.copy()).requires_grad_()
        for module, x in ((ours, mine), (theirs, reference)):
            (function(module.functional, x) ** 2).sum().backward()
        np.testing.assert_allclose(unwrap(mine.grad), reference.grad.numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(NotImplementedError, match="image.detach"):
        ours.functional.rotate(mine, 20)


ERRORS = [
    lambda T: T.Resize(3.0), lambda T: T.Resize((1, 2, 3)),
    lambda T: T.CenterCrop((1, 2, 3)), lambda T: T.Pad("a"), lambda T: T.Pad(1, "x"),
    lambda T: T.Pad(1, padding_mode="odd"), lambda T: T.Pad((1, 2, 3)),
    lambda T: T.RandomResizedCrop(3, scale=2), lambda T: T.RandomRotation(-1),
    lambda T: T.RandomRotation((1, 2, 3)), lambda T: T.RandomAffine(10, translate=(2, 0)),
    lambda T: T.RandomAffine(10, scale=(0, 1)),
    lambda T: T.RandomAffine(10, shear=(1, 2, 3)), lambda T: T.ColorJitter(-1),
    lambda T: T.ColorJitter(hue=0.7), lambda T: T.ColorJitter("x"),
    lambda T: T.GaussianBlur(2), lambda T: T.GaussianBlur(3, 0),
    lambda T: T.GaussianBlur(3, (2, 1)), lambda T: T.GaussianBlur(3, (1, 2, 3)),
    lambda T: T.RandomErasing(2), lambda T: T.RandomErasing(value="odd"),
    lambda T: T.RandomErasing(scale=(0, 2)), lambda T: T.RandomErasing(value=None),
    lambda T: T.AugMix(severity=11), lambda T: T.AutoAugment("odd"),
    lambda T: T.ElasticTransform("x"), lambda T: T.ElasticTransform(sigma=[1.0]),
    lambda T: T.RandomChoice(3), lambda T: T.RandomOrder(3),
    lambda T: T.RandomChoice([], p=3), lambda T: T.RandomPerspective(fill=set()),
    lambda T: T.functional.resize(T.functional.to_tensor(np.zeros((4, 5, 3))), [2, 2], interpolation="bilinear"),
    lambda T: T.functional.resize(T.functional.to_tensor(np.zeros((4, 5, 3))), [2, 2], max_size=3),
    lambda T: T.functional.adjust_hue(T.functional.to_tensor(np.zeros((4, 5, 3))), 2),
    lambda T: T.functional.posterize(None, 9),
    lambda T: T.functional.posterize(T.functional.to_tensor(np.zeros((4, 5, 3))), 2),
    lambda T: T.functional.hflip(None),
    lambda T: T.functional.solarize(T.functional.to_tensor(np.zeros((4, 5, 3))), 2),
    lambda T: T.functional.gaussian_blur(None, 2),
    lambda T: T.functional.rotate(T.functional.to_tensor(np.zeros((4, 5, 3))), 3, fill=[1.0, 2.0]),
    lambda T: T.functional.rotate(T.functional.to_tensor(np.zeros((4, 5, 3))), 3, T.InterpolationMode.BICUBIC),
    lambda T: T.functional.affine(T.functional.to_tensor(np.zeros((4, 5, 3))), 3, [1], 1, 0),
    lambda T: T.functional.five_crop(T.functional.to_tensor(np.zeros((4, 5, 3))), 9),
    lambda T: T.functional.to_pil_image("x"),
    lambda T: T.functional.to_pil_image(np.zeros((2, 2, 5))),
    lambda T: T.functional.to_pil_image(np.zeros((2, 2, 3), np.uint8), mode="L"),
    lambda T: T.RandomCrop(9)(T.functional.to_tensor(np.zeros((4, 5, 3)))), lambda T: T.functional.to_grayscale(3),
]


@pytest.mark.parametrize("call", ERRORS)
def test_errors_are_torchvisions(call):
    with pytest.raises(Exception) as reference:  # noqa: B017, PT011 - whatever the oracle raises
        call(theirs)
    with pytest.raises(reference.type) as mine:
        call(ours)
    first = str(reference.value).split("\n")[0]
    assert str(mine.value)[:25] == first[:25]
