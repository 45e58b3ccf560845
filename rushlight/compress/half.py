"""Weights in half precision, for shipping: half the bytes,
and computing in float32 after loading where that is faster."""

from __future__ import annotations

import copy
from typing import Any

from rushlight import nn
from rushlight.ir.dtype import HALF, DType, bfloat16

KEPT = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def half_copy(model: Any, dtype: DType = bfloat16, *, keep_norms: bool = True) -> Any:
    """A copy with floating-point parameters and buffers in bfloat16 or float16;
    batch norms stay in float32 unless told otherwise.

    bfloat16 has the range of float32 and 8 bits of precision, float16 11 bits up to 65504. To ship weights, save the
    copy's state_dict and load it into the float32 model: `load_state_dict` converts. ValueError for other dtypes.

    >>> import rushlight as rl
    >>> small = half_copy(rl.nn.Linear(2, 2))
    >>> small.weight.dtype
    torch.bfloat16
    >>> _ = rl.nn.Linear(2, 2).load_state_dict(small.state_dict())
    """
    if dtype not in HALF:
        raise ValueError(f"half precision is torch.bfloat16 or torch.float16, got {dtype}")
    made = copy.deepcopy(model)
    for m in made.modules():
        if keep_norms and isinstance(m, KEPT):
            continue
        for name, p in m._parameters.items():
            if p is not None and p.is_floating_point():
                m._parameters[name] = nn.Parameter(p.detach().to(dtype), p.requires_grad)
        for name, b in m._buffers.items():
            if b is not None and b.is_floating_point():
                m._buffers[name] = b.to(dtype)
    return made
