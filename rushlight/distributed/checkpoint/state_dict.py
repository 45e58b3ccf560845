"""State of models and optimizers by parameter names, whatever wraps the model
(torch.distributed.checkpoint.state_dict)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

WRAPPERS = ("module.", "_checkpoint_wrapped_module.", "_orig_mod.", "_fsdp_wrapped_module.")


@dataclasses.dataclass
class StateDictOptions:
    """``cpu_offload`` copies to the CPU, ``ignore_frozen_params`` leaves out parameters without gradients, ``strict``
    wants every key, ``full_state_dict`` gathers the DTensors of sharded models (with ``cpu_offload`` on rank 0 only),
    ``broadcast_from_rank0`` loads what rank 0 has on all ranks."""

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False


def _clean(name: str, model: Any) -> str:
    """A parameter's name without the wrappers around modules."""
    from rushlight.distributed.data_parallel import DistributedDataParallel
    if isinstance(model, DistributedDataParallel):
        name = name.removeprefix("module.")
    for w in WRAPPERS[1:]:
        name = name.replace(w, "")
    return name


def _no_submodules(submodules: Any) -> None:
    if submodules is not None:
        raise NotImplementedError("submodules=… was removed from PyTorch's own documentation; "
                                  "give the submodule as the model")


def _wrapped(model: Any) -> bool:
    """Whether FullyShardedDataParallel has wrapped parts of the model."""
    return any(type(m).__name__ == "FullyShardedDataParallel" and hasattr(m, "_unit") for m in model.modules())


@contextlib.contextmanager
def _typed(model: Any, whole: bool) -> Iterator[None]:
    """The state_dict type of a wrapped model."""
    if not _wrapped(model):
        yield
        return
    from rushlight.distributed.fsdp import FullyShardedDataParallel, StateDictType
    with FullyShardedDataParallel.state_dict_type(model,
                                                  StateDictType.FULL_STATE_DICT if whole
                                                  else StateDictType.SHARDED_STATE_DICT):
        yield


def _delivered(state: dict[str, Any], o: StateDictOptions) -> dict[str, Any]:
    """DTensors whole where that is asked for; nothing on ranks other than the first where it is offloaded."""
    from rushlight import distributed

    def one(v: Any) -> Any:
        if isinstance(v, dict):
            return {k: one(x) for k, x in v.items()}
        v = v.full_tensor().detach() if o.full_state_dict and hasattr(v, "full_tensor") else v
        return v.cpu().clone() if o.cpu_offload and hasattr(v, "cpu") else v
    out = {k: one(v) for k, v in state.items()}
    if o.full_state_dict and o.cpu_offload and distributed.is_initialized() and distributed.get_rank() != 0:
        return {}
    return out


def get_model_state_dict(model: Any, *, submodules: Any = None,
                         options: StateDictOptions | None = None) -> dict[str, Any]:
    """The model's state_dict by names without wrappers: of sharded models DTensors,
    or whole tensors (``full_state_dict``)."""
    _no_submodules(submodules)
    o = options or StateDictOptions()
    frozen = {_clean(n, model)
              for n, p in model.named_parameters() if not p.requires_grad} if o.ignore_frozen_params else set()
    with _typed(model, o.full_state_dict):
        found = {_clean(k, model): v for k, v in model.state_dict().items()}
    return _delivered({k: v for k, v in found.items() if k not in frozen}, o)


def set_model_state_dict(model: Any, model_state_dict: dict[str, Any], *,
                         options: StateDictOptions | None = None) -> Any:
    """Load such a state_dict, sharded or whole; the missing and unexpected keys."""
    o = options or StateDictOptions()
    holds = not _wrapped(model) and any(k.startswith("module.") for k in model.state_dict())
    inner = getattr(model, "module", model) if holds else model
    with _typed(inner, o.full_state_dict or o.broadcast_from_rank0):
        own = {_clean(k, inner): (k, v) for k, v in inner.state_dict().items()}
        if o.broadcast_from_rank0:
            model_state_dict = _from_first(model_state_dict, {k: v for k, (_, v) in own.items()})
        given = {own[k][0] if k in own else k: v for k, v in model_state_dict.items()}
        return inner.load_state_dict({**{k: v for k, v in own.values() if o.ignore_frozen_params and k not in given},
                                      **given}, strict=o.strict)


