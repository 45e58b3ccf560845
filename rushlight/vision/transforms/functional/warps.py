"""Warps: rotation, affine and perspective maps, elastic deformation, of PIL images and tensors (..., C, H, W)."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, unwrap
from rushlight.vision.transforms import pillow
from rushlight.vision.transforms.functional.conversion import pil_to_tensor, to_pil_image
from rushlight.vision.transforms.functional.pixels import check_tensor, get_dimensions, is_pil_image, on_pixels
from rushlight.vision.transforms.interpolation import PILLOW, InterpolationMode, mode_of
from rushlight.vision.transforms.kernels import warp as kernels
from rushlight.vision.transforms.kernels.ranges import working_dtype


def inverse_affine_matrix(center: Sequence[float], angle: float, translate: Sequence[float], scale: float,
                          shear: Sequence[float], inverted: bool = True) -> list[float]:
    """The map from output to input pixels (a, b, c, d, e, f) of rotation, scale and shear about a centre, then
    translation.

    The forward map is T·C·R(angle)·Shear·scale·C⁻¹ with angles in degrees; ``inverted=False`` gives that one.

    >>> inverse_affine_matrix([0, 0], 0, [2, 0], 1, [0, 0])
    [1.0, 0.0, -2.0, 0.0, 1.0, 0.0]
    """
    turn, sx, sy = (math.radians(x) for x in (angle, shear[0], shear[1]))
    (cx, cy), (tx, ty) = center, translate
    a = math.cos(turn - sy) / math.cos(sy)
    b = -math.cos(turn - sy) * math.tan(sx) / math.cos(sy) - math.sin(turn)
    c = math.sin(turn - sy) / math.cos(sy)
    d = -math.sin(turn - sy) * math.tan(sx) / math.cos(sy) + math.cos(turn)
    if not inverted:
        a, b, c, d = (x * scale for x in (a, b, c, d))
        return [a, b, cx + tx - a * cx - b * cy, c, d, cy + ty - c * cx - d * cy]
    a, b, c, d = (x / scale for x in (d, -b, -c, a))
    return [a, b + 0.0, a * (-cx - tx) + b * (-cy - ty) + cx, c + 0.0, d, c * (-cx - tx) + d * (-cy - ty) + cy]


def perspective_coefficients(startpoints: Any, endpoints: Any) -> list[float]:
    """The eight numbers of the projective map that takes four end points back to four start points, rounded to
    float32."""
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueError(f"Please provide exactly four corners, got {len(startpoints)} startpoints and {len(endpoints)} endpoints.")
    rows = []
    for (x, y), (u, v) in zip(endpoints, startpoints):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solution, *_ = np.linalg.lstsq(np.array(rows, np.float64), np.array(startpoints, np.float64).reshape(8), rcond=None)
    numbers_: list[float] = solution.astype(np.float32).tolist()
    return numbers_


def _check_tensor(img: Tensor, mode: InterpolationMode, fill: Any) -> list[float] | None:
    """The fill as a list; ValueError for what warps of tensors cannot do."""
    check_tensor(img)
    channels = get_dimensions(img)[0]
    if isinstance(fill, (tuple, list)) and len(fill) > 1 and len(fill) != channels:
        raise ValueError("The number of elements in 'fill' cannot broadcast to match the number of channels of the image "
                         f"({len(fill)} != {channels})")
    if mode.value not in ("nearest", "bilinear"):
        raise ValueError(f"Interpolation mode '{mode.value}' is unsupported with Tensor input; tensors know 'nearest' and 'bilinear'")
    return None if fill is None else list(fill) if isinstance(fill, (tuple, list)) else [float(fill)]


def _from_centre(center: Any, height: int, width: int) -> list[float]:
    return [0.0, 0.0] if center is None else [center[0] - width * 0.5, center[1] - height * 0.5]


def _warped(img: Tensor, matrix: list[float], mode: InterpolationMode, fill: list[float] | None,
            size: tuple[int, int] | None = None) -> Tensor:
    _, height, width = get_dimensions(img)
    grid = kernels.affine_grid(matrix, height, width, *(size or (height, width)), working_dtype(img.dtype.numpy))
    return on_pixels(kernels.warp, img, grid, mode.value, fill)


def rotate(img: Any, angle: float, interpolation: Any = InterpolationMode.NEAREST, expand: bool = False,
           center: Any = None, fill: Any = None) -> Any:
    """Turned by an angle in degrees, against the clock.

    ``expand`` enlarges the picture so that nothing is cut off (about the middle only), ``center`` is (x, y) from the
    top
    left corner, ``fill`` a number or one per channel.
    """
    mode = mode_of(interpolation)
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    if not isinstance(img, Tensor):
        return pillow.rotate(img, angle, PILLOW[mode], expand, center, fill)
    colour = _check_tensor(img, mode, fill)
    _, height, width = get_dimensions(img)
    matrix = inverse_affine_matrix(_from_centre(center, height, width), -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    return _warped(img, matrix, mode, colour, kernels.rotated_size(matrix, height, width) if expand else None)


def affine(img: Any, angle: float, translate: Sequence[int], scale: float, shear: Any,
           interpolation: Any = InterpolationMode.NEAREST, fill: Any = None, center: Any = None) -> Any:
    """Rotated by degrees with the clock, sheared by degrees (x, y), scaled about the centre, then moved by (x, y)
    pixels."""
    mode = mode_of(interpolation)
    shear = check_affine(angle, translate, scale, shear, center)
    _, height, width = get_dimensions(img)
    if not isinstance(img, Tensor):
        about = [width * 0.5, height * 0.5] if center is None else center
        matrix = inverse_affine_matrix(about, angle, translate, scale, shear)
        return pillow.map_back(img, "AFFINE", matrix, PILLOW[mode], fill)
    colour = _check_tensor(img, mode, fill)
    matrix = inverse_affine_matrix(_from_centre(center, height, width), angle, translate, scale, shear)
    return _warped(img, matrix, mode, colour)


def check_affine(angle: Any, translate: Any, scale: Any, shear: Any, center: Any) -> list[float]:
    """The shear as two numbers; TypeError and ValueError for arguments that `affine` cannot take."""
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if not isinstance(shear, (numbers.Number, list, tuple)):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    pair: list[Any] = [shear, 0.0] if isinstance(shear, numbers.Number) else list(shear) * (2 if len(shear) == 1 else 1)
    if len(pair) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    return pair


def perspective(img: Any, startpoints: Any, endpoints: Any, interpolation: Any = InterpolationMode.BILINEAR,
                fill: Any = None) -> Any:
    """The projective map that takes four points (x, y) of the picture to four others; corners in one order in both."""
    return perspective_by(img, perspective_coefficients(startpoints, endpoints), interpolation, fill)


def perspective_by(img: Any, coefficients: list[float], interpolation: Any, fill: Any) -> Any:
    """`perspective` by its eight coefficients."""
    mode = mode_of(interpolation)
    if not isinstance(img, Tensor):
        return pillow.map_back(img, "PERSPECTIVE", coefficients, PILLOW[mode], fill)
    colour = _check_tensor(img, mode, fill)
    _, height, width = get_dimensions(img)
    grid = kernels.perspective_grid(coefficients, height, width, working_dtype(img.dtype.numpy))
    return on_pixels(kernels.warp, img, grid, mode.value, colour, name="perspective")


def elastic_transform(img: Any, displacement: Any, interpolation: Any = InterpolationMode.BILINEAR,
                      fill: Any = None) -> Any:
    """Every pixel taken from beside itself: ``displacement`` (1, H, W, 2) in (x, y), where the picture spans -1 … 1."""
    if isinstance(interpolation, int):
        warnings.warn("Argument interpolation should be of type InterpolationMode instead of int. "
                      "Please, use InterpolationMode enum.", stacklevel=2)
    mode = mode_of(interpolation)
    if not isinstance(displacement, Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    if not isinstance(img, Tensor) and not is_pil_image(img):
        raise TypeError(f"img should be PIL Image or Tensor. Got {type(img)}")
    picture = img if isinstance(img, Tensor) else pil_to_tensor(img)
    _, height, width = get_dimensions(picture)
    if tuple(displacement._spec.shape) != (1, height, width, 2):
        raise ValueError(f"Argument displacement shape should be {(1, height, width, 2)}, but given {tuple(displacement._spec.shape)}")
    colour = _check_tensor(picture, mode, fill)
    grid = kernels.identity_grid(height, width) + unwrap(displacement)[0]
    out = on_pixels(kernels.warp, picture, grid, mode.value, colour, name="elastic_transform")
    return out if isinstance(img, Tensor) else to_pil_image(out, mode=img.mode)
