"""Values as rows of metrics.csv."""

from __future__ import annotations

import csv
import os
from typing import Any

from rushlight.lightning.loggers.folders import FolderLogger
from rushlight.lightning.loggers.logger import rank_zero_experiment
from rushlight.lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn


class ExperimentWriter:
    """Rows in memory, appended to the file when saved; a new name makes the file anew with one more column."""

    NAME_METRICS_FILE = "metrics.csv"

    def __init__(self, log_dir: str):
        self.log_dir = log_dir
        self.metrics: list[dict[str, float]] = []
        self.metrics_keys: list[str] = []
        self.hparams: dict[str, Any] = {}
        self.metrics_file_path = os.path.join(log_dir, self.NAME_METRICS_FILE)
        if os.path.isdir(log_dir) and os.listdir(log_dir):
            rank_zero_warn(f"Experiment logs directory {log_dir} exists and is not empty. Previous log files in this"
                           " directory will be deleted when the new ones are saved!")
            if os.path.isfile(self.metrics_file_path):
                os.remove(self.metrics_file_path)
        os.makedirs(log_dir, exist_ok=True)

    def log_metrics(self, metrics_dict: dict[str, Any], step: int | None = None) -> None:
        """Keep a row."""
        row = {k: v.item() if hasattr(v, "item") else v for k, v in metrics_dict.items()}
        row["step"] = len(self.metrics) if step is None else step
        self.metrics.append(row)

    def log_hparams(self, params: dict[str, Any]) -> None:
        """Keep hyper-parameters."""
        self.hparams.update(params)

    def save(self) -> None:
        """Append the rows."""
        if not self.metrics:
            return
        new = {key for row in self.metrics for key in row}.difference(self.metrics_keys)
        self.metrics_keys = sorted([*self.metrics_keys, *new])
        exists = os.path.isfile(self.metrics_file_path)
        if new and exists:
            with open(self.metrics_file_path, newline="", encoding="utf8") as file:
                before = list(csv.DictReader(file))
            self._write("w", before)
        self._write("a" if exists else "w", self.metrics)
        self.metrics = []

    def _write(self, mode: str, rows: list[Any]) -> None:
        with open(self.metrics_file_path, mode, newline="", encoding="utf8") as file:
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys)
            if mode == "w":
                writer.writeheader()
            writer.writerows(rows)


class CSVLogger(FolderLogger):
    """Write values to save_dir/name/version_N/metrics.csv, hyper-parameters to hparams.yaml beside it.

    Args:
        save_dir: the folder of all experiments.
        name: the experiment's; version: the run's, the next free number by default.
        prefix: comes before every name. flush_logs_every_n_steps: how often rows are written.
    """

    LOGGER_JOIN_CHAR = "-"

    def __init__(self, save_dir: Any, name: str | None = "lightning_logs", version: int | str | None = None,
                 prefix: str = "", flush_logs_every_n_steps: int = 100):
        super().__init__(save_dir, name, version, prefix)
        self._flush_logs_every_n_steps = flush_logs_every_n_steps

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The ExperimentWriter."""
        if self._experiment is None:
            self._experiment = ExperimentWriter(self.log_dir)
        return self._experiment  # type: ignore[no-any-return]

    @rank_zero_only
    def log_hyperparams(self, params: Any = None) -> None:
        self.experiment.log_hparams(self._keep_hparams(params))

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        self.experiment.log_metrics(self._named(metrics), step)
        if (step or 0) + 1 and ((step or 0) + 1) % self._flush_logs_every_n_steps == 0:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        self._write_hparams()
        self.experiment.save()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._experiment is not None:
            self.save()
