"""Longer gradient rules and the parts of decompositions, which the table calls by name through ``F``."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

from rushlight.ir.dtype import HALF, float32
from rushlight.ir.spec import Spec, spec
from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply, as_spec
from rushlight.tensor.functions.common import cast
from rushlight.tensor.functions.pointwise import where
from rushlight.tensor.functions.shape import expand, reshape, transpose
from rushlight.tensor.state import state


def conjugate(x: Any) -> Any:
    """conj of a tensor or a number."""
    if isinstance(x, Tensor):
        return x.conj()
    return x.conjugate() if isinstance(x, complex) else x


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose of matrices."""
    return transpose(x, -2, -1).conj()


def cast_grad(g: Tensor, dtype: Any) -> Tensor:
    """The gradient of a conversion: back to the old type, the real part for real ones."""
    if g._spec.dtype.is_complex and not dtype.is_complex:
        g = g.real
    return cast(g, dtype)


def fma(x: Any, y: Any, z: Any) -> Tensor:
    """x * y + z, rounded once; numbers or tensors of one dtype."""
    return apply(TABLE["fma"], (x, y, z))


def relu_grad(g: Tensor, out: Tensor) -> Tensor:
    """g where the result is positive or NaN."""
    return apply(TABLE["relu_grad"], (g, out))


def sgn_grad(g: Tensor, x: Tensor, out: Tensor) -> Tensor:
    """Zero for real numbers; for complex ones the part of g across the direction of x, over |x|."""
    if not x._spec.dtype.is_complex:
        return g * 0
    size = x.abs()
    return where(size == 0, 0, (g - out * (g.conj() * out).real) / where(size == 0, 1, size))


def atan2_scale(x: Tensor, y: Tensor) -> Tensor:
    """1 / (x² + y²), 0 at the origin."""
    scale = (x * x + y * y).reciprocal()
    return where(scale == float("inf"), 0, scale)


def angle_grad(g: Tensor, x: Tensor) -> Tensor:
    """The gradient of the argument of a complex number."""
    if not x._spec.dtype.is_complex:
        return g * 0
    from rushlight.tensor.functions.complex_numbers import complex as complex_of
    a, b = x.real, x.imag
    square = a * a + b * b
    scale = where(square == 0, 0, g / where(square == 0, 1, square))
    return complex_of(-b * scale, a * scale)


def pow_grad_base(g: Tensor, x: Any, y: Any) -> Tensor:
    """g * y * x ** (y - 1), 0 where y is 0."""
    if not isinstance(y, Tensor):
        if y == 2 and not state.grad:  # the same numbers without a power
            return g * conjugate(y * x)
        return zeros_of(g._spec, g) if y == 0 else g * conjugate(y * x ** (y - 1))
    return where(y == 0, 0, g * conjugate(y * x ** (y - 1)))


def pow_grad_exponent(g: Tensor, x: Any, y: Tensor, out: Tensor) -> Tensor:
    """g * x ** y * log(x), 0 where x is 0 and y is not negative (among complex numbers: where y is positive)."""
    if not isinstance(x, Tensor):
        import cmath
        import math
        if x == 0:
            log = complex("-inf") if out._spec.dtype.is_complex else float("-inf")
            return where(_stays_zero(y, out), 0, g * conjugate(out * log))
        if isinstance(x, complex) or y._spec.dtype.is_complex:
            return g * conjugate(out * cmath.log(x))
        return g * conjugate(out * (math.log(x) if x > 0 else float("nan")))
    zero = x == 0
    flat = zero & _stays_zero(y, out)
    return where(flat, 0, g * conjugate(out * where(flat, 1, x).log()))


def _stays_zero(y: Tensor, out: Tensor) -> Tensor:
    """Where 0 ** y does not change with y, or only in a direction that PyTorch does not count."""
    if y._spec.dtype.is_complex:
        return (y.imag == 0) & (y.real > 0)
    return y > 0 if out._spec.dtype.is_complex else y >= 0


