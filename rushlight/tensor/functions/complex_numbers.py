"""Complex numbers and their parts."""

from __future__ import annotations

from rushlight.ops.table import TABLE
from rushlight.tensor.autocast import full
from rushlight.tensor.core import Tensor, apply
from rushlight.tensor.functions.common import give, is_float, lying, lying_as, need_tensor, to_float
from rushlight.tensor.functions.pointwise import cos, sin


def real(input: Tensor) -> Tensor:
    """The real part of complex numbers; a real tensor itself."""
    return _half(input, 0, "real") if input._spec.dtype.is_complex else input


def imag(input: Tensor) -> Tensor:
    """The imaginary part. RuntimeError for real tensors."""
    if not input._spec.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _half(input, 1, "imag")


def _half(x: Tensor, which: int, row: str) -> Tensor:
    """The real (0) or imaginary (1) parts as a view of complex memory; of samples inside vmap as a copy."""
    if x._storage.batched:
        return apply(TABLE[row], (x,))
    from rushlight.tensor.functions.shape import view_as_real
    from rushlight.tensor.functions.splitting import select
    return select(view_as_real(x), -1, which)


def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor itself."""
    return apply(TABLE["conj"], (input,)) if input._spec.dtype.is_complex else input


def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The complex conjugate, as a new tensor."""
    return give(out, apply(TABLE["conj"], (input,)) if input._spec.dtype.is_complex else input.clone())


def angle(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The argument of complex numbers; π for negative real ones."""
    return give(out, apply(TABLE["angle"], (to_float(input),)))


def complex(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """real + i imag. RuntimeError where the two dtypes differ or are not floating."""
    need_tensor("complex", 1, "real", real)
    need_tensor("complex", 2, "imag", imag)
    if real.dtype is not imag.dtype:
        raise RuntimeError(f"Expected object of scalar type {real.dtype} but got scalar "
                           f"type {imag.dtype} for second argument")
    if not real._spec.dtype.is_floating_point:
        raise RuntimeError("Expected both inputs to be Half, Float or Double tensors but got "
                           f"{real.dtype} and {imag.dtype}")
    return give(out, apply(TABLE["complex"], (real, imag)))


@full
def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Complex numbers of given modulus and argument."""
    need_tensor("polar", 1, "abs", abs)
    need_tensor("polar", 2, "angle", angle)
    return give(out, lying(complex(abs * cos(angle), abs * sin(angle)), abs, angle))


def isreal(input: Tensor) -> Tensor:
    """Where the imaginary part is zero."""
    if input._spec.dtype.is_complex:
        return imag(input) == 0
    return lying_as(input == input if not is_float(input) else (input == input) | True, input._spec)


__all__ = ["real", "imag", "conj", "conj_physical", "angle", "complex", "polar", "isreal"]
