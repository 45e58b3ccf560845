"""Optimizer state of sharded modules: gathered under parameters' names, and cut to pieces again."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from rushlight.distributed.collectives import _array
from rushlight.distributed.fsdp.api import OptimStateKeyType, StateDictType
from rushlight.tensor.core import Tensor, wrap


def _units(model: Any) -> list[Any]:
    from rushlight.distributed.fsdp.fully_sharded_data_parallel import FullyShardedDataParallel

    return FullyShardedDataParallel.fsdp_modules(model)


def _leaf_names(model: Any) -> dict[int, list[tuple[str, Any, Any]]]:
    """id of each leaf -> (whole name, wrapper, slot) of the parameters in it;
    wrapper and slot None for unsharded parameters."""
    from rushlight.distributed.fsdp.construct import clean
    from rushlight.distributed.fsdp.fully_sharded_data_parallel import INNER

    out: dict[int, list[tuple[str, Any, Any]]] = {}
    prefixes = {id(m): name for name, m in model.named_modules()}
    for wrapper in _units(model):
        unit = wrapper._unit
        if unit is None:
            continue
        prefix = clean(prefixes[id(wrapper)] + "." if prefixes[id(wrapper)] else "")
        for j, slot in enumerate(unit.slots):
            leaf = unit.leaves[0 if unit.flat else j]
            out.setdefault(id(leaf), []).append((prefix + slot.path, wrapper, slot))
    for name, p in model.named_parameters():
        if id(p) not in out:
            out[id(p)] = [(clean(name.replace(f"{INNER}.", "")), None, None)]
    return out


def _whole_state(
    state: dict[Any, Any],
    leaf: Any,
    entries: list[tuple[str, Any, Any]],
    found: dict[str, dict[str, Any]],
    kind: StateDictType,
) -> None:
    """The state of a leaf, or an empty one, by the names of the parameters in it.
    Ranks with an empty piece take part."""
    from rushlight.distributed.fsdp import state_dicts

    for name, wrapper, slot in entries:
        if wrapper is None:
            found[name] = dict(state)
            continue
        unit = wrapper._unit
        for key, value in state.items():
            if not isinstance(value, Tensor) or value.numel() != leaf.numel() or not value.ndim:
                found.setdefault(name, {})[key] = value
    sharded = [(k, v) for k, v in state.items() if isinstance(v, Tensor) and v.ndim and v.numel() == leaf.numel()]
    for key, value in sharded if entries[0][1] is not None else ():
        unit = entries[0][1]._unit
        if unit.flat:
            arrays = unit._joined(unit.pieces_of([value]))
        else:
            j = next(i for i, leaf_ in enumerate(unit.leaves) if leaf_ is leaf)
            arrays = [None] * len(unit.slots)
            arrays[j] = _join_one(unit, j, _array(value).reshape(-1))
        for name, wrapper, slot in entries:
            whole = wrap(np.array(arrays[next(i for i, s in enumerate(unit.slots) if s is slot)]))
            found.setdefault(name, {})[key] = (
                whole if kind is StateDictType.FULL_STATE_DICT else state_dicts.as_dtensor(wrapper, whole)
            )


def _join_one(unit: Any, j: int, piece: Any) -> Any:
    from rushlight.distributed import exchange

    return unit.layout.whole(
        unit.slots[j], exchange.gather_arrays(piece, unit.shard_group) if unit.size > 1 else [piece]
    )


def optim_state_dict(
    model: Any, optim: Any, optim_state_dict: dict[str, Any] | None = None, group: Any = None
) -> dict[str, Any]:
    """The optimizer's state by parameter names: whole tensors,
    or DTensors for SHARDED_STATE_DICT. All ranks must call it.

    {"state": {name: {…}}, "param_groups": [{"params": [names], …}]}; the state_dict_type's optim_state_dict_config
    says who gets it.
    """
    from rushlight.distributed import get_rank
    from rushlight.distributed.fsdp.fully_sharded_data_parallel import FullyShardedDataParallel

    settings = FullyShardedDataParallel.get_state_dict_type(model)
    kind = settings.state_dict_type
    if kind is StateDictType.LOCAL_STATE_DICT:
        raise NotImplementedError(
            "optim_state_dict for LOCAL_STATE_DICT is not there: this rank's own state is optimizer.state_dict()"
        )
    given = optim.state_dict() if optim_state_dict is None else optim_state_dict
    named = _leaf_names(model)
    out: dict[str, Any] = {"state": {}, "param_groups": []}
    numbers = iter(i for g in given["param_groups"] for i in g["params"])
    for group_, saved in zip(optim.param_groups, given["param_groups"]):
        entries = []
        for p in group_["params"]:
            number = next(numbers)
            if id(p) not in named:
                raise RuntimeError(
                    "the optimizer has a parameter that the model does not have: make the optimizer after "
                    "FullyShardedDataParallel"
                )
            entries += [n for n, _, _ in named[id(p)]]
            _whole_state(
                _agreed(given["state"].get(number, {}), p, named[id(p)][0][1]), p, named[id(p)], out["state"], kind
            )
        out["param_groups"].append({**{k: v for k, v in saved.items() if k != "params"}, "params": entries})
    if getattr(settings.optim_state_dict_config, "rank0_only", False) and get_rank() != 0:
        return {}
    return out


def _agreed(state: dict[Any, Any], p: Any, wrapper: Any) -> dict[Any, Any]:
    """Every rank's keys of a state in one order: a rank whose piece is empty may have none."""
    from rushlight.distributed import all_gather_object

    if wrapper is None or wrapper._unit.size == 1 or wrapper._unit.flat:
        return state
    import rushlight as rl

    said: list[Any] = [None] * wrapper._unit.size
    about = {
        k: ("piece", v.dtype.name) if isinstance(v, Tensor) and v.ndim and v.numel() == p.numel() else ("same", v)
        for k, v in state.items()
    }
    all_gather_object(said, about if p.numel() else {}, group=wrapper._unit.shard_group)
    model: dict[Any, Any] = next((s for s in said if s), {})
    return {
        k: state[k] if p.numel() and k in state else rl.zeros(p.shape, dtype=getattr(rl, v)) if kind == "piece" else v
        for k, (kind, v) in model.items()
    }


