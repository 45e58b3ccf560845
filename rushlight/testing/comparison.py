"""assert_close: numbers, tensors and nests of them compared, with a message that says where they differ most."""

from __future__ import annotations

import cmath
import numbers
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rushlight.ir import dtype as dtypes
from rushlight.tensor.core import Tensor

# dtype -> (rtol, atol); anything else must be equal
TOLERANCES = {
    dtypes.float16: (1e-3, 1e-5), dtypes.bfloat16: (1.6e-2, 1e-5), dtypes.float32: (1.3e-6, 1e-5),
    dtypes.float64: (1e-7, 1e-7),
    dtypes.complex64: (1.3e-6, 1e-5), dtypes.complex128: (1e-7, 1e-7),
}
NUMBER_TYPES = {bool: dtypes.bool_, int: dtypes.int64, float: dtypes.float64, complex: dtypes.complex128}
Message = str | Callable[[str], str] | None


class Difference(Exception):
    """What differs, and where in the nest."""

    def __init__(self, text: str, place: tuple[Any, ...] = (), kind: type[Exception] = AssertionError):
        super().__init__(text)
        self.text, self.place, self.kind = text, place, kind

    def full_text(self, msg: Message) -> str:
        """The message, with the place; ``msg`` replaces the text or is a function of it."""
        text = self.text if msg is None else msg(self.text) if callable(msg) else msg
        if not self.place:
            return text
        return f"{text}\n\nThe failure occurred for item {''.join(f'[{p!r}]' for p in self.place)}"


class Comparison:
    """The options of one call."""

    def __init__(self, **options: Any):
        self.__dict__.update(options)

    rtol: float | None
    atol: float | None
    equal_nan: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool
    allow_subclasses: bool

    def tolerances(self, *kinds: Any) -> tuple[float, float]:
        """(rtol, atol): those given, or the largest of these dtypes."""
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        pairs = [TOLERANCES.get(d, (0.0, 0.0)) for d in kinds]
        return max(p[0] for p in pairs), max(p[1] for p in pairs)


# --- nests --------------------------------------------------------------------------------------------------------
def compare(a: Any, e: Any, c: Comparison, place: tuple[Any, ...] = ()) -> None:
    """Difference where a and e are not close."""
    if isinstance(a, Sequence) and isinstance(e, Sequence) and not isinstance(a, str) and not isinstance(e, str):
        if len(a) != len(e):
            raise Difference(f"The length of the sequences mismatch: {len(a)} != {len(e)}", place)
        for i, (x, y) in enumerate(zip(a, e)):
            compare(x, y, c, (*place, i))
    elif isinstance(a, Mapping) and isinstance(e, Mapping):
        _same_keys(a, e, place)
        for key in sorted(a, key=str):
            compare(a[key], e[key], c, (*place, key))
    else:
        _leaves(a, e, c, place)


def _same_keys(a: Mapping[Any, Any], e: Mapping[Any, Any], place: tuple[Any, ...]) -> None:
    missing, added = sorted(set(e) - set(a), key=str), sorted(set(a) - set(e), key=str)
    if missing or added:
        raise Difference("The keys of the mappings do not match:\nMissing keys in the actual mapping: "
                         f"{missing}\nAdditional keys in the actual mapping: {added}", place)


def _is_number(x: Any) -> bool:
    return isinstance(x, (numbers.Number, np.number)) and not isinstance(x, (bool, np.bool_))


def _leaves(a: Any, e: Any, c: Comparison, place: tuple[Any, ...]) -> None:
    if a is None or e is None:
        if a is not e:
            raise Difference(f"None mismatch: {a} is not {e}", place)
    elif isinstance(a, (bool, np.bool_)) and isinstance(e, (bool, np.bool_)):
        if bool(a) is not bool(e):
            raise Difference(f"Booleans mismatch: {bool(a)} is not {bool(e)}", place)
    elif _is_number(a) and _is_number(e):
        _numbers(_plain(a), _plain(e), c, place)
    else:
        x, y = _as_tensor(a), _as_tensor(e)
        related = isinstance(a, type(e)) or isinstance(e, type(a))
        if x is None or y is None or not related or not (c.allow_subclasses or type(a) is type(e)):
            raise Difference(f"No comparison pair was able to handle inputs of type {type(a)} "
                             f"and {type(e)}.", place, TypeError)
        _tensors(x, y, c, place)