def extremum_grad(g: Tensor, mine: Tensor, tie: Tensor) -> Tensor:
    """g where this operand is the result, half of it where the two are equal."""
    return where(mine, g, where(tie, g / 2, 0))


def copysign_grad(g: Tensor, x: Any, y: Any) -> Tensor:
    """g with the sign by which x was changed."""
    from rushlight.tensor.functions.pointwise import copysign
    sign = copysign(x.sgn() if isinstance(x, Tensor) else 1.0, y) * x.sgn()
    return g * sign


def expand_reduced(g: Tensor, shape: tuple[int, ...], dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """The result of a reduction spread over the reduced dimensions again."""
    if not keepdim and dims and len(dims) < len(shape):
        g = reshape(g, tuple([1 if d in dims else n for d, n in enumerate(shape)]))
    return expand(g, shape)


def extreme_grad(g: Tensor, x: Tensor, out: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """amax/amin: shared evenly by the elements equal to the result."""
    hit = cast(x == expand_reduced(out, x._spec.shape, dims, keepdim), g._spec.dtype)
    if not dims:
        return hit / hit * g
    return hit / hit.sum(dims, keepdim=True) * expand_reduced(g, x._spec.shape, dims, keepdim)


def prod_grad(g: Tensor, x: Tensor, out: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """g times the product of the other elements: a quotient, by running products from both ends where x has zeros."""
    if not x._spec.shape:
        return g
    shape = x._spec.shape
    kept = [d for d in range(len(shape)) if d not in dims]
    order = (*kept, *dims)
    moved = x.permute(order)
    flat = moved.reshape([shape[d] for d in kept] + [-1]) if moved._spec.numel else None
    if flat is None:
        return x * 0
    ones = flat[..., :1] * 0 + 1
    before = apply(TABLE["cat"], (ones, flat[..., :-1]), (len(kept),)).cumprod(-1)
    after = apply(TABLE["cat"], (flat[..., 1:], ones), (len(kept),)).flip(-1).cumprod(-1).flip(-1)
    others = (before * after).conj().reshape([shape[d] for d in order])
    inverse = [0] * len(order)
    for i, d in enumerate(order):
        inverse[d] = i
    safe, spread = others.permute(inverse), expand_reduced(g, shape, dims, keepdim)
    zero = x == 0
    whole = expand_reduced(out, shape, dims, keepdim)
    return spread * where(zero.any(), safe, (whole / where(zero, 1, x)).conj())


def cumprod_grad(g: Tensor, x: Tensor, out: Tensor, dim: int) -> Tensor:
    """sum over j >= i of g_j * prod of the others up to j, exact with zeros."""
    if not x._spec.shape or x._spec.shape[dim] == 1:
        return g
    clear = cast(x == 0, float32).cumsum(dim) == 0  # before a zero it is a quotient
    quotient = (g * out.conj()).flip(dim).cumsum(dim).flip(dim) / where(clear, x, 1).conj()
    wide = [cast(t, float32) if t._spec.dtype in HALF else t for t in (g, x)]
    if state.grad:  # the gradient of the gradient needs every product
        return where(clear, quotient, cast(_cumprod_grad(*wide, dim), x._spec.dtype))
    g, x = wide  # of the first zero: the products without it, up to the second
    first = (x == 0) & (cast(x == 0, float32).cumsum(dim) == 1)
    others = (g * where(first, 1, x).cumprod(dim).conj()).flip(dim).cumsum(dim).flip(dim)
    return where(clear, quotient, cast(where(first, others, 0), quotient._spec.dtype))


def _cumprod_grad(g: Tensor, x: Tensor, dim: int) -> Tensor:
    n = x._spec.shape[dim]
    x, g = x.transpose(dim, -1), g.transpose(dim, -1)
    parts = []
    for i in range(n):
        before = x[..., :i].prod(-1, keepdim=True)
        rest = apply(TABLE["cat"], (before * 0 + 1, x[..., i + 1:]), (len(x._spec.shape) - 1,)).cumprod(-1)
        parts.append((g[..., i:] * (before * rest).conj()).sum(-1, keepdim=True))
    if not parts:
        return x.transpose(dim, -1) * 0
    return apply(TABLE["cat"], tuple(parts), (len(x._spec.shape) - 1,)).transpose(dim, -1)


def logsumexp_parts(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """log(sum(exp(x))) with the largest taken out, unless that is infinite."""
    top = apply(TABLE["amax"], (x,), (dims, True))
    top = where(top.abs() == float("inf"), 0, top)
    total = apply(TABLE["sum"], ((x - top).exp(),), (dims, keepdim)).log()
    return total + (top if keepdim else top.reshape(total._spec.shape))


def logsumexp_vjp(g: Tensor, x: Tensor, out: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """g times each element's share of the sum."""
    shape = x._spec.shape
    return expand_reduced(g, shape, dims, keepdim) * (x - expand_reduced(out, shape, dims, keepdim)).exp()


def logcumsumexp_grad(g: Tensor, x: Tensor, out: Tensor, dim: int) -> Tensor:
    """exp(x_i) * sum over j >= i of g_j exp(-out_j), with a shift against overflow."""
    low = (out.detach().amin(dim, keepdim=True) if not out._spec.dtype.is_complex else
           out.real.detach().amin(dim, keepdim=True))
    low = where(low.abs() == float("inf"), 0, low)
    back = (g * (low - out).exp().conj()).flip(dim).cumsum(dim).flip(dim)
    return back * (x - low).exp().conj()


def zeros_of(s: Spec, like: Tensor) -> Tensor:
    """Zeros in the shape of a spec and the dtype of a tensor."""
    return apply(TABLE["full"], (0,), (s.shape, like._spec.dtype))


def unpad(g: Tensor, pads: tuple[tuple[int, int], ...]) -> Tensor:
    """What constant padding added cut off again (and what it cut off, zeros)."""
    neg = tuple((max(0, -a), max(0, -b)) for a, b in pads)
    for d, (a, b) in enumerate(pads):
        g = g.narrow(d, max(0, a), g._spec.shape[d] - max(0, a) - max(0, b))
    return apply(TABLE["constant_pad"], (g, 0), (neg,)) if any(a or b for a, b in neg) else g.clone()


def as_spec_of(g: Tensor, s: Spec) -> Tensor:
    """A flat tensor seen through a spec of its own dtype."""
    g = g.contiguous()
    return as_spec(g, spec(g._spec.dtype, s.shape, s.strides, g._spec.offset + s.offset))


def cat_part(g: Tensor, i: int, specs: tuple[Spec, ...], dim: int) -> Tensor:
    """The part of a joined gradient that belongs to operand i; an empty vector is left out, whatever the others are."""
    if specs[i].shape == (0,):
        return zeros_of(specs[i], g)
    return g.narrow(dim, sum(s.shape[dim] for s in specs[:i]), specs[i].shape[dim])


def index_grad(g: Tensor, x: Spec, indices: tuple[Tensor, ...], dims: tuple[int, ...]) -> Tensor:
    """g added into zeros at the indices."""
    return apply(TABLE["index_put"], (zeros_of(x, g), g, *indices), (dims, True))


def index_zero(g: Tensor, value: Spec, indices: tuple[Tensor, ...], dims: tuple[int, ...]) -> Tensor:
    """g with zeros at the indices."""
    return apply(TABLE["index_put"], (g, zeros_of(value, g), *indices), (dims, False))


def index_source_grad(g: Tensor, value: Spec, indices: tuple[Tensor, ...], dims: tuple[int, ...]) -> Tensor:
    """g at the indices."""
    from rushlight.tensor.functions.shape import sum_to
    return sum_to(apply(TABLE["index"], (g, *indices), (dims,)), value.shape)


def conv(x: Tensor, w: Tensor, *attrs: Any) -> Tensor:
    """Convolution without bias: stride, padding, dilation, groups."""
    return apply(TABLE["convolution"], (x, w), attrs)


def add_channels(x: Tensor, b: Tensor) -> Tensor:
    """x (n, c, …) + b (c,)."""
    ones = (1,) * (len(x._spec.shape) - 2)
    return apply(TABLE["add"], (x, reshape(b, (1, -1, *ones))))  # type: ignore[no-any-return]


def channel_sums(x: Tensor) -> Tensor:
    """The sums of x (n, c, …) over all dimensions but the second."""
    return x.sum((0, *range(2, len(x._spec.shape))))


def cropped(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The leading part of that shape: a transposed convolution with output padding can
    be read at more places than its input has."""
    return x if x._spec.shape == shape else x[tuple(slice(0, n) for n in shape)]


def conv_input(y: Tensor, w: Tensor, shape: tuple[int, ...], *attrs: Any) -> Tensor:
    """The gradient of a convolution for its input; a transposed convolution."""
    return apply(TABLE["convolution_input_grad"], (y, w), (shape, *attrs))


def conv_weight(y: Tensor, x: Tensor, shape: tuple[int, ...], *attrs: Any) -> Tensor:
    """The gradient of a convolution for its weight."""
    return apply(TABLE["convolution_weight_grad"], (y, x), (shape, *attrs))


def flat_rows(x: Tensor) -> Tensor:
    """All leading dimensions as one."""
    shape = x._spec.shape
    if len(shape) == 2:
        return x
    rows = 1
    for n in shape[:-1]:
        rows *= n
    return reshape(x, (rows, shape[-1]))


def softmax_grad(g: Tensor, out: Tensor, dim: int) -> Tensor:
    return apply(TABLE["softmax_grad"], (g, out), (dim,))


def log_softmax_grad(g: Tensor, out: Tensor, dim: int) -> Tensor:
    return apply(TABLE["log_softmax_grad"], (g, out), (dim,))


def cross_entropy_rows(x: Tensor, target: Tensor, ignore: int) -> Tensor:
    return apply(TABLE["cross_entropy_rows"], (x, target), (ignore,))


def cross_entropy_rows_grad(g: Tensor, x: Tensor, target: Tensor, ignore: int) -> Tensor:
    return apply(TABLE["cross_entropy_rows_grad"], (g, x, target), (ignore,))


def cross_entropy_mean_grad(g: Tensor, x: Tensor, target: Tensor, ignore: int) -> Tensor:
    return apply(TABLE["cross_entropy_mean_grad"], (g, x, target), (ignore,))


def nll_rows(x: Tensor, target: Tensor, ignore: int) -> Tensor:
    return apply(TABLE["nll_rows"], (x, target), (ignore,))


def nll_rows_grad(g: Tensor, x: Tensor, target: Tensor, ignore: int) -> Tensor:
    return apply(TABLE["nll_rows_grad"], (g, x, target), (ignore,))


def nll_mean_grad(g: Tensor, x: Tensor, target: Tensor, ignore: int) -> Tensor:
    return apply(TABLE["nll_mean_grad"], (g, x, target), (ignore,))


def smooth_l1_grad(g: Tensor, d: Tensor, beta: float) -> Tensor:
    return apply(TABLE["smooth_l1_grad"], (g, d), (beta,))


def huber_grad(g: Tensor, d: Tensor, delta: float) -> Tensor:
    return apply(TABLE["huber_grad"], (g, d), (delta,))


def pick_target(x: Tensor, target: Tensor, ignore: int) -> Tensor:
    """x[i, target[i]], 0 for ignored rows."""
    skip = target == ignore
    return where(skip, 0, x.gather(1, where(skip, 0, target).unsqueeze(1)).squeeze(1))


def put_target(rows: Tensor, x: Tensor, target: Tensor, ignore: int) -> Tensor:
    """Zeros like x, but for rows[i] at [i, target[i]]."""
    return zeros_of(x._spec, x).scatter(1, where(target == ignore, 0, target).unsqueeze(1), rows.unsqueeze(1))


def masked_rows(g: Tensor, target: Tensor, ignore: int) -> Tensor:
    return where(target == ignore, 0, g)


def one_hot_like(x: Tensor, target: Tensor, ignore: int) -> Tensor:
    skip = target == ignore
    return zeros_of(x._spec, x).scatter(1, where(skip, 0, target).unsqueeze(1), 1)


def gelu_parts(x: Tensor, approximate: str) -> Tensor:
    """x Φ(x), or its tanh approximation."""
    if approximate == "tanh":
        return x * (2 * sqrt(2 / pi) * (x + 0.044715 * x * x * x)).sigmoid()  # (1 + tanh u) / 2
    return 0.5 * x * (1 + (x * (1 / sqrt(2))).erf())


def gelu_slope(x: Tensor, approximate: str) -> Tensor:
    """The derivative of gelu."""
    if approximate == "tanh":
        s = (2 * sqrt(2 / pi) * (x + 0.044715 * x * x * x)).sigmoid()
        return s + x * (s * (1 - s)) * (2 * sqrt(2 / pi)) * (1 + 3 * 0.044715 * x * x)
    return 0.5 * (1 + (x * (1 / sqrt(2))).erf()) + x * (x * x * -0.5).exp() * (1 / sqrt(2 * pi))


def gelu_grad(g: Tensor, x: Tensor, approximate: str) -> Tensor:
    return apply(TABLE["gelu_grad"], (g, x), (approximate,))


def silu_grad(g: Tensor, x: Tensor) -> Tensor:
    return apply(TABLE["silu_grad"], (g, x))


def hardtanh(x: Tensor, low: float, high: float) -> Tensor:
    return apply(TABLE["hardtanh"], (x, low, high))


def fft_back(g: Tensor, name: str, dim: int, norm: str) -> Tensor:
    """The adjoint of a Fourier transform is the other one with the scale on the other side."""
    other = {"backward": "forward", "forward": "backward", "ortho": "ortho"}[norm]
    return apply(TABLE[name], (g,), (dim, other))


def embedding_grad(g: Tensor, index: Tensor, rows: int) -> Tensor:
    return apply(TABLE["embedding_grad"], (g, index), (rows,))


def embedding_rows(weight: Tensor, index: Tensor) -> Tensor:
    return apply(TABLE["embedding"], (weight, index))


def max_pool_grad(g: Tensor, positions: Tensor, *attrs: Any) -> Tensor:
    return apply(TABLE["max_pool_grad"], (g, positions), attrs)


def pool_gather(x: Tensor, positions: Tensor, spatial: int) -> Tensor:
    """The elements of x at flat positions within its trailing spatial dimensions."""
    lead = x._spec.shape[:len(x._spec.shape) - spatial]
    rows = (*lead, -1) if x._spec.numel and positions._spec.numel else (*lead, 0)
    return reshape(reshape(x, rows).gather(len(lead), reshape(positions, rows)), positions._spec.shape)


def avg_pool(x: Tensor, *attrs: Any) -> Tensor:
    return apply(TABLE["avg_pool"], (x,), attrs)


def avg_pool_grad(g: Tensor, shape: tuple[int, ...], *attrs: Any) -> Tensor:
    return apply(TABLE["avg_pool_grad"], (g,), (shape, *attrs))


def bessel_i1_slope(x: Tensor, out: Tensor) -> Tensor:
    """i0(x) - i1(x) / x, 1/2 at 0."""
    safe = where(x == 0, 1, x)
    return where(x == 0, 0.5, apply(TABLE["i0"], (safe,)) - out / safe)


def bessel_i1e_slope(x: Tensor, out: Tensor) -> Tensor:
    """The slope of i1e."""
    safe = where(x == 0, 1, x)
    return where(x == 0, 0.5, apply(TABLE["i0e"], (safe,)) - out * (safe.sgn() + 1 / safe))


def log_ndtr_slope(x: Tensor) -> Tensor:
    """φ(x) / Φ(x)."""
    return ((x * x) * -0.5 - apply(TABLE["log_ndtr"], (x,))).exp() * (1 / sqrt(2 * pi))
