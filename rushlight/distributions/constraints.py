"""Sets of values that parameters and samples of distributions are held against (torch.distributions.constraints).

A constraint checks a tensor, and its last ``event_dim`` dimensions form one value: ``check`` returns a bool tensor
without them. The names at the end of this file are PyTorch's public ones: instances where there is nothing to choose,
classes where bounds are given.

>>> import rushlight as rl
>>> positive.check(rl.tensor([-1., 0., 2.]))
tensor([False, False,  True])
>>> interval(0, 1)
Interval(lower_bound=0, upper_bound=1)
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from rushlight.ir.dtype import HALF
from rushlight.tensor import functions as F
from rushlight.tensor.core import Tensor, unwrap

__all__ = ["Constraint", "boolean", "cat", "corr_cholesky", "dependent", "dependent_property", "greater_than",
           "greater_than_eq", "independent", "integer_interval", "interval", "half_open_interval", "is_dependent",
           "less_than", "lower_cholesky", "lower_triangular", "MixtureSameFamilyConstraint", "multinomial",
           "nonnegative", "nonnegative_integer", "one_hot", "positive", "positive_semidefinite", "positive_definite",
           "positive_integer", "real", "real_vector", "simplex", "square", "stack", "symmetric", "unit_interval"]


SMALL = 4096  # elements that NumPy checks in less time than it takes to record the operations


def holds(constraint: Constraint, value: Tensor) -> bool:
    """Whether all of a value is in a set."""
    checked: Any = value
    if constraint.on_arrays and value.numel() <= SMALL and not value._storage.batched and not value.is_meta and value.dtype not in HALF:
        checked = unwrap(value.detach())  # type: ignore[attr-defined]
    with np.errstate(all="ignore"):
        return bool(constraint.check(checked).all())


def _last(condition: Any, count: int) -> Any:
    """True where all of the last ``count`` dimensions are."""
    if not count:
        return condition
    first, last = condition.shape[:len(condition.shape) - count], condition.shape[len(condition.shape) - count:]
    return condition.reshape((*first, prod(last))).all(-1)


def _whole(value: Any) -> Any:
    """Where the elements are whole numbers."""
    return value % 1 == 0


class Constraint:
    """A set of values. Subclasses define ``check``; ``is_discrete`` and ``event_dim`` say what kind of values they are, ``on_arrays``
    whether it checks NumPy's arrays as well."""

    is_discrete: Any = False
    event_dim: Any = 0
    on_arrays: Any = False

    def check(self, value: Tensor) -> Any:
        """A bool tensor of the shape of ``value`` without its last ``event_dim``
        dimensions: which values are in the set."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__[1:] + "()"


class _Dependent(Constraint):
    """Stands for a support that depends on parameters: it checks nothing."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        self._is_discrete, self._event_dim = is_discrete, event_dim

    @property
    def is_discrete(self) -> bool:
        """Whether the values are discrete, where that is known without the parameters."""
        if self._is_discrete is NotImplemented:
            raise NotImplementedError(".is_discrete cannot be determined statically")
        return bool(self._is_discrete)

    @property
    def event_dim(self) -> int:
        """The dimensions of one value, where they are known without the parameters."""
        if self._event_dim is NotImplemented:
            raise NotImplementedError(".event_dim cannot be determined statically")
        return int(self._event_dim)

    def __call__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> _Dependent:
        """The same with more known of it."""
        return _Dependent(is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
                          event_dim=self._event_dim if event_dim is NotImplemented else event_dim)

    def check(self, x: Any) -> Any:
        """A support that depends on parameters cannot check: ValueError."""
        raise ValueError("Cannot determine validity of dependent constraint")


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint only stands for one that depends on parameters."""
    return isinstance(constraint, _Dependent)


class _DependentProperty(property, _Dependent):
    """A property that gives the constraint for an instance; on the class it is a dependent constraint."""

    def __init__(self, fn: Callable[..., Any] | None = None, *, is_discrete: Any = NotImplemented,
                 event_dim: Any = NotImplemented):
        super().__init__(fn)
        self._is_discrete, self._event_dim = is_discrete, event_dim

    def __call__(self, fn: Callable[..., Any]) -> _DependentProperty:  # type: ignore[override]
        """Decorate ``fn``, after arguments were given."""
        return _DependentProperty(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


class _IndependentConstraint(Constraint):
    """Holds where ``base_constraint`` holds for all of the last ``reinterpreted_batch_ndims`` dimensions."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int):
        if not isinstance(base_constraint, Constraint):
            raise AssertionError(f"base_constraint must be a Constraint, got {type(base_constraint).__name__}")
        if not isinstance(reinterpreted_batch_ndims, int):
            raise AssertionError("reinterpreted_batch_ndims must be an int, "
                                 f"got {type(reinterpreted_batch_ndims).__name__}")
        if reinterpreted_batch_ndims < 0:
            raise AssertionError(f"reinterpreted_batch_ndims must be >= 0, got {reinterpreted_batch_ndims}")
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:
        """That of the base."""
        return bool(self.base_constraint.is_discrete)

    @property
    def event_dim(self) -> int:
        """That of the base and the reinterpreted dimensions."""
        return int(self.base_constraint.event_dim) + self.reinterpreted_batch_ndims

    @property
    def on_arrays(self) -> bool:
        """That of the base."""
        return bool(self.base_constraint.on_arrays)

    def check(self, value: Any) -> Any:
        """Whether the base holds everywhere in an event; ValueError when the value has too few dimensions."""
        result = self.base_constraint.check(value)
        if len(result.shape) < self.reinterpreted_batch_ndims:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {len(value.shape)}")
        return _last(result, self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"{type(self).__name__[1:]}({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(Constraint):
    """The support of a mixture: that of the components, for a value without the components' dimension."""

    def __init__(self, base_constraint: Constraint):
        if not isinstance(base_constraint, Constraint):
            raise AssertionError(f"base_constraint must be a Constraint, got {type(base_constraint).__name__}")
        self.base_constraint = base_constraint

    @property
    def is_discrete(self) -> bool:
        """That of the base."""
        return bool(self.base_constraint.is_discrete)

    @property
    def event_dim(self) -> int:
        """That of the base."""
        return int(self.base_constraint.event_dim)

    def check(self, value: Any) -> Any:
        """Whether the value is in the support of every component; ValueError when it has too few dimensions."""
        if value.dim() < self.event_dim:
            raise ValueError(f"Expected value.dim() >= {self.event_dim} but got {value.dim()}")
        spread = value.unsqueeze(value.dim() - self.event_dim)
        result = self.base_constraint.check(spread)
        return result.reshape((*result.shape[:value.dim() - self.event_dim], -1)).all(-1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_constraint!r})"


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    is_discrete = True
    event_dim = 1

    def check(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _Real(Constraint):
    on_arrays = True

    def check(self, value: Any) -> Any:
        return value == value  # NaN alone differs from itself


class _Bounded(Constraint):
    """Constraints given by bounds: their names, and the comparisons of the value with each."""

    bounds: tuple[tuple[str, Callable[[Any, Any], Any]], ...] = ()
    whole = False

    @property
    def on_arrays(self) -> bool:
        """Whether the bounds are numbers."""
        return all([isinstance(getattr(self, name), (int, float)) for name, _ in self.bounds])

    def check(self, value: Any) -> Any:
        """Whether every comparison holds."""
        held = [compare(value, getattr(self, name)) for name, compare in self.bounds]
        if self.whole:
            held.append(_whole(value))
        return functools.reduce(operator.and_, held)

    def __repr__(self) -> str:
        return f"{type(self).__name__[1:]}({', '.join(f'{n}={getattr(self, n)}' for n, _ in self.bounds)})"


class _Above(_Bounded):
    def __init__(self, lower_bound: Any):
        self.lower_bound = lower_bound


class _Below(_Bounded):
    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound


class _Between(_Bounded):
    def __init__(self, lower_bound: Any, upper_bound: Any):
        self.lower_bound, self.upper_bound = lower_bound, upper_bound


class _GreaterThan(_Above):
    bounds = (("lower_bound", operator.gt),)


class _GreaterThanEq(_Above):
    bounds = (("lower_bound", operator.ge),)


class _LessThan(_Below):
    bounds = (("upper_bound", operator.lt),)


class _Interval(_Between):
    bounds = (("lower_bound", operator.ge), ("upper_bound", operator.le))


class _HalfOpenInterval(_Between):
    bounds = (("lower_bound", operator.ge), ("upper_bound", operator.lt))


class _IntegerInterval(_Between):
    bounds, whole, is_discrete = (("lower_bound", operator.ge), ("upper_bound", operator.le)), True, True


class _IntegerLessThan(_Below):
    bounds, whole, is_discrete = (("upper_bound", operator.le),), True, True


class _IntegerGreaterThan(_Above):
    bounds, whole, is_discrete = (("lower_bound", operator.ge),), True, True


class _Simplex(Constraint):
    event_dim = 1
    on_arrays = True

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & (abs(value.sum(-1) - 1) < 1e-6)


class _Multinomial(Constraint):
    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, value: Any) -> Any:
        """Counts that do not add up to more than the bound."""
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class _Matrix(Constraint):
    event_dim = 2


