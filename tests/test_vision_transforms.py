"""Transforms: values, errors, and that a whole batch gives the bits of the samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import rushlight as rl
from rushlight.data import DataLoader
from rushlight.data.collate import default_collate
from rushlight.tensor.core import unwrap, wrap
from rushlight.vision import transforms as T
from rushlight.vision.datasets.in_memory import InMemoryDataset
from rushlight.vision.transforms import functional, whole_batch

RNG = np.random.default_rng(0)


def picture(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(("mode", "shape"), [("L", (5, 7)), ("RGB", (5, 7, 3)), ("RGBA", (2, 3, 4)), ("LA", (2, 3, 2))])
def test_to_tensor_of_byte_pictures(mode, shape):
    pixels = picture(*shape)
    expected = np.moveaxis(pixels.reshape(*shape[:2], -1), -1, 0).astype(np.float32) / np.float32(255)
    for source in (Image.fromarray(pixels), pixels):
        got = T.ToTensor()(source)
        assert got.dtype is rl.float32
        np.testing.assert_array_equal(got.numpy(), expected)
    np.testing.assert_array_equal(T.PILToTensor()(Image.fromarray(pixels)).numpy(),
                                  np.moveaxis(pixels.reshape(*shape[:2], -1), -1, 0))
    assert Image.fromarray(pixels).mode == mode


@pytest.mark.parametrize(("mode", "dtype"), [("I", np.int32), ("F", np.float32)])
def test_to_tensor_keeps_wide_pixels(mode, dtype):
    pixels = (RNG.random((3, 4)) * 1000).astype(dtype)
    got = T.ToTensor()(Image.fromarray(pixels))
    assert Image.fromarray(pixels).mode == mode
    np.testing.assert_array_equal(got.numpy(), pixels[None])


def test_to_tensor_of_black_and_white():
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    np.testing.assert_array_equal(T.ToTensor()(bits).numpy(), [[[0, 1], [1, 0]]])


def test_to_tensor_follows_the_default_dtype():
    rl.set_default_dtype(rl.float64)
    try:
        assert T.ToTensor()(picture(2, 2)).dtype is rl.float64
    finally:
        rl.set_default_dtype(rl.float32)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_normalize(inplace, dtype):
    x = RNG.random((2, 3, 4, 5)).astype(dtype)
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    t = wrap(x.copy())
    got = T.Normalize(mean, std, inplace)(t)
    shape = (3, 1, 1)
    expected = (x - np.asarray(mean, dtype).reshape(shape)) / np.asarray(std, dtype).reshape(shape)
    np.testing.assert_array_equal(got.numpy(), expected)
    np.testing.assert_array_equal(t.numpy(), expected if inplace else x)


def test_normalize_passes_gradients():
    x = rl.ones(1, 2, 2, requires_grad=True)
    T.Normalize([0.5], [0.25])(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full((1, 2, 2), 4.0))


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: T.ToTensor()("no picture"), TypeError, "pic should be PIL Image or ndarray. Got <class 'str'>"),
    (lambda: T.ToTensor()(np.zeros(3)), ValueError, "pic should be 2/3 dimensional. Got 1 dimensions."),
    (lambda: T.PILToTensor()(np.zeros((3, 3))), TypeError, "pic should be PIL Image. Got <class 'numpy.ndarray'>"),
    (lambda: T.Normalize([0.5], [0.5])(np.zeros((1, 2, 2))), TypeError,
     "img should be Tensor Image. Got <class 'numpy.ndarray'>"),
    (lambda: T.Normalize([0.5], [0.5])(rl.zeros(1, 2, 2, dtype=rl.uint8)),
     TypeError, "Input tensor should be a float tensor. Got torch.uint8."),
    (lambda: T.Normalize([0.5], [0.5])(rl.zeros(2, 2)), ValueError, "Expected tensor to be a tensor image of size"),
    (lambda: T.Normalize([0.5], [0.0])(rl.zeros(1, 2, 2)), ValueError,
     "std evaluated to zero after conversion to torch.float32"),
    (lambda: T.Lambda(3), TypeError, "Argument lambd should be callable, got 'int'"),
    (lambda: T.ConvertImageDtype(rl.int32)(rl.zeros(1, 2, 2)), RuntimeError,
     "The cast from torch.float32 to torch.int32 cannot be performed safely."),
])
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value).startswith(text)


def test_convert_image_dtype():
    x = rl.tensor([[[0, 127, 255]]], dtype=rl.uint8)
    assert T.ConvertImageDtype(rl.float32)(x).tolist() == (np.array([[[0, 127,
                                                                       255]]], np.float32) / np.float32(255)).tolist()
    assert T.ConvertImageDtype(rl.int32)(x).tolist() == [[[0, 127 << 23, 255 << 23]]]
    back = T.ConvertImageDtype(rl.uint8)(T.ConvertImageDtype(rl.float32)(x))
    assert back.tolist() == x.tolist() and back.dtype is rl.uint8
    assert T.ConvertImageDtype(rl.uint8)(rl.tensor([[[0, 127 << 23]]], dtype=rl.int32)).tolist() == [[[0, 127]]]


def test_repr():
    assert repr(T.Compose([T.ToTensor(), T.Normalize((0.5,), (0.25,))])) == "Compose(\n    ToTensor()\n    Normalize(mean=(0.5,), std=(0.25,))\n)"
    assert repr(T.Lambda(abs)) == "Lambda()"


class Pictures(InMemoryDataset):
    def __init__(self, data, transform):
        super().__init__(None, transform=transform)
        self.data, self.targets = wrap(data), wrap(np.arange(len(data), dtype=np.int64) % 10)


def chains(channels):
    numbers = st.floats(0.0625, 2)
    normalize = st.builds(T.Normalize, st.lists(numbers, min_size=channels, max_size=channels),
                          st.lists(numbers, min_size=channels, max_size=channels))
    head = st.sampled_from([[T.ToTensor()],
                            [T.PILToTensor(), T.ConvertImageDtype(rl.float32)], [T.Compose([T.ToTensor()])]])
    return st.builds(lambda a, b: T.Compose(a + b), head, st.lists(normalize, max_size=3))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_whole_batch_has_the_bits_of_its_samples(data):
    channels = data.draw(st.sampled_from([1, 3]))
    shape = (7, 4, 5) if channels == 1 else (7, 4, 5, 3)
    dataset = Pictures(picture(*shape), data.draw(chains(channels)))
    indices = data.draw(st.lists(st.integers(-7, 6), min_size=1, max_size=9))
    images, targets = dataset._collated_batch(indices)
    expected_images, expected_targets = default_collate([dataset[i] for i in indices])
    assert images.dtype is expected_images.dtype and targets.dtype is expected_targets.dtype
    assert unwrap(images).tobytes() == unwrap(expected_images).tobytes()
    assert targets.tolist() == expected_targets.tolist()


class Doubled(T.ToTensor):
    def __call__(self, pic):
        return super().__call__(pic) * 2


def hooked():
    normalize = T.Normalize([0.5], [0.5])
    normalize.register_forward_hook(lambda *_: None)
    return normalize


@pytest.mark.parametrize("transform",
                         [T.Lambda(lambda x: x), Doubled(), functional.to_tensor, T.Compose([T.ToTensor(), hooked()]),
                          T.Compose([T.ToTensor(), T.Normalize([0.5], [0.0])]), T.Normalize([0.5], [0.5]), None])
def test_what_a_batch_cannot_do_is_left_to_the_samples(transform):
    assert Pictures(picture(4, 3, 3), transform)._collated_batch([0, 1]) is None


def test_an_own_getitem_is_respected():
    class Own(Pictures):
        def __getitem__(self, index):
            return index

    assert Own(picture(4, 3, 3), T.ToTensor())._collated_batch([0]) is None


def test_replaced_data_are_read():
    dataset = Pictures(picture(6, 3, 3), T.ToTensor())
    dataset.data, dataset.targets = dataset.data[3:], dataset.targets[3:]
    images, targets = dataset._collated_batch([0])
    assert targets.tolist() == [3] and dataset[0][1] == 3
    assert unwrap(images).tobytes() == unwrap(dataset[0][0]).tobytes()
    assert dataset._collated_batch([3]) is None
    with pytest.raises(IndexError):
        dataset[3]


def test_rules_are_looked_up_by_exact_type():
    assert set(whole_batch.RULES) >= {T.Compose, T.ToTensor, T.PILToTensor, T.Normalize, T.ConvertImageDtype}
    assert whole_batch.apply(Doubled(), whole_batch.Batch(picture(1, 2, 2), pictures=True)) is None


CHANCE = {
    "cifar": lambda: [T.RandomCrop(5, padding=2), T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize([0.5], [0.25])],
    "reflected": lambda: [T.RandomVerticalFlip(0.3),
                          T.RandomCrop((4, 3), padding=(1, 2), padding_mode="reflect"), T.ToTensor()],
    "planes": lambda: [T.ToTensor(), T.RandomHorizontalFlip(),
                       T.RandomCrop(3, padding=1, padding_mode="edge"), T.RandomVerticalFlip()],
    "inner": lambda: [T.Compose([T.RandomCrop(7, padding=[1, 2, 3, 1], fill=9),
                                 T.RandomHorizontalFlip(1.0)]), T.PILToTensor()],
    "whole": lambda: [T.RandomCrop((4, 5)), T.RandomHorizontalFlip(), T.ToTensor()],
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", list(CHANCE))
def test_a_whole_batch_decides_as_its_samples_do(name, channels, workers, monkeypatch):
    dataset = Pictures(picture(23, 4, 5) if channels == 1 else picture(23, 4, 5, 3), T.Compose(CHANCE[name]()))

    def epoch():
        rl.manual_seed(11)
        return [(unwrap(x), y.tolist()) for x, y in DataLoader(dataset, batch_size=6, shuffle=True, num_workers=workers)], unwrap(rl.get_rng_state()).tobytes()

    assert dataset._collated_batch([0, 1]) is not None
    at_once, state = epoch()
    monkeypatch.setattr(Pictures, "_collated_batch", lambda *args: None)
    one_by_one, after = epoch()
    assert state == after
    for (x, y), (reference, labels) in zip(at_once, one_by_one, strict=True):
        assert y == labels and x.dtype == reference.dtype and x.tobytes() == reference.tobytes()


@pytest.mark.parametrize("steps", [
    [T.RandomCrop(9), T.ToTensor()], [T.RandomCrop(3, padding=1, fill=(1, 2, 3)), T.ToTensor()],
    [T.RandomCrop(9, pad_if_needed=True), T.ToTensor()], [T.RandomHorizontalFlip(), T.ColorJitter(0.5), T.ToTensor()],
    [T.RandomHorizontalFlip(), T.ToTensor(), T.Normalize([0.5], [0.0])]])
def test_chance_that_a_batch_cannot_take_is_not_drawn(steps):
    rl.manual_seed(2)
    before = unwrap(rl.get_rng_state()).tobytes()
    assert Pictures(picture(4, 4, 5, 3), T.Compose(steps))._collated_batch([0, 1]) is None
    assert unwrap(rl.get_rng_state()).tobytes() == before