def _plain(x: Any) -> Any:
    return x.item() if isinstance(x, np.generic) else x


def _as_tensor(x: Any) -> Tensor | None:
    from rushlight.tensor.creation import as_tensor
    if isinstance(x, Tensor):
        return x.detach()  # type: ignore[no-any-return]
    if isinstance(x, (str, bytes)) or not (hasattr(x, "__array__") or _is_number(x)
                                           or isinstance(x, (bool, np.bool_, Sequence))):
        return None
    try:
        return as_tensor(x)
    except (TypeError, ValueError, RuntimeError):
        return None


# --- numbers ------------------------------------------------------------------------------------------------------
def _numbers(a: Any, e: Any, c: Comparison, place: tuple[Any, ...]) -> None:
    if c.check_dtype and type(a) is not type(e):
        raise Difference(f"The (d)types do not match: {type(a)} != {type(e)}.", place)
    rtol, atol = c.tolerances(NUMBER_TYPES[type(a)], NUMBER_TYPES[type(e)])
    if a == e or (c.equal_nan and cmath.isnan(a) and cmath.isnan(e)):
        return
    difference = abs(a - e)
    if cmath.isfinite(a) and cmath.isfinite(e) and difference <= atol + rtol * abs(e):
        return
    relative = difference / abs(e) if e else float("inf")
    raise Difference(_numbers_text(a, e, difference, relative, rtol, atol), place)


def _numbers_text(a: Any, e: Any, difference: Any, relative: Any, rtol: float, atol: float) -> str:
    exact = rtol == 0 and atol == 0
    return (f"Scalars are not {'equal' if exact else 'close'}!\n\nExpected {e} but got {a}.\n"
            f"Absolute difference: {difference}{'' if exact else f' (up to {atol} allowed)'}\n"
            f"Relative difference: {relative}{'' if exact else f' (up to {rtol} allowed)'}")


# --- tensors ------------------------------------------------------------------------------------------------------
def _tensors(a: Any, e: Any, c: Comparison, place: tuple[Any, ...]) -> None:
    for attribute, wanted in (("shape", True), ("layout", c.check_layout), ("device", c.check_device),
                              ("dtype", c.check_dtype)):
        x, y = getattr(a, attribute), getattr(e, attribute)
        if wanted and x != y:
            text = f"The values for attribute '{attribute}' do not match: {x} != {y}."
            raise Difference(text.replace("Size(", "torch.Size(").replace("torch.torch.", "torch."), place)
    if c.check_stride and a.stride() != e.stride():
        raise Difference(f"The values for attribute 'stride()' do not match: {a.stride()} != {e.stride()}.", place)
    rtol, atol = c.tolerances(a.dtype, e.dtype)
    _elements(_array(a), _array(e), rtol, atol, c.equal_nan, place)


def _array(t: Any) -> Any:
    """The numbers; booleans and integers as those of Python's size."""
    from rushlight.tensor.core import unwrap
    x = np.asarray(unwrap(t.to_dense() if t.is_sparse else t))
    return x.astype(np.int64) if x.dtype.kind in "biu" and x.dtype != np.uint64 else x


def _exact(x: Any) -> Any:
    """The only number as Python's."""
    return complex(x) if x.dtype.kind == "c" else int(x) if x.dtype.kind in "iuO" else float(x)


def _wide(x: Any) -> Any:
    return (x.astype(np.complex128) if x.dtype.kind == "c" else
            x.astype(object) if x.dtype.kind in "iu" else x.astype(np.float64))


def _elements(own_a: Any, own_e: Any, rtol: float, atol: float, equal_nan: bool, place: tuple[Any, ...]) -> None:
    with np.errstate(all="ignore"):
        a, e = _wide(own_a), _wide(own_e)
        difference = np.abs(a - e)
        finite = np.isfinite(a) & np.isfinite(e) if a.dtype != object and e.dtype != object else np.ones(a.shape, bool)
        close = np.asarray(a == e, bool) | (finite & np.asarray(difference <= atol + rtol * np.abs(e), bool))
        if equal_nan:
            close |= ~finite & (a != a) & (e != e)
        if close.all():
            return
        # the message counts in the tensors' own precision
        if own_a.dtype.kind not in "iu":
            difference = np.abs(own_a - own_e)
        size = np.abs(own_e)
        relative = ((difference / size) if own_a.dtype.kind not in "iu" else
                    difference.astype(np.float32) / size.astype(np.float32))
    if not own_a.ndim:
        raise Difference(_numbers_text(_exact(own_a), _exact(own_e), _exact(np.asarray(difference)),
                                       float(relative), rtol, atol), place)
    raise Difference(_text(own_a, close, difference, relative, rtol, atol), place)