class _LowerTriangular(_Matrix):
    def check(self, value: Any) -> Any:
        return _last(value.tril() == value, 2)


class _LowerCholesky(_Matrix):
    def check(self, value: Any) -> Any:
        return _last(value.tril() == value, 2) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(_Matrix):
    def check(self, value: Any) -> Any:
        from rushlight.tensor.settings import finfo
        tolerance = finfo(value.dtype).eps * value.size(-1) * 10  # an adjustable rounding margin
        unit_rows = ((value.norm(dim=-1) - 1).abs() < tolerance).all(-1)
        return lower_cholesky.check(value) & unit_rows


class _Square(_Matrix):
    def check(self, value: Any) -> Any:
        from rushlight.tensor.creation import full
        return full(value.shape[:-2], value.shape[-2] == value.shape[-1])


class _Symmetric(_Square):
    def check(self, value: Any) -> Any:
        square_check = super().check(value)
        if not square_check.all():
            return square_check
        return _last(F.isclose(value, value.mT, atol=1e-6), 2)


class _PositiveSemidefinite(_Symmetric):
    def check(self, value: Any) -> Any:
        symmetric_check = super().check(value)
        if not symmetric_check.all():
            return symmetric_check
        from rushlight.linalg import eigvalsh
        return (eigvalsh(value) >= 0).all(-1)


