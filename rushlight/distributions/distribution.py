"""The base class of distributions."""

from __future__ import annotations

import warnings
from numbers import Number
from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.distributions import constraints
from rushlight.distributions.utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits
from rushlight.tensor.core import Tensor
from rushlight.tensor.functions.shape import Size

__all__ = ["Distribution"]

ONE_OF = "Either `probs` or `logits` must be specified, but not both."


class Distribution:
    """A probability distribution over values of shape ``batch_shape + event_shape``.

    Independent distributions lie along the batch dimensions; the event dimensions form one value. A
    subclass names in ``_parameters`` the attributes that `expand` spreads over a new batch shape,
    with the number of event dimensions of each (or with None a distribution that is itself expanded),
    and in ``_constants`` those that it hands on as they are.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__
    _parameters: dict[str, int | None] = {}
    _constants: tuple[str, ...] = ()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check parameters and values unless told otherwise;
        ValueError for anything but a bool."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = Size(), event_shape: Any = Size(), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        """ValueError where a parameter that was given lies outside its constraint."""
        try:
            arg_constraints = self.arg_constraints
        except NotImplementedError:
            warnings.warn(f"{type(self)} does not define `arg_constraints`. "
                          f"Please set `arg_constraints = {{}}` or initialize the distribution with "
                          "`validate_args=False` to turn off validation.", stacklevel=3)
            return
        for name, constraint in arg_constraints.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property):
                continue
            value = getattr(self, name)
            if not constraints.holds(constraint, value):
                raise ValueError(f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) "
                                 f"of distribution {self!r} to satisfy the constraint {constraint!r}, "
                                 f"but found invalid values:\n{value}")

    # --- how subclasses take parameters -----------------------------------------------------------------------------
    def _take(self, **values: Any) -> Size:
        """Keep parameters, broadcast, under their names; the batch shape: () where all are numbers."""
        tensors = broadcast_all(*values.values())
        for name, value in zip(values, tensors, strict=True):
            setattr(self, name, value)
        return Size() if all(isinstance(v, Number) for v in values.values()) else tensors[0].shape

    def _take_probs(self, probs: Any, logits: Any, **others: Any) -> Size:
        """`_take` with the one of probs and logits that was given; ValueError for both or none."""
        if (probs is None) == (logits is None):
            raise ValueError(ONE_OF)
        name, value = ("probs", probs) if probs is not None else ("logits", logits)
        shape = self._take(**others, **{name: value})
        self._param = getattr(self, name)
        return shape

    # --- shapes -------------------------------------------------------------------------------------------------------
    @property
    def batch_shape(self) -> Size:
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one value."""
        return self._event_shape

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The same distribution with its parameters expanded to ``batch_shape``.

        NotImplementedError where a subclass has its own ``__init__`` and no ``expand``; RuntimeError for a shape to
        which the parameters do not expand.
        """
        home = next((c for c in type(self).__mro__ if "_parameters" in vars(c)), Distribution)
        if home is Distribution:
            raise NotImplementedError
        new = self._get_checked_instance(home, _instance)
        batch_shape = Size(batch_shape)
        for name, event_dims in home._parameters.items():
            if name in self.__dict__:
                value = self.__dict__[name]
                new.__dict__[name] = value.expand(batch_shape) if event_dims is None else \
                    value.expand((*batch_shape, *value.shape[value.dim() - event_dims:]))
        for name in home._constants:
            new.__dict__[name] = self.__dict__[name]
        if "_param" in self.__dict__:
            new._param = new.__dict__["probs" if "probs" in new.__dict__ else "logits"]
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _get_checked_instance(self, cls: Any, _instance: Any = None) -> Any:
        """A new object for `expand`; NotImplementedError where the class has another ``__init__`` than ``cls``."""
        if _instance is None and type(self).__init__ != cls.__init__:
            raise NotImplementedError(f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom "
                                      "__init__ method must also define a custom .expand() method.")
        return self.__new__(type(self)) if _instance is None else _instance

    def _extended_shape(self, sample_shape: Any = Size()) -> Size:
        """The shape of samples: ``sample_shape + batch_shape + event_shape``."""
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    # --- what subclasses say ------------------------------------------------------------------------------------------
    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """The constraint of each parameter."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """The constraint of values."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()  # type: ignore[no-any-return]

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        """Values of shape ``sample_shape + batch_shape + event_shape``, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        """Values as differentiable functions of the parameters."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """``sample((n,))``, an old name: it warns."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample(Size((n,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density or probability of values; ValueError outside the support."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most ``value``."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution along a new first dimension,
        spread over the batch unless ``expand`` is False."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """The entropy in nats, of the batch shape."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """exp of the entropy."""
        return self.entropy().exp()  # type: ignore[no-any-return]

    # --- checks of values ---------------------------------------------------------------------------------------------
    def _validate_sample(self, value: Any) -> None:
        """ValueError for a value of a wrong type or shape, or outside the support."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        actual, expected = value.shape, Size((*self._batch_shape, *self._event_shape))
        if tuple(actual[len(actual) - len(self._event_shape):]) != tuple(self._event_shape):
            raise ValueError(f"The right-most size of value must match event_shape: {actual} vs {self._event_shape}.")
        if any(i != 1 and j != 1 and i != j for i, j in zip(reversed(actual), reversed(expected))):
            raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {actual} vs {expected}.")
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(f"{type(self)} does not define `support` to enable sample validation. Please initialize "
                          "the distribution with `validate_args=False` to turn off validation.", stacklevel=3)
            return
        if not constraints.holds(support, value):
            raise ValueError(f"Expected value argument ({type(value).__name__} of shape {tuple(actual)}) "
                             f"to be within the support ({support!r}) of the distribution {self!r}, "
                             f"but found invalid values:\n{value}")

    def __repr__(self) -> str:
        shown = {k: self.__dict__[k] for k in self.arg_constraints if k in self.__dict__}
        parts = (f"{k}: {v if v.numel() == 1 else v.size()}" for k, v in shown.items())
        return f"{type(self).__name__}({', '.join(parts)})"


class ProbsOrLogits(Distribution):
    """Distributions that take probabilities or logits and compute the other when it is asked for."""

    _binary = True  # log-odds; else log-probabilities along the last dimension

    @lazy_property
    def logits(self) -> Any:
        """Log-odds or log-probabilities."""
        return probs_to_logits(self.probs, self._binary)

    @lazy_property
    def probs(self) -> Any:
        """Probabilities."""
        return logits_to_probs(self.logits, self._binary)

    @property
    def param_shape(self) -> Size:
        """The shape of the probabilities or logits that were given."""
        return self._param.shape
