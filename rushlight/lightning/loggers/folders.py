"""Loggers that write files into save_dir/name/version."""

from __future__ import annotations

import os
from typing import Any

from rushlight.lightning.loggers.logger import Logger, next_version
from rushlight.lightning.utilities.hparams_files import save_hparams_to_yaml


class FolderLogger(Logger):
    """Names, folders and hparams.yaml."""

    NAME_HPARAMS_FILE = "hparams.yaml"

    def __init__(self, save_dir: Any, name: str | None, version: int | str | None, prefix: str):
        self._save_dir, self._name, self._version, self._prefix = os.fspath(save_dir), name or "", version, prefix
        self._experiment: Any = None
        self.hparams: dict[str, Any] = {}
        self._written_hparams: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> int | str:
        if self._version is None:
            self._version = next_version(self.root_dir)
        return self._version

    @property
    def save_dir(self) -> str:
        return str(self._save_dir)

    @property
    def root_dir(self) -> str:
        return os.path.join(self._save_dir, self._name)

    @property
    def log_dir(self) -> str:
        version = self.version if isinstance(self.version, str) else f"version_{self.version}"
        return os.path.join(self.root_dir, version)

    def _named(self, metrics: dict[str, Any]) -> dict[str, Any]:
        return {f"{self._prefix}-{name}": value for name, value in metrics.items()} if self._prefix else metrics

    def _keep_hparams(self, params: Any) -> dict[str, Any]:
        given = vars(params) if hasattr(params, "__dict__") and not isinstance(params, dict) else params or {}
        kept: dict[str, Any] = dict(given)
        self.hparams.update(kept)
        return kept

    def _write_hparams(self) -> None:
        if self.hparams != self._written_hparams or not os.path.exists(os.path.join(self.log_dir,
                                                                                    self.NAME_HPARAMS_FILE)):
            save_hparams_to_yaml(os.path.join(self.log_dir, self.NAME_HPARAMS_FILE), self.hparams)
            self._written_hparams = dict(self.hparams)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_experiment": None}
