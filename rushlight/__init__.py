"""rushlight: PyTorch's API on a lazy graph, small and fast on ordinary CPUs."""

from __future__ import annotations

import importlib
import math as _math
from typing import Any

from rushlight.autograd.grad_mode import (  # noqa: F401
    enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled)
from rushlight.ir import dtype as _dtypes
from rushlight.ir.dtype import DType as dtype  # noqa: F401
from rushlight.ir.dtype import qint8, qint32, quint8  # noqa: F401
from rushlight.ir.dtype import float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz  # noqa: F401
from rushlight.ir.dtype import (  # noqa: F401
    bfloat16, complex64, complex128, float16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32,
    uint64)
from rushlight.tensor import methods as _methods  # noqa: F401
from rushlight.tensor import protocol as _protocol
from rushlight.tensor import trace as _trace  # noqa: F401
from rushlight.tensor.core import Tensor
from rushlight.tensor.creation import *  # noqa: F403
from rushlight.tensor.device import device  # noqa: F401
from rushlight.tensor.drawing import *  # noqa: F403
from rushlight.tensor.formats import (  # noqa: F401
    channels_last, channels_last_3d, contiguous_format, jagged, layout, memory_format, preserve_format, sparse_bsc,
    sparse_bsr, sparse_coo, sparse_csc, sparse_csr, strided)
from rushlight.tensor.functions import *  # noqa: F403
from rushlight.tensor.functions.factorizations import TORCH_LEVEL as _factorizations
from rushlight.tensor.functions.older_linalg import TORCH_LEVEL as _linear_algebra
from rushlight.tensor.functions.shape import Size  # noqa: F401
from rushlight.tensor.promotion import can_cast, promote_types, result_type  # noqa: F401
from rushlight.tensor.dlpack import from_dlpack  # noqa: F401
from rushlight.tensor.sequences import *  # noqa: F403
from rushlight.tensor.sequences import range_ as range  # noqa: F401

__version__ = "0.1.0"
globals().update({**_linear_algebra, **_factorizations})
_protocol.attach()

bool = _dtypes.bool_
float, double, half = float32, float64, float16
int, long, short = int32, int64, int16
cfloat, cdouble = complex64, complex128
inf, nan, pi, e, newaxis = _math.inf, _math.nan, _math.pi, _math.e, None

