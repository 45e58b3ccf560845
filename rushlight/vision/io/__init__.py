"""Pictures read and written: the functions of torchvision.io for PNG, JPEG, GIF and WebP."""

from rushlight.vision.io.decoding import (decode_avif, decode_gif, decode_heic, decode_image, decode_jpeg, decode_png,
                                          decode_webp, read_image)
from rushlight.vision.io.encoding import encode_jpeg, encode_png, write_jpeg, write_png
from rushlight.vision.io.files import read_file, write_file
from rushlight.vision.io.modes import ImageReadMode

__all__ = ["ImageReadMode", "decode_avif", "decode_gif", "decode_heic", "decode_image", "decode_jpeg", "decode_png",
           "decode_webp", "encode_jpeg", "encode_png", "read_file", "read_image",
           "write_file", "write_jpeg", "write_png"]
