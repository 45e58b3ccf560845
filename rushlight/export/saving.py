"""Exported programs in files."""

from __future__ import annotations

import json
from typing import Any

from rushlight.export.captured import Placeholder
from rushlight.export.exported_program import ExportedProgram, ValueRanges
from rushlight.export.files import (
    decode,
    decode_graph,
    decode_structure,
    encode,
    encode_graph,
    encode_structure,
    read_archive,
    write_archive,
)
from rushlight.export.graph_signature import (
    ConstantArgument,
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    SymIntArgument,
    TensorArgument,
)
from rushlight.nn.parameter import Parameter
from rushlight.utils._pytree import tree_flatten, tree_unflatten

KIND = "rushlight.export"
FOREIGN = (
    "this is no file that rushlight's torch.export.save wrote (PyTorch's own .pt2 files are not read): export the "
    "model with rushlight, or load its state_dict"
)
ARGUMENTS = {"tensor": TensorArgument, "number": SymIntArgument, "value": ConstantArgument}


def save(
    ep: ExportedProgram,
    f: Any,
    *,
    extra_files: dict[str, Any] | None = None,
    opset_version: dict[str, int] | None = None,
    pickle_protocol: int = 2,
) -> None:
    """Write an exported program to a path or file: a zip of JSON and tensors, which `load` reads without running any
    code of it.

    TypeError for anything else. ``pickle_protocol`` and ``opset_version`` are PyTorch's and change nothing.
    """
    if not isinstance(ep, ExportedProgram):
        raise TypeError(
            f"The 'ep' parameter must be an instance of 'ExportedProgram', got '{type(ep).__name__}' instead."
        )
    signature = ep.graph_signature
    examples, tree = tree_flatten(ep.example_inputs)
    program = {
        "graph": encode_graph(ep.graph),
        "inputs": [[s.kind.name, _argument(s.arg), s.target, s.persistent] for s in signature.input_specs],
        "outputs": [_argument(s.arg) for s in signature.output_specs],
        "parameters": None
        if ep._signature is None
        else [
            [p.name, int(p.kind), encode(p.default) if p.default is not p.empty else "none"]
            for p in ep._signature.parameters.values()
        ],
        "in_tree": encode_structure(ep._in_tree),
        "out_tree": encode_structure(ep._out_tree),
        "leaves": [{"tensor": x.name} if isinstance(x, Placeholder) else {"value": encode(x)} for x in ep._leaves],
        "ranges": {k: [r.lower, r.upper] for k, r in ep.range_constraints.items()},
        "examples": encode_structure(tree),
        "trained": [k for k, v in ep.state_dict.items() if isinstance(v, Parameter) and v.requires_grad],
        "parameter_names": [k for k, v in ep.state_dict.items() if isinstance(v, Parameter)],
    }
    tensors = {
        "state": {k: v.detach() for k, v in ep.state_dict.items()},
        "constants": {k: v.detach() for k, v in ep.constants.items()},
        "examples": [x.detach() if hasattr(x, "detach") else x for x in examples],
    }
    write_archive(f, KIND, {"program.json": program}, tensors, extra_files)


def _argument(arg: Any) -> list[Any]:
    kind = next(k for k, c in ARGUMENTS.items() if isinstance(arg, c))
    return [kind, arg.name, encode(arg.value) if kind == "value" else None]


def _decoded(row: Any) -> Any:
    kind, name, value = row
    return ConstantArgument(name, decode(value, {})) if kind == "value" else ARGUMENTS[kind](name)


def load(
    f: Any, *, extra_files: dict[str, Any] | None = None, expected_opset_version: dict[str, int] | None = None
) -> ExportedProgram:
    """The exported program in a file that `save` wrote; ``extra_files`` is filled
    with the contents of the names that it holds.

    RuntimeError for other and for damaged files; nothing in a file is run but calls of torch's functions in its graph,
    when the program is.
    """
    records, tensors = read_archive(f, KIND, FOREIGN, extra_files)
    if extra_files is not None:
        extra_files.update({k: v.decode("utf8") for k, v in extra_files.items() if isinstance(v, bytes)})
    p = json.loads(records["program.json"])
    trained, parameters = set(p["trained"]), set(p["parameter_names"])
    state = {k: Parameter(v, requires_grad=k in trained) if k in parameters else v for k, v in tensors["state"].items()}
    inputs = [InputSpec(InputKind[k], _decoded(a), target, kept) for k, a, target, kept in p["inputs"]]
    outputs = [OutputSpec(OutputKind.USER_OUTPUT, _decoded(a)) for a in p["outputs"]]
    leaves = [Placeholder(x["tensor"]) if "tensor" in x else decode(x["value"], {}) for x in p["leaves"]]
    form = (_signature(p["parameters"]), decode_structure(p["in_tree"]), leaves, decode_structure(p["out_tree"]))
    examples = tree_unflatten(tensors["examples"], decode_structure(p["examples"]))
    ranges = {k: ValueRanges(low, high) for k, (low, high) in p["ranges"].items()}
    return ExportedProgram(
        decode_graph(p["graph"]),
        ExportGraphSignature(inputs, outputs),
        state,
        tensors["constants"],
        form,
        ranges,
        examples,
    )


def _signature(rows: Any) -> Any:
    """The signature of the program's forward."""
    import inspect

    if rows is None:
        return None
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect._ParameterKind(kind),
                default=inspect.Parameter.empty if default == "none" else decode(default, {}),
            )
            for name, kind, default in rows
        ]
    )


__all__ = ["load", "save"]
