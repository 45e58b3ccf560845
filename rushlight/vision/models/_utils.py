"""What the families share: channel rounding, deprecated arguments,
loading weights, initial values, layers of a backbone."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from rushlight import Tensor, nn
from rushlight.hub import checkpoint_path
from rushlight.vision.models._api import WeightsEnum

SINCE = "deprecated since 0.13 and may be removed in the future"


class IntermediateLayerGetter(nn.ModuleDict):
    """The children of a model up to the last one wanted; gives the wanted outputs under new names.

    ``return_layers`` maps names of children to names of results; ValueError where a child is missing.

    >>> import rushlight as rl
    >>> body = IntermediateLayerGetter(nn.Sequential(nn.Identity(), nn.ReLU(), nn.Tanh()), {"1": "out"})
    >>> list(body), list(body(rl.zeros(1)))
    (['0', '1'], ['out'])
    """

    _version = 2

    def __init__(self, model: nn.Module, return_layers: dict[str, str]) -> None:
        wanted = {str(key): str(value) for key, value in return_layers.items()}
        children = OrderedDict(model.named_children())
        if not wanted.keys() <= children.keys():
            raise ValueError("return_layers are not present in model")
        last = max(list(children).index(name) for name in wanted)
        super().__init__(OrderedDict(list(children.items())[:last + 1]))
        self.return_layers = return_layers

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        out: dict[str, Tensor] = OrderedDict()
        for name, module in self.items():
            x = module(x)
            if name in self.return_layers:
                out[self.return_layers[name]] = x
        return out


def _make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """The multiple of ``divisor`` nearest to ``v``, but not less than 90 % of it.

    >>> _make_divisible(33, 8), _make_divisible(19, 16)
    (32, 32)
    """
    least = divisor if min_value is None else min_value
    near = max(least, int(v + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * v else near


def _ovewrite_named_param(kwargs: dict[str, Any], param: str, new_value: Any) -> None:
    """Set an argument that weights or a variant fix; ValueError where the caller wants it otherwise."""
    kwargs[param] = _ovewrite_value_param(param, kwargs.get(param, new_value), new_value)


def _ovewrite_value_param(param: str, actual: Any, expected: Any) -> Any:
    if actual is not None and actual != expected:
        raise ValueError(f"The parameter '{param}' expected value {expected} but got {actual} instead.")
    return expected


def handle_legacy_interface(**weights: tuple[str, Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that understands the arguments of old programs:
    ``pretrained=True``, or a bool in the place of weights.

    ``weights`` maps each argument for weights to its old name and to the weights that True stands for (or a function
    that finds them from the other arguments). Positional arguments of such builders are deprecated too.
    """

    def decorate(builder: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(builder).parameters.values()
        names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]

        @functools.wraps(builder)
        def call(*args: Any, **kwargs: Any) -> Any:
            if len(args) > len(names):
                raise TypeError(f"{builder.__name__}() takes {len(names)} positional "
                                f"arguments but {len(args)} were given")
            if args:
                _positional(names[:len(args)])
                kwargs.update(zip(names, args))
            for new, (old, default) in weights.items():
                _modernise(builder.__name__, kwargs, new, old, default)
            return builder(**kwargs)

        return call

    return decorate


def _positional(names: list[str]) -> None:
    listed = " and ".join([", ".join(f"'{n}'" for n in names[:-1]), f"'{names[-1]}'"] if len(names) > 1
                          else [f"'{names[0]}'"])
    warnings.warn(f"Using {listed} as positional parameter(s) is {SINCE}. "
                  "Please use keyword parameter(s) instead.", stacklevel=3)


def _modernise(model: str, kwargs: dict[str, Any], new: str, old: str, default: Any) -> None:
    """Turn an old argument into the new one, in place, with a warning."""
    given = kwargs.get(new)
    in_place_of_weights = new in kwargs and given is not None and not isinstance(given, WeightsEnum) and (
        not isinstance(given, str) or given == "legacy")
    if not in_place_of_weights and (old not in kwargs or new in kwargs):
        return
    wanted = kwargs.pop(new) if in_place_of_weights else kwargs.pop(old)
    if not in_place_of_weights:
        warnings.warn(f"The parameter '{old}' is {SINCE}, please use '{new}' instead.", stacklevel=3)
    chosen = (default({**kwargs, old: wanted}) if callable(default) else default) if wanted else None
    if wanted and not isinstance(chosen, WeightsEnum):
        raise ValueError(f"No weights available for model {model}")
    text = (f"Arguments other than a weight enum or `None` for '{new}' are {SINCE}. "
            f"The current behavior is equivalent to passing `{new}={chosen}`.")
    if wanted:
        text += f" You can also use `{new}={type(chosen).__name__}.DEFAULT` to get the most up-to-date weights."
    warnings.warn(text, stacklevel=3)
    kwargs[new] = chosen


def load_weights(model: nn.Module, weights: WeightsEnum, progress: bool,
                 renamed: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> None:
    """Fill a model from a weight file; RuntimeError where the file is of
    another architecture, naming it and the way out."""
    state = weights.get_state_dict(progress=progress, check_hash=True)
    path = checkpoint_path(weights.url)
    try:
        model.load_state_dict(state if renamed is None else renamed(state))
    except (RuntimeError, TypeError, AttributeError, KeyError) as e:
        raise RuntimeError(f"{e}\n{path} does not hold the weights {weights!r} of {type(model).__name__}. "
                           "Remove the file, and it is downloaded again; or put the right one in its place; "
                           "or build the model with weights=None and load what you have with load_state_dict.") from e


def initialise(model: nn.Module, conv: Callable[[Tensor], Any] | None = None,
               linear: Callable[[Tensor], Any] | None = None, conv_bias: bool = True) -> None:
    """Draw weights in the order of ``model.modules()``: ``conv`` and ``linear``
    fill weights, biases become 0, norms 1 and 0.

    Biases of convolutions stay as they were drawn where not ``conv_bias``. The order and the draws are torchvision's,
    so the same seed gives the same initial weights.
    """
    for module in model.modules():
        fill = conv if isinstance(module, nn.Conv2d) else linear if isinstance(module, nn.Linear) else None
        if fill is not None:
            fill(module.weight)
            if module.bias is not None and (conv_bias or fill is linear):
                nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)) and module.weight is not None:
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def fan_out_normal(weight: Tensor) -> None:
    """He's normal values, by the number of outputs."""
    nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def small_normal(weight: Tensor) -> None:
    """Normal values of deviation 0.01."""
    nn.init.normal_(weight, 0, 0.01)
