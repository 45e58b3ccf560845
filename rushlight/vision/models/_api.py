"""Weights, models by name, and the register of both."""

from __future__ import annotations

import fnmatch
import functools
import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from rushlight import nn
from rushlight.hub import load_state_dict_from_url

HERE = Path(__file__).parent
BASE_URL = "https://download.pytorch.org/models/"

BUILTIN_MODELS: dict[str, Callable[..., nn.Module]] = {}


@dataclass
class Weights:
    """Where a weight file is, the transforms that its images need, and facts about it."""

    url: str
    transforms: Callable[..., Any]
    meta: dict[str, Any]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Weights):
            return NotImplemented
        return (self.url, self.meta, _parts(self.transforms)) == (other.url, other.meta, _parts(other.transforms))


def _parts(call: Any) -> Any:
    return (call.func, call.args, call.keywords) if isinstance(call, partial) else call


class WeightsEnum(Enum):
    """The weight files of one model; ``DEFAULT`` is the best of them."""

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """A member from a member, its name or None; TypeError for a member of
        another enum, KeyError for an unknown name."""
        if obj is None or isinstance(obj, cls):
            return obj
        if isinstance(obj, str):
            name = obj.replace(cls.__name__ + ".", "")
            if name not in cls.__members__:
                raise KeyError(f"{name}: {cls.__name__} has {', '.join(cls.__members__)}")
            return cls[name]
        raise TypeError(f"Invalid Weight class provided; expected {cls.__name__} but received {type(obj).__name__}.")

    def get_state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The tensors by name, from the hub's folder or downloaded;
        arguments as of ``hub.load_state_dict_from_url``."""
        return load_state_dict_from_url(self.url, *args, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self._name_}"

    @property
    def url(self) -> str:
        return self.value.url

    @property
    def transforms(self) -> Callable[..., Any]:
        return self.value.transforms

    @property
    def meta(self) -> dict[str, Any]:
        return self.value.meta


@functools.cache
def _table(name: str) -> dict[str, Any]:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf8"))


def categories(name: str) -> list[str]:
    """A list of class names: imagenet, coco, voc, coco_person, coco_keypoints or kinetics400.

    >>> categories("imagenet")[:2], len(categories("coco"))
    (['tench', 'goldfish'], 91)
    """
    return _table("categories")[name]


def _preset(name: str, **settings: Any) -> Any:
    return getattr(import_module("rushlight.vision.transforms._presets"), name)(**settings)


def _weights(file: str, preset: str, settings: dict[str, Any], meta: dict[str, Any]) -> Weights:
    kinds: dict[str, Callable[[Any], Any]] = {"categories": categories, "keypoint_names": categories, "min_size": tuple,
                                               "unquantized": _member}
    facts = {key: kinds[key](value) if key in kinds and value is not None else value for key, value in meta.items()}
    return Weights(BASE_URL + file, partial(_preset, preset, **settings), facts)


def _member(name: str) -> WeightsEnum:
    """The member of an enum of `rushlight.vision.models` that a table names."""
    enum, _, member = name.partition(".")
    return getattr(import_module("rushlight.vision.models"), enum)[member]


def weights_enum(name: str, module: str) -> type[WeightsEnum]:
    """The enum of this name from the table ``weights.json``: per member file, preset, its settings and facts.

    >>> weights_enum("AlexNet_Weights", __name__).DEFAULT.url
    'https://download.pytorch.org/models/alexnet-owt-7be5be79.pth'
    """
    rows = dict(_table("weights")[name])
    default = rows.pop("DEFAULT")
    members = {member: _weights(*row) for member, row in rows.items()}
    return WeightsEnum(name, {**members, "DEFAULT": members[default]}, module=module)  # type: ignore[return-value]


def register_model(name: str | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that makes a builder known to ``get_model`` under its own or another name."""

    def register(fn: Callable[..., Any]) -> Callable[..., Any]:
        key = fn.__name__ if name is None else name
        if key in BUILTIN_MODELS:
            raise ValueError(f"An entry is already registered under the name '{key}'.")
        BUILTIN_MODELS[key] = fn
        return fn

    return register


def _every_model() -> dict[str, Callable[..., nn.Module]]:
    """The register, once everything that registers is imported."""
    import_module("rushlight.vision.models.quantization")
    return BUILTIN_MODELS


def list_models(module: ModuleType | None = None, include: Iterable[str] | str | None = None,
                exclude: Iterable[str] | str | None = None) -> list[str]:
    """Names of models, sorted: of one module, matching one of ``include``,
    matching none of ``exclude`` (shell patterns).

    >>> list_models(include="resnet*", exclude=["*10*", "*152"])
    ['resnet18', 'resnet34', 'resnet50']
    """
    names = {name for name, fn in _every_model().items()
             if module is None or fn.__module__.rpartition(".")[0] == module.__name__}
    if include:
        patterns = [include] if isinstance(include, str) else include
        names = {name for pattern in patterns for name in fnmatch.filter(names, pattern)}
    if exclude:
        for pattern in [exclude] if isinstance(exclude, str) else exclude:
            names -= set(fnmatch.filter(names, pattern))
    return sorted(names)


def get_model_builder(name: str) -> Callable[..., nn.Module]:
    """The function that builds a model; ValueError for an unknown name.

    >>> get_model_builder("ResNet18").__name__
    'resnet18'
    """
    models = _every_model()
    if name.lower() not in models:
        raise ValueError(f"Unknown model {name.lower()}{_similar(name.lower(), models)}")
    return models[name.lower()]


def _similar(name: str, known: Iterable[str]) -> str:
    import difflib
    near = difflib.get_close_matches(name, list(known), 3)
    return f"; similar names: {', '.join(near)}" if near else "; list_models() gives all names"


def get_model(name: str, **config: Any) -> nn.Module:
    """A model by name, ``config`` being the arguments of its builder.

    >>> get_model("squeezenet1_1", num_classes=10).num_classes
    10
    """
    return get_model_builder(name)(**config)


def get_weight(name: str) -> WeightsEnum:
    """Weights by full name, as ``ResNet50_Weights.IMAGENET1K_V2``; ValueError where there are none.

    >>> get_weight("ResNet18_Weights.DEFAULT")
    ResNet18_Weights.IMAGENET1K_V1
    """
    enum_name, dot, value_name = name.partition(".")
    if not dot or "." in value_name:
        raise ValueError(f"Invalid weight name provided: '{name}'.")
    for fn in _every_model().values():
        enum = get_model_weights(fn)
        if enum.__name__ == enum_name:
            return enum[value_name]
    raise ValueError(f"The weight enum '{enum_name}' for the specific method couldn't be retrieved."
                     + _similar(enum_name, _table("weights")))


def get_model_weights(name: Callable[..., Any] | str) -> type[WeightsEnum]:
    """The enum of a model's weights, from its name or its builder.

    >>> get_model_weights("resnet18").__name__
    'ResNet18_Weights'
    """
    builder = get_model_builder(name) if isinstance(name, str) else name
    parameters = inspect.signature(builder, eval_str=True).parameters
    if "weights" not in parameters:
        raise ValueError("The method is missing the 'weights' argument.")
    annotation = parameters["weights"].annotation
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, WeightsEnum):
            return kind
    raise ValueError("The WeightsEnum class for the specific method couldn't be retrieved. "
                     "Make sure the typing info is correct.")
