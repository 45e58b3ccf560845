"""Encoding: tensors (C, H, W) as bytes of PNG and JPEG files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.tensor.core import Tensor, unwrap, wrap
from rushlight.vision.io.files import write_file


def _image(input: Any) -> Any:
    from PIL import Image
    if not isinstance(input, Tensor):
        raise TypeError(f"Expected a Tensor (C, H, W), got {type(input)}")
    if input.dtype is not dtypes.uint8:
        raise RuntimeError(f"Input tensor dtype should be uint8, got {input.dtype}; "
                           "convert_image_dtype(image, torch.uint8) scales 0…1 to it")
    pixels = unwrap(input)
    if pixels.ndim != 3:
        raise RuntimeError(f"Input data should be a 3-dimensional tensor, got shape {tuple(pixels.shape)}")
    if pixels.shape[0] not in (1, 3):
        raise RuntimeError(f"The number of channels should be 1 or 3, got: {pixels.shape[0]}")
    return Image.fromarray(np.ascontiguousarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)))


def _bytes(image: Any, **options: Any) -> Tensor:
    target = io.BytesIO()
    image.save(target, **options)
    return wrap(np.frombuffer(target.getvalue(), np.uint8))


def encode_png(input: Tensor, compression_level: int = 6) -> Tensor:
    """uint8 (1, H, W) or (3, H, W) as the bytes of a PNG file; the level runs from 0 (large) to 9 (slow).

    >>> import rushlight as rl
    >>> from rushlight.vision.io import decode_png
    >>> decode_png(encode_png(rl.full((1, 1, 2), 7, dtype=rl.uint8)))
    tensor([[[7, 7]]], dtype=torch.uint8)
    """
    if not 0 <= compression_level <= 9:
        raise RuntimeError(f"Compression level should be between 0 and 9, got {compression_level}")
    return _bytes(_image(input), format="PNG", compress_level=compression_level)


def write_png(input: Tensor, filename: str | Path, compression_level: int = 6) -> None:
    """`encode_png` into a file."""
    write_file(filename, encode_png(input, compression_level))


def encode_jpeg(input: Any, quality: int = 75) -> Any:
    """uint8 (1, H, W) or (3, H, W), or a list of them, as the bytes of JPEG files; quality 1 … 100."""
    if quality < 1 or quality > 100:
        raise ValueError("Image quality should be a positive number between 1 and 100")
    if isinstance(input, list):
        if not input:
            raise ValueError("encode_jpeg requires at least one input tensor when a list is passed")
        return [encode_jpeg(image, quality) for image in input]
    return _bytes(_image(input), format="JPEG", quality=quality)


def write_jpeg(input: Tensor, filename: str | Path, quality: int = 75) -> None:
    """`encode_jpeg` into a file."""
    write_file(filename, encode_jpeg(input, quality))
