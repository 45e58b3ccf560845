"""Which transform leads from unconstrained values to a constraint:
`biject_to` one to one, `transform_to` any that is cheap."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any

from rushlight.distributions import constraints, transforms

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class ConstraintRegistry:
    """Factories of transforms by the class of a constraint; calling it gives the transform of a constraint.

    >>> from rushlight.distributions import constraints
    >>> biject_to(constraints.simplex)
    StickBreakingTransform()
    """

    def __init__(self) -> None:
        self._registry: dict[Any, Callable[[Any], Any]] = {}

    def register(self, constraint: Any, factory: Any = None) -> Any:
        """Say how to make the transform of a class of constraints (or of an instance's class); also as a decorator.

        TypeError for anything else than a constraint.
        """
        if factory is None:
            return lambda f: self.register(constraint, f)
        if isinstance(constraint, constraints.Constraint):
            constraint = type(constraint)
        if not isinstance(constraint, type) or not issubclass(constraint, constraints.Constraint):
            raise TypeError(f"Expected constraint to be either a Constraint subclass or instance, but got {constraint}")
        self._registry[constraint] = factory
        return factory

    def __call__(self, constraint: Any) -> Any:
        factory = self._registry.get(type(constraint))
        if factory is None:
            raise NotImplementedError(f"Cannot transform {type(constraint).__name__} constraints")
        return factory(constraint)


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _above(c: Any) -> Any:
    return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(c.lower_bound, 1)])


def _below(c: Any) -> Any:
    return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(c.upper_bound, -1)])


def _between(c: Any) -> Any:
    low, high = c.lower_bound, c.upper_bound
    if isinstance(low, Number) and isinstance(high, Number) and (low, high) == (0, 1):
        return transforms.SigmoidTransform()
    return transforms.ComposeTransform([transforms.SigmoidTransform(), transforms.AffineTransform(low, high - low)])


# class of constraint -> (factory for biject_to, factory for transform_to); one function stands for both
_FACTORIES: dict[Any, Any] = {
    constraints.real: lambda c: transforms.identity_transform,
    constraints.greater_than: _above,
    constraints.greater_than_eq: _above,
    constraints.less_than: _below,
    constraints.interval: _between,
    constraints.half_open_interval: _between,
    constraints.corr_cholesky: lambda c: transforms.CorrCholeskyTransform(),
    constraints.simplex: (lambda c: transforms.StickBreakingTransform(), lambda c: transforms.SoftmaxTransform()),
    constraints.lower_cholesky: (None, lambda c: transforms.LowerCholeskyTransform()),
    constraints.positive_definite: (None, lambda c: transforms.PositiveDefiniteTransform()),
    constraints.positive_semidefinite: (None, lambda c: transforms.PositiveDefiniteTransform()),
}

for _constraint, _made in _FACTORIES.items():
    for _registry, _factory in zip((biject_to, transform_to),
                                   _made if isinstance(_made, tuple) else (_made, _made), strict=True):
        if _factory is not None:
            _registry.register(_constraint, _factory)


def _nested(registry: ConstraintRegistry) -> None:
    """Constraints made of constraints: the transforms of their parts, from the same registry."""
    registry.register(constraints.independent,
                      lambda c: transforms.IndependentTransform(registry(c.base_constraint),
                                                                c.reinterpreted_batch_ndims))
    registry.register(constraints.cat,
                      lambda c: transforms.CatTransform([registry(p) for p in c.cseq], c.dim, c.lengths))
    registry.register(constraints.stack, lambda c: transforms.StackTransform([registry(p) for p in c.cseq], c.dim))


_nested(biject_to)
_nested(transform_to)
