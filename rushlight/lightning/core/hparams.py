"""save_hyperparameters: the arguments of __init__ become hparams, kept in checkpoints and shown by loggers."""

from __future__ import annotations

import copy
import inspect
import types
from argparse import Namespace
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from rushlight.lightning.utilities.parsing import AttributeDict
from rushlight.lightning.utilities.rank_zero import rank_zero_warn

PRIMITIVES = (bool, int, float, str)


class HyperparametersMixin:
    """``hparams`` for LightningModule and LightningDataModule.

    >>> class Model(HyperparametersMixin):
    ...     def __init__(self, width, rate=0.1):
    ...         super().__init__()
    ...         self.save_hyperparameters()
    >>> dict(Model(3).hparams)
    {'width': 3, 'rate': 0.1}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log_hyperparams = False

    def save_hyperparameters(self, *args: Any, ignore: Sequence[str] | str | None = None,
                             frame: types.FrameType | None = None, logger: bool = True) -> None:
        """Keep the arguments that __init__ was called with, of this class and those derived from it.

        Args:
            args: names of arguments, or one dict, Namespace or object that holds them all; nothing for every argument.
            ignore: names to leave out.
            frame: the frame of __init__, the caller's by default.
            logger: whether loggers show them.

        ValueError for a number or string in place of a collection.
        """
        self._log_hyperparams = logger
        if len(args) == 1 and not isinstance(args[0], str) and not args[0]:
            return
        if frame is None:
            frame = inspect.currentframe().f_back  # type: ignore[union-attr]
        given = _constructor_arguments(self, frame)  # type: ignore[arg-type]
        left_out = {ignore} if isinstance(ignore, str) else set(ignore or ())
        given = {key: value for key, value in given.items() if key not in left_out}
        collections = [arg for arg in args if not isinstance(arg, str)]
        if not args:
            chosen: Any = given
            self._hparams_name: str | None = "kwargs" if given else None
        elif len(collections) == 1:
            chosen = collections[0]
            self._hparams_name = next((key for key, value in given.items() if value is chosen), None)
        else:
            chosen = {name: given[name] for name in args}
            self._hparams_name = "kwargs"
        self._set_hparams(chosen)
        for key, value in self.hparams.items():
            if hasattr(value, "parameters") and hasattr(value, "state_dict"):
                rank_zero_warn(f"Attribute {key!r} is an instance of `nn.Module` and is already saved during"
                               " checkpointing. It is recommended to ignore them using"
                               f" `self.save_hyperparameters(ignore=[{key!r}])`.")
        self._hparams_initial = copy.deepcopy(self._hparams)

    _hparams: Any

    def _set_hparams(self, hp: Any) -> None:
        hp = self._to_hparams_dict(hp)
        if isinstance(hp, dict) and isinstance(self.hparams, dict):
            self.hparams.update(hp)
        else:
            self._hparams = hp

    @staticmethod
    def _to_hparams_dict(hp: Any) -> Any:
        if isinstance(hp, Namespace):
            hp = vars(hp)
        if isinstance(hp, dict):
            return AttributeDict(hp)
        if isinstance(hp, PRIMITIVES):
            raise ValueError(f"Primitives {PRIMITIVES} are not allowed.")
        if not isinstance(hp, MutableMapping):
            raise ValueError(f"Unsupported config type of {type(hp)}.")
        return hp

    @property
    def hparams(self) -> Any:
        """What save_hyperparameters has kept; its keys are attributes, too."""
        if "_hparams" not in self.__dict__:
            self._hparams = AttributeDict()
        return self._hparams

    @property
    def hparams_initial(self) -> Any:
        """A copy of hparams as they were when they were saved."""
        return copy.deepcopy(self.__dict__.get("_hparams_initial", AttributeDict()))


def _constructor_arguments(obj: Any, frame: types.FrameType) -> dict[str, Any]:
    """The arguments of the object's constructors that are running, those of derived classes winning."""
    if is_dataclass(obj):
        return {f.name: getattr(obj, f.name) for f in fields(obj) if f.init}
    found: dict[str, Any] = {}
    here: types.FrameType | None = frame
    inside = False
    while here is not None:
        arguments = _arguments_of(here, obj)
        if arguments is not None:
            found.update(arguments)
            inside = True
        elif inside and here.f_code.co_name != "__call__":
            break
        here = here.f_back
    return found


def _arguments_of(frame: types.FrameType, obj: Any) -> dict[str, Any] | None:
    """The arguments with which a frame was called, if it is a constructor of the object."""
    info = inspect.getargvalues(frame)
    if "__class__" not in info.locals or not info.args or info.locals.get(info.args[0]) is not obj:
        return None
    own = {name: info.locals[name] for name in (*info.args[1:], *_keyword_only(frame)) if name in info.locals}
    if info.keywords:
        own.update(info.locals.get(info.keywords, {}))
    return own


def _keyword_only(frame: types.FrameType) -> tuple[str, ...]:
    code = frame.f_code
    return code.co_varnames[code.co_argcount:code.co_argcount + code.co_kwonlyargcount]


def as_flat(hparams: Any) -> dict[str, Any]:
    """Hyper-parameters for loggers: nested names joined by "/", values as numbers, strings or their text."""
    out: dict[str, Any] = {}

    def add(prefix: str, value: Any) -> None:
        if isinstance(value, Namespace):
            value = vars(value)
        if isinstance(value, Mapping):
            for key, inner in value.items():
                add(f"{prefix}/{key}" if prefix else str(key), inner)
        else:
            out[prefix] = (
                value
                if isinstance(value, PRIMITIVES)
                else value.item()
                if getattr(value, "numel", lambda: 0)() == 1
                else str(value)
            )

    add("", hparams)
    return out
