"""DTensors in checkpoints: each rank writes its pieces with their places;
a reader takes the parts it needs from all files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

MARK = "__pieces_of_dtensor__"


class Files:
    """The files of all ranks, read when first needed."""

    def __init__(self, paths: list[str], read: Callable[[str], Any]):
        self.paths, self.read = paths, read
        self.known: dict[int, Any] = {}

    def __getitem__(self, rank: int) -> Any:
        if rank not in self.known:
            self.known[rank] = self.read(self.paths[rank])
        return self.known[rank]

    def pieces(self, keys: tuple[Any, ...]) -> list[tuple[tuple[int, ...], Any]]:
        """(offset, tensor) of all pieces at a place of the state."""
        out = []
        for r in range(len(self.paths)):
            at = self[r]
            for k in keys:
                at = at.get(k) if isinstance(at, dict) else at[k]
            out += [(tuple(o), t) for o, t in zip(at["offsets"], at["tensors"])]
        return out


def packed(value: Any) -> Any:
    """The same nest with DTensors as plain dictionaries of this rank's pieces; of replicas only the first writes."""
    if hasattr(value, "_local_tensor"):
        from rushlight.distributed.tensor import Replicate
        from rushlight.distributed.tensor.layout import local_box

        value = value.redistribute(placements=[Replicate() if p.is_partial() else p for p in value.placements]).detach()
        place = value.device_mesh.get_coordinate()
        writes = (
            place is not None
            and all(i == 0 for i, p in zip(place, value.placements) if p.is_replicate())
            and value._local_tensor.numel()
        )
        _, offset = local_box(tuple(value.shape), value.device_mesh, value.placements)
        return {
            MARK: True,
            "shape": list(value.shape),
            "dtype": value.dtype.name,
            "offsets": [list(offset)] if writes else [],
            "tensors": [value._local_tensor.clone()] if writes else [],
        }
    if type(value) in (list, tuple):
        return type(value)(packed(v) for v in value)
    return type(value)((k, packed(v)) for k, v in value.items()) if isinstance(value, dict) else value


def unpacked(value: Any, like: Any, files: Files, keys: tuple[Any, ...]) -> Any:
    """A saved nest with its DTensors back: placed as those of ``like`` at
    the same places, whole where there are none."""
    if isinstance(value, dict) and value.get(MARK):
        return _tensor(value, like, files.pieces(keys))
    if type(value) in (list, tuple):
        return type(value)(
            unpacked(v, like[i] if isinstance(like, (list, tuple)) and i < len(like) else None, files, (*keys, i))
            for i, v in enumerate(value)
        )
    if isinstance(value, dict):
        return type(value)(
            (k, unpacked(v, like.get(k) if isinstance(like, dict) else None, files, (*keys, k)))
            for k, v in value.items()
        )
    return value


def _tensor(about: dict[str, Any], like: Any, found: list[tuple[tuple[int, ...], Any]]) -> Any:
    import rushlight as rl
    from rushlight.distributed.collectives import _array
    from rushlight.tensor.core import wrap

    shape = tuple(about["shape"])
    box_shape, offset = shape, (0,) * len(shape)
    spread = hasattr(like, "_local_tensor") and tuple(like.shape) == shape
    if spread:
        from rushlight.distributed.tensor.layout import local_box

        box_shape, offset = local_box(shape, like.device_mesh, like.placements)
    out = np.zeros(box_shape, getattr(rl, about["dtype"]).numpy)
    for at, t in found:
        low = [max(a, o) for a, o in zip(at, offset)]
        high = [min(a + n, o + m) for a, n, o, m in zip(at, t.shape, offset, box_shape)]
        if all(a < b for a, b in zip(low, high)):
            out[tuple(slice(a - o, b - o) for a, b, o in zip(low, high, offset))] = _array(t)[
                tuple(slice(a - o, b - o) for a, b, o in zip(low, high, at))
            ]
    if not spread:
        return wrap(out)
    from rushlight.distributed.tensor.dtensor import make

    return make(wrap(out), like.device_mesh, like.placements, shape)
