"""Reductions, scans, sorting and selection."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import HALF, DType, int64
from rushlight.ops.domains import check_domain
from rushlight.ops.table import TABLE
from rushlight.tensor.autocast import full
from rushlight.tensor.core import Tensor, apply, keeps, lasting, owned
from rushlight.tensor.functions.common import cast, give, is_float, need_tensor, to_float, wrap_dim, wrap_dims
from rushlight.tensor.functions.numpy_names import take_numpy_names
from rushlight.tensor.functions.precision import SHORT, half_of, history_of, tracked, wide, with_gradient
from rushlight.tensor.functions.shape import within
from rushlight.tensor.result_types import result

RETURN_TYPES = {n: result(n) for n in ("max", "min", "sort", "topk", "kthvalue", "median", "nanmedian",
                                       "mode", "cummax", "cummin", "aminmax")}


def reduce(name: str, x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """Record a reduction over dims (None: all)."""
    dims = wrap_dims(dim, len(x._spec.shape))
    return apply(TABLE[name], (x,), (dims, bool(keepdim)))


def accumulated(x: Tensor, dtype: DType | None) -> Tensor:
    """x in the type that sums use: integers in int64."""
    if dtype is not None:
        return cast(x, dtype)
    return cast(x, int64) if x._spec.dtype.kind in "biu" else x


def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None,
        out: Any = None) -> Tensor:
    """The sum over dim (all dimensions where None). Integers sum in int64.

    >>> import rushlight as rl
    >>> rl.sum(rl.tensor([[1, 2], [3, 4]]), 0)
    tensor([4, 6])
    """
    if out is not None:
        return give(out, reduce("sum", accumulated(input, dtype or out.dtype), dim, keepdim))
    return reduce("sum", accumulated(input, dtype), dim, keepdim)


def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None,
           out: Any = None) -> Tensor:
    """The sum with NaN taken as 0."""
    from rushlight.tensor.functions.pointwise import where
    wrap_dims(dim, len(input._spec.shape))
    check_domain("nansum", input._spec.dtype)
    x = where(input != input, 0, input) if is_float(input) else input
    return give(out, keeps(sum(x, dim, keepdim, dtype=dtype or (out.dtype if out is not None else None)), input))


def count(x: Tensor, dims: tuple[int, ...]) -> int:
    n = 1
    for d in dims:
        n *= x._spec.shape[d]
    return n


def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None,
         out: Any = None) -> Tensor:
    """The mean over dim (all dimensions where None). RuntimeError for integer tensors.

    Floats or complex numbers unless ``dtype`` converts first; ``keepdim`` keeps the reduced dimensions with size 1.

    >>> import rushlight as rl
    >>> rl.mean(rl.tensor([[1.0, 2.0], [3.0, 6.0]]), 1)
    tensor([1.5000, 4.5000])
    """
    if input._storage.batched and input.is_quantized:
        return input.mean(dim, keepdim)  # type: ignore[no-any-return]
    if dtype is None and not is_float(input):
        raise RuntimeError("mean(): could not infer output dtype. Input dtype must be either a floating "
                           f"point or complex dtype. Got: {_long_name(input.dtype)}")
    if dtype is not None and dtype.kind not in "fc":
        raise RuntimeError("mean(): could not infer output dtype. "
                           f"Optional dtype must be either a floating point or complex dtype. Got: {_long_name(dtype)}")
    x = input if dtype is None else cast(input, dtype)
    dims = wrap_dims(dim, len(x._spec.shape))
    n = count(x, dims)
    if n == 1 and x._rg:
        x = within(x)
    total = apply(TABLE["sum"], (wide(x),), (dims, bool(keepdim)))
    return give(out, cast(lasting(total / n if n else total * float("nan")), x._spec.dtype))


def _long_name(d: DType) -> str:
    from rushlight.tensor.functions.common import scalar_name
    return scalar_name(d)


def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None,
            out: Any = None) -> Tensor:
    """The mean of what is not NaN."""
    if not is_float(input):
        raise RuntimeError("nanmean(): expected input to have floating point or complex "
                           f"dtype but got {_long_name(input.dtype)}")
    return give(out, nansum(input, dim, keepdim, dtype=dtype) / sum(input == input, dim, keepdim))


@full
def prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: DType | None = None,
         out: Any = None) -> Tensor:
    """The product over dim (all where None)."""
    x = accumulated(input, dtype)
    dims = wrap_dims(dim, len(x._spec.shape))
    # PyTorch rounds every product
    if x._spec.dtype in HALF and x._spec.numel and 1 < count(x, dims) <= SHORT + 1 and half_of(x):
        return give(out, keeps(history_of(TABLE["prod"], (x,), lambda: _half_product(x, dims, keepdim),
                                          (dims, bool(keepdim))), result=True))
    return give(out, keeps(reduce("prod", x, dim, keepdim), result=True))


def _half_product(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """The product as a chain of rounded products."""
    shape = [1 if d in dims else n for d, n in enumerate(x._spec.shape)]
    kept = [d for d in range(len(shape)) if d not in dims]
    lanes = x.permute(*kept, *dims).reshape([shape[d] for d in kept] + [-1]).unbind(-1)
    out = lanes[0]
    for lane in lanes[1:]:
        out = out * lane
    return owned(out.reshape(shape)) if keepdim else out


def any(input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """Whether some element is nonzero."""
    return give(out, _as_uint8(input, reduce("any", input, dim, keepdim)) if not _no_dims(dim)
                else _as_uint8(input, input != 0))


def all(input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """Whether every element is nonzero.

    Bools (uint8 for uint8); with ``dim`` along that dimension.

    >>> import rushlight as rl
    >>> rl.all(rl.tensor([True, False]))
    tensor(False)
    """
    return give(out, _as_uint8(input, reduce("all", input, dim, keepdim)) if not _no_dims(dim)
                else _as_uint8(input, input != 0))


def _no_dims(dim: Any) -> bool:
    """Whether dim is an empty sequence, which these two take as no dimension."""
    return isinstance(dim, (tuple, list)) and not dim


def _as_uint8(x: Tensor, r: Tensor) -> Tensor:
    return cast(r, x._spec.dtype) if x._spec.dtype.name == "uint8" else r


def _nonempty(name: str, x: Tensor, dims: tuple[int, ...], given: Any = 0) -> None:
    if given == () and x._spec.numel == 0:
        raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                           "Specify the reduction dim with the 'dim' argument.")
    for d in dims:
        if x._spec.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def amax(input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Tensor:
    """The largest element over dim; equal ones share the gradient."""
    _nonempty("amax", input, wrap_dims(dim, len(input._spec.shape)), dim)
    return give(out, reduce("amax", input, dim, keepdim))


def amin(input: Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> Tensor:
    """The smallest element over dim; equal ones share the gradient."""
    _nonempty("amin", input, wrap_dims(dim, len(input._spec.shape)), dim)
    return give(out, reduce("amin", input, dim, keepdim))


def aminmax(input: Tensor, *, dim: Any = None, keepdim: bool = False, out: Any = None) -> Any:
    """The smallest and the largest element."""
    dims = () if dim is None else dim
    return give(out, RETURN_TYPES["aminmax"](amin(input, dims, keepdim), amax(input, dims, keepdim)))


def extremum(name: str, input: Tensor, dim: Any, keepdim: Any, out: Any) -> Any:
    """torch.max and torch.min in their three forms."""
    need_tensor(name, 1, "input", input)
    if isinstance(dim, Tensor):
        from rushlight.tensor.functions import pointwise
        return getattr(pointwise, "maximum" if name == "max" else "minimum")(input, dim, out=out)
    if dim is None:
        if input._spec.numel == 0:
            raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                               "Specify the reduction dim with the 'dim' argument.")
        check_domain(name, input._spec.dtype)
        from rushlight.tensor.tape import shared_evenly
        return give(out, shared_evenly(reduce("a" + name, input, None, keepdim)))
    if input._spec.dtype.is_complex:
        raise RuntimeError(f"{name}(): does not support complex input")
    d = wrap_dim(dim, len(input._spec.shape))
    _nonempty(name, input, (d,) if input._spec.shape else ())
    return give(out, RETURN_TYPES[name](*apply(TABLE[name + "_dim"], (input,), (d, bool(keepdim)))))


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
    """The largest element; with dim also where it stands; of two tensors elementwise.

    With ``dim`` a named tuple of values and int64 indices, without that dimension unless keepdim. RuntimeError
    for no elements.

    >>> import rushlight as rl
    >>> rl.max(rl.tensor([[1, 5], [7, 2]])).item()
    7
    >>> rl.max(rl.tensor([[1, 5], [7, 2]]), 1).indices
    tensor([1, 0])
    """
    return extremum("max", input, other if other is not None else dim, keepdim, out)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
    """The smallest element; with dim also where it stands; of two tensors elementwise.

    With ``dim`` a named tuple of values and int64 indices, without that dimension unless keepdim. RuntimeError
    for no elements.

    >>> import rushlight as rl
    >>> rl.min(rl.tensor([[1, 5], [7, 2]])).item()
    1
    >>> rl.min(rl.tensor([[1, 5], [7, 2]]), 1).values
    tensor([1, 2])
    """
    return extremum("min", input, other if other is not None else dim, keepdim, out)


def argextreme(name: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    check_domain(name, input._spec.dtype)
    input = input.detach()  # nobody asks for the history
    if input._spec.numel == 0 and dim is None:
        raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                         "Specify the reduction dim with the 'dim' argument.")
    if dim is None:
        flat = input if len(input._spec.shape) == 1 else input.reshape(-1)
        out = apply(TABLE[name], (flat,), ((0,), False))
        return out.reshape((1,) * len(input._spec.shape)) if keepdim else out
    d = wrap_dim(dim, len(input._spec.shape))
    if not input._spec.shape:
        return apply(TABLE[name], (input.reshape(1),), ((0,), False))
    _nonempty(name, input, (d,))
    return apply(TABLE[name], (input,), ((d,), bool(keepdim)))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """Where the largest element stands: in the flat tensor, or along dim.

    int64; of equal elements the first. IndexError for a dim that is not there.

    >>> import rushlight as rl
    >>> rl.argmax(rl.tensor([[1, 5], [7, 2]]))
    tensor(2)
    >>> rl.argmax(rl.tensor([[1, 5], [7, 2]]), 1)
    tensor([1, 0])
    """
    return give(out, argextreme("argmax", input, dim, keepdim))


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """Where the smallest element stands: in the flat tensor, or along dim."""
    return give(out, argextreme("argmin", input, dim, keepdim))


def _centred(input: Tensor, dim: Any, keepdim: bool, correction: Any) -> tuple[Tensor, Tensor]:
    """Variance and mean (kept dimensions)."""
    if not is_float(input):
        raise RuntimeError("std and var only support floating point and complex dtypes")
    dims = wrap_dims(dim, len(input._spec.shape))
    dtype = input._spec.dtype
    if dtype in HALF:
        var, mid = _centred(wide(input), dim, keepdim, correction)
        return cast(var, dtype), cast(mid, dtype)
    n = count(input, dims)
    m = mean(input, dims if dims else None, True)
    d = input - m
    square = d * d if not d._spec.dtype.is_complex else (d * d.conj()).real
    divisor = n - correction
    total = apply(TABLE["sum"], (square,), (dims, bool(keepdim)))
    return (total / divisor if divisor > 0 else total / (0.0 if divisor <= 0 else divisor)), m


def _correction(unbiased: Any, correction: Any) -> Any:
    if correction is not None:
        return correction
    return 1 if unbiased is None or unbiased else 0


def var(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None,
        out: Any = None) -> Tensor:
    """The variance over dim: squared differences from the mean, summed and divided by n - correction."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    compute = lambda: _centred(input, dim, keepdim, _correction(unbiased, correction))[0]
    if not input._storage.batched:
        return give(out, with_gradient("VarBackward0", (input,), compute,
                                       _var_rule(dim, _correction(unbiased, correction)), (input,)))
    return give(out, keeps(compute(), input))


