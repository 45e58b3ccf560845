"""In which form FullyShardedDataParallel's states are saved and loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rushlight.distributed.fsdp import optim_state
from rushlight.distributed.fsdp.api import (
    CONFIGS,
    FullOptimStateDictConfig,
    FullStateDictConfig,
    OptimStateDictConfig,
    StateDictConfig,
    StateDictSettings,
    StateDictType,
)
from rushlight.distributed.fsdp.wrapper import Wrapper


class Saving:
    """The methods of FullyShardedDataParallel that concern states."""

    @staticmethod
    def set_state_dict_type(
        module: Any,
        state_dict_type: StateDictType,
        state_dict_config: StateDictConfig | None = None,
        optim_state_dict_config: OptimStateDictConfig | None = None,
    ) -> StateDictSettings:
        """What state_dict and load_state_dict of all units in a module speak; the settings from before. RuntimeError
        for a config of another type."""
        first, second = CONFIGS[state_dict_type]
        config, optim_config = state_dict_config or first(), optim_state_dict_config or second()
        for c, kind in ((config, first), (optim_config, second)):
            if type(c) is not kind:
                raise RuntimeError(f"Expected state_dict_config of type {kind} but got {type(c)}")
        before = Saving.get_state_dict_type(module)
        for m in Wrapper.fsdp_modules(module):
            m._state_dict_type, m._state_dict_config, m._optim_state_dict_config = state_dict_type, config, optim_config
        return before

    @staticmethod
    def get_state_dict_type(module: Any) -> StateDictSettings:
        """The settings of a module's units."""
        for m in Wrapper.fsdp_modules(module):
            return StateDictSettings(m._state_dict_type, m._state_dict_config, m._optim_state_dict_config)
        return StateDictSettings(StateDictType.FULL_STATE_DICT, FullStateDictConfig(), FullOptimStateDictConfig())

    @staticmethod
    @contextlib.contextmanager
    def state_dict_type(
        module: Any,
        state_dict_type: StateDictType,
        state_dict_config: StateDictConfig | None = None,
        optim_state_dict_config: OptimStateDictConfig | None = None,
    ) -> Iterator[None]:
        """`set_state_dict_type` for a block."""
        before = Saving.set_state_dict_type(
            module, state_dict_type, state_dict_config, optim_state_dict_config
        )
        try:
            yield
        finally:
            Saving.set_state_dict_type(
                module, before.state_dict_type, before.state_dict_config, before.optim_state_dict_config
            )

    optim_state_dict = staticmethod(optim_state.optim_state_dict)
    optim_state_dict_to_load = staticmethod(optim_state.optim_state_dict_to_load)
    full_optim_state_dict = staticmethod(optim_state.full_optim_state_dict)
    sharded_optim_state_dict = staticmethod(optim_state.sharded_optim_state_dict)
    shard_full_optim_state_dict = staticmethod(optim_state.shard_full_optim_state_dict)
    flatten_sharded_optim_state_dict = staticmethod(optim_state.flatten_sharded_optim_state_dict)
    scatter_full_optim_state_dict = staticmethod(optim_state.scatter_full_optim_state_dict)
    rekey_optim_state_dict = staticmethod(optim_state.rekey_optim_state_dict)
