"""Connectionist temporal classification by operations that have gradients themselves, for gradients of gradients."""

from __future__ import annotations

from rushlight.ops.table import TABLE
from rushlight.tensor.core import Tensor, apply
from rushlight.tensor.functions.joining import cat, stack
from rushlight.tensor.functions.pointwise import where
from rushlight.tensor.state import state

LOW = -1e30  # log of zero that gives no NaN in gradients


def ctc_vjp(g: Tensor, emit: Tensor, jump: Tensor, lengths: Tensor, sizes: Tensor) -> Tensor:
    """g times the probability of being at each place at each time."""
    if not (state.grad and (emit._rg or g._rg)):
        return apply(TABLE["ctc_grad"], (g, emit, jump, lengths, sizes))
    from rushlight.autograd.api import grad
    found, = grad(ctc_total(emit, jump, lengths, sizes), emit, g, create_graph=True)  # type: ignore[misc]
    return found


def ctc_total(emit: Tensor, jump: Tensor, lengths: Tensor, sizes: Tensor) -> Tensor:
    """What the row `ctc` gives, one operation after the other."""
    times, n, width = emit._spec.shape
    place = apply(TABLE["arange"], (0, 1), (width, lengths._spec.dtype))
    alpha = where((place < 2) & ((place == 0) | (sizes > 0).unsqueeze(1)), emit[0], LOW)
    low = emit.new_full((n, 1), LOW)
    rows = [alpha]
    for t in range(1, times):
        one = cat([low, alpha[:, :-1]], 1)
        two = where(jump, cat([low, low, alpha[:, :-2]], 1)[:, :width], LOW)
        alpha = (stack([alpha, one, two]).logsumexp(0) + emit[t]).clamp(min=LOW)
        rows.append(alpha)
    last = (lengths - 1).clamp(min=0)
    final = stack(rows).gather(0, last[None, :, None].expand(1, n, width)).squeeze(0)
    ends = (place == 2 * sizes.unsqueeze(1)) | (place == 2 * sizes.unsqueeze(1) - 1)
    return where(ends, final, LOW).logsumexp(1)
