"""torch.utils.tensorboard: event files for TensorBoard, written by tensorboardX."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

try:
    import tensorboardX
    from google.protobuf import struct_pb2
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboardX.proto.tensor_pb2 import TensorProto
    from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboardX.summary import hparams
except ImportError:
    raise ModuleNotFoundError("torch.utils.tensorboard needs tensorboardX: pip install 'rushlight[tensorboard]'",
                              name="tensorboardX") from None

from rushlight.ir.dtype import uint8
from rushlight.tensor.core import Tensor

__all__ = ["FileWriter", "SummaryWriter"]

TENSOR_TYPES = {  # dtypes in the format's own names
    "float16": "DT_HALF", "bfloat16": "DT_BFLOAT16", "float32": "DT_FLOAT", "float64": "DT_DOUBLE", "uint8": "DT_UINT8", "int8": "DT_INT8",
    "int16": "DT_INT16", "int32": "DT_INT32", "int64": "DT_INT64", "bool": "DT_BOOL", "complex64": "DT_COMPLEX64", "complex128": "DT_COMPLEX128"}
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
        """One number; with ``new_style`` as a tensor, of float64 with ``double_precision`` (without it in single precision)."""
        number = _number(scalar_value)
        if not new_style:
            super().add_scalar(tag, number, global_step, walltime)
            return
        kind = dict(dtype="DT_DOUBLE", double_val=[number]) if double_precision else dict(dtype="DT_FLOAT", float_val=[number])
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
        value = Summary.Value(tag=tag, tensor=TensorProto(**kind), metadata=metadata)
        self._get_file_writer().add_summary(Summary(value=[value]), global_step, walltime)

    def add_tensor(self, tag: str, tensor: Tensor, global_step: Any = None, walltime: Any = None) -> None:
        """A tensor with all its values, in its own dtype."""
        array = tensor.detach().contiguous().cpu()
        if array.dtype.name not in TENSOR_TYPES:
            raise ValueError(f"Tensor has unsupported type {tensor.dtype}")
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in array.shape])
        raw = array.reshape(-1).view(uint8).numpy().tobytes() if array.numel() else b""
        proto = TensorProto(dtype=TENSOR_TYPES[array.dtype.name], tensor_shape=shape, tensor_content=raw)
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="tensor"))
        self._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, tensor=proto, metadata=metadata)]), global_step, walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: dict[str, Any], global_step: Any = None,
                    walltime: Any = None) -> None:
        """Several numbers in one diagram."""
        super().add_scalars(main_tag, {k: _number(v) for k, v in tag_scalar_dict.items()}, global_step, walltime)

    def add_hparams(self, hparam_dict: dict[str, Any], metric_dict: dict[str, Any], hparam_domain_discrete: Any = None,
                    run_name: str | None = None, global_step: Any = None) -> None:
        """Hyper-parameters and the values they led to, as a run of its own in this folder ("." for this one).

        ``hparam_domain_discrete`` lists the values that parameters can have. TypeError for anything but dicts, and lists of such values.
        """
        if not isinstance(hparam_dict, dict) or not isinstance(metric_dict, dict):
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        parameters, values = _plain(hparam_dict), {k: _number(v) for k, v in metric_dict.items()}
        domains = _checked_domains(hparam_domain_discrete or {}, hparam_dict)
        experiment, *others = hparams(parameters, values)
        if domains:
            _write_domains(experiment, domains)
        if run_name == ".":  # a second file in this folder could get this one's name
            self._write_hparams([experiment, *others], values, global_step)
            return
        with SummaryWriter(os.path.join(self.log_dir, run_name or str(time.time()))) as writer:
            writer._write_hparams([experiment, *others], values, global_step)

    def _write_hparams(self, summaries: list[Any], values: dict[str, Any], global_step: Any) -> None:
        for summary in summaries:
            self._get_file_writer().add_summary(summary, global_step)
        for tag, value in values.items():
            self.add_scalar(tag, value, global_step)

    def add_graph(self, model: Any, input_to_model: Any = None, verbose: bool = False,
                  use_strict_trace: bool = True) -> None:
        """What a model calls on example inputs (a tensor or a tuple), nested as its modules are; ``verbose`` prints it.

        The model runs in evaluation mode. ``use_strict_trace`` makes no difference: dictionaries and lists may come out.
        RuntimeError where the model does what a graph cannot hold.
        """
        from rushlight.utils.tensorboard_graph import graph_def, graph_of
        captured = graph_of(model, input_to_model)
        if verbose:
            print(captured.graph)
        title = getattr(model, "__name__", type(model).__name__)
        self._get_file_writer().add_onnx_graph(graph_def(captured, title))


def _checked_domains(domains: Any, parameters: dict[str, Any]) -> dict[str, list[Any]]:
    """The values that parameters can have; TypeError for what is no dict of lists of values of the parameters' types."""
    if not isinstance(domains, dict):
        raise TypeError("parameter: hparam_domain_discrete should be a dictionary, nothing logged.")
    for name, values in domains.items():
        if name not in parameters or not isinstance(values, list) or not all(isinstance(v, type(parameters[name])) for v in values):
            raise TypeError(f"parameter: hparam_domain_discrete[{name}] should be a list of same type as hparam_dict[{name}].")
    return domains


def _write_domains(experiment: Any, domains: dict[str, list[Any]]) -> None:
    """Add the values that parameters can have to the summary that describes them."""
    plugin = experiment.value[0].metadata.plugin_data
    data = HParamsPluginData.FromString(plugin.content)
    for info in data.experiment.hparam_infos:
        if info.name in domains:
            values = struct_pb2.ListValue()
            values.extend(domains[info.name])
            info.domain_discrete.CopyFrom(values)
    plugin.content = data.SerializeToString()


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