def optim_state_dict_to_load(
    model: Any,
    optim: Any,
    optim_state_dict: dict[str, Any],
    is_named_optimizer: bool = False,
    load_directly: bool = False,
    group: Any = None,
) -> dict[str, Any]:
    """A state by names as optimizer.load_state_dict takes it on this rank: pieces,
    by number. ``load_directly`` loads it, too."""
    named = _leaf_names(model)
    out: dict[str, Any] = {"state": {}, "param_groups": []}
    number = 0
    saved_groups = optim_state_dict["param_groups"]
    for k, group_ in enumerate(optim.param_groups):
        mine = [n for p in group_["params"] for n, _, _ in named[id(p)]]
        saved = next(
            (g for g in saved_groups if set(g["params"]) & set(mine)), saved_groups[k] if k < len(saved_groups) else {}
        )
        out["param_groups"].append(
            {
                **{a: b for a, b in saved.items() if a != "params"},
                "params": list(range(number, number + len(group_["params"]))),
            }
        )
        for p in group_["params"]:
            state = _piece_state(p, named[id(p)], optim_state_dict["state"])
            if state:
                out["state"][number] = state
            number += 1
    if load_directly:
        optim.load_state_dict(out)
    return out


def _piece_state(p: Any, entries: list[tuple[str, Any, Any]], saved: dict[str, Any]) -> dict[str, Any]:
    """The state of a leaf from those of the parameters in it."""
    first = next((saved[n] for n, _, _ in entries if n in saved), None)
    if first is None:
        return {}
    if entries[0][1] is None:
        return dict(first)
    unit, out = entries[0][1]._unit, {}
    for key, value in first.items():
        slot = entries[0][2]
        if not isinstance(value, Tensor) or not value.ndim or tuple(value.shape) != slot.shape:
            out[key] = value
            continue
        pieces = []
        for name, _, s in entries:
            v = saved[name][key]
            v = v.full_tensor() if hasattr(v, "full_tensor") else v
            pieces.append(unit.layout.piece(s, _array(v), unit.rank))
        out[key] = wrap(np.array(np.concatenate(pieces))).reshape(tuple(p.shape))
    return out