def _from_first(state: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """Rank 0's whole tensors on all ranks, one after the other."""
    import rushlight as rl
    from rushlight.distributed import exchange, get_rank
    from rushlight.distributed.groups import member
    first = get_rank() == 0
    return {k: exchange.from_member(state[k] if first else rl.zeros(tuple(v.shape), dtype=v.dtype), member())
            for k, v in like.items()}


def _names(model: Any) -> dict[int, str]:
    return {id(p): _clean(n, model) for n, p in model.named_parameters()}


def get_optimizer_state_dict(model: Any, optimizers: Any, *, submodules: Any = None,
                             options: StateDictOptions | None = None) -> dict[str, Any]:
    """The optimizers' state by parameter names: {"state": {name: …}, "param_groups": [{"params": [names], …}]}."""
    _no_submodules(submodules)
    o = options or StateDictOptions()
    for optimizer in optimizers if isinstance(optimizers, (list, tuple)) else (optimizers,):
        _init_optim_state(optimizer)
    if _wrapped(model):
        from rushlight.distributed.fsdp import FullyShardedDataParallel
        with _typed(model, o.full_state_dict):
            return _delivered(FullyShardedDataParallel.optim_state_dict(model, optimizers), o)
    names = _names(model)
    out: dict[str, Any] = {"state": {}, "param_groups": []}
    for optimizer in optimizers if isinstance(optimizers, (list, tuple)) else (optimizers,):
        for group in optimizer.param_groups:
            out["param_groups"].append({**{k: v for k, v in group.items() if k != "params"},
                                        "params": [names[id(p)] for p in group["params"]]})
            for p in group["params"]:
                if p in optimizer.state:
                    out["state"][names[id(p)]] = dict(optimizer.state[p])
    return _delivered(out, o)


def _init_optim_state(optim: Any) -> None:
    """Make the state of an optimizer that has taken no step yet: one step with gradients and learning rates of 0."""
    if optim.state:
        return
    import rushlight as rl
    params = [p for g in optim.param_groups for p in g["params"] if p.requires_grad]
    if any(p.grad is not None for p in params):
        return
    rates = [g.get("lr") for g in optim.param_groups]
    for p in params:
        p.grad = rl.zeros_like(p)
    for g in optim.param_groups:
        if "lr" in g:
            g["lr"] = 0.0
    optim.step()
    for g, lr in zip(optim.param_groups, rates):
        if lr is not None:
            g["lr"] = lr
    optim.zero_grad(set_to_none=True)


def set_optimizer_state_dict(model: Any, optimizers: Any, optim_state_dict: dict[str, Any], *,
                             options: StateDictOptions | None = None) -> None:
    """Load such a state into the optimizers. KeyError where a parameter that has state is unknown here."""
    o = options or StateDictOptions()
    if o.broadcast_from_rank0:
        from rushlight.distributed import broadcast_object_list
        box = [optim_state_dict]
        broadcast_object_list(box, 0)
        optim_state_dict = box[0]
    if _wrapped(model):
        from rushlight.distributed.fsdp import FullyShardedDataParallel
        FullyShardedDataParallel.optim_state_dict_to_load(model, optimizers, optim_state_dict, load_directly=True)
        return
    names = _names(model)
    groups = list(optim_state_dict["param_groups"])
    for optimizer in optimizers if isinstance(optimizers, (list, tuple)) else (optimizers,):
        state: dict[str, Any] = {"state": {}, "param_groups": []}
        number = 0
        for group in optimizer.param_groups:
            mine = [names[id(p)] for p in group["params"]]
            found = next((g for g in groups if set(g["params"]) == set(mine)), None)
            if found is None:
                raise KeyError(f"no parameter group of the checkpoint has the parameters {mine}")
            state["param_groups"].append({**{k: v for k, v in found.items() if k != "params"},
                                          "params": list(range(number, number + len(mine)))})
            for i, name in enumerate(mine):
                if name in optim_state_dict["state"]:
                    state["state"][number + i] = {k: _placed(v, group["params"][i])
                                                  for k, v in optim_state_dict["state"][name].items()}
            number += len(mine)
        optimizer.load_state_dict(state)


def _placed(value: Any, p: Any) -> Any:
    """A whole tensor of state cut as the parameter is."""
    whole = hasattr(value, "ndim") and not hasattr(value, "_local_tensor")
    if hasattr(p, "_local_tensor") and whole and tuple(value.shape) == tuple(p.shape):
        from rushlight.distributed.tensor import distribute_tensor
        return distribute_tensor(value, p.device_mesh, p.placements, src_data_rank=None)
    return value


def get_state_dict(model: Any, optimizers: Any, *, submodules: Any = None,
                   options: StateDictOptions | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both."""
    return (get_model_state_dict(model, submodules=submodules, options=options),
            get_optimizer_state_dict(model, optimizers, submodules=submodules, options=options))


def set_state_dict(model: Any, optimizers: Any, *, model_state_dict: dict[str, Any], optim_state_dict: dict[str, Any],
                   options: StateDictOptions | None = None) -> Any:
    """Load both."""
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return set_model_state_dict(model, model_state_dict, options=options)
