"""Quantized layers with their relu."""

from rushlight.ao.nn.quantized.layers import ConvReLU1d, ConvReLU2d, ConvReLU3d, LinearReLU
from rushlight.ao.nn.quantized.small import BNReLU2d

__all__ = ["BNReLU2d", "ConvReLU1d", "ConvReLU2d", "ConvReLU3d", "LinearReLU"]
