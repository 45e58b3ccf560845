"""Which submodules become units of their own (torch.distributed.fsdp.wrap)."""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rushlight import nn


def always_wrap_policy(*args: Any, **kwargs: Any) -> bool:
    """Every submodule."""
    return True


class _Policy(ABC):
    """A policy of its own class: which modules to wrap, with which options."""

    @abstractmethod
    def _run_policy(
        self, root_module: Any, ignored_modules: set[Any], root_kwargs: dict[str, Any]
    ) -> dict[Any, dict[str, Any]]:
        """The modules to wrap, and the options of each."""


class ModuleWrapPolicy(_Policy):
    """Modules of some classes."""

    def __init__(self, module_classes: Iterable[type]):
        self._module_classes = set(module_classes)

    def _run_policy(
        self, root_module: Any, ignored_modules: set[Any], root_kwargs: dict[str, Any]
    ) -> dict[Any, dict[str, Any]]:
        return {
            m: copy.copy(root_kwargs)
            for m in root_module.modules()
            if m not in ignored_modules and isinstance(m, tuple(self._module_classes))
        }

    def __call__(self, module: Any, recurse: bool, *args: Any, **kwargs: Any) -> bool:
        return _module_wrap_policy(module, recurse, nonwrapped_numel=-1, module_classes=self._module_classes)

    def __repr__(self) -> str:
        return f"<ModuleWrapPolicy>({self._module_classes})"


class CustomPolicy(_Policy):
    """What ``lambda_fn(module)`` says: False, True, or a dictionary of options for that unit."""

    def __init__(self, lambda_fn: Callable[[Any], bool | dict[str, Any]]):
        self._lambda_fn = lambda_fn

    def _run_policy(
        self, root_module: Any, ignored_modules: set[Any], root_kwargs: dict[str, Any]
    ) -> dict[Any, dict[str, Any]]:
        out = {}
        for m in root_module.modules():
            said = self._lambda_fn(m) if m not in ignored_modules else False
            if not isinstance(said, (dict, bool)):
                raise ValueError(
                    "The lambda_fn passed to CustomPolicy should return "
                    f"False/True or a kwarg dict, but it returned {said}"
                )
            if said:
                out[m] = {**root_kwargs, **(said if isinstance(said, dict) else {})}
        return out


def _module_wrap_policy(module: Any, recurse: bool, nonwrapped_numel: int, module_classes: set[type]) -> bool:
    """Modules of these classes."""
    return True if recurse else isinstance(module, tuple(module_classes))


def lambda_auto_wrap_policy(
    module: Any, recurse: bool, nonwrapped_numel: int, lambda_fn: Callable[[Any], bool]
) -> bool:
    """Modules for which lambda_fn says so."""
    return True if recurse else lambda_fn(module)


def transformer_auto_wrap_policy(
    module: Any, recurse: bool, nonwrapped_numel: int, transformer_layer_cls: set[type]
) -> bool:
    """The layers of a transformer: modules of these classes. Use it with functools.partial."""
    return _module_wrap_policy(module, recurse, nonwrapped_numel, transformer_layer_cls)


def _or_policy(module: Any, recurse: bool, nonwrapped_numel: int, policies: Iterable[Callable[..., bool]]) -> bool:
    """Modules that any of the policies wants."""
    return any(policy(module=module, recurse=recurse, nonwrapped_numel=nonwrapped_numel) for policy in policies)


def size_based_auto_wrap_policy(
    module: Any,
    recurse: bool,
    nonwrapped_numel: int,
    min_num_params: int = int(1e8),
    force_leaf_modules: set[type] | None = None,
    exclude_wrap_modules: set[type] | None = None,
) -> bool:
    """Modules with at least ``min_num_params`` numbers that no inner unit has taken; never lists of modules, never
    parts of an attention."""
    defaults: Any = size_based_auto_wrap_policy
    force_leaf = defaults.FORCE_LEAF_MODULES if force_leaf_modules is None else force_leaf_modules
    exclude = defaults.EXCLUDE_WRAP_MODULES if exclude_wrap_modules is None else exclude_wrap_modules
    large = nonwrapped_numel >= min_num_params
    return large and not isinstance(module, tuple(force_leaf if recurse else exclude))


