"""Which types operations do not take, with PyTorch's words for it. Kinds: b bool, i integers, f floats, c complex.

NumPy would compute some of these; a program that relies on it would fail under PyTorch.
"""

from __future__ import annotations

from typing import Any

SCALAR_NAMES = {"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
                "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool",
                "complex64": "ComplexFloat", "complex128": "ComplexDouble", "uint16": "UInt16", "uint32": "UInt32",
                "uint64": "UInt64", "float8_e4m3fn": "Float8_e4m3fn", "float8_e5m2": "Float8_e5m2",
                "float8_e4m3fnuz": "Float8_e4m3fnuz", "float8_e5m2fnuz": "Float8_e5m2fnuz"}
# What PyTorch does with numbers of one byte: it moves and converts them
MOVES = frozenset(("full", "copy", "reorder", "write", "write_bytes", "unview", "cat", "flip", "roll", "constant",
                   "index", "index_put", "gather", "cast",
                   "bitcast", "where", "isnan", "ne", "eq", "embedding", "scatter"))
# operation -> (kinds that PyTorch's kernel of that name lacks, kernel)
LACKING: dict[str, tuple[str, str]] = {
    "abs": ("b", "abs_cpu"), "floor": ("b", "floor_vml_cpu"), "ceil": ("b", "ceil_vml_cpu"),
    "trunc": ("b", "trunc_vml_cpu"),
    "round": ("bc", "round_vml_cpu"), "erf": ("c", "erf_vml_cpu"), "erfc": ("c", "erfc_vml_cpu"),
    "erfinv": ("c", "erfinv_vml_cpu"),
    "lgamma": ("c", "lgamma_vml_cpu"), "digamma": ("c", "digamma"), "i0": ("c", "i0_vml_cpu"),
    "bitwise_not": ("fc", "bitwise_not_cpu"),
    "frac": ("bic", "frac_cpu"), "logit": ("c", "logit_cpu"), "amax": ("c", "max_values_cpu"),
    "amin": ("c", "min_values_cpu"),
    "max": ("c", "max_all"), "min": ("c", "min_all"), "aminmax": ("c", "aminmax_cpu"), "median": ("bc", "median_cpu"),
    "kthvalue": ("bc", "kthvalue_cpu"),
    "mode": ("c", "mode_cpu"), "cummax": ("c", "cummax_cpu"), "cummin": ("c", "cummin_cpu"),
    "logcumsumexp": ("bi", "logcumsumexp_out_cpu"),
    "softmax": ("c", "softmax_lastdim_kernel_impl"), "log_softmax": ("c", "log_softmax_lastdim_kernel_impl"),
    "floor_divide": ("bc", "div_floor_cpu"), "trunc_divide": ("bc", "div_trunc_cpu"), "fmod": ("bc", "fmod_cpu"),
    "remainder": ("bc", "remainder_cpu"),
    "pow": ("b", "pow"), "atan2": ("c", "atan2_cpu"), "lt": ("c", "lt_cpu"), "le": ("c", "le_cpu"),
    "gt": ("c", "gt_cpu"), "ge": ("c", "ge_cpu"),
    "bitwise_and": ("fc", "bitwise_and_cpu"), "bitwise_or": ("fc", "bitwise_or_cpu"),
    "bitwise_xor": ("fc", "bitwise_xor_cpu"),
    "bitwise_left_shift": ("bfc", "lshift_cpu"), "bitwise_right_shift": ("bfc", "rshift_cpu"),
    "copysign": ("c", "copysign_cpu"),
    "nextafter": ("bic", "nextafter_cpu"), "hypot": ("bic", "hypot_cpu"), "gcd": ("bfc", "gcd_cpu"),
    "lcm": ("bfc", "lcm_cpu"),
    "logaddexp": ("bi", "logaddexp_cpu"), "logaddexp2": ("bic", "logaddexp2_cpu"), "xlogy": ("c", "xlogy_cpu"),
    "igamma": ("bic", "igamma_cpu"),
    "igammac": ("bic", "igammac_cpu"), "lerp": ("bi", "lerp_kernel_scalar"), "addcmul": ("b", "addcmul_cpu_out"),
    "dot": ("b", "dot"),
    "matmul": ("b", "addmm_impl_cpu_"), "bmm": ("b", "bmm"), "cross": ("b", "cross"), "trace": ("b", "trace"),
}
# operation -> (kinds, exception, message)
REFUSED: dict[str, tuple[tuple[str, type[Exception], str], ...]] = {
    "sign": (("c", NotImplementedError,
              "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead."),),
    "signbit": (("c", NotImplementedError, "signbit is not implemented for complex tensors."),),
    "relu": (("b", RuntimeError, "Boolean inputs not supported for relu"),
             ("c", NotImplementedError, "clamp is not supported for complex types")),
    "clamp": (("c", NotImplementedError, "clamp is not supported for complex types"),),
    **{n: (("c", NotImplementedError, f"{n} is not supported for complex inputs"),)
       for n in ("floor", "ceil", "trunc")},
    **{n: (("c", RuntimeError, f"{n} not implemented for complex tensors."),)
       for n in ("maximum", "minimum", "fmax", "fmin")},
    **{n: (("c", RuntimeError, f"{n} is not supported for complex tensors."),) for n in ("deg2rad", "rad2deg")},
    **{n: (("c", RuntimeError, f"{n} does not support complex inputs."),) for n in ("isposinf", "isneginf")},
    **{n: (("b", RuntimeError, f"{n}(): does not support bool input"),
           ("c", RuntimeError, f"{n}(): does not support complex input"))
       for n in ("argmax", "argmin")},
    "heaviside": (("c", RuntimeError, "heaviside is not yet implemented for complex tensors."),),
    "nansum": (("c", RuntimeError, "nansum on CPU does not support complex inputs"),),
    "sort": (("c", RuntimeError, "Sort does not support complex dtypes on CPU"),),
    "topk": (("b", RuntimeError, "topk does not support bool dtypes on CPU"),
             ("c", RuntimeError, "topk does not support complex dtypes on CPU")),
    "cov": (("b", RuntimeError, "cov(): bool dtype is not supported for input"),),
}
_EITHER = LACKING.keys() | REFUSED.keys()


def check_domain(name: str, dtype: Any) -> None:
    """NotImplementedError (seldom RuntimeError) where PyTorch does not compute an operation in a dtype.

    >>> from rushlight.ir.dtype import bool_, float32
    >>> check_domain("floor", float32)
    >>> check_domain("floor", bool_)
    Traceback (most recent call last):
    NotImplementedError: "floor_vml_cpu" not implemented for 'Bool'. Convert the operands, for example with .float().
    """
    if dtype.name.startswith("float8") and name not in MOVES:
        raise NotImplementedError(f"\"{name}\" not implemented for '{SCALAR_NAMES[dtype.name]}'. "
                                  "Convert the operands, for example with .float().")
    if name not in _EITHER:
        return
    kind = "i" if dtype.kind in "iu" else dtype.kind
    for kinds, error, message in REFUSED.get(name, ()):
        if kind in kinds:
            raise error(message)
    kinds, kernel = LACKING.get(name, ("", ""))
    if kind in kinds:
        remedy = ".float()" if kind in "bi" else ".real, or .abs()" if kind == "c" else ".long()"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{SCALAR_NAMES[dtype.name]}'. "
                                  f"Convert the operands, for example with {remedy}.")
