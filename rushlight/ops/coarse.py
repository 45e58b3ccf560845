"""Coarse operations: what users call a layer. Each has a shape rule, a decomposition, and usually a gradient."""

from __future__ import annotations

from typing import Any

from rushlight.ir.dtype import bool_
from rushlight.ops import windows
from rushlight.ops.movement import as_it_lies, turn_dim
from rushlight.ops.pointwise import same
from rushlight.ops.reductions import reduced
from rushlight.ops.table import Types, row


def first(x: Any, *_: Any) -> Types:
    return ((x.dtype, x.shape),)


def linear_shape(x: Any, w: Any, b: Any = None) -> Types:
    return ((x.dtype, (*x.shape[:-1], w.shape[0])),)


LINEAR_VJP = {
    "x": lambda g, w: g @ w.conj(),
    "w": lambda F, g, x: F.flat_rows(g).t() @ F.flat_rows(x).conj(),
    "b": lambda F, g: F.flat_rows(g).sum(0),
}
LINEAR = row("linear", "coarse", "x w b", linear_shape, grad_name="AddmmBackward0",
             vjp=LINEAR_VJP, decompose=lambda F, x, w, b: x @ w.t() + b)
LINEAR_NO_BIAS = row("linear_no_bias", "coarse", "x w", linear_shape, grad_name="MmBackward0",
                     vjp={k: LINEAR_VJP[k] for k in "xw"}, decompose=lambda F, x, w: x @ w.t())


