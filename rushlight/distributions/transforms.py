"""Differentiable maps between constrained and unconstrained values (torch.distributions.transforms).

`transform` holds the base class, `composed_transforms` ways of putting transforms together,
`elementwise_transforms` and `vector_transforms` what acts on numbers and on vectors or matrices.
"""

from __future__ import annotations

from rushlight.distributions.composed_transforms import (CatTransform, ComposeTransform, IndependentTransform,
                                                         ReshapeTransform, StackTransform, identity_transform)
from rushlight.distributions.elementwise_transforms import (
    AbsTransform, AffineTransform, CumulativeDistributionTransform, ExpTransform,
    PowerTransform, SigmoidTransform, SoftplusTransform, TanhTransform)
from rushlight.distributions.transform import Transform, _InverseTransform  # noqa: F401
from rushlight.distributions.vector_transforms import (CorrCholeskyTransform, LowerCholeskyTransform,
                                                       PositiveDefiniteTransform, SoftmaxTransform,
                                                       StickBreakingTransform)

__all__ = ["AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform", "CorrCholeskyTransform",
           "CumulativeDistributionTransform",
           "ExpTransform", "IndependentTransform", "LowerCholeskyTransform", "PositiveDefiniteTransform",
           "PowerTransform", "ReshapeTransform",
           "SigmoidTransform", "SoftplusTransform", "TanhTransform", "SoftmaxTransform", "StackTransform",
           "StickBreakingTransform", "Transform",
           "identity_transform"]
