"""Resizing, sampling and pooling at random places against PyTorch, at the sizes where its rules have exceptions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rushlight

MODES = [(1, "linear"), (1, "nearest"), (1, "nearest-exact"), (2, "bilinear"), (2, "bicubic"), (2, "nearest"), (2, "nearest-exact"),
         (3, "trilinear"), (3, "nearest"), (3, "nearest-exact")]


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("factor", [1.3, 1.2, 0.9, "first"])
@pytest.mark.parametrize("dims,mode", MODES)
def test_a_scale_that_keeps_a_size(dims: int, mode: str, factor: Any) -> None:
    """2 × 1.3 pixels are 2: PyTorch copies them in some modes, and in others reads them by the scale."""
    scale = [1.3] + [2.0] * (dims - 1) if factor == "first" else factor
    for n in (2, 3):
        for corners in (None,) if "nearest" in mode else (False, True):
            for antialias in (False, True) if mode in ("bilinear", "bicubic") else (False,):
                x = images(1, 2, *(n,) * dims)
                want, have = (t.nn.functional.interpolate(t.tensor(x), scale_factor=scale, mode=mode, align_corners=corners, antialias=antialias)
                              for t in (torch, rushlight))
                np.testing.assert_allclose(have.numpy(), want.numpy(), rtol=1e-4, atol=1e-5, err_msg=f"{n} {corners} {antialias}")


@pytest.mark.parametrize("shape", [(2, 3, 7, 5), (2, 3, 6, 5, 7)])
def test_pooling_at_given_places(shape: tuple[int, ...]) -> None:
    """The first of PyTorch's numbers is for the last dimension of pictures, but for the first of volumes."""
    dims = len(shape) - 2
    samples, x = np.random.default_rng(1).random((2, 3, dims)).astype(np.float32), images(*shape)
    found = [getattr(t.nn.functional, f"fractional_max_pool{dims}d")(t.tensor(x), 2, output_size=(3, 3, 5)[:dims], _random_samples=t.tensor(samples), return_indices=True)
             for t in (torch, rushlight)]
    for want, have in zip(*found):
        np.testing.assert_array_equal(have.numpy(), want.numpy())


def test_pooling_at_random_places_wants_room() -> None:
    for t in (torch, rushlight):
        with pytest.raises(RuntimeError, match="too large relative to input"):
            t.nn.functional.fractional_max_pool3d(t.zeros(1, 1, 3, 4, 5), 3, output_size=1)
        assert t.nn.functional.fractional_max_pool2d(t.zeros(1, 1, 3, 3), 3, output_size=1).shape == (1, 1, 1, 1)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_grid_that_is_rounded_has_no_slope(dims: int) -> None:
    """The gradient is zero, not missing: an optimizer for it goes on."""
    for t in (torch, rushlight):
        x, grid = t.tensor(images(1, 2, *(4,) * dims), requires_grad=True), t.zeros(1, *(3,) * dims, dims, requires_grad=True)
        t.nn.functional.grid_sample(x, grid, mode="nearest", align_corners=False).sum().backward()
        assert grid.grad is not None and not grid.grad.any() and x.grad.any()


@pytest.mark.parametrize("name", ["avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "max_pool", "max_unpool", "lp_pool"])
@pytest.mark.parametrize("dims", [2, 3])
def test_channels_last_of_pictures_and_volumes(name: str, dims: int) -> None:
    strides = []
    for t in (torch, rushlight):
        F = t.nn.functional
        x = t.tensor(images(2, 4, *(4,) * dims)).contiguous(memory_format=t.channels_last if dims == 2 else t.channels_last_3d)
        function = getattr(F, f"{name}{dims}d")
        strides.append(tuple((function(*getattr(F, f"max_pool{dims}d")(x, 2, return_indices=True), 2) if name == "max_unpool" else
                              function(x, 2.0, 2) if name == "lp_pool" else function(x, 3 if "adaptive" in name else 2)).stride()))
    assert strides[0] == strides[1]


@pytest.mark.parametrize("few", [0, 1 << 12])
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("shape,widths", [((2, 3, 5), (4, 2)), ((3, 4), (0, 3)), ((2, 3, 4, 6), (1, 0, 3, 2)), ((1, 2, 5, 1), (0, 0, 1, 1)),
                                          ((2, 2, 3, 4, 5), (2, 1, 0, 3, 1, 2)), ((2, 3, 6, 5), (-1, 2, 1, 0)), ((2, 3, 6, 5), (-1, -2, -3, 0))])
def test_padding_by_what_is_there(shape: tuple[int, ...], widths: tuple[int, ...], mode: str, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By copies of the borders, and by an index for each position where that is less work: values, gradients and their gradients."""
    from rushlight.nn.functional import padding
    monkeypatch.setattr(padding, "FEW", few)
    if mode == "circular" and min(widths) < 0:
        widths = tuple(abs(w) for w in widths)
    x = images(*shape).astype(np.float64)
    for last in (False, True) if len(shape) == 4 else (False,):
        found = []
        for t in (torch, rushlight):
            leaf = t.tensor(x)
            leaf = (leaf.contiguous(memory_format=t.channels_last) if last else leaf).requires_grad_()
            y = t.nn.functional.pad(leaf, widths, mode=mode)
            first, = t.autograd.grad((y ** 3).sum(), leaf, create_graph=True)
            second, = t.autograd.grad((first ** 2).sum(), leaf)
            found.append((y.detach().numpy(), first.detach().numpy(), second.numpy(), np.array(y.stride())))
        for want, have in zip(*found):
            np.testing.assert_allclose(have, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape,points", [((2, 3, 5, 4), (3, 2)), ((1, 2, 1, 3), (2, 2)), ((2, 2, 3, 4, 2), (2, 3, 2)), ((0, 2, 3, 3), (2, 2)),
                                          ((2, 2, 3, 3), (0, 4))])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_pictures_read_at_a_grid(shape: tuple[int, ...], points: tuple[int, ...], padding_mode: str) -> None:
    """Values, and the gradients for the picture and for the grid; of nothing as well."""
    rng = np.random.default_rng(4)
    x, grid = rng.standard_normal(shape), rng.uniform(-1.5, 1.5, (shape[0], *points, len(points)))
    for mode in ("bilinear", "nearest", *(["bicubic"] if len(points) == 2 else [])):
        for corners in (False, True):
            found = []
            for t in (torch, rushlight):
                a, b = t.tensor(x, requires_grad=True), t.tensor(grid, requires_grad=True)
                y = t.nn.functional.grid_sample(a, b, mode=mode, padding_mode=padding_mode, align_corners=corners)
                weights = t.arange(1.0, 1 + y.numel(), dtype=t.float64).reshape(y.shape)
                found.append([y.detach(), *t.autograd.grad((y * weights).sum(), [a, b])])
            for want, have in zip(*found):
                assert tuple(have.shape) == tuple(want.shape)
                np.testing.assert_allclose(have.numpy(), want.numpy(), rtol=1e-9, atol=1e-8, err_msg=f"{mode} {corners}")
