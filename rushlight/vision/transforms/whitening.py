"""LinearTransformation: a picture as a vector times a matrix, for whitening."""

from __future__ import annotations

from typing import Any

from rushlight.nn.modules.module import Module
from rushlight.vision.transforms.arguments import shown


def check_whitening(matrix: Any, mean: Any) -> None:
    """ValueError unless the matrix is square and the mean fits it."""
    if matrix.size(0) != matrix.size(1):
        raise ValueError(f"transformation_matrix should be square. Got {tuple(matrix.size())} rectangular matrix.")
    if mean.size(0) != matrix.size(0):
        raise ValueError(f"mean_vector should have the same length {mean.size(0)} as any one of the dimensions of the "
                         f"transformation_matrix [{tuple(matrix.size())}]")
    if matrix.device != mean.device:
        raise ValueError(f"Input tensors should be on the same device. Got {matrix.device} and {mean.device}")
    if matrix.dtype != mean.dtype:
        raise ValueError(f"Input tensors should have the same dtype. Got {matrix.dtype} and {mean.dtype}")


def whitened(image: Any, matrix: Any, mean: Any) -> Any:
    """(flattened picture - mean) · matrix, in the picture's shape."""
    shape = image.shape
    n = shape[-3] * shape[-2] * shape[-1]
    if n != matrix.shape[0]:
        raise ValueError("Input tensor and transformation matrix have incompatible shape."
                         f"[{shape[-3]} x {shape[-2]} x {shape[-1]}] != {matrix.shape[0]}")
    flat = image.reshape(-1, n) - mean
    return flat.mm(matrix.to(flat.dtype)).reshape(shape)


class LinearTransformation(Module):
    """(flattened picture - mean) · matrix; with the eigenvectors of the covariance over their roots it whitens."""

    def __init__(self, transformation_matrix: Any, mean_vector: Any):
        super().__init__()
        check_whitening(transformation_matrix, mean_vector)
        self.transformation_matrix, self.mean_vector = transformation_matrix, mean_vector

    def forward(self, tensor: Any) -> Any:
        return whitened(tensor, self.transformation_matrix, self.mean_vector)

    def __repr__(self) -> str:
        return shown(self, f"transformation_matrix={self.transformation_matrix.tolist()}, mean_vector={self.mean_vector.tolist()}")
