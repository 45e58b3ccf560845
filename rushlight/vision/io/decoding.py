"""Decoding: bytes of a picture file as a tensor (C, H, W)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.tensor.core import Tensor, wrap
from rushlight.vision.io.files import checked_bytes, read_file
from rushlight.vision.io.modes import PILLOW, UNCHANGED, ImageReadMode, read_mode

SIGNATURES = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "GIF": b"GIF8", "WEBP": b"RIFF"}
AS_READ = ImageReadMode.UNCHANGED


def _opened(raw: np.ndarray, formats: Sequence[str], name: str) -> Any:
    from PIL import Image, UnidentifiedImageError
    try:
        image = Image.open(io.BytesIO(raw.tobytes()), formats=list(formats))
        image.load()
    except UnidentifiedImageError:
        raise RuntimeError(f"Unsupported image file. Only {', '.join(f.lower() for f in formats)} can be decoded here; "
                           f"{name or 'the data'} begins with {raw[:12].tobytes()!r}.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        raise RuntimeError(f"{name or 'The picture'} cannot be decoded: {e}. "
                           "It is damaged; fetch the file again.") from e
    return image


def _decoded(input: Any, mode: Any, formats: Sequence[str], upright: bool = False, name: str = "") -> Tensor:
    image = _opened(checked_bytes(input), formats, name)
    if upright:
        from PIL import ImageOps
        image = ImageOps.exif_transpose(image)
    wanted = PILLOW.get(read_mode(mode)) or _mode_in_file(image)
    if image.mode.startswith("I"):  # 16 bits of gray
        pixels = np.asarray(image).astype(np.uint16)
        if wanted not in ("L", "I"):
            raise RuntimeError("a picture with 16 bits per pixel is read as gray; "
                               f"mode {read_mode(mode).name} would need 8 bits")
        return wrap(pixels[None].copy() if wanted == "I" else (pixels >> 8).astype(np.uint8)[None])
    pixels = np.asarray(image.convert(wanted) if image.mode != wanted else image)
    return wrap(np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)))


def _mode_in_file(image: Any) -> str:
    if image.mode == "P" and "transparency" in image.info:
        return "RGBA"
    return "I" if image.mode.startswith("I") else UNCHANGED.get(image.mode, image.mode)


def decode_png(input: Tensor, mode: Any = AS_READ, apply_exif_orientation: bool = False) -> Tensor:
    """A PNG file's bytes as uint8 (C, H, W); uint16 where the file has 16 bits of gray and the mode is UNCHANGED.

    RuntimeError where the bytes are no PNG file or damaged.
    """
    return _decoded(input, mode, ["PNG"], apply_exif_orientation)


def decode_jpeg(input: Any, mode: Any = AS_READ, device: Any = "cpu", apply_exif_orientation: bool = False) -> Any:
    """A JPEG file's bytes as uint8 (C, H, W), or a list of them as a list;
    RuntimeError where they are no JPEG or damaged."""
    from rushlight.tensor.device import check_device
    check_device(device)
    if isinstance(input, list):
        if not input:
            raise ValueError("Input list must contain at least one element")
        if not all(isinstance(t, Tensor) for t in input):
            raise ValueError("All elements of the input list must be tensors.")
        return [_decoded(t, mode, ["JPEG"], apply_exif_orientation) for t in input]
    return _decoded(input, mode, ["JPEG"], apply_exif_orientation)


def decode_webp(input: Tensor, mode: Any = AS_READ) -> Tensor:
    """A WebP file's bytes as uint8 (C, H, W)."""
    return _decoded(input, mode, ["WEBP"])


def decode_avif(input: Tensor, mode: Any = AS_READ) -> Tensor:
    """An AVIF file's bytes as uint8 (C, H, W)."""
    return _decoded(input, mode, ["AVIF"])


def decode_heic(input: Tensor, mode: Any = AS_READ) -> Tensor:
    """HEIC is not provided: Pillow has no decoder of it."""
    raise NotImplementedError("decode_heic is not provided: convert the picture to JPEG or PNG first")


def decode_gif(input: Tensor) -> Tensor:
    """A GIF file's bytes in colour: uint8 (3, H, W), or (N, 3, H, W) where it has several frames."""
    image = _opened(checked_bytes(input), ["GIF"], "")
    from PIL import ImageSequence
    frames = [np.moveaxis(np.asarray(frame.convert("RGB")), -1, 0) for frame in ImageSequence.Iterator(image)]
    return wrap(np.stack(frames) if len(frames) > 1 else np.ascontiguousarray(frames[0]))


def decode_image(input: Any, mode: Any = AS_READ, apply_exif_orientation: bool = False) -> Tensor:
    """A JPEG, PNG, GIF, WebP or AVIF file's bytes, or the file at a path, as a tensor (C, H, W).

    RuntimeError where it is none of them or damaged; it names the file where a path is given.
    """
    name = "" if isinstance(input, Tensor) else str(input)
    data = input if isinstance(input, Tensor) else read_file(input)
    if checked_bytes(data)[:4].tobytes() == SIGNATURES["GIF"]:
        return decode_gif(data)
    return _decoded(data, mode, ["JPEG", "PNG", "WEBP", "AVIF"], apply_exif_orientation, name)


def read_image(path: str | Path, mode: Any = AS_READ, apply_exif_orientation: bool = False) -> Tensor:
    """The picture in a file as a tensor (C, H, W), with 1 to 4 channels as
    in the file unless ``mode`` says otherwise."""
    return decode_image(str(path), mode, apply_exif_orientation)
