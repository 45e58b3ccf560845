"""Forward mode (torch.autograd.forward_ad): tensors that carry a tangent.

A dual tensor is recorded like one that requires gradients; the tangent of a result is J t, found from two backward
passes as in `rushlight.func.forward`. One level at a time, as in PyTorch.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` returns: the tensor without its tangent, and the tangent or None."""

    primal: Any
    tangent: Any


class _Level:
    """The running level: its dual tensors with their tangents."""

    def __init__(self) -> None:
        from rushlight.func.levels import Scope
        self.scope = Scope()
        self.scope.__enter__()
        self.inputs: list[Any] = []
        self.tangents: list[Any] = []


_levels: list[_Level] = []


def enter_dual_level() -> int:
    """Start a level; RuntimeError inside another."""
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _levels.append(_Level())
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level: its dual tensors lose their tangents."""
    if not _levels or (level is not None and level != 0):
        raise RuntimeError("Trying to exit a forward AD level that was not the last one "
                           "that was created. This is not supported.")
    _levels.pop().scope.__exit__()


class dual_level:
    """A level for a block.

    >>> import rushlight as rl
    >>> with dual_level():
    ...     unpack_dual(make_dual(rl.tensor(2.), rl.tensor(1.)) ** 3).tangent
    tensor(12.)
    """

    def __enter__(self) -> int:
        self.level = enter_dual_level()
        return self.level

    def __exit__(self, *_: Any) -> None:
        exit_dual_level(level=self.level)


def _current(level: int | None, name: str) -> _Level:
    if not _levels or (level is not None and level != 0):
        raise RuntimeError(f"Trying to {name} a dual Tensor but no level is currently active. "
                           "You should use dual_level() to create a level.")
    return _levels[-1]


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """A tensor of the same values that carries the tangent (same shape and dtype) within the current level."""
    current = _current(level, "create")
    if tensor._spec.dtype.kind not in "fc" or tangent._spec.dtype.kind not in "fc":
        bad, what = (tensor, "tensor") if tensor._spec.dtype.kind not in "fc" else (tangent, "tangent")
        raise ValueError(f"Expected {what} to be floating point or complex, but got: {bad._spec.dtype}")
    if tensor._spec.shape != tangent._spec.shape:
        raise RuntimeError("Trying to set a forward gradient that has a different size than that of the original "
                           f"Tensor, this is not supported. Tensor is of size {list(tensor._spec.shape)} "
                           f"while the given forward gradient is of size {list(tangent._spec.shape)}.")
    dual = current.scope.own_input(tensor)
    current.inputs.append(dual)
    current.tangents.append(tangent)
    return dual


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor without its tangent, and the tangent: None where it depends on no
    dual tensor, or where no level is running."""
    if not _levels:
        return UnpackedDualTensor(tensor, None)
    current = _current(level, "unpack")
    scope = current.scope
    if tensor._spec.dtype.kind not in "fc" or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    for dual, tangent in zip(current.inputs, current.tangents):
        if dual is tensor:
            return UnpackedDualTensor(scope.finished(tensor), tangent)
    from rushlight.func.forward import Linear
    create = scope.needed_outside(tensor, *current.tangents)
    found = Linear([tensor], current.inputs)(current.tangents, create)[0] if current.inputs else None
    if found is not None and not create:
        found = found.detach()
    return UnpackedDualTensor(scope.finished(tensor), found)


__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual"]
