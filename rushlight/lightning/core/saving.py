"""Modules made again from checkpoints."""

from __future__ import annotations

import inspect
from typing import Any

from rushlight.lightning.utilities.hparams_files import (
    load_hparams_from_tags_csv,
    load_hparams_from_yaml,
    save_hparams_to_tags_csv,
    save_hparams_to_yaml,
)
from rushlight.lightning.utilities.parsing import AttributeDict
from rushlight.lightning.utilities.rank_zero import rank_zero_warn

__all__ = ["of_class_only", "load_from_checkpoint", "load_hparams_from_tags_csv", "load_hparams_from_yaml",
           "read_checkpoint", "save_hparams_to_tags_csv", "save_hparams_to_yaml"]


class of_class_only(classmethod):  # type: ignore[type-arg]
    """A classmethod that says so when it is called on an object, whose own values it would not change."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return super().__get__(instance, owner)
        name = self.__func__.__name__

        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise TypeError(f"The classmethod `{type(instance).__name__}.{name}` cannot be called on an instance."
                            " Please call it on the class type and make sure the return value is used.")
        return refuse


def read_checkpoint(path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
    """The dict in a checkpoint file.

    Hyper-parameters may be objects of any class, so the file is unpickled whole unless `weights_only` is True:
    read only files that you trust. FileNotFoundError where there is none, with its path.
    """
    import os

    from rushlight.serialization import load
    if isinstance(path, (str, os.PathLike)) and not os.path.exists(path):
        raise FileNotFoundError(f"Checkpoint file not found: {os.fspath(path)}")
    found: dict[str, Any] = load(path, map_location=map_location, weights_only=bool(weights_only))
    return found


def load_from_checkpoint(cls: Any, checkpoint_path: Any, map_location: Any = None, hparams_file: Any = None,
                         strict: bool | None = None, weights_only: bool | None = None, **kwargs: Any) -> Any:
    """An object of the class made with a checkpoint's hyper-parameters,
    with its parameters loaded if it is a module."""
    checkpoint = read_checkpoint(checkpoint_path, map_location, weights_only)
    if hparams_file is not None:
        checkpoint[cls.CHECKPOINT_HYPER_PARAMS_KEY] = _read_hparams(str(hparams_file))
    obj = cls(**_arguments(cls, checkpoint, kwargs))
    if hasattr(cls, "training_step"):
        return _with_parameters(obj, checkpoint, checkpoint_path, strict)
    if cls.__qualname__ in checkpoint:
        obj.load_state_dict(checkpoint[cls.__qualname__])
    return obj


def _read_hparams(path: str) -> dict[str, Any]:
    kind = path.rsplit(".", 1)[-1].lower()
    if kind == "csv":
        return load_hparams_from_tags_csv(path)
    if kind in ("yml", "yaml"):
        return load_hparams_from_yaml(path)
    raise ValueError(".csv, .yml or .yaml is required for `hparams_file`")


def _arguments(cls: Any, checkpoint: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What the class is called with: the checkpoint's hyper-parameters, those given now in their places."""
    parameters = inspect.signature(cls.__init__).parameters
    names = [n for n, p in list(parameters.items())[1:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    saved = {**dict(checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_KEY) or {}), **kwargs}
    kind = checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_TYPE)
    if kind is not None:
        saved = AttributeDict(saved) if isinstance(kind, str) else kind(saved)
    whole = checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_NAME)
    if whole and whole in names:
        saved = {whole: AttributeDict(saved) if type(saved) is dict else saved}
    arguments = {**saved, **kwargs}
    return arguments if takes_any else {key: value for key, value in arguments.items() if key in names}


def _with_parameters(model: Any, checkpoint: dict[str, Any], path: Any, strict: bool | None) -> Any:
    if strict is not None and model._strict_loading is not None and strict != model.strict_loading:
        raise ValueError(f"You set `.load_from_checkpoint(..., strict={strict!r})` which is in conflict with"
                         f" `{type(model).__name__}.strict_loading={model.strict_loading!r}. Please set the same"
                         " value for both of them.")
    strict = model.strict_loading if strict is None else strict
    model.configure_model()
    model.on_load_checkpoint(checkpoint)
    keys = model.load_state_dict(checkpoint["state_dict"], strict=strict)
    if not strict and keys.missing_keys:
        rank_zero_warn(f"Found keys that are in the model state dict but not in the checkpoint: {keys.missing_keys}")
    if not strict and keys.unexpected_keys:
        rank_zero_warn(f"Found keys that are not in the model state dict but in the checkpoint: {keys.unexpected_keys}")
    if not checkpoint["state_dict"]:
        rank_zero_warn(f"The state dict in {path!r} contains no parameters.")
    return model
