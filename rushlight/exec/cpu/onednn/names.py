"""The numbers and signatures of oneDNN's C API (version 3, stable since 3.0), as tables from names.

Source: the public headers ``dnnl_types.h``, ``dnnl_common_types.h`` and ``dnnl.h`` of oneDNN 3.2; 3.12 adds to them and
changes nothing here.
"""

from __future__ import annotations

import ctypes
from typing import Any

from rushlight.ir import dtype as dt
from rushlight.ir.dtype import DType

STATUS = ("success", "out_of_memory", "invalid_arguments", "unimplemented", "last_impl_reached", "runtime_error",
          "not_required", "invalid_graph", "invalid_graph_op", "invalid_shape", "invalid_data_type")
DTYPES: dict[DType, int] = {dt.float16: 1, dt.bfloat16: 2, dt.float32: 3, dt.int32: 4, dt.int8: 5, dt.uint8: 6, dt.float64: 7}
OF_DTYPE: dict[int, DType] = {number: dtype for dtype, number in DTYPES.items()}

CPU = 1  # engine kind
IN_ORDER = 1  # stream flag
OMP = 2  # cpu_runtime in dnnl_version_t
USER_SCRATCHPAD = 1
MAX_NDIMS = 12

PROP = {"training": 64, "inference": 96, "backward": 128, "backward_data": 160, "backward_weights": 192}
FORMAT_TAG_ANY = 1
FORMAT_BLOCKED = 2
MATH = {"strict": 0, "bf16": 1, "f16": 2, "any": 3, "tf32": 4}

CONVOLUTION = {"direct": 1, "winograd": 2, "auto": 3}
DECONVOLUTION = {"direct": 0xA, "winograd": 0xB}
POOLING = {"max": 0x1FF, "avg_include_padding": 0x2FF, "avg_exclude_padding": 0x3FF}
SOFTMAX = {"softmax": 0x30000, "log_softmax": 0x30001}
ELTWISE = {name: 0x20 + i for i, name in enumerate((
    "relu", "tanh", "elu", "square", "abs", "sqrt", "linear", "soft_relu", "hardsigmoid", "logistic", "exp", "gelu_tanh",
    "swish", "log", "clip", "clip_v2", "pow", "gelu_erf", "round", "mish", "hardswish"))}
# The backward pass of these reads the result instead of the input.
ELTWISE |= {f"{name}_dst": 0x100 + i for i, name in enumerate(("relu", "tanh", "elu", "sqrt", "logistic", "exp", "clip_v2"))}
BINARY = {name: 0x1FFF0 + i for i, name in enumerate((
    "add", "mul", "max", "min", "div", "sub", "ge", "gt", "le", "lt", "eq", "ne"))}
REDUCTION = {name: 0x2FFF2 + i for i, name in enumerate((
    "max", "min", "sum", "mul", "mean", "norm_lp_max", "norm_lp_sum", "norm_lp_power_p_max", "norm_lp_power_p_sum"))}
NORM_FLAGS = {"global_stats": 1, "scale": 2, "shift": 4, "relu": 8, "add_relu": 16}
DIRECTION = {"left2right": 1, "right2left": 2, "concat": 3, "sum": 4}

# Arguments of dnnl_primitive_execute. Recurrent primitives name the same numbers after layers and steps.
ARGS = {
    "src": 1, "src_1": 2, "dst": 17, "weights": 33, "bias": 41, "mean": 49, "variance": 50, "scale": 51, "shift": 52,
    "workspace": 64, "scratchpad": 80, "diff_src": 129, "diff_src_1": 130, "diff_dst": 145, "diff_weights": 161,
    "diff_bias": 169, "diff_scale": 255, "diff_shift": 256,
    "src_layer": 1, "src_iter": 2, "src_iter_c": 3, "dst_layer": 17, "dst_iter": 18, "dst_iter_c": 19,
    "weights_layer": 33, "weights_iter": 34,
    "diff_src_layer": 129, "diff_src_iter": 130, "diff_src_iter_c": 131, "diff_dst_layer": 145, "diff_dst_iter": 146,
    "diff_dst_iter_c": 147, "diff_weights_layer": 161, "diff_weights_iter": 162,
}
ATTR_SCALES = 4096  # | argument
ATTR_ZERO_POINTS = 8192  # | argument
POST_OP = 32768  # * (index + 1) | ARGS["src_1"]

QUERY = {"impl": 8, "strides": 14, "exec_arg_md": 255, "ndims": 256, "dims": 257, "dtype": 258, "padded_dims": 260,
         "format_kind": 262, "inner_nblks": 263, "inner_blks": 264, "inner_idxs": 265}

# One letter per parameter: p pointer, i int, u unsigned, f float, q int64, c char, d pointer to dimensions (or pointer to int64).
LETTERS: dict[str, Any] = {"p": ctypes.c_void_p, "i": ctypes.c_int, "u": ctypes.c_uint, "f": ctypes.c_float,
                           "q": ctypes.c_int64, "c": ctypes.c_char, "z": ctypes.c_size_t, "d": ctypes.c_void_p}
