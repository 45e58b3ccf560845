"""Protobufs of the `onnx` package from a finished `Builder`."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.onnx.builder import Builder, Value, element


def onnx_package() -> Any:
    """The `onnx` package; ModuleNotFoundError names the extra where it is missing."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ModuleNotFoundError as e:
        raise ModuleNotFoundError(
            "torch.onnx.export writes files with the `onnx` package, which is not installed: pip install "
            "'rushlight[onnx]'",
            name="onnx",
        ) from e
    return onnx


def _info(v: Value, sizes: list[Any]) -> Any:
    return onnx_package().helper.make_tensor_value_info(v.name, element(v.dtype), sizes)


def _tensor(name: str, array: np.ndarray[Any, Any], dtype: Any) -> Any:
    onnx = onnx_package()
    if array.dtype.kind in "fiub" and array.dtype.isbuiltin == 1:
        return onnx.numpy_helper.from_array(array, name)
    return onnx.helper.make_tensor(name, element(dtype), array.shape, array.tobytes(), raw=True)


def needed(g: Builder, outputs: list[Value]) -> list[Any]:
    """The nodes that the outputs need, in order."""
    wanted = {v.name for v in outputs}
    kept = []
    for node in reversed(g.nodes):
        if wanted.intersection(node[2]):
            kept.append(node)
            wanted.update(x for x in node[1] if x)
    return kept[::-1]


def make_model(
    g: Builder,
    inputs: list[tuple[Value, list[Any]]],
    outputs: list[tuple[Value, list[Any]]],
    parameters: list[str],
    export_params: bool,
    as_inputs: bool,
    custom_opsets: dict[str, int],
    name: str,
) -> Any:
    """The ModelProto: inputs and outputs with their sizes (numbers or names)."""
    from rushlight.version import __version__

    onnx = onnx_package()
    results = [v for v, _ in outputs]
    nodes = needed(g, results)
    read = {x for n in nodes for x in n[1]} | {v.name for v in results}
    held = {k: a for k, a in g.initializers.items() if k in read or k in parameters}
    types = {k: _dtype_of(a) for k, a in held.items()}
    stored = [_tensor(k, a, types[k]) for k, a in held.items() if export_params or k not in parameters]
    extra = [
        onnx.helper.make_tensor_value_info(k, element(types[k]), a.shape)
        for k, a in held.items()
        if k in parameters and (as_inputs or not export_params)
    ]
    made = [
        onnx.helper.make_node(kind, ins, outs, name=_node_name(outs[0], kind, i), domain=domain or None, **attributes)
        for i, (kind, ins, outs, domain, attributes, _) in enumerate(nodes)
    ]
    graph = onnx.helper.make_graph(
        made, name, [_info(v, s) for v, s in inputs] + extra, [_info(v, s) for v, s in outputs], stored
    )
    imports = [onnx.helper.make_opsetid("", g.opset)] + [
        onnx.helper.make_opsetid(d, custom_opsets.get(d, 1)) for d in sorted(g.domains)
    ]
    model = onnx.helper.make_model(
        graph, opset_imports=imports, producer_name="rushlight", producer_version=__version__
    )
    model.ir_version = onnx.helper.find_min_ir_version_for(imports[:1], ignore_unknown=True)
    return model


def _node_name(out: str, kind: str, i: int) -> str:
    return f"/{out}/{kind}_{i}"


def _dtype_of(array: np.ndarray[Any, Any]) -> Any:
    from rushlight.ir.dtype import of_numpy

    return of_numpy(array.dtype)
