"""Dicts whose keys are attributes, and attributes found on the module, its hyper-parameters or its data module."""

from __future__ import annotations

from typing import Any


class AttributeDict(dict):  # type: ignore[type-arg]
    """A dict whose keys can be written as attributes.

    >>> d = AttributeDict(lr=0.1)
    >>> d.lr = 0.2
    >>> d["lr"], d
    (0.2, "lr": 0.2)
    """

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"Missing attribute '{key}'") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __delattr__(self, key: str) -> None:
        if key not in self:
            raise AttributeError(key)
        del self[key]

    def __repr__(self) -> str:
        if not self:
            return ""
        width = max(len(str(k)) for k in self) + 3
        rows = [f'{f"{chr(34)}{k}{chr(34)}:":{width}s} {self[k]}' for k in sorted(self.keys())]
        return "\n".join(rows)


def attribute_holders(model: Any, attribute: str) -> list[Any]:
    """The module, its hparams, the data module and its hparams: those that have the attribute."""
    candidates = [model, getattr(model, "hparams", None)]
    trainer = model._trainer
    if trainer is not None and trainer.datamodule is not None:
        candidates += [trainer.datamodule, getattr(trainer.datamodule, "hparams", None)]
    return [
        c for c in candidates if c is not None and (attribute in c if isinstance(c, dict) else hasattr(c, attribute))
    ]


def lightning_hasattr(model: Any, attribute: str) -> bool:
    """Whether one of the places has the attribute."""
    return bool(attribute_holders(model, attribute))


def lightning_getattr(model: Any, attribute: str) -> Any:
    """The attribute of the last place that has it; AttributeError where none has."""
    holders = attribute_holders(model, attribute)
    if not holders:
        raise AttributeError(f"{attribute} is neither stored in the model namespace nor the `hparams`"
                             " namespace/dict, nor the datamodule.")
    return holders[-1][attribute] if isinstance(holders[-1], dict) else getattr(holders[-1], attribute)


def lightning_setattr(model: Any, attribute: str, value: Any) -> None:
    """Set the attribute in every place that has it; AttributeError where none has."""
    holders = attribute_holders(model, attribute)
    if not holders:
        raise AttributeError(f"{attribute} is neither stored in the model namespace nor the `hparams`"
                             " namespace/dict, nor the datamodule.")
    for holder in holders:
        if isinstance(holder, dict):
            holder[attribute] = value
        else:
            setattr(holder, attribute, value)
