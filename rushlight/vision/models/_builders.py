"""Builders of classification networks: one line of a family's table becomes one function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rushlight import nn
from rushlight.vision.models._api import WeightsEnum, register_model
from rushlight.vision.models._utils import _ovewrite_named_param, handle_legacy_interface, load_weights

Adjust = Callable[[WeightsEnum | None, dict[str, Any]], None]


def classifier(name: str, make: Callable[..., nn.Module], enum: type[WeightsEnum], *,
               legacy: str | None = "IMAGENET1K_V1", adjust: Adjust | None = None,
               renamed: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
               defaults: dict[str, Any] | None = None, takes: str = "images ``[N, 3, H, W]``",
               **fixed: Any) -> Callable[..., Any]:
    """The function ``name(*, weights=None, progress=True, **kwargs)`` that builds one variant of a network.

    Args:
        make: the class, or a function, that builds it from keyword arguments.
        enum: its weights; ``legacy`` is the member that ``pretrained=True`` stands for, None for none.
        adjust: changes the keyword arguments for given weights (or None) before ``make`` sees them.
        renamed: turns the names in an old weight file into today's.
        defaults: arguments that the caller may change.
        takes: what the network is for, in the words of its documentation.
        fixed: arguments that make the variant.
    """

    def build(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> nn.Module:
        weights = enum.verify(weights)
        if weights is not None and weights.meta["categories"] is not None:
            _ovewrite_named_param(kwargs, "num_classes", len(weights.meta["categories"]))
        if adjust is not None:
            adjust(weights, kwargs)
        for key, value in fixed.items():
            _ovewrite_named_param(kwargs, key, value)
        model = make(**{**(defaults or {}), **kwargs})
        if weights is not None:
            load_weights(model, weights, progress, renamed)
        return model

    build.__name__ = build.__qualname__ = name
    build.__module__ = make.__module__
    build.__doc__ = _text(name, make, enum, takes, {**fixed, **(defaults or {})})
    keyword = inspect.Parameter.KEYWORD_ONLY
    build.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
        inspect.Parameter("weights", keyword, default=None, annotation=enum | None),
        inspect.Parameter("progress", keyword, default=True, annotation=bool),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, annotation=Any)], return_annotation=nn.Module)
    return register_model()(handle_legacy_interface(weights=("pretrained", enum[legacy] if legacy else None))(build))


def _text(name: str, make: Callable[..., nn.Module], enum: type[WeightsEnum], takes: str,
          settings: dict[str, Any]) -> str:
    listed = ", ".join(f"{key}={value.__name__ if isinstance(value, type) else value!r}"
                       for key, value in settings.items())
    best = enum["DEFAULT"]
    return f"""{name}: {make.__name__}({listed}).

    Args:
        weights: a member of {enum.__name__} ({", ".join(enum.__members__)}), its name, or None for random weights.
        progress: show how far a download is.
        kwargs: further arguments of {make.__name__}.

    Gives a module for {takes} of at least {" x ".join(map(str, best.meta["min_size"]))} pixels; with
    {best.meta["num_params"]:,} parameters for {len(best.meta["categories"])} classes.
    """