class _PositiveDefinite(_Symmetric):
    def check(self, value: Any) -> Any:
        symmetric_check = super().check(value)
        if not symmetric_check.all():
            return symmetric_check
        from rushlight.linalg import cholesky_ex
        return cholesky_ex(value).info == 0


class _Sequence(Constraint):
    """Constraints for the parts of a tensor along ``dim``."""

    cseq: list[Constraint]
    dim: int

    def _own(self, cseq: Any, dim: int) -> None:
        if not all(isinstance(c, Constraint) for c in cseq):
            raise AssertionError("All elements of cseq must be Constraint instances")
        self.cseq, self.dim = list(cseq), dim

    def _check_dim(self, value: Any) -> None:
        if not -value.dim() <= self.dim < value.dim():
            raise AssertionError(f"dim {self.dim} out of range for value with {value.dim()} dimensions")

    @property
    def is_discrete(self) -> bool:
        """Whether any part is discrete."""
        return any(c.is_discrete for c in self.cseq)


class _Cat(_Sequence):
    """Parts of ``lengths`` along ``dim``, as `cat` puts them together."""

    def __init__(self, cseq: Any, dim: int = 0, lengths: Any = None):
        self._own(cseq, dim)
        self.lengths = list(lengths) if lengths is not None else [1] * len(self.cseq)
        if len(self.lengths) != len(self.cseq):
            raise AssertionError(f"lengths ({len(self.lengths)}) must match cseq ({len(self.cseq)})")

    @property
    def event_dim(self) -> int:
        """The most that a part has."""
        return max(int(c.event_dim) for c in self.cseq)

    def check(self, value: Any) -> Any:
        """The checks of the parts, put together."""
        self._check_dim(value)
        parts = value.split(self.lengths, self.dim) if sum(self.lengths) == value.size(self.dim) else \
            value.narrow(self.dim, 0, sum(self.lengths)).split(self.lengths, self.dim)
        return F.cat([c.check(v) for c, v in zip(self.cseq, parts, strict=True)], self.dim)


class _Stack(_Sequence):
    """One part per index along ``dim``, as `stack` puts them together."""

    def __init__(self, cseq: Any, dim: int = 0):
        self._own(cseq, dim)

    @property
    def event_dim(self) -> int:
        """The most that a part has, and one more where ``dim`` is among the event's."""
        most = max(int(c.event_dim) for c in self.cseq)
        return most + 1 if self.dim + most < 0 else most

    def check(self, value: Any) -> Any:
        """The checks of the parts, put together."""
        self._check_dim(value)
        return F.stack([c.check(v) for c, v in zip(self.cseq, value.unbind(self.dim), strict=False)], self.dim)


dependent = _Dependent()
dependent_property = _DependentProperty
independent = _IndependentConstraint
boolean = _Boolean()
one_hot = _OneHot()
nonnegative_integer = _IntegerGreaterThan(0)
positive_integer = _IntegerGreaterThan(1)
integer_interval = _IntegerInterval
real = _Real()
real_vector = independent(real, 1)
positive = _GreaterThan(0.0)
nonnegative = _GreaterThanEq(0.0)
greater_than = _GreaterThan
greater_than_eq = _GreaterThanEq
less_than = _LessThan
multinomial = _Multinomial
unit_interval = _Interval(0.0, 1.0)
interval = _Interval
half_open_interval = _HalfOpenInterval
simplex = _Simplex()
lower_triangular = _LowerTriangular()
lower_cholesky = _LowerCholesky()
corr_cholesky = _CorrCholesky()
square = _Square()
symmetric = _Symmetric()
positive_semidefinite = _PositiveSemidefinite()
positive_definite = _PositiveDefinite()
cat = _Cat
stack = _Stack
