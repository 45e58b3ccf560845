"""torch.onnx.export."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from typing import Any

from rushlight.export.capture import CaptureError
from rushlight.export.captured import Captured, bound, signature_of
from rushlight.export.dynamic import Size, Sizes, capture_dynamic
from rushlight.export.exported_program import ExportedProgram
from rushlight.nn import Module
from rushlight.onnx.errors import OnnxExporterError
from rushlight.onnx.modes import OperatorExportTypes, TrainingMode, exporting
from rushlight.onnx.program import ONNXProgram
from rushlight.tensor.core import Tensor
from rushlight.utils._pytree import tree_flatten

OPSETS = range(13, 24)
DEFAULT_OPSET = 20


_custom: dict[str, Any] = {}


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int = 1) -> None:
    """Give an operation (``"aten::foo"`` or ``"mydomain::foo"``) a rule:
    symbolic_fn(g, *operands) returns ``g.op("Kind", …)``."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+::[A-Za-z0-9_]+", symbolic_name):
        raise OnnxExporterError(
            f"Failed to register operator {symbolic_name}. The symbolic name must match the format domain::name, "
            "and should start with a letter and contain only alphanumerical characters"
        )
    _custom[symbolic_name.partition("::")[2]] = symbolic_fn


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int = 1) -> None:
    """Take such a rule away."""
    _custom.pop(symbolic_name.partition("::")[2], None)


@contextlib.contextmanager
def select_model_mode_for_export(model: Any, mode: TrainingMode) -> Iterator[None]:
    """In the block the model is in evaluation or training mode as asked."""
    before = [(m, m.training) for m in model.modules()] if isinstance(model, Module) else []
    if before and mode != TrainingMode.PRESERVE:
        for m in model.modules():
            m.training = mode == TrainingMode.TRAINING
    exporting[0] = True
    try:
        yield
    finally:
        exporting[0] = False
        for m, was in before:
            m.training = was


def export(
    model: Any, args: Any = (), f: Any = None, *, kwargs: dict[str, Any] | None = None, verbose: bool | None = None,
    input_names: Any = None, output_names: Any = None, opset_version: int | None = None, dynamo: bool = True,
    external_data: bool = True, dynamic_shapes: Any = None, custom_translation_table: Any = None,
    report: bool = False, optimize: bool = True, verify: bool = False, profile: bool = False,
    dump_exported_program: bool = False, artifacts_dir: Any = ".", export_params: bool = True,
    keep_initializers_as_inputs: bool = False, dynamic_axes: Any = None, training: TrainingMode = TrainingMode.EVAL,
    operator_export_type: OperatorExportTypes = OperatorExportTypes.ONNX, do_constant_folding: bool = True,
    custom_opsets: Any = None, export_modules_as_functions: Any = False, autograd_inlining: bool = True
) -> ONNXProgram | None:
    """Write a module or function as an ONNX model to ``f`` (a path or file), and return it as an `ONNXProgram`.

    The program is run on the example ``args`` and ``kwargs`` (in evaluation mode unless ``training`` says otherwise).
    ``dynamic_axes`` ({"x": {0: "batch"}} or {"x": [0]}) or ``dynamic_shapes`` (as for torch.export) name sizes that may
    change; parameters keep the names of the state_dict. Computations without inputs are folded whenever they occur;
    ``optimize``, ``verbose`` and ``autograd_inlining`` change nothing.

    UnsupportedOperatorError for operations without a rule, OnnxExporterError for programs that no graph can hold,
    ValueError for opsets outside 13-23.
    """
    opset = _opset(opset_version)
    _refuse(
        operator_export_type,
        report=report,
        profile=profile,
        dump_exported_program=dump_exported_program,
        export_modules_as_functions=export_modules_as_functions,
    )
    positional, named = _arguments(args, kwargs)
    exported = model if isinstance(model, ExportedProgram) else None
    model = model.module(check_guards=False) if exported is not None else model
    sizes = _sizes(model, positional, named, input_names, dynamic_axes, dynamic_shapes)
    with select_model_mode_for_export(model, TrainingMode(training)):
        captured = _captured(model, positional, named, sizes)
    rules = {**_custom, **{getattr(k, "__name__", str(k)): v for k, v in (custom_translation_table or {}).items()}}
    proto = _convert(
        captured, opset, rules, input_names, output_names, dynamic_axes, export_params, keep_initializers_as_inputs,
        dict(custom_opsets or {}), "main_graph"
    )
    program = ONNXProgram(proto, exported, captured.flat)
    if verify:
        _verify(program, captured, positional, named)
    if f is not None:
        _write(program, f)
    return program


def _opset(version: int | None) -> int:
    """The opset to write; ValueError for one that rushlight does not write."""
    opset = DEFAULT_OPSET if version is None else version
    if opset not in OPSETS:
        raise ValueError(
            f"Unsupported ONNX opset version: {opset}; rushlight writes opsets {OPSETS[0]} to {OPSETS[-1]}"
        )
    return opset


def _refuse(kind: OperatorExportTypes, **options: Any) -> None:
    """OnnxExporterError for options of PyTorch's that are asked for and that rushlight lacks."""
    for name, value in options.items():
        if value:
            raise OnnxExporterError(f"torch.onnx.export({name}={value!r}): rushlight has no such option; leave it out")
    if kind != OperatorExportTypes.ONNX:
        raise OnnxExporterError(
            f"operator_export_type {kind.name}: operations of ATen cannot stand in files; "
            "write a rule with torch.onnx.register_custom_op_symbolic"
        )


