"""What the parts of Module read of each other: named for type checkers, nothing at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Callable, Iterator

    from ..parameter import Parameter

    Hooks = OrderedDict[int, Callable[..., Any]]
    Flags = OrderedDict[int, bool]

    class Fields:
        _version: int
        _parameters: dict[str, Any]
        _buffers: dict[str, Any]
        _modules: dict[str, Any]
        _non_persistent_buffers_set: set[str]
        _is_full_backward_hook: bool | None
        _backward_hooks: Hooks
        _backward_pre_hooks: Hooks
        _forward_hooks: Hooks
        _forward_hooks_with_kwargs: Flags
        _forward_hooks_always_called: Flags
        _forward_pre_hooks: Hooks
        _forward_pre_hooks_with_kwargs: Flags
        _state_dict_hooks: Hooks
        _state_dict_pre_hooks: Hooks
        _load_state_dict_pre_hooks: Hooks
        _load_state_dict_post_hooks: Hooks

        def _get_name(self) -> str: ...
        def children(self) -> Iterator[Any]: ...
        def parameters(self, recurse: bool = True) -> Iterator[Parameter]: ...
else:
    Fields = object
