"""Statements with layers: convolutions, pooling, norms, losses, products, transforms, on whatever views a program has made.

Images of 3 to 6 rows and columns are enough for every path through layouts and fusion, and small enough to be operands.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from program_strategy import LAYER, Builder

IMAGES = ((1, 2, 4, 4), (2, 3, 3, 5), (1, 4, 6, 3), (2, 8, 3, 3), (3, 1, 5, 5), (2, 16, 2, 3))


def image(b: Builder) -> None:
    """A batch of pictures, sometimes with channels last, sometimes a leaf."""
    shape = b.c.pick(IMAGES)
    last = ".contiguous(memory_format=torch.channels_last)" if b.c.chance(25) else ""
    grad = ".requires_grad_()" if b.c.chance(50) else ""
    b.add(f"{b.fresh()} = {numbers(b, shape, 'float32')}{last}{grad}")


def numbers(b: Builder, shape: tuple[int, ...], dtype: str) -> str:
    """Small multiples of a half, the same under both libraries."""
    step, period = b.c.pick((3, 5, 7)), b.c.pick((11, 13))
    return f"((torch.arange({prod(shape)}) * {step} % {period} - 5) / 2).to(torch.{dtype}).reshape({shape})"


def weight(b: Builder, t: Any, shape: tuple[int, ...]) -> str:
    """Weights for an operand: an expression, or a variable made for it, which lives on."""
    text = numbers(b, shape, str(t.dtype).removeprefix("torch."))
    if b.c.chance(50):
        return text
    name = b.fresh()
    b.add(f"{name} = {text}.requires_grad_()")
    return name


def layer(b: Builder) -> None:
    """One layer that fits a variable."""
    v = b.some(lambda t: t.dtype.is_floating_point and t.element_size() >= 4 and t.numel() and 0 < t.dim() < 5)
    if v is None:
        return
    t = b.get(v)
    if any(u.requires_grad and u.dtype != t.dtype for u in b.session.tensors().values()):
        return  # sums that cancel would be compared with the precision of another type
    fitting = LAYERS[t.dim() - 1] + ANY
    maker = b.c.pick(fitting)
    made = maker(b, v, t)
    if made:
        plain = ".clone(memory_format=torch.contiguous_format)" if maker in (_transform, _matrix, _attention, _order) else ""  # the order in memory is their library's
        b.add(f"{b.fresh()} = {made}{plain}{LAYER}", True)


def _convolution(b: Builder, v: str, t: Any) -> str:
    """Of one or two dimensions, in groups, with any stride, padding and dilation."""
    dims = t.dim() - 2
    channels, groups = t.shape[1], b.c.pick([g for g in (1, 1, 2, t.shape[1]) if t.shape[1] % g == 0])
    padding, stride, dilation = (b.c.pick(options) for options in ((0, 1, 1, 2), (1, 1, 2), (1, 1, 1, 2)))
    kernel = [b.c.integer(1, min(3, max(1, (n + 2 * padding - 1) // dilation + 1))) for n in t.shape[2:]]
    out = groups * b.c.integer(1, 3)
    if b.c.chance(25):
        w = weight(b, t, (channels, out // groups, *kernel))
        extra = b.c.integer(0, stride - 1)
        if any((n - 1) * stride - 2 * padding + dilation * (k - 1) + extra < 0 for n, k in zip(t.shape[2:], kernel)):
            return ""  # of an empty result PyTorch's kernels say different things
        return f"torch.nn.functional.conv_transpose{dims}d({v}, {w}, None, {stride}, {padding}, {extra}, {groups}, {dilation})"
    w = weight(b, t, (out, channels // groups, *kernel))
    bias = weight(b, t, (out,)) if b.c.chance(50) else None
    return f"torch.nn.functional.conv{dims}d({v}, {w}, {bias}, {stride}, {padding}, {dilation}, {groups})"


def _pooling(b: Builder, v: str, t: Any) -> str:
    dims = t.dim() - 2
    k, s = b.c.integer(1, 3), b.c.integer(1, 2)
    if min(t.shape[2:]) < k:
        return ""
    if b.c.chance(50) and b.exact(v):  # of equal maxima the last bits decide
        return f"torch.nn.functional.max_pool{dims}d({v}, {k}, {s}, {k // 2}, ceil_mode={b.c.chance(30)})"
    if b.c.chance(50):
        return f"torch.nn.functional.adaptive_avg_pool{dims}d({v}, {b.c.integer(1, 4)})"
    ceil = b.c.chance(30)
    return f"torch.nn.functional.avg_pool{dims}d({v}, {k}, {s}, {k // 2}, ceil_mode={ceil}, count_include_pad={b.c.chance(50)})"


def _resized(b: Builder, v: str, t: Any) -> str:
    modes = ("nearest", "nearest-exact", "linear") if t.dim() == 3 else ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
    mode = b.c.pick(modes)
    corners = f", align_corners={b.c.chance(50)}" if "li" in mode or "bic" in mode else ""
    how = b.c.pick(("scale_factor=2", "scale_factor=2", "size=3", "scale_factor=0.5", "scale_factor=1.5"))
    if how == "scale_factor=0.5" and min(t.shape[2:]) < 2:
        return ""
    return f"torch.nn.functional.interpolate({v}, {how}, mode='{mode}'{corners})"


def _padded(b: Builder, v: str, t: Any) -> str:
    n = min(t.shape[-2:])
    mode = b.c.pick(("reflect", "replicate", "circular", "constant"))
    sizes = [b.c.integer(0, max(0, min(2, n - 1))) for _ in range(2 * (t.dim() - 2) or 2)]
    return f"torch.nn.functional.pad({v}, {tuple(sizes)}, mode='{mode}')"


def _norm(b: Builder, v: str, t: Any) -> str:
    """Over samples, groups of channels or pixels."""
    c, kind = t.shape[1], b.c.integer(0, 3)
    w, bias = (weight(b, t, (c,)), weight(b, t, (c,))) if b.c.chance(60) else (None, None)
    if t.numel() // c < 3 or t.dim() > 2 and prod(t.shape[2:]) < 3:
        return ""
    if kind == 1 and t.dim() > 2:
        return f"torch.nn.functional.instance_norm({v}, None, None, {w}, {bias})"
    if kind == 2:
        return f"torch.nn.functional.group_norm({v}, {b.c.pick([g for g in (1, 2, c) if c % g == 0 and t.numel() > 2 * g * len(t)] or [1])}, {w}, {bias})"
    if kind == 3:
        kept = (weight(b, t, (c,)), f"{weight(b, t, (c,))} ** 2 + 0.5")
        return f"torch.nn.functional.batch_norm({v}, {kept[0]}.detach(), ({kept[1]}).detach(), {w}, {bias})"
    return f"torch.nn.functional.batch_norm({v}, None, None, {w}, {bias}, True)"


def _last(b: Builder, v: str, t: Any) -> str:
    """Along the last dimension."""
    n = t.shape[-1]
    kind = b.c.integer(0, 4)
    if kind == 0:
        return f"torch.nn.functional.linear({v}, {weight(b, t, (b.c.integer(1, 4), n))})"
    if kind == 1:
        out = b.c.integer(1, 4)
        return f"torch.nn.functional.linear({v}, {weight(b, t, (out, n))}, {weight(b, t, (out,))})"
    if kind == 2 and n > 2:
        w = weight(b, t, (n,)) if b.c.chance(50) else None
        return f"torch.nn.functional.layer_norm({v}, ({n},), {w}, {weight(b, t, (n,)) if w else None})"
    if kind == 3:
        return f"torch.nn.functional.rms_norm({v}, ({n},), {weight(b, t, (n,))})"
    return f"torch.nn.functional.glu({v}, -1)" if n % 2 == 0 else ""


def _attention(b: Builder, v: str, t: Any) -> str:
    if t.dim() < 3:
        return ""
    causal = b.c.chance(40)
    u = b.some(lambda u: u.dtype == t.dtype and u.shape == t.shape) or v
    return f"torch.nn.functional.scaled_dot_product_attention({v}, {u}, {b.c.pick((v, u))}, is_causal={causal})"


def _loss(b: Builder, v: str, t: Any) -> str:
    reduction = b.c.pick(("mean", "sum", "none"))
    if t.dim() == 2 and b.c.chance(50):
        labels = [b.c.integer(0, t.shape[1] - 1) for _ in range(t.shape[0])]
        smooth = b.c.pick(("", ", label_smoothing=0.1", ", ignore_index=0"))
        if "ignore" in smooth and not any(labels):
            return ""
        return f"torch.nn.functional.cross_entropy({v}, torch.tensor({labels}), reduction='{reduction}'{smooth})"
    u = b.some(lambda u: u.dtype == t.dtype and u.shape == t.shape)
    if u is None or u == v:
        u = numbers(b, tuple(t.shape), str(t.dtype).removeprefix("torch."))
    kind = b.c.pick(("mse_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits", "l1_loss", "soft_margin_loss"))
    if kind == "soft_margin_loss":
        reduction = "mean"  # in which order a tensor of them lies is PyTorch's own
    if kind == "l1_loss" and not b.exact(v):
        return ""
    if kind == "soft_margin_loss" and u[0] == "v":  # PyTorch has no gradient of its labels
        u += ".detach()"
    return f"torch.nn.functional.{kind}({v}, {u}, reduction='{reduction}')"


def _activation(b: Builder, v: str, t: Any) -> str:
    name = b.c.pick(("gelu", "silu", "elu", "leaky_relu", "softplus", "mish", "logsigmoid", "softsign", "selu", "hardswish", "hardsigmoid",
                     "tanhshrink", "celu", "relu6", "hardtanh"))
    if name in ("hardswish", "hardsigmoid", "relu6", "hardtanh") and not b.exact(v):  # at their corners the last bits decide
        return ""
    return f"torch.nn.functional.{name}({v})"


def _transform(b: Builder, v: str, t: Any) -> str:
    """Fourier transforms, there and back."""
    d, n = b.dim(t), t.dim()
    return b.c.pick((
        f"torch.view_as_real(torch.fft.fft({v}, dim={d}))", f"torch.view_as_real(torch.fft.rfft({v}, dim={d}))",
        f"torch.fft.irfft(torch.fft.rfft({v}, dim={d}), {t.shape[d] if -n <= d < n else 1}, dim={d})", f"torch.fft.ifft({v}, dim={d}).real",
        f"torch.fft.fftn({v}).imag", f"torch.fft.fftshift({v})",
    ))


def _order(b: Builder, v: str, t: Any) -> str:
    """Reversals, turns, repetitions, running sums."""
    d, n = b.c.integer(-t.dim(), t.dim() - 1), t.dim()
    return b.c.pick((
        f"{v}.flip({d}, {(d + 1) % n})" if n > 1 and (d + 1 - d) % n else f"{v}.flip({d})", f"torch.rot90({v}, {b.c.integer(-1, 3)}, (0, -1))" if n > 1 else "",
        f"{v}.repeat_interleave(2, {d})", f"{v}.cumsum({d}).flip({d})", f"torch.logcumsumexp({v}, {d})", f"{v}.flip({d}).cumprod({d})",
        f"torch.diff({v}, dim={d})", f"{v}.roll((1, -1), ({d}, 0))", f"{v}.flatten().flip(0)", f"torch.cat([{v}.flip({d}), {v}], {d})",
        f"torch.renorm({v}, 2, {d}, 1.0)", f"torch.nn.functional.normalize({v} + 3.0, dim={d})",
    ))


def _matrix(b: Builder, v: str, t: Any) -> str:
    """Products written as equations, and linear algebra of what is made well conditioned."""
    m, n = t.shape[-2:]
    square = f"({v} @ {v}.mT + {4 + 2 * n} * torch.eye({m}, dtype={t.dtype}))"
    w = weight(b, t, (n, b.c.integer(1, 3)))
    return b.c.pick((
        f"torch.einsum('...ij,jk->...ki', {v}, {w})", f"torch.einsum('...ij->...j', {v})", f"torch.einsum('...ij,...ij->...', {v}, {v})",
        f"torch.linalg.cholesky({square})", f"torch.linalg.inv({square})", f"torch.linalg.solve({square}, {v})", f"torch.linalg.slogdet({square})[1]",
        f"torch.cdist({v}, {v} + 1.5)", f"torch.kron({v}.clone(), {w})" if t.dim() == 2 else "", f"torch.tensordot({v}, {w}, 1)",
    ))


def _windows(b: Builder, v: str, t: Any) -> str:
    n, c, h, w = t.shape
    k = b.c.integer(1, min(h, w, 3))
    return b.c.pick((
        f"torch.nn.functional.unfold({v}, {k}, padding=1)", f"torch.nn.functional.pixel_shuffle({v}, 2)" if c % 4 == 0 else "",
        f"torch.nn.functional.fold(torch.nn.functional.unfold({v}, {k}), {(h, w)}, {k})",
        f"torch.nn.functional.pixel_unshuffle({v}, 2)" if h % 2 == w % 2 == 0 else "", f"{v}.mean((2, 3))", f"{v}.flatten(1)", f"{v}.flatten(0, 1)",
        f"{v}.permute(0, 2, 3, 1)", f"{v}.amax((2, 3))" if b.exact(v) else "", f"torch.nn.functional.channel_shuffle({v}, 2)" if c % 2 == 0 else "",
    ))


def _rows(b: Builder, v: str, t: Any) -> str:
    """Rows by their numbers, added and picked."""
    rows = [b.c.integer(0, t.shape[0] - 1) for _ in range(b.c.integer(1, 5))]
    at = f"torch.tensor({rows})"
    return b.c.pick((
        f"torch.nn.functional.embedding({at}, {v})" if t.dim() == 2 else "", f"torch.zeros_like({v}).index_add(0, {at}, {v}[{at}])", f"{v}.flip(0)[{at}]",
        f"torch.nn.functional.embedding_bag({at}, {v}, torch.tensor([0]), mode='{b.c.pick(('sum', 'mean'))}')" if t.dim() == 2 else "",
        f"torch.take_along_dim({v}, {v}.argsort(0), 0)" if b.exact(v) else "", f"torch.index_fill({v}, 0, {at}, 0.5)",
        f"{v}.index_copy(0, torch.tensor([0]), {v}[-1:])",
        f"{v}.scatter_reduce(0, torch.zeros({tuple(t.shape)}, dtype=torch.long), {v}, '{b.c.pick(('sum', 'mean'))}')",
    ))


Maker = Callable[[Builder, str, Any], str]
ANY: tuple[Maker, ...] = (_last, _loss, _activation, _transform, _order, _order, _rows)
LAYERS: tuple[tuple[Maker, ...], ...] = (
    (), (_matrix, _loss, _norm), (_convolution, _pooling, _resized, _padded, _norm, _attention, _matrix),
    (_convolution, _convolution, _convolution, _pooling, _pooling, _resized, _padded, _norm, _norm, _windows, _attention),
)
