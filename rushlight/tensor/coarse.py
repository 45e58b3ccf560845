"""The coarse operations as functions. They check shapes in PyTorch's words and record one node each."""

from __future__ import annotations

from typing import Any

from rushlight.exec.realize import realize_cell
from rushlight.ir.graph import SCALARS
from rushlight.ir.spec import spec
from rushlight.ops.table import TABLE, Op
from rushlight.tensor.autocast import reduced
from rushlight.tensor.core import Tensor, apply, assign, new_tensor, realize_when_large, record
from rushlight.tensor.functions import normalization_rules
from rushlight.tensor.functions.common import cast, need_tensor, scalar_name, wrap_dim
from rushlight.tensor.functions.shape import as_images, reshape
from rushlight.tensor.state import state
from rushlight.tensor.storage import Storage
from rushlight.tensor.views import sync_view

_LINEAR, _LINEAR_NO_BIAS = TABLE["linear"], TABLE["linear_no_bias"]
_CONVOLUTION, _CONVOLUTION_BIAS = TABLE["convolution"], TABLE["convolution_bias"]


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias; input (…, in), weight (out, in), bias (out,).

    >>> import rushlight as rl
    >>> rl.nn.functional.linear(rl.tensor([1.0, 2.0]), rl.tensor([[3.0, 4.0]]), rl.tensor([0.5]))
    tensor([11.5000])
    """
    if not isinstance(input, Tensor):
        need_tensor("linear", 1, "input", input)
    if state.autocast is not None:
        return _reduced_linear(input, weight, bias)
    x, w = input._spec, weight._spec
    if len(w.shape) != 2 or not x.shape:
        return _small_linear(input, weight, bias)
    if x.shape[-1] != w.shape[1]:
        rows = 1
        for n in x.shape[:-1]:
            rows *= n
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{x.shape[-1]} and {w.shape[1]}x{w.shape[0]}). "
                           f"The input has {x.shape[-1]} features (shape {list(x.shape)}), the layer expects {w.shape[1]}.")
    if x.dtype is not w.dtype:
        raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {scalar_name(x.dtype)} and {scalar_name(w.dtype)}. "
                           f"Convert the input, for example with x.to({w.dtype}).")
    if not x.contiguous and len(x.shape) > 2 and x.reshape((x.numel // max(1, x.shape[-1]), x.shape[-1])) is None:
        input = input.contiguous()  # rows that no single stride reaches: the backward pass wants that copy as well
    if bias is None:
        return apply(_LINEAR_NO_BIAS, (input, weight))
    if bias._spec.shape != (w.shape[0],):
        return apply(_LINEAR_NO_BIAS, (input, weight)) + bias
    return apply(_LINEAR, (input, weight, bias))


_reduced_linear = reduced(linear)


def _small_linear(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    if len(w._spec.shape) == 1:
        out = x @ w
    elif len(w._spec.shape) == 2:
        raise RuntimeError(f"both arguments to linear need to be at least 1D, but they are {len(x._spec.shape)}D and 2D")
    else:
        raise RuntimeError(f"linear(): weight must be 1-D or 2-D, got {len(w._spec.shape)}-D")
    return out if b is None else out + b


def cross_entropy_rows(logits: Tensor, target: Tensor, ignore_index: int = -100) -> Tensor:
    """-log softmax(logits)[i, target[i]] of each row, 0 where the target is ignore_index; logits (n, c), target (n,) of
    int64."""
    return apply(TABLE["cross_entropy_rows"], (logits, target), (int(ignore_index),))


def cross_entropy_mean(logits: Tensor, target: Tensor, ignore_index: int = -100) -> Tensor:
    """The mean of `cross_entropy_rows` over rows that are not ignored."""
    return apply(TABLE["cross_entropy_mean"], (logits, target), (int(ignore_index),))


def nll_rows(logs: Tensor, target: Tensor, ignore_index: int = -100) -> Tensor:
    """-logs[i, target[i]] of each row, 0 where the target is ignore_index; logs (n, c), target (n,) of int64."""
    return apply(TABLE["nll_rows"], (logs, target), (int(ignore_index),))


def nll_mean(logs: Tensor, target: Tensor, ignore_index: int = -100) -> Tensor:
    """The mean of `nll_rows` over rows that are not ignored."""
    return apply(TABLE["nll_mean"], (logs, target), (int(ignore_index),))


def smooth_l1(difference: Tensor, beta: float) -> Tensor:
    """0.5 d² / beta where |d| < beta, else |d| - 0.5 beta."""
    return apply(TABLE["smooth_l1"], (difference,), (float(beta),))


def huber(difference: Tensor, delta: float) -> Tensor:
    """0.5 d² where |d| < delta, else delta (|d| - 0.5 delta)."""
    return apply(TABLE["huber"], (difference,), (float(delta),))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x), Φ the normal distribution function; approximate="tanh" for its approximation."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate argument must be either none or tanh. Got {approximate!r}.")
    return apply(TABLE["gelu"], (input,), (approximate,))


def silu(input: Tensor) -> Tensor:
    """x * sigmoid(x)."""
    return apply(TABLE["silu"], (input,))


def log_sigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow."""
    return apply(TABLE["log_sigmoid"], (input,))


