"""How tensors print: PyTorch's text, character for character."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.ir.dtype import DType

Array = np.ndarray[Any, Any]
Formatter = Callable[[Any], str]


@dataclass
class PrintOptions:
    """What `set_printoptions` sets; ``sci_mode`` None lets the values decide."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


options = PrintOptions()
PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
                     linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None) -> None:
    """Sets how tensors print.

    ``precision`` digits after the point; more than ``threshold`` elements are summarised by ``edgeitems`` at each end;
    lines hold ``linewidth`` characters; ``profile`` is ``default``, ``short`` or ``full``, which the other arguments
    adjust; ``sci_mode`` switches scientific notation on or off, None (also where it is not given) means automatic.
    ValueError for an unknown profile.
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    if profile is not None and profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; choose one of {', '.join(PROFILES)}")
    for name, value in {**PROFILES.get(profile or "", {}), **{k: v for k, v in given.items() if v is not None}}.items():
        setattr(options, name, value)
    options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The current options, as keyword arguments of `set_printoptions`."""
    return asdict(options)


@contextlib.contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """Sets print options inside a with statement."""
    old = get_printoptions()
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        set_printoptions(**old)


def format_tensor(array: Array, dtype: DType, *, requires_grad: bool = False, grad_fn_name: str | None = None,
                  prefix: str = "tensor(", is_parameter: bool = False, default_dtype: DType | None = None,
                  device: str | None = None) -> str:
    """The text of a tensor.

    ``array`` holds the values, ``dtype`` is the tensor's type, ``device`` is given only where it should be shown.

    >>> format_tensor(np.array([[1.0, 2.5]], np.float32), dtypes.float32, requires_grad=True)
    'tensor([[1.0000, 2.5000]], requires_grad=True)'
    """
    if default_dtype is None:
        from rushlight.tensor.state import settings
        default_dtype = settings.default_dtype
    suffixes = [f"device='{device}'"] if device else []
    suffixes += _type_suffixes(array.shape, array.size, dtype, default_dtype)
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    text = _with_suffixes(prefix + _values(array, dtype, len(prefix)), suffixes, len(prefix))
    return f"Parameter containing:\n{text}" if is_parameter else text


def _type_suffixes(shape: tuple[int, ...], size: int, dtype: DType, default: DType) -> list[str]:
    """Size and dtype, where the values alone do not show them."""
    suffixes = []
    if size == 0:
        if len(shape) != 1:
            suffixes.append(f"size={tuple(shape)}")
        shown = dtype is default
    else:
        if not options.edgeitems:
            suffixes.append(f"size={tuple(shape)}")
        default_complex = dtypes.complex128 if default is dtypes.float64 else dtypes.complex64
        shown = dtype in (default, default_complex, dtypes.int64, dtypes.bool_)
    return suffixes if shown else [*suffixes, f"dtype={dtype}"]


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """The suffixes after the values, each on a new line where it does not fit."""
    length = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if length + len(suffix) + 2 > options.linewidth:
            text += f",\n{' ' * indent}{suffix}"
            length = indent + len(suffix)
        else:
            text += f", {suffix}"
            length += len(suffix) + 2
    return text + ")"


# --- values -------------------------------------------------------------------------------------------------------
def _values(array: Array, dtype: DType, indent: int) -> str:
    if array.size == 0:
        return "[]"
    summarize = array.size > options.threshold
    shown = _edges(array) if summarize else array
    if dtype.is_complex:
        real, width, = _formatter(shown.real.astype(np.float64), True)
        imag, imag_width = _formatter(shown.imag.astype(np.float64), True)
        return _nested(array, indent, summarize, _complex_formatter(real, imag), width + imag_width + 1)
    if dtype.is_floating_point:
        shown = shown.astype(np.float64)
    return _nested(array, indent, summarize, *_formatter(shown, dtype.is_floating_point))


def _edges(array: Array) -> Array:
    """The elements that a summary shows."""
    edge = options.edgeitems
    if array.ndim > 1 and not edge:
        return array[(slice(0, 0),) * array.ndim]
    for axis, n in enumerate(array.shape):
        if n > 2 * edge:
            array = np.take(array, [*range(edge), *range(n - edge, n)], axis=axis)
    return array


def _formatter(values: Array, floating: bool) -> tuple[Formatter, int]:
    """The function that formats one value, and the common width."""
    flat = values.reshape(-1)
    if not floating:
        width = max(1, *map(len, map(str, flat.tolist()))) if flat.size else 1
        return (lambda v: str(v).rjust(width)), width
    finite = flat[np.isfinite(flat) & (flat != 0)]
    whole = bool((finite == np.ceil(finite)).all())
    scientific = finite.size > 0 and _scientific(np.abs(finite))
    template = f"%.{options.precision}e" if scientific else "%.0f" if whole else f"%.{options.precision}f"
    dot = "." if whole and not scientific else ""
    width = max((len(template % v) + len(dot) for v in finite.tolist()), default=1)

    def form(value: float) -> str:
        return (template % value + (dot if isfinite(value) else "")).rjust(width)
    return form, width


def _scientific(magnitudes: Array) -> bool:
    """Whether values that differ this much, or are this large or small, print in scientific notation."""
    if options.sci_mode is not None:
        return options.sci_mode
    low, high = magnitudes.min(), magnitudes.max()
    with np.errstate(over="ignore"):
        return bool(high / low > 1000 or high > 1e8 or low < 1e-4)


def _complex_formatter(real: Formatter, imag: Formatter) -> Formatter:
    def form(value: complex) -> str:
        tail = f"{imag(value.imag)}j".lstrip()
        return real(value.real) + (tail if tail[0] in "+-" else f"+{tail}")
    return form


def _nested(array: Array, indent: int, summarize: bool, form: Formatter, width: int) -> str:
    """Brackets, line breaks and dots around the formatted values."""
    if array.ndim == 0:
        return form(_python_values(array))
    edge = options.edgeitems
    cut = summarize and len(array) > 2 * edge
    if array.ndim == 1:
        return _row(array, indent, summarize and (cut or not edge), form, width)
    rows = [*array[:edge], None, *array[len(array) - edge:]] if cut else array
    parts = ["..." if r is None else _nested(r, indent + 1, summarize, form, width) for r in rows]
    return "[" + f",{chr(10) * (array.ndim - 1)}{' ' * (indent + 1)}".join(parts) + "]"


def _row(array: Array, indent: int, cut: bool, form: Formatter, width: int) -> str:
    edge = options.edgeitems
    if cut and not edge:
        parts = ["..."]
    elif cut:
        parts = [*map(form, _python_values(array[:edge])), " ...", *map(form, _python_values(array[-edge:]))]
    else:
        parts = [*map(form, _python_values(array))]
    per_line = max(1, (options.linewidth - indent) // (width + 2))
    lines = [", ".join(parts[at:at + per_line]) for at in range(0, len(parts), per_line)]
    return "[" + f",\n{' ' * (indent + 1)}".join(lines) + "]"


def _python_values(array: Array) -> Any:
    """The values as Python numbers; bfloat16 has no Python type of its own."""
    return array.astype(np.float64).tolist() if array.dtype.kind == "V" else array.tolist()
