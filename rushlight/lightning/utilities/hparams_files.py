"""hparams.yaml and tags.csv: hyper-parameters beside the logs."""

from __future__ import annotations

import ast
import csv
import json
import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from rushlight.lightning.utilities.rank_zero import rank_zero_warn


def _plain(value: Any) -> Any:
    """A value as JSON knows it; what it does not know becomes text."""
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else str(value)


def _yaml_scalar(value: Any) -> str:
    text = json.dumps(value)
    return {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}.get(text, text)


def save_hparams_to_yaml(config_yaml: str, hparams: Any) -> None:
    """Write one ``key: value`` line for each hyper-parameter; values in JSON, which YAML contains."""
    os.makedirs(os.path.dirname(config_yaml) or ".", exist_ok=True)
    with open(config_yaml, "w", encoding="utf8") as file:
        for key, value in _plain(hparams).items():
            key = key if key.replace("_", "a").isalnum() and not key[:1].isdigit() else json.dumps(key)
            file.write(f"{key}: {_yaml_scalar(value)}\n")


def load_hparams_from_yaml(config_yaml: str) -> dict[str, Any]:
    """The hyper-parameters of a file; {} and a warning where there is none.

    Files of `save_hparams_to_yaml` need no library, any other YAML needs ``pip install pyyaml``.
    """
    if not os.path.exists(config_yaml):
        rank_zero_warn(f"Missing Tags: {config_yaml}.", category=RuntimeWarning)
        return {}
    with open(config_yaml, encoding="utf8") as file:
        text = file.read()
    try:
        return _own_lines(text)
    except ValueError:
        pass
    try:
        import yaml
    except ImportError:
        raise ModuleNotFoundError(f"{config_yaml} needs a YAML reader: pip install pyyaml", name="yaml") from None
    return yaml.safe_load(text) or {}


def _own_lines(text: str) -> dict[str, Any]:
    found = {}
    for line in text.splitlines():
        if line.startswith('"'):
            key, end = json.JSONDecoder().raw_decode(line)
            value = line[end:].removeprefix(":")
        else:
            key, colon, value = line.partition(":")
            if not colon:
                raise ValueError(line)
        found[key] = json.loads({".nan": "NaN", ".inf": "Infinity", "-.inf": "-Infinity"}.get(value.strip(), value))
    return found


def save_hparams_to_tags_csv(tags_csv: str, hparams: Any) -> None:
    """Write hyper-parameters as rows of ``key,value``."""
    if not os.path.isdir(os.path.dirname(tags_csv) or "."):
        raise RuntimeError(f"Missing folder: {os.path.dirname(tags_csv)}.")
    with open(tags_csv, "w", newline="", encoding="utf8") as file:
        writer = csv.writer(file)
        writer.writerow(("key", "value"))
        writer.writerows((vars(hparams) if isinstance(hparams, Namespace) else hparams).items())


def load_hparams_from_tags_csv(tags_csv: str) -> dict[str, Any]:
    """The hyper-parameters of a file of `save_hparams_to_tags_csv`; {} and a warning where there is none."""
    if not os.path.exists(tags_csv):
        rank_zero_warn(f"Missing Tags: {tags_csv}.", category=RuntimeWarning)
        return {}
    with open(tags_csv, newline="", encoding="utf8") as file:
        return {key: _converted(value) for key, value in list(csv.reader(file))[1:]}


def _converted(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