def _arguments(args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Example arguments: a tensor or a tuple, whose last element may be a dictionary of named ones."""
    args = args if isinstance(args, tuple) else tuple(args) if isinstance(args, list) else (args,)
    if kwargs is None and args and isinstance(args[-1], dict):
        return args[:-1], dict(args[-1])
    return args, dict(kwargs or {})


def _captured(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], sizes: Sizes) -> Captured:
    from rushlight.autograd.grad_mode import no_grad

    try:
        with no_grad():
            return capture_dynamic(model, args, kwargs, sizes, _read)
    except CaptureError as e:
        raise OnnxExporterError(f"Failed to export the model: {e}") from e


def _read(name: str) -> None:
    from rushlight.jit.scripted import TracerWarning

    warnings.warn(
        f"The model turns a tensor into a Python value ({name}): the value that it has for the example inputs becomes "
        "part of the ONNX model.",
        TracerWarning,
        stacklevel=6,
    )


def _leaves(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    return tree_flatten(bound(signature_of(model), args, kwargs))[0]


def _sizes(
    model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], input_names: Any, dynamic_axes: Any, dynamic_shapes: Any
) -> Sizes:
    """Which sizes of which arguments may change."""
    if dynamic_shapes is not None:
        from rushlight.export.dynamic_shapes import sizes_of

        return sizes_of(model, args, kwargs, dynamic_shapes)
    if not dynamic_axes:
        return {}
    from rushlight.utils._pytree import tree_flatten_with_path
    from rushlight.export.captured import _name

    leaves = [
        (i, _name(p), x)
        for i, (p, x) in enumerate(tree_flatten_with_path(bound(signature_of(model), args, kwargs))[0])
        if isinstance(x, Tensor)
    ]
    out: Sizes = {}
    names = list(input_names or [])
    for at, (i, own, t) in enumerate(leaves):
        name = names[at] if at < len(names) else own
        axes = dynamic_axes.get(name) or {}
        axes = axes if isinstance(axes, dict) else {d: f"{name}_dynamic_axes_{k + 1}" for k, d in enumerate(axes)}
        if axes:
            rank = len(t.shape)
            bad = [d for d in axes if not -rank <= d < rank]
            if bad:
                raise ValueError(f"dynamic_axes: {name} has {rank} dimensions and no dimension {bad[0]}")
            out[i] = {d % rank: Size(str(n)) for d, n in axes.items()}
    return out


def _convert(
    captured: Captured,
    opset: int,
    rules: dict[str, Any],
    input_names: Any,
    output_names: Any,
    dynamic_axes: Any,
    export_params: bool,
    as_inputs: bool,
    custom_opsets: dict[str, int],
    name: str,
) -> Any:
    from rushlight.onnx.conversion import Conversion
    from rushlight.onnx.model import make_model, onnx_package

    onnx_package()
    conversion = Conversion(captured, opset, rules)
    inputs, results = conversion.run(list(input_names or []))
    outputs = []
    nodes = [o for o in captured.outputs if o is not None]
    g = conversion.g
    taken = {v.name for v in inputs}
    for i, v in enumerate(results):
        label = (
            output_names[i]
            if output_names and i < len(output_names)
            else f"output_{i}"
            if v.name in taken or v.array is not None
            else None
        )
        if label is not None:
            made = Value_named(g, v, label)
            v = made
        taken.add(v.name)
        sizes = (
            list(nodes[i].meta.get("sizes", v.shape))
            if hasattr(nodes[i], "meta") and v.shape is not None
            else list(v.shape or ())
        )
        outputs.append((v, _named_sizes(sizes, v.name, dynamic_axes)))
    given = [
        (v, _named_sizes(list(n.meta.get("sizes", v.shape)), v.name, None))
        for v, n in zip(inputs, captured.placeholders)
    ]
    return make_model(g, given, outputs, conversion.parameters, export_params, as_inputs, custom_opsets, name)


def Value_named(g: Any, v: Any, label: str) -> Any:
    """v under a name that the caller chose."""
    from rushlight.onnx.builder import Value

    name = g.unique(label)
    g.nodes.append(("Identity", [v.name], [name], "", {}, ""))
    return Value(g, name, v.dtype, v.shape)


def _named_sizes(sizes: list[Any], name: str, dynamic_axes: Any) -> list[Any]:
    axes = (dynamic_axes or {}).get(name) or {}
    axes = axes if isinstance(axes, dict) else {d: f"{name}_dynamic_axes_{k + 1}" for k, d in enumerate(axes)}
    axes = {d % max(len(sizes), 1): n for d, n in axes.items()}
    return [
        axes.get(d, f"{name}_dim_{d}") if s == "?" else axes.get(d, s) if isinstance(s, str) else s
        for d, s in enumerate(sizes)
    ]


def _verify(program: ONNXProgram, captured: Captured, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    from rushlight.testing import assert_close

    wanted = [x for x in tree_flatten(captured.function()(*args, **kwargs))[0] if isinstance(x, Tensor)]
    for have, want in zip(program(*args, **kwargs), wanted):
        try:
            assert_close(have, want.detach(), rtol=1e-3, atol=1e-4)
        except AssertionError as e:
            raise OnnxExporterError(f"the exported model does not give the program's results: {e}") from e


def _write(program: ONNXProgram, f: Any) -> None:
    if hasattr(f, "write"):
        f.write(program.model_proto.SerializeToString())
    else:
        program.save(f)
