"""State of models and optimizers by parameter names, whatever wraps the model (torch.distributed.checkpoint.state_dict)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

WRAPPERS = ("module.", "_checkpoint_wrapped_module.", "_orig_mod.")


@dataclasses.dataclass
class StateDictOptions:
    """``cpu_offload`` copies to the CPU, ``ignore_frozen_params`` leaves out parameters without gradients, ``strict`` wants every key,
    ``full_state_dict`` and ``broadcast_from_rank0`` are about sharded models, of which there are none: broadcast sends rank 0's values to all."""

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
        raise NotImplementedError("submodules=… was removed from PyTorch's own documentation; give the submodule as the model")


def get_model_state_dict(model: Any, *, submodules: Any = None, options: StateDictOptions | None = None) -> dict[str, Any]:
    """The model's state_dict by names without wrappers."""
    _no_submodules(submodules)
    o = options or StateDictOptions()
    frozen = {_clean(n, model) for n, p in model.named_parameters() if not p.requires_grad} if o.ignore_frozen_params else set()
    found = {_clean(k, model): v for k, v in model.state_dict().items()}
    return {k: v.cpu().clone() if o.cpu_offload and hasattr(v, "cpu") else v for k, v in found.items() if k not in frozen}


def set_model_state_dict(model: Any, model_state_dict: dict[str, Any], *, options: StateDictOptions | None = None) -> Any:
    """Load such a state_dict; the missing and unexpected keys."""
    o = options or StateDictOptions()
    inner = getattr(model, "module", model) if any(k.startswith("module.") for k in model.state_dict()) else model
    result = inner.load_state_dict({**{k: v for k, v in inner.state_dict().items() if o.ignore_frozen_params and k not in model_state_dict}, **model_state_dict},
                                   strict=o.strict)
    _shared(model.parameters(), o)
    return result


def _shared(tensors: Iterable[Any], o: StateDictOptions) -> None:
    if o.broadcast_from_rank0:
        from rushlight.distributed import broadcast
        for t in tensors:
            broadcast(t.detach(), 0)


def _names(model: Any) -> dict[int, str]:
    return {id(p): _clean(n, model) for n, p in model.named_parameters()}


def get_optimizer_state_dict(model: Any, optimizers: Any, *, submodules: Any = None, options: StateDictOptions | None = None) -> dict[str, Any]:
    """The optimizers' state by parameter names: {"state": {name: …}, "param_groups": [{"params": [names], …}]}."""
    _no_submodules(submodules)
    names, out = _names(model), {"state": {}, "param_groups": []}  # type: ignore[var-annotated]
    for optimizer in optimizers if isinstance(optimizers, (list, tuple)) else (optimizers,):
        for group in optimizer.param_groups:
            out["param_groups"].append({**{k: v for k, v in group.items() if k != "params"}, "params": [names[id(p)] for p in group["params"]]})
            for p in group["params"]:
                if p in optimizer.state:
                    out["state"][names[id(p)]] = dict(optimizer.state[p])
    return out


def set_optimizer_state_dict(model: Any, optimizers: Any, optim_state_dict: dict[str, Any], *, options: StateDictOptions | None = None) -> None:
    """Load such a state into the optimizers. KeyError where a parameter that has state is unknown here."""
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
            state["param_groups"].append({**{k: v for k, v in found.items() if k != "params"}, "params": list(range(number, number + len(mine)))})
            for i, name in enumerate(mine):
                if name in optim_state_dict["state"]:
                    state["state"][number + i] = optim_state_dict["state"][name]
            number += len(mine)
        optimizer.load_state_dict(state)


def get_state_dict(model: Any, optimizers: Any, *, submodules: Any = None, options: StateDictOptions | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both."""
    return (get_model_state_dict(model, submodules=submodules, options=options),
            get_optimizer_state_dict(model, optimizers, submodules=submodules, options=options))


def set_state_dict(model: Any, optimizers: Any, *, model_state_dict: dict[str, Any], optim_state_dict: dict[str, Any],
                   options: StateDictOptions | None = None) -> Any:
    """Load both."""
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return set_model_state_dict(model, model_state_dict, options=options)
