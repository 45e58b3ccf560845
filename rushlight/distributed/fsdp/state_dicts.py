"""state_dict and load_state_dict of sharded modules: whole tensors, DTensors,
or flat stretches, under the original names."""

from __future__ import annotations

from typing import Any

from rushlight.distributed.collectives import _array
from rushlight.distributed.fsdp.api import StateDictType

INNER = "_fsdp_wrapped_module."
FLAT = "_flat_param"


def _mesh(wrapper: Any) -> Any:
    """The one-dimensional mesh of a unit's shards."""
    from rushlight.distributed.device_mesh import DeviceMesh

    known = wrapper.__dict__.get("_shard_mesh")
    if known is None:
        mesh, unit = wrapper._device_mesh, wrapper._unit
        if mesh is not None and mesh.ndim == 1:
            known = mesh
        elif unit.shard_group is not None:
            known = DeviceMesh.from_group(unit.shard_group, "cpu")
        wrapper.__dict__["_shard_mesh"] = known
    return known


def as_dtensor(wrapper: Any, whole: Any) -> Any:
    """A whole local tensor as a DTensor cut along dimension 0; single numbers, and unsharded ones, as they are."""
    from rushlight.distributed.tensor import Shard
    from rushlight.distributed.tensor.dtensor import make
    from rushlight.distributed.tensor.move import own

    mesh = _mesh(wrapper)
    if mesh is None or not whole.ndim:
        return whole
    return make(own(whole, mesh.get_group(0), 0).clone(), mesh, (Shard(0),), tuple(whole.shape))


def after_saving(wrapper: Any, found: dict[str, Any], prefix: str, about: Any) -> dict[str, Any]:
    """Hook of state_dict: names without the wrapper, values as the wrapper's state_dict_type says."""
    from rushlight.distributed import get_rank
    from rushlight.tensor.core import wrap

    kind, unit = wrapper._state_dict_type, wrapper._unit
    if kind is StateDictType.LOCAL_STATE_DICT:
        if unit is not None and not unit.flat and not wrapper._summoned:
            raise RuntimeError(
                "LOCAL_STATE_DICT is for flat parameters: with use_orig_params=True use FULL_STATE_DICT or "
                "SHARDED_STATE_DICT"
            )
        return found
    start = prefix + INNER
    for key in [k for k in found if k.startswith(start)]:
        found[prefix + key[len(start) :]] = found.pop(key)
    if unit is None or wrapper._summoned:
        return _only_first(wrapper, found, prefix)
    found.pop(prefix + FLAT, None)
    for slot, array in zip(unit.slots, unit.gathered(cast=False)):
        whole = wrap(array)
        value = whole if kind is StateDictType.FULL_STATE_DICT else as_dtensor(wrapper, whole)
        for name in names(wrapper, slot):
            found[prefix + name] = value
    del get_rank
    return _only_first(wrapper, found, prefix)


def _only_first(wrapper: Any, found: dict[str, Any], prefix: str) -> dict[str, Any]:
    """rank0_only: nothing on the other ranks."""
    from rushlight.distributed import get_rank

    if getattr(wrapper._state_dict_config, "rank0_only", False) and get_rank() != 0:
        for key in [k for k in found if k.startswith(prefix)]:
            del found[key]
    return found


def names(wrapper: Any, slot: Any) -> list[str]:
    """All names of a parameter within the unit's module: one for each of its owners."""
    from rushlight.distributed.fsdp.construct import clean

    paths = wrapper.__dict__.get("_paths")
    if paths is None:
        paths = wrapper.__dict__["_paths"] = {
            id(m): name for name, m in wrapper._fsdp_wrapped_module.named_modules(remove_duplicate=False)
        }
    return [clean(f"{paths[id(m)]}.{name}" if paths[id(m)] else name) for m, name in slot.owners]


def before_loading(wrapper: Any, found: dict[str, Any], prefix: str, *_: Any) -> None:
    """Hook of load_state_dict: names with the wrapper again, whole tensors and DTensors cut to this rank's pieces."""
    from rushlight.distributed.tensor.layout import chunk  # noqa: F401

    kind, unit = wrapper._state_dict_type, wrapper._unit
    if kind is StateDictType.LOCAL_STATE_DICT:
        return
    for key in [k for k in found if k.startswith(prefix) and not k.startswith(prefix + INNER)]:
        found[prefix + INNER + key[len(prefix) :]] = found.pop(key)
    if unit is None or wrapper._summoned:
        return
    _cut(wrapper, unit, found, prefix + INNER)


def _cut(wrapper: Any, unit: Any, found: dict[str, Any], start: str) -> None:
    """Values of the unit's parameters as pieces, where they are all there and of their shapes;
    what is not is said by load_state_dict."""
    import numpy as np

    from rushlight.tensor.core import wrap

    pieces: list[Any] = []
    for slot in unit.slots:
        keys = [start + n for n in names(wrapper, slot)]
        value = found.get(keys[0])
        if value is None:
            pieces.append(None)
            continue
        value = value.full_tensor() if hasattr(value, "full_tensor") else value
        if tuple(value.shape) != slot.shape:
            raise RuntimeError(
                f"size mismatch for {keys[0].replace(INNER, '')}: copying a param with shape {value.shape} from "
                "checkpoint, the shape in current model "
                f"is torch.Size({list(slot.shape)})."
            )
        piece = np.array(unit.layout.piece(slot, _array(value), unit.rank)).astype(slot.dtype.numpy)
        pieces.append(piece)
        for key in keys:
            if unit.flat:
                found.pop(key, None)
            elif key in found:
                found[key] = wrap(piece.reshape(unit.layout.shape(slot, unit.rank)))
    if unit.flat and all(p is not None for p in pieces):
        found[start + FLAT] = wrap(np.concatenate(pieces))