def _softmax(F: Any, x: Any, dim: int) -> Any:
    e = (x - x.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


def _softmax_grad_by_p(F: Any, g: Any, y: Any, p: Any, dim: int) -> Any:
    """The gradient of (y - Σ y p) p by p, in the steps that PyTorch rounds."""
    return y * g - (p * y).sum(dim, keepdim=True) * g - y * (p * g).sum(dim, keepdim=True)


def _log_softmax(F: Any, x: Any, dim: int) -> Any:
    shifted = x - x.amax(dim, keepdim=True)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


SOFTMAX = row("softmax", "coarse", "x", lambda x, dim: first(x), attrs="dim", decompose=_softmax,
              vjp={"x": lambda F, g, out, dim: F.softmax_grad(g, out, dim)})
SOFTMAX_GRAD = row("softmax_grad", "coarse", "y p", lambda y, p, dim: first(y), attrs="dim",
                   grad_name="SoftmaxBackwardBackward0",
                   decompose=lambda F, y, p, dim: (y - (y * p).sum(dim, keepdim=True)) * p,
                   vjp={"y": lambda F, g, p, dim: F.softmax_grad(g, p, dim), "p": _softmax_grad_by_p})
LOG_SOFTMAX = row("log_softmax", "coarse", "x", lambda x, dim: first(x), attrs="dim", decompose=_log_softmax,
                  vjp={"x": lambda F, g, out, dim: F.log_softmax_grad(g, out, dim)})
LOG_SOFTMAX_GRAD = row("log_softmax_grad", "coarse", "y logs", lambda y, logs, dim: first(y), attrs="dim",
                       grad_name="LogSoftmaxBackwardBackward0",
                       decompose=lambda F, y, logs, dim: y - logs.exp() * y.sum(dim, keepdim=True),
                       vjp={"y": lambda F, g, logs, dim: g - (g * logs.exp()).sum(dim, keepdim=True),
                            "logs": lambda F, g, y, logs, dim: -y.sum(dim, keepdim=True) * logs.exp() * g})

# rows of logits (n, classes), targets (n,); losses of ignored rows are 0
CROSS_ENTROPY = row("cross_entropy_rows", "coarse", "x target",
                    lambda x, target, ignore: ((x.dtype, target.shape),), attrs="ignore", grad_name="NllLossBackward0",
                    decompose=lambda F, x, target, ignore: -F.pick_target(x.log_softmax(1), target, ignore),
                    vjp={"x": lambda F, g, x, target, ignore: F.cross_entropy_rows_grad(g, x, target, ignore)}, holds="x")
CROSS_ENTROPY_GRAD = row("cross_entropy_rows_grad", "coarse", "y x target",
                         lambda y, x, target, ignore: first(x), attrs="ignore", grad_name="NllLossBackward0",
                         decompose=lambda F, y, x, target, ignore: F.masked_rows(y, target, ignore).unsqueeze(1) * (
                             x.softmax(1) - F.one_hot_like(x, target, ignore)))
CROSS_ENTROPY_MEAN = row("cross_entropy_mean", "coarse", "x target", lambda x, target, ignore: ((x.dtype, ()),),
                         attrs="ignore", grad_name="NllLossBackward0",
                         decompose=lambda F, x, target, ignore: (F.cross_entropy_rows(x, target, ignore).sum()
                                                                 / (target != ignore).sum().to(x.dtype)),
                         vjp={"x": lambda F, g, x, target, ignore: F.cross_entropy_mean_grad(g, x, target, ignore)}, holds="x")
CROSS_ENTROPY_MEAN_GRAD = row("cross_entropy_mean_grad", "coarse", "y x target",
                              lambda y, x, target, ignore: first(x), attrs="ignore", grad_name="NllLossBackward0",
                              decompose=lambda F, y, x, target, ignore: F.cross_entropy_rows_grad(
                                  (y / (target != ignore).sum().to(x.dtype)).expand(target.shape), x, target, ignore))

# the same of log-probabilities x that are given
NLL = row("nll_rows", "coarse", "x target", lambda x, target, ignore: ((x.dtype, target.shape),), attrs="ignore", grad_name="NllLossBackward0",
          decompose=lambda F, x, target, ignore: -F.pick_target(x, target, ignore),
          vjp={"x": lambda F, g, x, target, ignore: F.nll_rows_grad(g, x, target, ignore)})
NLL_GRAD = row("nll_rows_grad", "coarse", "y x target", lambda y, x, target, ignore: first(x), attrs="ignore", grad_name="NllLossBackward0",
               decompose=lambda F, y, x, target, ignore: F.put_target(-F.masked_rows(y, target, ignore), x, target, ignore))
NLL_MEAN = row("nll_mean", "coarse", "x target", lambda x, target, ignore: ((x.dtype, ()),), attrs="ignore", grad_name="NllLossBackward0",
               decompose=lambda F, x, target, ignore: F.nll_rows(x, target, ignore).sum() / (target != ignore).sum().to(x.dtype),
               vjp={"x": lambda F, g, x, target, ignore: F.nll_mean_grad(g, x, target, ignore)})
NLL_MEAN_GRAD = row("nll_mean_grad", "coarse", "y x target", lambda y, x, target, ignore: first(x), attrs="ignore", grad_name="NllLossBackward0",
                    decompose=lambda F, y, x, target, ignore: F.nll_rows_grad(
                        (y / (target != ignore).sum().to(x.dtype)).expand(target.shape), x, target, ignore))

# losses of differences d
SMOOTH_L1 = row("smooth_l1", "coarse", "d", first, attrs="beta", elementwise=True, grad_name="SmoothL1LossBackward0",
                decompose=lambda F, d, beta: (lambda a: F.where(a < beta, a * a * (0.5 / beta), a - 0.5 * beta))(d.abs()),
                vjp={"d": lambda F, g, d, beta: F.smooth_l1_grad(g, d, beta)})
SMOOTH_L1_GRAD = row("smooth_l1_grad", "coarse", "y d", lambda y, d, beta: same(y, d), attrs="beta", elementwise=True, grad_name="SmoothL1LossBackwardBackward0",
                     decompose=lambda F, y, d, beta: F.where(d <= -beta, -y, F.where(d >= beta, y, d * y / beta)))
HUBER = row("huber", "coarse", "d", first, attrs="delta", elementwise=True, grad_name="HuberLossBackward0",
            decompose=lambda F, d, delta: (lambda a: F.where(a < delta, a * a * 0.5, (a - 0.5 * delta) * delta))(d.abs()),
            vjp={"d": lambda F, g, d, delta: F.huber_grad(g, d, delta)})
HUBER_GRAD = row("huber_grad", "coarse", "y d", lambda y, d, delta: same(y, d), attrs="delta", elementwise=True, grad_name="HuberLossBackwardBackward0",
                 decompose=lambda F, y, d, delta: F.where(d <= -delta, -delta * y, F.where(d >= delta, delta * y, d * y)))

GELU = row("gelu", "coarse", "x", lambda x, approximate: first(x), attrs="approximate", elementwise=True,
           decompose=lambda F, x, approximate: F.gelu_parts(x, approximate),
           vjp={"x": lambda F, g, x, approximate: F.gelu_grad(g, x, approximate)})
GELU_GRAD = row("gelu_grad", "coarse", "y x", lambda y, x, approximate: same(y, x), attrs="approximate", elementwise=True,
                decompose=lambda F, y, x, approximate: y * F.gelu_slope(x, approximate))
SILU = row("silu", "coarse", "x", first, elementwise=True, decompose=lambda F, x: x * x.sigmoid(),
           vjp={"x": lambda F, g, x: F.silu_grad(g, x)})
SILU_GRAD = row("silu_grad", "coarse", "y x", same, elementwise=True,
                decompose=lambda F, y, x: (lambda s: y * (s * (1 + x * (1 - s))))(x.sigmoid()))

LOG_SIGMOID = row("log_sigmoid", "coarse", "x", first, elementwise=True, decompose=lambda F, x: x.clamp(max=0) - (-x.abs()).exp().log1p(),
                  vjp={"x": lambda g, x: g * (-x).sigmoid()}, grad_name="LogSigmoidBackward0")

HARDTANH = row("hardtanh", "coarse", "x low high", first, elementwise=True,
               decompose=lambda F, x, low, high: F.where(x <= low, low, F.where(x >= high, high, x)),
               vjp={"x": lambda F, g, out, low, high: F.where((out <= low) | (out >= high), 0, g)}, holds="out")
HARDSIGMOID = row("hardsigmoid", "coarse", "x", first, elementwise=True,
                  decompose=lambda F, x: F.hardtanh(x + 3, 0.0, 6.0) / 6,
                  vjp={"x": lambda F, g, out: F.where((out <= 0) | (out >= 1), 0, g / 6)}, holds="out")
HARDSWISH = row("hardswish", "coarse", "x", first, elementwise=True,
                decompose=lambda F, x: F.where(x <= -3, 0, F.where(x >= 3, x, x * (x + 3) / 6)),
                vjp={"x": lambda F, g, x: F.where(x <= -3, 0, F.where(x >= 3, g, g * (x / 3 + 0.5)))})

# batches normalised by given statistics: mean, var, weight and bias hold one number per channel
BATCH_NORM_GIVEN = row(
    "batch_norm_given", "coarse", "x mean var weight bias eps", first, attrs="channel",
    grad_name="NativeBatchNormBackward0",
    decompose=lambda F, x, mean, var, weight, bias, eps, channel: F.batch_norm_given_parts(
        x, mean, var, weight, bias, eps, channel),
    vjp={"x": lambda F, g, var, weight, eps, channel: g * F.along(weight * (var + eps).rsqrt(), g, channel),
         "weight": lambda F, g, x, mean, var, eps, channel: (
             F.sum_beside(g * (x - F.along(mean, x, channel)), channel) * (var + eps).rsqrt()),
         "bias": lambda F, g, channel: F.sum_beside(g, channel)},
    lies=lambda specs, attrs: as_it_lies(specs), turn=turn_dim)


def normalize_shape(x: Any, eps: Any, dims: Any) -> Types:
    statistic = (x.dtype, tuple(1 if d in dims else n for d, n in enumerate(x.shape)))
    return (x.dtype, x.shape), statistic, statistic


# x with the dimensions ``dims`` normalised to mean 0 and variance 1; mean and 1/std are results too
NORMALIZE = row("normalize", "coarse", "x eps", normalize_shape, attrs="dims", grad_name="NativeLayerNormBackward0",
                decompose=lambda F, x, eps, dims: F.normalize_parts(x, eps, dims),
                vjp={"x": lambda F, g0, g1, g2, given, x, out1, out2, dims: F.normalize_vjp(
                    g0, g1, g2, given, x, out1, out2, dims)})
NORMALIZE_GRAD = row("normalize_grad", "coarse", "y x mean rstd", lambda y, x, mean, rstd, dims: first(x), attrs="dims",
                     grad_name="NativeLayerNormBackward0",
                     decompose=lambda F, y, x, mean, rstd, dims: F.normalize_grad_parts(y, x, mean, rstd, dims))

# batches normalised by their own statistics, then scaled and shifted per channel; each channel's mean and 1/std are
# results too
BATCH_NORM = row(
    "batch_norm", "coarse", "x weight bias eps",
    lambda x, weight, bias, eps, channel: ((x.dtype, x.shape), *(2 * ((x.dtype, weight.shape),))),
    attrs="channel", grad_name="NativeBatchNormBackward0",
    decompose=lambda F, x, weight, bias, eps, channel: F.batch_norm_parts(x, weight, bias, eps, channel),
    vjp={"x": lambda F, g0, g1, g2, given, x, weight, out1, out2, channel: F.batch_norm_vjp(
             g0, g1, g2, given, x, weight, out1, out2, channel),
         "weight": lambda F, g0, x, out1, out2, channel: F.sum_beside(
             g0 * F.standardized(x, out1, out2, channel), channel),
         "bias": lambda F, g0, channel: F.sum_beside(g0, channel)},
    lies=lambda specs, attrs: as_it_lies(specs), turn=turn_dim)

# groups of neighbouring channels of each sample normalised by their own statistics, then scaled and shifted per channel; mean and
# 1/std of each sample's groups are results too
GROUP_NORM = row(
    "group_norm", "coarse", "x weight bias eps",
    lambda x, weight, bias, eps, groups: ((x.dtype, x.shape), *(2 * ((x.dtype, (x.shape[0], groups)),))),
    attrs="groups", grad_name="NativeGroupNormBackward0",
    decompose=lambda F, x, weight, bias, eps, groups: F.group_norm_parts(x, weight, bias, eps, groups),
    vjp={"x": lambda F, g0, g1, g2, given, x, weight, out1, out2, groups: F.group_norm_vjp(
             g0, g1, g2, given, x, weight, out1, out2, groups),
         "weight": lambda F, g0, x, out1, out2, groups: F.group_norm_weight_grad(g0, x, out1, out2, groups),
         "bias": lambda F, g0: F.sum_beside(F.image_sums(g0), 1)})

# inverted dropout: the mask is drawn from a counter-based generator with that seed
DROPOUT = row("dropout", "random", "x p seed", lambda x, p, seed: ((x.dtype, x.shape), (bool_, x.shape)),
              elementwise=True, grad_name="MulBackward0",
              vjp={"x": lambda F, g0, out1, p: F.where(out1, g0 * (1 / (1 - p) if p < 1 else 0.0), 0)})
RANDOM_MASK = row("random_mask", "random", "p seed", lambda p, seed, shape: ((bool_, shape),), attrs="shape",
                  differentiable=False)

EMBEDDING = row("embedding", "index", "weight index", lambda w, i: ((w.dtype, (*i.shape, *w.shape[1:])),),
                vjp={"weight": lambda F, g, weight_spec, index: F.embedding_grad(g, index, weight_spec.shape[0])})
EMBEDDING_GRAD = row("embedding_grad", "index", "y index",
                     lambda y, i, rows: ((y.dtype, (rows, *y.shape[len(i.shape):])),), attrs="rows",
                     grad_name="EmbeddingDenseBackward0", vjp={"y": lambda F, g, index: F.embedding_rows(g, index)})
MAX_POOL = row("max_pool", "coarse", "x", windows.max_pool_shape,
               attrs="kernel stride padding dilation ceil_mode", grad_name="MaxPool2DWithIndicesBackward0",
               vjp={"x": lambda F, g0, x_spec, out1, kernel, stride, padding, dilation, ceil_mode: F.max_pool_grad(
                   g0, out1, x_spec.shape, kernel, stride, padding, dilation)})
MAX_POOL_GRAD = row("max_pool_grad", "coarse", "y positions", lambda y, positions, shape, *_: ((y.dtype, shape),),
                    attrs="shape kernel stride padding dilation", grad_name="MaxPool2DWithIndicesBackwardBackward0",
                    vjp={"y": lambda F, g, positions, kernel: F.pool_gather(g, positions, len(kernel))})
AVG_POOL = row("avg_pool", "coarse", "x", windows.avg_pool_shape,
               attrs="kernel stride padding ceil_mode count_include_pad divisor", grad_name="AvgPool2DBackward0",
               vjp={"x": lambda F, g, x_spec, kernel, stride, padding, ceil_mode, count_include_pad, divisor:
                    F.avg_pool_grad(g, x_spec.shape, kernel, stride, padding, ceil_mode, count_include_pad, divisor)})
AVG_POOL_GRAD = row("avg_pool_grad", "coarse", "y", lambda y, shape, *a: ((y.dtype, shape),),
                    attrs="shape kernel stride padding ceil_mode count_include_pad divisor",
                    grad_name="AvgPool2DBackwardBackward0",
                    vjp={"y": lambda F, g, kernel, stride, padding, ceil_mode, count_include_pad, divisor:
                         F.avg_pool(g, kernel, stride, padding, ceil_mode, count_include_pad, divisor)})

LOGSUMEXP = row("logsumexp", "coarse", "x", lambda x, dims, keepdim: ((x.dtype, reduced(x.shape, dims, keepdim)),), attrs="dims keepdim",
                decompose=lambda F, x, dims, keepdim: F.logsumexp_parts(x, dims, keepdim),
                vjp={"x": lambda F, g, x, out, dims, keepdim: F.logsumexp_vjp(g, x, out, dims, keepdim)})
# log of the probability of labels over all alignments (CTC)
CTC = row("ctc", "coarse", "emit jump lengths sizes", lambda emit, *_: ((emit.dtype, (emit.shape[1],)),), grad_name="CtcLossBackward0",
          vjp={"emit": lambda F, g, emit, jump, lengths, sizes: F.ctc_vjp(g, emit, jump, lengths, sizes)})
CTC_GRAD = row("ctc_grad", "coarse", "g emit jump lengths sizes", lambda g, emit, *_: ((emit.dtype, emit.shape),), differentiable=False)
