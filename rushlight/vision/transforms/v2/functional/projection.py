"""The two ways to name a projective map: eight coefficients, or four points and where they go."""

from __future__ import annotations

from typing import Any

from rushlight.vision.transforms.functional.warps import perspective_coefficients


def coefficients_of(startpoints: Any, endpoints: Any, coefficients: Any) -> list[float]:
    """The coefficients; ValueError where both ways are used or none."""
    if coefficients is not None:
        if startpoints is not None and endpoints is not None:
            raise ValueError("The startpoints/endpoints and the coefficients shouldn't be defined concurrently.")
        if len(coefficients) != 8:
            raise ValueError("Argument coefficients should have 8 float values")
        return list(coefficients)
    if startpoints is None or endpoints is None:
        raise ValueError("Either the startpoints/endpoints or the coefficients must have non `None` values.")
    return perspective_coefficients(startpoints, endpoints)