size_based_auto_wrap_policy.EXCLUDE_WRAP_MODULES = {nn.ModuleList, nn.ModuleDict}  # type: ignore[attr-defined]
size_based_auto_wrap_policy.FORCE_LEAF_MODULES = {nn.MultiheadAttention}  # type: ignore[attr-defined]


# --- wrapping by policy -------------------------------------------------------------------------------------------
def wrap_by_policy(
    root: Any,
    policy: Any,
    wrapper: Callable[..., Any],
    ignored_modules: set[Any],
    ignored_params: set[Any],
    options: dict[str, Any],
) -> None:
    """Wrap submodules of root, not root itself, innermost first."""
    if isinstance(policy, _Policy):
        chosen = policy._run_policy(root, ignored_modules, options)
        chosen.pop(root, None)
        for parent in reversed(list(root.modules())):
            for name, child in list(parent.named_children()):
                if child in chosen:
                    setattr(parent, name, wrapper(child, **chosen[child]))
        return
    _recursive_wrap(root, policy, wrapper, ignored_modules, ignored_params, only_wrap_children=True, **options)


def _recursive_wrap(
    module: Any,
    auto_wrap_policy: Callable[..., bool],
    wrapper_cls: Callable[..., Any],
    ignored_modules: set[Any],
    ignored_params: set[Any],
    only_wrap_children: bool = False,
    **kwargs: Any,
) -> tuple[Any, int]:
    """(the module, wrapped where the policy says so; how many numbers are in units now)."""
    numel = sum(p.numel() for p in module.parameters() if p not in ignored_params)
    if not auto_wrap_policy(module=module, recurse=True, nonwrapped_numel=numel):
        return module, 0
    taken = 0
    for name, child in list(module.named_children()):
        if child in ignored_modules:
            continue
        wrapped, n = _recursive_wrap(child, auto_wrap_policy, wrapper_cls, ignored_modules, ignored_params, **kwargs)
        if wrapped is not child:
            setattr(module, name, wrapped)
        taken += n
    if not only_wrap_children and auto_wrap_policy(module=module, recurse=False, nonwrapped_numel=numel - taken):
        return wrapper_cls(module, **kwargs), numel
    return module, taken


# --- wrapping by hand ---------------------------------------------------------------------------------------------
class _ConfigAutoWrap:
    """What `enable_wrap` says in its block."""

    in_autowrap_context = False
    wrapper_cls: Any = None
    kwargs: dict[str, Any] = {}


@contextlib.contextmanager
def enable_wrap(*, wrapper_cls: Any, **wrapper_kwargs: Any) -> Iterator[None]:
    """In the block, `wrap(module)` wraps with this class and these options."""
    if _ConfigAutoWrap.in_autowrap_context:
        raise NotImplementedError(
            "You are already within an autowrap context and we currently do not supported nested autowrap."
        )
    _ConfigAutoWrap.in_autowrap_context, _ConfigAutoWrap.wrapper_cls, _ConfigAutoWrap.kwargs = (
        True,
        wrapper_cls,
        wrapper_kwargs,
    )
    try:
        yield
    finally:
        _ConfigAutoWrap.in_autowrap_context, _ConfigAutoWrap.wrapper_cls, _ConfigAutoWrap.kwargs = False, None, {}


def wrap(module: Any, **wrap_overrides: Any) -> Any:
    """The module in the wrapper of the surrounding `enable_wrap`; the module itself outside of one."""
    if not _ConfigAutoWrap.in_autowrap_context:
        return module
    return _ConfigAutoWrap.wrapper_cls(module, **{**_ConfigAutoWrap.kwargs, **wrap_overrides})