# Where names live that are imported only when they are first asked for: name -> module
_LAZY: dict[str, str] = {
    **dict.fromkeys(("explain",), "rushlight.tensor.explain"),
    **dict.fromkeys(("profile",), "rushlight.exec.cpu.profile"),
    **dict.fromkeys(("stats", "realize"), "rushlight.tensor.inspection"),
    **dict.fromkeys(("save", "load"), "rushlight.serialization"),
    **dict.fromkeys(("Generator", "default_generator", "manual_seed", "seed", "initial_seed", "get_rng_state",
                     "set_rng_state"), "rushlight.random"),
    **dict.fromkeys(("sparse_coo_tensor", "sparse_csr_tensor", "sparse_csc_tensor", "sparse_compressed_tensor"),
                    "rushlight.sparse.creation"),
    **dict.fromkeys(("from_file",), "rushlight.tensor.mapped"),
    **dict.fromkeys(("spmm",), "rushlight.sparse.functions"),
    **dict.fromkeys(("binomial", "_standard_gamma", "_standard_gamma_grad", "_sample_dirichlet", "_dirichlet_grad"),
                    "rushlight.tensor.sampling"),
    **dict.fromkeys(("set_printoptions", "get_printoptions", "printoptions"), "rushlight.tensor.printing"),
    **dict.fromkeys(("as_torch",), "rushlight.cli.alias"),
    **dict.fromkeys(("dropout", "alpha_dropout", "feature_alpha_dropout", "layer_norm", "group_norm", "batch_norm",
                     "instance_norm", "embedding",
                     "embedding_bag", "binary_cross_entropy_with_logits", "cosine_embedding_loss",
                     "hinge_embedding_loss", "margin_ranking_loss",
                     "triplet_margin_loss", "kl_div", "poisson_nll_loss", "ctc_loss"), "rushlight.nn.functional.aten"),
    **dict.fromkeys(("native_layer_norm", "native_group_norm", "native_batch_norm"), "rushlight.nn.functional.native"),
    **dict.fromkeys(("stft", "istft"), "rushlight.tensor.stft"),
    **dict.fromkeys(("hann_window", "hamming_window", "blackman_window", "bartlett_window", "kaiser_window"),
                    "rushlight.signal.named_windows"),
    **dict.fromkeys(("native_dropout", "feature_dropout", "convolution", "frobenius_norm", "nuclear_norm",
                     "norm_except_dim", "affine_grid_generator",
                     "embedding_renorm_"), "rushlight.nn.functional.aten_layers"),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"),
                    "rushlight.nn.recurrent"),
    **dict.fromkeys(("quantize_per_tensor", "quantize_per_channel", "quantize_per_tensor_dynamic", "dequantize"),
                    "rushlight.ao.tensors"),
    **dict.fromkeys(("qscheme", "per_tensor_affine", "per_tensor_symmetric", "per_channel_affine",
                     "per_channel_symmetric",
                     "per_channel_affine_float_qparams"), "rushlight.ao.schemes"),
    **dict.fromkeys(("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine"), "rushlight.ao.faking"),
    **dict.fromkeys(("vmap",), "rushlight.func.vectorize"),
    **dict.fromkeys(("autocast", "clear_autocast_cache", "get_autocast_cpu_dtype", "get_autocast_dtype",
                     "get_autocast_gpu_dtype",
                     "is_autocast_cache_enabled", "is_autocast_cpu_enabled", "is_autocast_enabled",
                     "set_autocast_cache_enabled", "set_autocast_dtype",
                     "set_autocast_enabled"), "rushlight.amp.autocast_mode"),
    **dict.fromkeys(("compile",), "rushlight.compiler"),
    **dict.fromkeys(("OutOfMemoryError",), "rushlight.cuda"),
    **dict.fromkeys(("SymInt", "SymFloat", "SymBool"), "rushlight.tensor.symbolic"),
    **dict.fromkeys(("_check", "_check_index", "_check_is_size", "_check_not_implemented", "_check_type",
                     "_check_value", "_assert"),
                    "rushlight.tensor.checks"),
    **dict.fromkeys(("is_anomaly_enabled", "is_anomaly_check_nan_enabled"), "rushlight.autograd.anomaly"),
    **dict.fromkeys(("UntypedStorage", "TypedStorage", "FloatStorage", "DoubleStorage", "HalfStorage",
                     "BFloat16Storage", "LongStorage", "IntStorage",
                     "ShortStorage", "CharStorage", "ByteStorage", "BoolStorage"), "rushlight.tensor.public_storage"),
    **dict.fromkeys(("FloatTensor", "DoubleTensor", "HalfTensor", "BFloat16Tensor", "ByteTensor", "CharTensor",
                     "ShortTensor", "IntTensor",
                     "LongTensor", "BoolTensor"), "rushlight.tensor.typed"),
    **dict.fromkeys(("set_default_dtype", "get_default_dtype", "set_default_tensor_type", "is_tensor", "is_storage",
                     "is_floating_point", "is_complex",
                     "is_nonzero", "is_same_size", "numel", "finfo", "iinfo", "set_num_threads", "get_num_threads",
                     "set_num_interop_threads",
                     "get_num_interop_threads", "use_deterministic_algorithms", "are_deterministic_algorithms_enabled",
                     "set_default_device",
                     "get_default_device", "set_float32_matmul_precision", "get_float32_matmul_precision",
                     "is_deterministic_algorithms_warn_only_enabled",
                     "set_deterministic_debug_mode", "is_warn_always_enabled", "set_warn_always", "typename",
                     "is_distributed", "set_flush_denormal"), "rushlight.tensor.settings"),
}
# methods of Tensor that are functions of torch too
_METHODS = frozenset("""abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_
    asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ detach detach_ erf_
    erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_ frac_ gcd_ get_device i0_ index_put_ is_conj is_inference is_neg is_signed
    lcm_ ldexp_ log10_ log1p_ log2_ log_ logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ resize_as_ resolve_conj
    resolve_neg round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_""".split())
_SUBMODULES = ("nn", "optim", "utils", "autograd", "random", "linalg", "fft", "special", "func", "export", "nested",
               "_subclasses", "serialization", "vision", "data", "cuda", "backends", "xpu", "accelerator",
               "quasirandom", "testing", "amp", "jit", "distributions", "multiprocessing", "hub", "types", "version",
               "mps", "cpu", "return_types", "storage",
               "functional", "_C", "_utils", "overrides", "profiler", "signal", "sparse", "masked", "fx", "library",
               "onnx", "distributed", "futures", "compiler", "_dynamo", "ao", "quantization",
               "inspect", "compress")


def __getattr__(name: str) -> Any:
    home = _LAZY.get(name)
    if home is not None:
        value = getattr(importlib.import_module(home), name, _LAZY)
        if value is not _LAZY:
            value = _protocol.dispatched(name, value)
            globals()[name] = value
            return value
    if name in _SUBMODULES:
        try:
            return importlib.import_module(f"rushlight.{name}")
        except ModuleNotFoundError as e:
            if e.name != f"rushlight.{name}":
                raise
    if name in _METHODS:
        globals()[name] = method = getattr(Tensor, name)
        return method
    if name.startswith("_foreach_"):
        return getattr(importlib.import_module("rushlight.tensor.foreach"), name)
    if not name.startswith("__"):
        module = importlib.import_module("rushlight.nn.functional")
        if name in module.TORCH_LEVEL:
            globals()[name] = value = _protocol.dispatched(name, getattr(module, name))
            return value
    raise AttributeError(f"module 'rushlight' has no attribute {name!r}; rushlight does not provide torch.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_SUBMODULES})