def _var_rule(dim: Any, correction: Any) -> Any:
    """The gradient of the variance in the steps in which PyTorch rounds it."""
    def rule(g: Tensor, x: Tensor) -> tuple[Tensor]:
        from rushlight.tensor.functions.rules import expand_reduced
        shape = x._spec.shape
        dims = wrap_dims(dim, len(shape))
        divisor = count(x, dims) - correction
        spread = expand_reduced(g, shape, dims,
                                g._spec.shape == tuple([1 if d in dims else n for d, n in enumerate(shape)]))
        return ((spread * (2.0 / divisor if divisor > 0 else float("inf"))) * (x - mean(x, dims or None, True)),)
    return rule


def std(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None,
        out: Any = None) -> Tensor:
    """The square root of the variance."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    compute = lambda: cast(_root(var(wide(input), dim, unbiased, keepdim, correction=correction)),
                           input._spec.dtype.to_real())
    if not input._storage.batched:
        from rushlight.tensor.functions.pointwise import where
        inner = _var_rule(dim, _correction(unbiased, correction))
        rule = lambda g, x, value: inner(where(value == 0, 0, g / (value * 2)), x)
        return give(out, with_gradient("StdBackward0", (input,), compute, rule, (input,), result=True))
    return give(out, keeps(compute(), input, result=True))


def var_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None,
             out: Any = None) -> Any:
    """Variance and mean."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    v, m = _centred(input, dim, keepdim, _correction(unbiased, correction))
    return give(out, (v, m if keepdim else m.reshape(v._spec.shape)))