def hardtanh(input: Tensor, low: float, high: float) -> Tensor:
    """x limited to [low, high]; the gradient at the limits is 0."""
    return apply(TABLE["hardtanh"], (input, low, high))


def hardsigmoid(input: Tensor) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    return apply(TABLE["hardsigmoid"], (input,))


def hardswish(input: Tensor) -> Tensor:
    """x * hardsigmoid(x)."""
    return apply(TABLE["hardswish"], (input,))


def batch_norm_given(input: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, each of them one number per channel: (c,) for x (n, c, …)."""
    return as_images(apply(TABLE["batch_norm_given"], (input, mean, var, weight, bias, float(eps)), (1,)), input)


def batch_norm(input: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(var + eps) * weight + bias by the batch's own statistics, and those: mean and 1/sqrt(var +
    eps), (c,) for x (n, c, …)."""
    out, mean, rstd = apply(TABLE["batch_norm"], (input, weight, bias, float(eps)), (1,))
    return as_images(out, input), mean, rstd


def group_norm(input: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Groups of channels of each sample of (n, c, …) normalised, times weight plus bias, (c,) each."""
    return as_images(apply(TABLE["group_norm"], (input, weight, bias, float(eps)), (groups,))[0], input)


def move_statistics(running_mean: Tensor, running_var: Tensor, mean: Tensor, rstd: Tensor, momentum: float, eps: float,
                    n: int) -> None:
    """Move running statistics towards those of a batch with n values per channel, in place and in one node; the
    variance is the unbiased one."""
    region("batch_norm_update", normalization_rules.batch_norm_update, (momentum, float(eps), n / (n - 1) if n > 1 else float("inf")),
           [running_mean, running_var], [mean, rstd], ())


def normalize(input: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(variance + eps) over dims, with mean and 1/sqrt(variance + eps) in kept dimensions."""
    dims = tuple(sorted(wrap_dim(d, len(input._spec.shape)) for d in dims))
    return tuple(apply(TABLE["normalize"], (input, float(eps)), (dims,)))  # type: ignore[return-value]


def dropout(input: Tensor, p: float, training: bool = True) -> Tensor:
    """Each element 0 with probability p, the others scaled by 1 / (1 - p)."""
    if not training or p == 0.0:
        return input
    if state.level is not None:
        input = state.level.for_random(input)
    from rushlight import rng
    seed = int(rng.current().random64()) & (2**63 - 1)
    return apply(TABLE["dropout"], (input, float(p), seed))[0]


def random_mask(shape: tuple[int, ...], p: float) -> Tensor:
    """A bool tensor, False with probability p, from the counter-based generator."""
    if state.level is not None:
        return state.level.draw(random_mask, (shape, p), {})  # type: ignore[no-any-return]
    from rushlight import rng
    return apply(TABLE["random_mask"], (float(p), int(rng.current().random64()) & (2**63 - 1)), (tuple(shape),))


def embedding(weight: Tensor, index: Tensor) -> Tensor:
    """Rows of weight (n, …) at integer indices; IndexError names an index that is out of range."""
    from rushlight.ir.dtype import int64
    return apply(TABLE["embedding"], (weight, cast(index, int64)))


def convolution(input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any,
                groups: int) -> Tensor:
    """N-d cross-correlation: input (n, c, …), weight (out, c / groups, …); attributes are tuples of ints."""
    attrs = (tuple(stride), tuple(padding), tuple(dilation), int(groups))
    out = apply(_CONVOLUTION, (input, weight), attrs) if bias is None else apply(_CONVOLUTION_BIAS, (input, weight, bias), attrs)
    return as_images(out, input, weight)


def convolution_transpose(input: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any,
                          output_padding: Any, dilation: Any, groups: int) -> Tensor:
    """The transpose of a convolution: input (n, c, …), weight (c, out / groups, …)."""
    stride, padding, output_padding, dilation = tuple(stride), tuple(padding), tuple(output_padding), tuple(dilation)
    spatial = [(n - 1) * s - 2 * p + d * (k - 1) + q + 1
               for n, k, s, p, q, d in zip(input._spec.shape[2:], weight._spec.shape[2:], stride, padding,
                                           output_padding, dilation)]
    if any([n < 1 for n in spatial]):
        sizes = " x ".join([str(n) for n in input._spec.shape[2:]])
        raise RuntimeError(f"Given input size per channel: ({sizes}). Calculated output size per channel: ({' x '.join(map(str, spatial))}). "
                           f"Output size is too small: a padding of {list(padding)} cuts off more than there is; take a smaller one.")
    shape = (input._spec.shape[0], weight._spec.shape[1] * groups, *spatial)
    out = apply(TABLE["convolution_input_grad"], (input, weight), (shape, stride, padding, dilation, int(groups)))
    return as_images(out if bias is None else out + reshape(bias, (1, -1, *(1,) * len(spatial))), input, weight)


def max_pool(input: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any,
             ceil_mode: bool) -> tuple[Tensor, Tensor]:
    """The largest value of each window of the trailing dimensions, and its flat position in the plane."""
    out = apply(TABLE["max_pool"], (input,),
                (tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), bool(ceil_mode)))
    return as_images(out[0], input), as_images(out[1], input)


def avg_pool(input: Tensor, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
             divisor: int | None) -> Tensor:
    """The mean of each window of the trailing dimensions."""
    return as_images(apply(TABLE["avg_pool"], (input,), (
        tuple(kernel), tuple(stride), tuple(padding), bool(ceil_mode), bool(count_include_pad), divisor)), input, follow=len(kernel) < 3)


def region(name: str, rule: Any, numbers: tuple[float, ...], outputs: list[Tensor], others: list[Tensor],
           attrs: tuple[Any, ...]) -> None:
    """Record ONE node for a whole rule and store its results in place.

    ``rule(F, *numbers, *outputs, *others, *attrs)`` returns the new values of `outputs`; numbers are run-time values
    (never part of a plan's key). Used by the optimizers: one node per step.
    """
    specs: list[Any] = [SCALARS[x.__class__] for x in numbers]
    ins: list[Any] = list(numbers)
    mapped = False  # whether some memory is others' as well
    graph = state.graph
    for t in outputs + others:
        if t._base is not None:
            sync_view(t)
        specs.append(t._spec)
        storage = t._storage
        if storage.home is None:
            cell = storage.cell
        else:
            cell = storage.read()
            mapped = True
        pending = cell.node
        if pending is not None and pending.graph is not graph:
            realize_cell(cell)  # another thread's
        ins.append(cell)
    op = _regions.get((rule, len(specs))) or _region_op(name, rule, len(specs))
    node = record(op, tuple(ins), specs, (attrs, len(numbers), len(outputs)))
    # writing memory that others map runs the node: all its results must be there
    held = [Storage(cell, s.numel, s.dtype) for cell, s in zip(node.outs, node.sig.results)] if mapped else None
    for target, cell in zip(outputs, node.outs):
        storage, s = target._storage, target._spec
        if s.plain and storage.size == s.numel:
            storage.replace(cell)
            target._vc.version += 1
        else:
            _assign(target, new_tensor(Storage(cell, s.numel, s.dtype), spec(s.dtype, s.shape)))
    del held
    realize_when_large(node.graph)


def _region_op(name: str, rule: Any, operands: int) -> Op:
    op = _regions[rule, operands] = Op(name, "coarse", " ".join(f"x{i}" for i in range(operands)), _region_types,
                                       attrs="flags numbers outputs", decompose=lambda F, *a: rule(F, *a[:-3], *a[-3]),
                                       differentiable=False)
    return op


def _region_types(*given: Any) -> Any:
    *specs, _, numbers, outputs = given
    return tuple([(s.dtype, s.shape) for s in specs[numbers:numbers + outputs]])


def _assign(target: Tensor, value: Tensor) -> None:
    """Write a value into a view, without history."""
    before = state.grad
    state.grad = False
    try:
        assign(target, value)
    finally:
        state.grad = before


_regions: dict[tuple[Any, int], Op] = {}
