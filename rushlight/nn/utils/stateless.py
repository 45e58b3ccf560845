"""Calling a module with other tensors in place of its own."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from rushlight.tensor.core import Tensor

__all__ = ["functional_call"]


def _members(module: Any) -> Iterator[tuple[str, Tensor]]:
    """All names of parameters and buffers, also the further names of shared ones."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _tied_names(module: Any) -> list[set[str]]:
    """The sets of names that mean one tensor."""
    names: dict[int, set[str]] = {}
    for name, tensor in _members(module):
        names.setdefault(id(tensor), set()).add(name)
    return [group for group in names.values() if len(group) > 1]


def _with_tied(module: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """``given`` with every tensor under all names that are tied to its own."""
    spread = dict(given)
    for group in _tied_names(module):
        named = group & set(given)
        if len({id(given[name]) for name in named}) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {sorted(group)}, which are tied. "
                "Consider using tie_weights=False"
            )
        if named:
            spread.update(dict.fromkeys(group, given[next(iter(named))]))
    return spread


def _check_keys(module: Any, given: dict[str, Tensor]) -> None:
    names = {name for name, _ in _members(module)}
    unexpected = [name for name in given if name not in names]
    missing = [name for name, _ in _members(module) if name not in given]
    problems = []
    if unexpected:
        problems.append(f"Unexpected key(s): {', '.join(map(repr, unexpected))}.")
    if missing:
        problems.append(f"Missing key(s): {', '.join(map(repr, missing))}.")
    if problems:
        raise RuntimeError(
            "Error(s) in reparametrizing for {}:\n\t{}".format(module._get_name(), "\n\t".join(problems))
        )


_ABSENT = object()


def _swap(module: Any, path: str, tensor: Any) -> Any:
    """Puts a tensor in place of a parameter, buffer or attribute; returns what was there."""
    home, _, name = path.rpartition(".")
    owner = module.get_submodule(home)
    for members in (owner._parameters, owner._buffers, owner.__dict__):
        if name in members:
            old = members[name]
            if tensor is _ABSENT:
                del members[name]
            else:
                members[name] = tensor
            return old
    if tensor is not _ABSENT:
        setattr(owner, name, tensor)
    return _ABSENT


@contextlib.contextmanager
def _reparametrize_module(
    module: Any, parameters_and_buffers: dict[str, Tensor], tie_weights: bool = False, strict: bool = False
) -> Any:
    """Within the ``with``, the module holds the given tensors; what it then assigns to them goes into the dict."""
    given = _with_tied(module, parameters_and_buffers) if tie_weights else dict(parameters_and_buffers)
    if strict:
        _check_keys(module, given)
    originals: dict[str, Any] = {}
    try:
        for path, tensor in given.items():
            originals[path] = _swap(module, path, tensor)
        yield
    finally:
        changed = {path: _swap(module, path, original) for path, original in reversed(originals.items())}
        parameters_and_buffers.update({p: changed[p] for p in parameters_and_buffers if p in changed})


def _functional_call(
    module: Any,
    parameters_and_buffers: dict[str, Tensor],
    args: Any | tuple[Any, ...] | None = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with the given tensors in place of its own, by their dotted names.

    ``tie_weights`` replaces a shared tensor under all its names; ``strict`` wants every name, and no others.
    """
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights, strict):
        return module(*args, **(kwargs or {}))


def functional_call(
    module: Any,
    parameters_and_buffers: dict[str, Tensor],
    args: Any | tuple[Any, ...] | None = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Deprecated place of ``func.functional_call``."""
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a future "
        "version of PyTorch. Please use `torch.func.functional_call` instead which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return _functional_call(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)