def _text(a: Any, close: Any, difference: Any, relative: Any, rtol: float, atol: float) -> str:
    exact = rtol == 0 and atol == 0
    head = f"Tensor-likes are not {'equal' if exact else 'close'}!\n\n"
    bad = int((~close).sum())
    lines = [f"Mismatched elements: {bad} / {a.size} ({bad / a.size:.1%})"]
    for name, values, allowed in (("absolute", difference, atol), ("relative", relative, rtol)):
        masked = np.where(close, 0, values.astype(np.float64))
        at = int(np.nanargmax(masked)) if not np.isnan(masked).all() else 0
        if np.isnan(masked).any():
            at = int(np.argmax(np.isnan(masked)))
        value = values.reshape(-1)[at]
        value = int(value) if difference.dtype.kind in "iuO" and name == "absolute" else float(value)
        index = tuple(int(i) for i in np.unravel_index(at, a.shape))
        lines.append(f"Greatest {name} difference: "
                     f"{value} at index {index}{'' if exact else f' (up to {allowed} allowed)'}")
    return head + "\n".join(lines)


# --- the public functions -----------------------------------------------------------------------------------------
def assert_close(actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None,
                 atol: float | None = None, equal_nan: bool = False, check_device: bool = True,
                 check_dtype: bool = True, check_layout: bool = True, check_stride: bool = False,
                 msg: Message = None) -> None:
    """AssertionError unless |actual - expected| <= atol + rtol |expected|,
    element by element, over nested sequences and mappings.

    Tensors, numbers, booleans, None and what NumPy takes are compared; shapes must be equal, and device,
    dtype, layout and strides where the checks say so. Tolerances depend on the dtype unless both are given
    (ValueError for only one). ``equal_nan`` lets NaN equal NaN. ``msg`` replaces the message, or is a function
    of it. TypeError for what cannot be compared.

    >>> import rushlight as rl
    >>> assert_close(rl.tensor([1., 2.]), rl.tensor([1., 2.000001]))
    >>> assert_close({"a": 1.0}, {"a": 2.0})
    Traceback (most recent call last):
        ...
    AssertionError: Scalars are not close!
    <BLANKLINE>
    Expected 2.0 but got 1.0.
    Absolute difference: 1.0 (up to 1e-07 allowed)
    Relative difference: 0.5 (up to 1e-07 allowed)
    <BLANKLINE>
    The failure occurred for item ['a']
    """
    if (rtol is None) != (atol is None):
        raise ValueError("Both 'rtol' and 'atol' must be either specified or omitted, "
                         f"but got no {'rtol' if rtol is None else 'atol'}.")
    options = Comparison(rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=check_device, check_dtype=check_dtype,
                         check_layout=check_layout, check_stride=check_stride, allow_subclasses=allow_subclasses)
    try:
        compare(actual, expected, options)
    except Difference as d:
        raise d.kind(d.full_text(msg)) from None


def assert_allclose(actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None,
                    equal_nan: bool = True, msg: str = "") -> None:
    """The old form of `assert_close`: dtypes may differ, NaN equals NaN."""
    from rushlight.tensor.creation import tensor
    warnings.warn("`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. "
                  "Please use `torch.testing.assert_close()` instead.", FutureWarning, stacklevel=2)
    a = actual if isinstance(actual, Tensor) else tensor(actual)
    e = expected if isinstance(expected, Tensor) else tensor(expected, dtype=a.dtype)
    if rtol is None and atol is None:
        rtol, atol = Comparison(rtol=None, atol=None).tolerances(a.dtype, e.dtype)
    assert_close(a, e, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=True, check_dtype=False,
                 check_stride=False, msg=msg or None)
