"""Functions as methods that write their result into the tensor: ``x.f_(…)``."""

from __future__ import annotations

from typing import Any

from rushlight.ir import dtype as dtypes
from rushlight.tensor import functions
from rushlight.tensor.core import Tensor, check_in_place
from rushlight.tensor.functions import composites, shape
from rushlight.tensor.functions.common import rewrite
from rushlight.tensor.method_forms import FORMS
from rushlight.tensor.state import state

IN_PLACE = """abs absolute acos arccos acosh arccosh add addcdiv addcmul addmm addmv addr addbmm baddbmm asin arcsin
    asinh arcsinh atan arctan atan2 arctan2 atanh arctanh bitwise_and bitwise_left_shift bitwise_not bitwise_or
    bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min clip conj_physical copysign cos cosh deg2rad digamma
    div divide eq erf erfc erfinv exp exp2 expm1 fix float_power floor floor_divide fmod frac gcd ge greater
    greater_equal gt heaviside hypot i0 igamma igammac index_add index_copy index_fill index_put index_reduce lcm ldexp
    le lerp less less_equal lgamma log log10 log1p log2 logical_and logical_not logical_or logical_xor logit lt
    masked_fill masked_scatter mul multiply nan_to_num ne neg negative nextafter not_equal polygamma pow put rad2deg
    reciprocal relu remainder round rsqrt scatter scatter_add scatter_reduce sgn sigmoid sign sin sinc sinh sqrt square
    sub subtract tan tanh tril triu true_divide trunc xlogy renorm mvlgamma""".split()
# methods whose other tensors must not be the one written
APART = frozenset(("index_add", "index_copy", "index_put", "index_reduce", "put", "scatter", "scatter_add",
                   "scatter_reduce", "masked_scatter"))
# methods that write the same value wherever memory shows twice, so that they take expanded tensors
EXPANDED = frozenset(("masked_fill", "index_fill", "index_put", "tril", "triu"))


def in_place_method(name: str, f: Any) -> Any:
    """`x.f_(…)` from `f`."""
    expanded, same = name in EXPANDED, name in APART

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return rewrite(self, f, args, kwargs, expanded, same)
    method.__wrapped__ = f  # its signature
    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"In-place version of `{name}`."
    return method


def _scan_in_place(name: str) -> Any:
    f = getattr(functions, name)

    def method(self: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
        if self._spec.dtype is dtypes.bool_:
            raise NotImplementedError(f"\"{name}_out_cpu\" not implemented for 'Bool'")
        return rewrite(self, f, (dim,), {"dtype": dtype or self._spec.dtype})
    method.__name__ = name + "_"
    method.__doc__ = f"In-place version of `{name}`, computed in the tensor's own dtype."
    return method


def _spec_in_place(name: str) -> Any:
    f = FORMS.get(name, getattr(shape, name))

    def method(self: Tensor, *args: Any, **kw: Any) -> Tensor:
        check_in_place(self)
        changed = f(self, *args, **kw)
        if self._rg and state.grad and self._grad_fn is not None:
            self._grad_fn, self._out = changed._grad_fn, 0
        self._spec = changed._spec
        self._vc.version += 1
        return self
    return method


def polygamma_(self: Tensor, n: int) -> Tensor:
    """In-place version of `polygamma`."""
    return rewrite(self, lambda old: composites.polygamma(n, old), ())


METHODS: dict[str, Any] = {
    **{f"{name}_": in_place_method(name, getattr(functions, name)) for name in IN_PLACE if hasattr(functions, name)},
    **{f"{name}_": _scan_in_place(name) for name in ("cumsum", "cumprod")},
    **{f"{name}_": _spec_in_place(name)
       for name in ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims", "as_strided")},
    "polygamma_": polygamma_,
}