def std_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None,
             out: Any = None) -> Any:
    """Standard deviation and mean."""
    v, m = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return give(out, (_root(v), m))


def _root(variance: Tensor) -> Tensor:
    """The square root; the gradient of the deviation of equal numbers is 0."""
    if not variance._rg:
        return variance.sqrt()
    from rushlight.tensor.functions.pointwise import where
    none = variance == 0
    return where(none, 0, where(none, 1, variance).sqrt())


def logsumexp(input: Tensor, dim: Any, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """log(sum(exp(x))), computed without overflow."""
    from rushlight.tensor.functions.pointwise import where
    x = to_float(input)
    dims = wrap_dims(dim, len(x._spec.shape))
    # large complex numbers lose the digits of exp(x - result): their gradient is that of the parts below
    if count(x, dims) and not x._storage.batched and not x._spec.dtype.is_complex:
        if x._spec.dtype not in HALF and x._spec.shape:
            return give(out, apply(TABLE["logsumexp"], (x,), (dims, keepdim)))
        if tracked(x):
            from rushlight.tensor.functions.rules import logsumexp_vjp
            return give(out, with_gradient("LogsumexpBackward0", (x,), lambda: logsumexp(x.detach(), dim, keepdim),
                                           lambda g, x, value: (logsumexp_vjp(g, x, value, dims, keepdim),), (x,), result=True))
    if count(x, dims) == 0:
        return give(out, sum(x.exp(), dims, keepdim).log())
    top = reduce("amax", x.detach() if not x._spec.dtype.is_complex else x.real.detach(), dims, True)
    top = where(top.abs() == float("inf"), 0, top)
    total = sum((x - top).exp(), dims, keepdim).log()
    return give(out, keeps(total + (top if keepdim else top.reshape(total._spec.shape)), x, result=True))


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not zero."""
    return sum(input != 0, dim)


def _scan(name: str) -> Any:
    def function(input: Tensor, dim: int, *, dtype: DType | None = None, out: Any = None) -> Tensor:
        x = accumulated(input, dtype or (out.dtype if out is not None else None))
        d = wrap_dim(dim, len(x._spec.shape))
        return give(out, apply(TABLE[name], (x,), (d,)) if x._spec.shape else x.clone())
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The running result of {name[3:]} along dim."
    return function


cumsum, cumprod = _scan("cumsum"), _scan("cumprod")


def logcumsumexp(input: Tensor, dim: int, *, out: Any = None) -> Tensor:
    """log of the running sum of exp along dim."""
    d = wrap_dim(dim, len(input._spec.shape))
    return give(out, apply(TABLE["logcumsumexp"], (input,), (d,)) if input._spec.shape else input.clone())


def _scan_with_position(name: str) -> Any:
    def function(input: Tensor, dim: int, *, out: Any = None) -> Any:
        d = wrap_dim(dim, len(input._spec.shape))
        if not input._spec.shape:
            v, i = apply(TABLE[name], (input.reshape(1),), (0,))
            return RETURN_TYPES[name](v.reshape(()), i.reshape(()))
        return give(out, RETURN_TYPES[name](*apply(TABLE[name], (input,), (d,))))
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The running {name[3:]} along dim, and where it stands."
    return function


cummax, cummin = _scan_with_position("cummax"), _scan_with_position("cummin")


def softmax(input: Tensor, dim: int, dtype: DType | None = None, *, out: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along dim.

    Floats of any shape, the same shape out; ``dtype`` converts first. IndexError for a dim that is not there.

    >>> import rushlight as rl
    >>> rl.softmax(rl.tensor([[1.0, 1.0], [0.0, 0.0]]), 1)
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    x = input if dtype is None else cast(input, dtype)
    d = wrap_dim(dim, len(x._spec.shape))
    _floating("softmax", x)
    if x._spec.dtype in HALF and half_of(x) and d != len(x._spec.shape) - 1 and x._spec.numel:
        return give(out, history_of(TABLE["softmax"], (x,), lambda: _half_softmax(x, d), (d,)))
    return give(out, apply(TABLE["softmax"], (x,), (d,)) if x._spec.shape else (x - x).exp())


def _half_softmax(x: Tensor, d: int) -> Tensor:
    """The softmax over other dimensions than the last: PyTorch keeps the exponentials,
    but not their sum, in half precision."""
    w = wide(x.contiguous())
    powers = (w - w.amax(d, keepdim=True)).exp()
    return cast(cast(powers, x._spec.dtype) / powers.sum(d, keepdim=True), x._spec.dtype)


def log_softmax(input: Tensor, dim: int, dtype: DType | None = None, *, out: Any = None) -> Tensor:
    """log(softmax(x)) along dim."""
    x = input if dtype is None else cast(input, dtype)
    d = wrap_dim(dim, len(x._spec.shape))
    _floating("log_softmax", x)
    if x._spec.dtype in HALF and half_of(x) and d == len(x._spec.shape) - 1 and x._spec.numel:
        return give(out, history_of(TABLE["log_softmax"], (x,), lambda: _half_log_softmax(x, d), (d,)))
    return give(out, apply(TABLE["log_softmax"], (x,), (d,)) if x._spec.shape else x - x)


def _half_log_softmax(x: Tensor, d: int) -> Tensor:
    """Its logarithm over the last dimension: PyTorch rounds the sum and the sum's logarithm."""
    w = wide(x.contiguous())
    shifted = w - w.amax(d, keepdim=True)
    return cast(shifted - cast(shifted.exp().sum(d, keepdim=True), x._spec.dtype).log(), x._spec.dtype)


def _floating(name: str, x: Tensor) -> None:
    if not is_float(x):
        kernel = f"{name}_lastdim_kernel_impl"
        raise NotImplementedError(f'"{kernel}" not implemented for \'{_long_name(x.dtype)}\'. '
                                  'Convert the input, for example with .float().')


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements.

    A Python bool.

    >>> import rushlight as rl
    >>> rl.equal(rl.tensor([1, 2]), rl.tensor([1, 2]))
    True
    """
    if input._spec.shape != other._spec.shape:
        return False
    return bool(all(input == other))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close: |a - b| <= atol + rtol * |b|.

    A Python bool; the shapes broadcast. RuntimeError for different dtypes.

    >>> import rushlight as rl
    >>> rl.allclose(rl.tensor([1.0]), rl.tensor([1.0 + 1e-7]))
    True
    """
    from rushlight.tensor.functions.composites import isclose
    return bool(all(isclose(input, other, rtol, atol, equal_nan)))


__all__ = ["sum", "nansum", "mean", "nanmean", "prod", "any", "all", "amax", "amin", "aminmax", "max", "min", "argmax",
           "argmin", "var", "std", "var_mean", "std_mean", "logsumexp", "count_nonzero", "cumsum", "cumprod",
           "logcumsumexp", "cummax", "cummin", "softmax", "log_softmax", "equal", "allclose"]
take_numpy_names(globals(), __all__)
