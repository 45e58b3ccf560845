"""Values as TensorBoard's event files."""

from __future__ import annotations

import importlib.util
from typing import Any

from rushlight.lightning.core.hparams import as_flat
from rushlight.lightning.loggers.folders import FolderLogger
from rushlight.lightning.loggers.logger import rank_zero_experiment
from rushlight.lightning.utilities.rank_zero import rank_zero_only, rank_zero_warn


def available() -> bool:
    """Whether the library that writes event files is installed."""
    return importlib.util.find_spec("tensorboardX") is not None


class TensorBoardLogger(FolderLogger):
    """Write values to save_dir/name/version_N; ``experiment`` is a ``torch.utils.tensorboard.SummaryWriter``.

    Args:
        save_dir: the folder of all experiments.
        name: the experiment's; version: the run's, the next free number by default.
        log_graph: write the model's graph, from its ``example_input_array``.
        default_hp_metric: write hp_metric=-1 with the hyper-parameters, so that TensorBoard shows them.
        prefix: comes before every name. sub_dir: a folder within the version's.
        kwargs: arguments of SummaryWriter.

    ModuleNotFoundError where tensorboardX is not installed.
    """

    LOGGER_JOIN_CHAR = "-"

    def __init__(self, save_dir: Any, name: str | None = "lightning_logs", version: int | str | None = None,
                 log_graph: bool = False, default_hp_metric: bool = True, prefix: str = "",
                 sub_dir: Any = None, **kwargs: Any):
        if not available():
            raise ModuleNotFoundError("TensorBoardLogger needs tensorboardX: pip install 'rushlight[tensorboard]';"
                                      " CSVLogger needs nothing",
                                      name="tensorboardX")
        super().__init__(save_dir, name, version, prefix)
        self._log_graph = log_graph
        self._default_hp_metric, self._sub_dir, self._kwargs = default_hp_metric, sub_dir, kwargs

    @property
    def sub_dir(self) -> Any:
        """The folder within the version's."""
        return self._sub_dir

    @property
    def log_dir(self) -> str:
        import os
        base = super().log_dir
        return (
            base if self._sub_dir is None else os.path.expanduser(os.path.expandvars(os.path.join(base, self._sub_dir)))
        )

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The SummaryWriter."""
        if self._experiment is None:
            from rushlight.utils.tensorboard import SummaryWriter
            self._experiment = SummaryWriter(log_dir=self.log_dir, **self._kwargs)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        writer = self.experiment
        for name, value in self._named(metrics).items():
            if isinstance(value, dict):
                writer.add_scalars(name, value, step)
            else:
                writer.add_scalar(name, value, step)

    @rank_zero_only
    def log_hyperparams(self, params: Any, metrics: Any = None,
                        step: int | None = None) -> None:
        """Write hyper-parameters, and `metrics` that belong to them."""
        flat = as_flat(self._keep_hparams(params))
        if metrics is None:
            metrics = {"hp_metric": -1} if self._default_hp_metric else {}
        elif not isinstance(metrics, dict):
            metrics = {"hp_metric": metrics}
        if metrics:
            self.experiment.add_hparams(flat, self._named(metrics), run_name=".",
                                        global_step=0 if step is None else step)

    @rank_zero_only
    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Write what the model calls on its ``example_input_array`` or on others; a warning where that cannot be."""
        given = model.example_input_array if input_array is None else input_array
        if not self._log_graph:
            return
        if given is None:
            rank_zero_warn("Could not log computational graph to TensorBoard: The `model.example_input_array` attribute is not set or "
                           "`input_array` was not given.")
            return
        try:
            self.experiment.add_graph(model, given)
        except RuntimeError as e:
            rank_zero_warn(f"Could not log computational graph to TensorBoard: {e}")

    @rank_zero_only
    def save(self) -> None:
        self.experiment.flush()
        self._write_hparams()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._experiment is not None:
            self._experiment.flush()
            if status == "success":
                self.save()
                self._experiment.close()
                self._experiment = None
