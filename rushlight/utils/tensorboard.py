"""torch.utils.tensorboard: event files for TensorBoard, written by tensorboardX."""

from __future__ import annotations

import itertools
import os
from typing import Any

try:
    import tensorboardX
    from tensorboardX.summary import hparams
except ImportError:
    raise ModuleNotFoundError("torch.utils.tensorboard needs tensorboardX: pip install 'rushlight[tensorboard]'",
                              name="tensorboardX") from None

from rushlight.tensor.core import Tensor

__all__ = ["FileWriter", "SummaryWriter"]

_files = itertools.count()  # part of the names, so that two files made within one second differ


def _plain(value: Any) -> Any:
    """Tensors as arrays, within containers too; bfloat16 as float32."""
    if isinstance(value, Tensor):
        value = value.detach()
        return (value.float() if value.dtype.itemsize < 4 and value.dtype.is_floating_point else value).cpu().numpy()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_plain(v) for v in value)
    return value


class SummaryWriter(tensorboardX.SummaryWriter):  # type: ignore[misc]
    """Writes scalars, pictures, histograms, texts, embeddings and hyper-parameters; ``with`` closes it.

    Args:
        log_dir: the folder, runs/DATE_HOST by default. comment: comes after that name.
        purge_step: what was logged from this step on before a crash is not shown.
        max_queue, flush_secs: when events are written. filename_suffix: ends the file's name.

    RuntimeError for add_graph, which needs PyTorch's own traces.
    """

    def __init__(self, log_dir: Any = None, comment: str = "", purge_step: int | None = None, max_queue: int = 10,
                 flush_secs: int = 120, filename_suffix: str = ""):
        super().__init__(logdir=None if log_dir is None else str(log_dir), comment=comment, purge_step=purge_step,
                         max_queue=max_queue, flush_secs=flush_secs,
                         filename_suffix=f".{os.getpid()}.{next(_files)}{filename_suffix}")

    def get_logdir(self) -> str:
        """The folder."""
        return str(self.logdir)

    @property
    def log_dir(self) -> str:
        """The folder."""
        return str(self.logdir)

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None, walltime: Any = None,
                   new_style: bool = False, double_precision: bool = False) -> None:
        """One number."""
        super().add_scalar(tag, _number(scalar_value), global_step, walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: dict[str, Any], global_step: Any = None,
                    walltime: Any = None) -> None:
        """Several numbers in one diagram."""
        super().add_scalars(main_tag, {k: _number(v) for k, v in tag_scalar_dict.items()}, global_step, walltime)

    def add_hparams(self, hparam_dict: dict[str, Any], metric_dict: dict[str, Any], hparam_domain_discrete: Any = None,
                    run_name: str | None = None, global_step: Any = None) -> Any:
        """Hyper-parameters and the values they led to. TypeError for anything but two dicts."""
        if not isinstance(hparam_dict, dict) or not isinstance(metric_dict, dict):
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        parameters, values = _plain(hparam_dict), {k: _number(v) for k, v in metric_dict.items()}
        if run_name != ".":
            return super().add_hparams(parameters, values, name=run_name, global_step=global_step)
        for summary in hparams(parameters, values):  # a second file in this folder could get this one's name
            self.file_writer.add_summary(summary)
        for tag, value in values.items():
            self.add_scalar(tag, value, global_step)

    def add_graph(self, model: Any, input_to_model: Any = None, verbose: bool = False,
                  use_strict_trace: bool = True) -> None:
        """Not available: RuntimeError."""
        raise RuntimeError("SummaryWriter.add_graph is not provided; `print(model)` or ModelSummary shows its parts")


def _number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _with_arrays(name: str) -> Any:
    method = getattr(tensorboardX.SummaryWriter, name)

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(self, *map(_plain, args), **{k: _plain(v) for k, v in kwargs.items()})
    wrapped.__name__, wrapped.__doc__ = name, f"tensorboardX's ``{name}``, with tensors for arrays."
    return wrapped


for _name in ("add_histogram", "add_histogram_raw", "add_image", "add_images", "add_image_with_boxes", "add_video",
              "add_audio", "add_embedding", "add_pr_curve", "add_pr_curve_raw", "add_mesh", "add_figure"):
    setattr(SummaryWriter, _name, _with_arrays(_name))

FileWriter = tensorboardX.FileWriter
