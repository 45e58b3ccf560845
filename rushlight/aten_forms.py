"""Operators of aten whose arguments are not those of the public function of
that name, or that have no public function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rushlight as rl
from rushlight.nn import functional as F
from rushlight.tensor.core import Tensor

REDUCTIONS = ("none", "mean", "sum")


def _slice(x: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]


def _index(x: Tensor, indices: Any) -> Any:
    return x[tuple(slice(None) if i is None else i for i in indices)]


def _to_copy(x: Tensor, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None,
             non_blocking: bool = False, memory_format: Any = None) -> Any:
    return x.to(dtype=dtype or x.dtype, device=device or x.device, copy=True)


def _native_dropout(x: Tensor, p: float, train: bool | None) -> Any:
    if not train:
        return x.clone(), rl.ones_like(x, dtype=rl.bool)
    keep = rl.rand_like(x) >= p
    return x * keep / (1 - p), keep


def _threshold_backward(grad_output: Tensor, x: Tensor, threshold: float) -> Any:
    return rl.where(x <= threshold, 0, grad_output)


def _copy(x: Tensor, src: Tensor, non_blocking: bool = False) -> Any:
    return src.to(x.dtype).expand(x.shape).clone()


def _elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    return rl.where(x > 0, x * scale, rl.expm1(x * input_scale) * (alpha * scale))


def _max_pool(dims: int) -> Callable[..., Any]:
    def pool(x: Tensor, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
             ceil_mode: bool = False) -> Any:
        return getattr(F, f"max_pool{dims}d")(x, kernel_size, stride or None, padding, dilation, ceil_mode,
                                              return_indices=True)
    return pool


def _loss(name: str) -> Callable[..., Any]:
    """A loss with the number of its reduction."""
    def loss(x: Tensor, target: Tensor, *args: Any, **kwargs: Any) -> Any:
        if "reduction" in kwargs:
            kwargs["reduction"] = REDUCTIONS[kwargs["reduction"]]
        elif args and name in ("mse_loss", "l1_loss", "soft_margin_loss", "smooth_l1_loss", "huber_loss"):
            kwargs["reduction"], args = REDUCTIONS[args[0]], args[1:]
            kwargs.update(zip(("beta" if name == "smooth_l1_loss" else "delta",), args))
            args = ()
        elif name == "binary_cross_entropy":
            kwargs["weight"] = args[0] if args else None
            kwargs["reduction"] = REDUCTIONS[args[1] if len(args) > 1 else 1]
            args = ()
        return getattr(F, name)(x, target, *args, **kwargs)
    return loss


def _nll_loss(name: str) -> Callable[..., Any]:
    def loss(x: Tensor, target: Tensor, weight: Any = None, reduction: int = 1, ignore_index: int = -100,
             label_smoothing: float | None = None) -> Any:
        more = {} if label_smoothing is None else {"label_smoothing": label_smoothing}
        return getattr(F, name)(x, target, weight=weight, reduction=REDUCTIONS[reduction],
                                ignore_index=ignore_index, **more)
    return loss


def _scaled(name: str) -> Callable[..., Any]:
    def form(x: Any, other: Any, alpha: Any = 1) -> Any:
        return getattr(rl, name)(x, other, alpha=alpha)
    return form


def _upsample(mode: str, corners: bool) -> Callable[..., Any]:
    """Images of another size; ``scales`` (one each, or all in a list) count where no size is given."""
    def form(x: Tensor, size: Any, *rest: Any) -> Any:
        align = {"align_corners": rest[0]} if corners else {}
        scales = [s for s in rest[corners:] if s is not None]
        if size is not None:
            return F.interpolate(x, tuple(size), mode=mode, **align)
        return (F.interpolate(x, scale_factor=tuple(scales[0] if isinstance(scales[0], (list, tuple)) else scales),
                              mode=mode, **align))
    return form


def _chosen(form: str) -> Callable[..., Any]:
    def method(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return getattr(x, form)(*args, **kwargs)
    return method


FORMS: dict[str, Callable[..., Any]] = {
    **{name: _scaled(name) for name in ("add", "sub", "rsub")},
    **{f"upsample_nearest{d}d": _upsample("nearest", False) for d in (1, 2, 3)},
    "upsample_linear1d": _upsample("linear", True),
    "upsample_bilinear2d": _upsample("bilinear", True), "upsample_bicubic2d": _upsample("bicubic", True),
    "upsample_trilinear3d": _upsample("trilinear", True),
    "_softmax": lambda x, dim, half_to_float: F.softmax(x, dim),
    "_log_softmax": lambda x, dim, half_to_float: F.log_softmax(x, dim),
    "slice": _slice, "index": _index, "_to_copy": _to_copy, "native_dropout": _native_dropout,
    "threshold_backward": _threshold_backward, "copy": _copy, "elu": _elu,
    "_unsafe_view": _chosen("reshape"), "lift_fresh": lambda x: x, "lift_fresh_copy": _chosen("clone"),
    "alias": lambda x: x[...],
    "_adaptive_avg_pool2d": lambda x, size: F.adaptive_avg_pool2d(x, size),
    "_adaptive_avg_pool3d": lambda x, size: F.adaptive_avg_pool3d(x, size),
    "max_pool2d_with_indices": _max_pool(2), "max_pool3d_with_indices": _max_pool(3),
    **{name: _loss(name) for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss",
                                      "binary_cross_entropy")},
    "nll_loss": _nll_loss("nll_loss"), "nll_loss2d": _nll_loss("nll_loss"), "nll_loss_nd": _nll_loss("nll_loss"),
    "cross_entropy_loss": _nll_loss("cross_entropy"),
    **{name: _chosen(name) for name in ("view", "expand", "permute", "repeat", "reshape", "to", "new_zeros", "new_ones",
                                        "new_empty", "new_full", "copy_", "fill_", "zero_")},
}
