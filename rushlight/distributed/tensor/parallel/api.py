"""parallelize_module: a plan from names of submodules to styles."""

from __future__ import annotations

import warnings
from fnmatch import fnmatch
from typing import Any

from rushlight.distributed.device_mesh import DeviceMesh, current_mesh
from rushlight.distributed.tensor.parallel.style import ParallelStyle


def parallelize_module(
        module: Any,
        device_mesh: DeviceMesh | None = None,
        parallelize_plan: ParallelStyle | dict[str, ParallelStyle] | None = None,
        *,
        src_data_rank: int | None = 0,
) -> Any:
    """Apply a style to the module, or styles to its submodules by name ("layers.0.mlp"; "*" stands for any one name),
    in place; the module.

    ``device_mesh`` has one dimension: slice a larger one. ``src_data_rank``: whose values are spread (None: each rank
    cuts its own).
    ValueError for a mesh with more dimensions, TypeError for another plan; a name that fits nothing is a warning.
    """
    mesh = device_mesh or current_mesh()
    if mesh.ndim != 1:
        raise ValueError(
            "parallelize_module only supports 1D device mesh, "
            f"but found {mesh.ndim} dimensions! Slice it, as in mesh['tp']."
        )
    if parallelize_plan is None:
        warnings.warn(
            "No parallelize_plan is provided and auto-parallel is not supported at the moment, so this "
            "parallelize_module call will do nothing.",
            stacklevel=2,
        )
        return module
    if isinstance(parallelize_plan, ParallelStyle):
        parallelize_plan.src_data_rank = src_data_rank
        return parallelize_plan._apply(module, mesh)
    if not isinstance(parallelize_plan, dict):
        raise TypeError(
            "Expect Union[ParallelStyle, Dict[str, "
            f"ParallelStyle]] for parallelize_plan, {type(parallelize_plan)} found!"
        )
    for path, style in parallelize_plan.items():
        if path == "":
            parallelize_module(module, mesh, style, src_data_rank=src_data_rank)
            continue
        found = _matching(module, path.split("."))
        if not found:
            warnings.warn(
                f"Parallelize plan key '{path}' could not be resolved: no submodule matching it", stacklevel=2
            )
        for sub in found:
            parallelize_module(sub, mesh, style, src_data_rank=src_data_rank)
    return module


def _matching(module: Any, atoms: list[str]) -> list[Any]:
    """The submodules that a path with wildcards names."""
    found = [module]
    for atom in atoms:
        found = [child for m in found for name, child in m.named_children() if fnmatch(name, atom)]
    return found