# --- the older names ----------------------------------------------------------------------------------------------
def _typed(
    model: Any, kind: StateDictType, rank0_only: bool, call: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    from rushlight.distributed.fsdp.api import CONFIGS, FullOptimStateDictConfig
    from rushlight.distributed.fsdp.fully_sharded_data_parallel import FullyShardedDataParallel

    config = (
        FullOptimStateDictConfig(rank0_only=rank0_only) if kind is StateDictType.FULL_STATE_DICT else CONFIGS[kind][1]()
    )
    with FullyShardedDataParallel.state_dict_type(model, kind, None, config):
        return call()


def _old(name: str, new: str) -> None:
    warnings.warn(
        f"``FullyShardedDataParallel.{name}``is being deprecated and is replaced by "
        f"``FullyShardedDataParallel.{new}``.",
        FutureWarning,
        stacklevel=3,
    )


def full_optim_state_dict(
    model: Any, optim: Any, optim_input: Any = None, rank0_only: bool = True, group: Any = None
) -> dict[str, Any]:
    """`optim_state_dict` with whole tensors, on rank 0 only unless told otherwise."""
    _old("full_optim_state_dict", "optim_state_dict")
    return _typed(model, StateDictType.FULL_STATE_DICT, rank0_only, lambda: optim_state_dict(model, optim))


def sharded_optim_state_dict(model: Any, optim: Any, group: Any = None) -> dict[str, Any]:
    """`optim_state_dict` with DTensors."""
    _old("sharded_optim_state_dict", "optim_state_dict")
    return _typed(model, StateDictType.SHARDED_STATE_DICT, False, lambda: optim_state_dict(model, optim))


def shard_full_optim_state_dict(
    full_optim_state_dict: dict[str, Any], model: Any, optim_input: Any = None, optim: Any = None
) -> dict[str, Any]:
    """`optim_state_dict_to_load` of whole tensors that every rank has."""
    _old("shard_full_optim_state_dict", "optim_state_dict_to_load")
    return optim_state_dict_to_load(model, _needed(optim), full_optim_state_dict)


def flatten_sharded_optim_state_dict(
    sharded_optim_state_dict: dict[str, Any], model: Any, optim: Any
) -> dict[str, Any]:
    """`optim_state_dict_to_load` of DTensors."""
    _old("flatten_sharded_optim_state_dict", "optim_state_dict_to_load")
    return optim_state_dict_to_load(model, optim, sharded_optim_state_dict)


def scatter_full_optim_state_dict(
    full_optim_state_dict: dict[str, Any] | None,
    model: Any,
    optim_input: Any = None,
    optim: Any = None,
    group: Any = None,
) -> dict[str, Any]:
    """`optim_state_dict_to_load` of whole tensors that rank 0 alone has."""
    from rushlight.distributed import broadcast_object_list, get_rank

    _old("scatter_full_optim_state_dict", "optim_state_dict_to_load")
    box = [full_optim_state_dict if get_rank() == 0 else None]
    broadcast_object_list(box, 0, group=group)
    return optim_state_dict_to_load(model, _needed(optim), box[0])  # type: ignore[arg-type]


def _needed(optim: Any) -> Any:
    if optim is None:
        raise ValueError("give the optimizer: its state is laid out by its own parameter groups")
    return optim


def rekey_optim_state_dict(
    optim_state_dict: dict[str, Any],
    optim_state_key_type: OptimStateKeyType,
    model: Any,
    optim_input: Any = None,
    optim: Any = None,
) -> dict[str, Any]:
    """A whole state by names with numbers instead, or the other way round:
    for unsharded models of the same parameters."""
    names = [n for n, _ in model.named_parameters()]
    change: dict[Any, Any] = (
        dict(enumerate(names))
        if optim_state_key_type is OptimStateKeyType.PARAM_NAME
        else {n: i for i, n in enumerate(names)}
    )
    return {
        "state": {change[k]: v for k, v in optim_state_dict["state"].items()},
        "param_groups": [
            {**g, "params": sorted(change[k] for k in g["params"])} for g in optim_state_dict["param_groups"]
        ],
    }
