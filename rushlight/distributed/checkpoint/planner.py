"""Planners choose what is saved and loaded. The default ones are accepted; planners of a program's own are not."""

from __future__ import annotations

from typing import Any


class SavePlanner:
    """What a program would subclass."""


class LoadPlanner:
    """What a program would subclass."""


class DefaultSavePlanner(SavePlanner):
    """What `save` does; the switches change how PyTorch plans, not what is written."""

    def __init__(
        self,
        flatten_state_dict: bool = True,
        flatten_sharded_tensors: bool = True,
        dedup_replicated_tensors: bool | None = None,
        dedup_save_to_lowest_rank: bool = False,
        enable_plan_caching: bool = False,
    ):
        self.flatten_state_dict, self.flatten_sharded_tensors = flatten_state_dict, flatten_sharded_tensors


class DefaultLoadPlanner(LoadPlanner):
    """What `load` does; with ``allow_partial_load`` keys that the checkpoint lacks are left as they are."""

    def __init__(
        self, flatten_state_dict: bool = True, flatten_sharded_tensors: bool = True, allow_partial_load: bool = False
    ):
        self.flatten_state_dict, self.flatten_sharded_tensors, self.allow_partial_load = (
            flatten_state_dict,
            flatten_sharded_tensors,
            allow_partial_load,
        )


class _EmptyStateDictLoadPlanner(DefaultLoadPlanner):
    """Everything in the checkpoint (or the entries of ``keys``) into a
    dictionary that is empty; DTensors come back whole."""

    def __init__(self, keys: set[str] | None = None, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.keys = keys

    def wants(self, key: str) -> bool:
        """Whether an entry is loaded."""
        return self.keys is None or key in self.keys


def check(planner: Any, function: str, why: str) -> None:
    """NotImplementedError for a planner of a program's own."""
    if planner is not None and type(planner) not in (
        DefaultSavePlanner,
        DefaultLoadPlanner,
        _EmptyStateDictLoadPlanner,
    ):
        raise NotImplementedError(f"torch.distributed.checkpoint.{function}(planner=…): {why}")