# Functions that return a status. In "…_primitive_desc_create" the first parameter is the result, the last the attributes.
SIGNATURES: dict[str, str] = {
    "engine_create": "piz", "engine_destroy": "p", "stream_create": "ppu", "stream_destroy": "p", "stream_wait": "p",
    "memory_desc_create_with_strides": "pidid", "memory_desc_create_with_tag": "pidii", "memory_desc_clone": "pp",
    "memory_desc_destroy": "p", "memory_desc_query": "pip", "memory_desc_reshape": "ppid",
    "memory_create": "pppp", "memory_set_data_handle": "pp", "memory_destroy": "p",
    "primitive_create": "pp", "primitive_destroy": "p", "primitive_execute": "ppip", "primitive_desc_destroy": "p",
    "primitive_desc_query": "piip", "primitive_desc_next_impl": "p",
    "primitive_attr_create": "p", "primitive_attr_destroy": "p", "primitive_attr_set_scratchpad_mode": "pi",
    "primitive_attr_set_fpmath_mode": "pi", "primitive_attr_set_post_ops": "pp", "primitive_attr_set_scales_mask": "pii",
    "primitive_attr_set_zero_points_mask": "pii",
    "post_ops_create": "p", "post_ops_destroy": "p", "post_ops_append_sum": "pfii", "post_ops_append_eltwise": "piff",
    "post_ops_append_binary": "pip",
    "sgemm": "ccqqqfpqpqfpq",
    "set_primitive_cache_capacity": "i", "set_max_cpu_isa": "i",
    "matmul_primitive_desc_create": "pp" "pppp" "p",
    "inner_product_forward_primitive_desc_create": "pp" "i" "pppp" "p",
    "inner_product_backward_data_primitive_desc_create": "pp" "ppp" "pp",
    "inner_product_backward_weights_primitive_desc_create": "pp" "pppp" "pp",
    "convolution_forward_primitive_desc_create": "pp" "ii" "pppp" "dddd" "p",
    "convolution_backward_data_primitive_desc_create": "pp" "i" "ppp" "dddd" "pp",
    "convolution_backward_weights_primitive_desc_create": "pp" "i" "pppp" "dddd" "pp",
    "deconvolution_forward_primitive_desc_create": "pp" "ii" "pppp" "dddd" "p",
    "deconvolution_backward_data_primitive_desc_create": "pp" "i" "ppp" "dddd" "pp",
    "deconvolution_backward_weights_primitive_desc_create": "pp" "i" "pppp" "dddd" "pp",
    "pooling_forward_primitive_desc_create": "pp" "ii" "pp" "ddddd" "p",
    "pooling_backward_primitive_desc_create": "pp" "i" "pp" "ddddd" "pp",
    "batch_normalization_forward_primitive_desc_create": "pp" "i" "pp" "fu" "p",
    "batch_normalization_backward_primitive_desc_create": "pp" "i" "ppp" "fu" "pp",
    "layer_normalization_forward_primitive_desc_create": "pp" "i" "ppp" "fu" "p",
    "layer_normalization_backward_primitive_desc_create": "pp" "i" "pppp" "fu" "pp",
    "softmax_forward_primitive_desc_create": "pp" "ii" "pp" "i" "p",
    "softmax_backward_primitive_desc_create": "pp" "i" "ppp" "i" "pp",
    "eltwise_forward_primitive_desc_create": "pp" "ii" "pp" "ff" "p",
    "eltwise_backward_primitive_desc_create": "pp" "i" "ppp" "ff" "pp",
    "binary_primitive_desc_create": "pp" "i" "ppp" "p",
    "reduction_primitive_desc_create": "pp" "i" "pp" "ff" "p",
    "reorder_primitive_desc_create": "p" "pppp" "p",
    "vanilla_rnn_forward_primitive_desc_create": "pp" "iii" "ppppppp" "uff" "p",
    "vanilla_rnn_backward_primitive_desc_create": "pp" "iii" "ppppppp" "ppppppp" "uff" "pp",
    "lstm_forward_primitive_desc_create": "pp" "ii" "ppppppppppp" "u" "p",
    "lstm_backward_primitive_desc_create": "pp" "ii" "ppppppppppp" "ppppppppppp" "u" "pp",
    "lbr_gru_forward_primitive_desc_create": "pp" "ii" "ppppppp" "u" "p",
    "lbr_gru_backward_primitive_desc_create": "pp" "ii" "ppppppp" "ppppppp" "u" "pp",
}
# Functions that return something else: (type of the result, parameters).
OTHERS: dict[str, tuple[Any, str]] = {
    "memory_desc_equal": (ctypes.c_int, "pp"),
    "memory_desc_get_size": (ctypes.c_size_t, "p"),
    "primitive_desc_query_md": (ctypes.c_void_p, "pii"),
    "version": (ctypes.c_void_p, ""),
    "get_effective_cpu_isa": (ctypes.c_int, ""),
}
