"""Kullback-Leibler divergences, by the types of both distributions.

KL(p ‖ q) = -H(p) - E_p log q. Pairs within a family have closed forms in `kl_families`; for the other pairs E_p log q
is linear in a few moments of p, so that `kl_moments` has one row per p and one per q instead of one function per pair.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from rushlight.distributions.distribution import Distribution

__all__ = ["register_kl", "kl_divergence"]

_KL_REGISTRY: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}
_KL_MEMOIZE: dict[tuple[type, type], Any] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """A decorator: the function of (p, q) for distributions of these types and of subclasses without one of their own.

    TypeError for what is no class of distributions.
    """
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def decorator(function: Any) -> Any:
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function
    return decorator


def _dispatch_kl(type_p: type, type_q: type) -> Any:
    """The function of the most specific pair of base classes: nearest in p first, and nearest in q first must agree."""
    order_p, order_q = type_p.__mro__, type_q.__mro__
    matches = [(a, b) for a, b in _KL_REGISTRY if a in order_p and b in order_q]
    if not matches:
        return NotImplemented
    left = min(matches, key=lambda m: (order_p.index(m[0]), order_q.index(m[1])))
    right = min(matches, key=lambda m: (order_q.index(m[1]), order_p.index(m[0])))
    if _KL_REGISTRY[left] is not _KL_REGISTRY[right]:
        warnings.warn(f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). "
                      f"Please register_kl({left[0].__name__}, {right[1].__name__})", RuntimeWarning, stacklevel=3)
    return _KL_REGISTRY[left]


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """KL(p ‖ q) = ∫ p log (p / q), of the batch shape. NotImplementedError for pairs of types that have no function.

    >>> from rushlight.distributions import Normal
    >>> kl_divergence(Normal(0., 1.), Normal(1., 1.))
    tensor(0.5000)
    """
    from rushlight.distributions import kl_families, kl_moments  # noqa: F401
    pair = type(p), type(q)
    if pair not in _KL_MEMOIZE:
        _KL_MEMOIZE[pair] = _dispatch_kl(*pair)
    function = _KL_MEMOIZE[pair]
    if function is NotImplemented:
        raise NotImplementedError("No KL(p || q) is implemented for p type "
                                  f"{type(p).__name__} and q type {type(q).__name__}")
    return function(p, q)
