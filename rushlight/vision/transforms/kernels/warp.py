"""Warps: sampling a picture at positions of a grid. Coordinates run from -1 to 1 across the picture, edge to edge."""

from __future__ import annotations

import numpy as np

from rushlight.vision.transforms.kernels.ranges import in_floats


def affine_grid(matrix: list[float], height: int, width: int, out_height: int, out_width: int,
                dtype: np.dtype) -> np.ndarray:
    """Grid (H, W, 2) of (x, y) for the inverse of an affine map (a, b, c, d, e, f) in pixels about the centre."""
    theta = np.asarray(matrix, dtype).reshape(2, 3) / np.array([[0.5 * width], [0.5 * height]], dtype)
    x, y = _centred(out_width, dtype), _centred(out_height, dtype)
    return _linear(theta, x, y)


def perspective_grid(coefficients: list[float], height: int, width: int, dtype: np.dtype) -> np.ndarray:
    """Grid (H, W, 2) for x' = (a·x + b·y + c) / (g·x + h·y + 1), y' = (d·x + e·y + f) / (…), in pixels from the
    corner."""
    a = np.asarray(coefficients, dtype)
    x, y = np.arange(width).astype(dtype) + dtype.type(0.5), np.arange(height).astype(dtype) + dtype.type(0.5)
    above = _linear(a[:6].reshape(2, 3) / np.array([[0.5 * width], [0.5 * height]], dtype), x, y)
    below = _linear(np.array([[a[6], a[7], 1.0]], dtype), x, y)
    return above / below - dtype.type(1)  # type: ignore[no-any-return]


def identity_grid(height: int, width: int) -> np.ndarray:
    """Grid (H, W, 2) of the pixel centres, float32."""
    x, y = (np.linspace((1 - n) / n, (n - 1) / n, n, dtype=np.float32) for n in (width, height))
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1)


def _centred(size: int, dtype: np.dtype) -> np.ndarray:
    return np.arange(size).astype(dtype) + dtype.type(0.5 - 0.5 * size)  # type: ignore[no-any-return]


def _linear(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    rows = [(row[0] * x[None, :] + row[1] * y[:, None]) + row[2] for row in theta]  # in the order in which PyTorch adds
    return np.stack(rows, -1)


def rotated_size(matrix: list[float], height: int, width: int) -> tuple[int, int]:
    """(height, width) that holds the whole picture after an affine map about its centre."""
    corners = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]],
                       np.float32) * np.array([width, height], np.float32)
    theta = np.asarray(matrix, np.float32).reshape(2, 3)
    moved = corners @ theta[:, :2].T + theta[:, 2] + np.array([0.5 * width, 0.5 * height], np.float32)
    tolerance = np.float32(1e-4)
    high = np.ceil(np.trunc(moved.max(0) / tolerance) * tolerance)
    low = np.floor(np.trunc(moved.min(0) / tolerance) * tolerance)
    w, h = (high - low).astype(int)
    return int(h), int(w)


def warp(pixels: np.ndarray, grid: np.ndarray, method: str, fill: list[float] | None) -> np.ndarray:
    """Pictures (..., C, H, W) sampled at a grid (H', W', 2); outside is ``fill`` (one or one per channel), 0 for
    None."""
    return in_floats(lambda x: _sampled(x, grid, method, fill), pixels)


def _sampled(x: np.ndarray, grid: np.ndarray, method: str, fill: list[float] | None) -> np.ndarray:
    height, width = x.shape[-2:]
    grid = grid.astype(x.dtype, copy=False)
    across, down = _in_pixels(grid[..., 0], width), _in_pixels(grid[..., 1], height)
    flat = np.ascontiguousarray(x).reshape(*x.shape[:-2], height * width)
    if method == "nearest":
        rows, columns = np.rint(down), np.rint(across)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        out = _gather(flat, rows, columns, inside, width)
        return np.where(inside, out, _colour(fill, x)) if fill is not None else out
    return _bilinear(flat, down, across, height, width, None if fill is None else _colour(fill, x))


def _in_pixels(places: np.ndarray, size: int) -> np.ndarray:
    """-1 … 1 as pixel positions; product and sum are rounded once, as PyTorch's fused instruction does."""
    return ((places + 1).astype(np.float64) * (size / 2) - 0.5).astype(places.dtype)


def _gather(flat: np.ndarray, rows: np.ndarray, columns: np.ndarray, inside: np.ndarray, width: int) -> np.ndarray:
    """Pixels at whole positions, 0 outside."""
    places = np.where(inside, rows * width + columns, 0).astype(np.intp)
    out = np.take(flat, places.ravel(), axis=-1).reshape(*flat.shape[:-1], *rows.shape)
    out *= inside
    return out


def _bilinear(flat: np.ndarray, down: np.ndarray, across: np.ndarray, height: int, width: int,
              colour: np.ndarray | None) -> np.ndarray:
    top, left = np.floor(down), np.floor(across)
    below, right = down - top, across - left
    out, cover = None, np.zeros(down.shape, flat.dtype)
    for row, row_weight in ((top, 1 - below), (top + 1, below)):
        for column, column_weight in ((left, 1 - right), (left + 1, right)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            weight = row_weight * column_weight
            part = np.multiply(_gather(flat, row, column, inside, width), weight, dtype=np.float64)
            cover += weight * inside
            # rounded once per term, as fused instructions do
            out = (part if out is None else part + out).astype(flat.dtype)
    assert out is not None
    return out if colour is None else out * cover + (1 - cover) * colour  # type: ignore[no-any-return]


def _colour(fill: list[float], x: np.ndarray) -> np.ndarray:
    return np.asarray(fill, x.dtype).reshape(-1, 1, 1)
