"""The styles: how a module's parameters are cut, and how its inputs and outputs are placed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from rushlight import nn
from rushlight.distributed.device_mesh import DeviceMesh
from rushlight.distributed.tensor.distribute import distribute_module, distribute_tensor
from rushlight.distributed.tensor.dtensor import DTensor
from rushlight.distributed.tensor.placement import Placement, Replicate, Shard
from rushlight.tensor.core import Tensor

Layouts = Placement | Sequence[Placement | None] | None


class ParallelStyle(ABC):
    """How a module is made parallel: subclasses define ``_apply(module, mesh)``, which returns the module."""

    src_data_rank: int | None = 0

    @abstractmethod
    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        """Cut the module in place."""


def as_distributed(value: Any, mesh: DeviceMesh, layout: Placement, wanted: Placement | None = None) -> Any:
    """A tensor as a DTensor: a plain one is a piece placed by ``layout``; then redistributed to ``wanted``."""
    if not isinstance(value, Tensor):
        raise ValueError(f"expecting input to be a torch.Tensor or DTensor, but got {type(value).__name__}")
    if not isinstance(value, DTensor):
        value = DTensor.from_local(value, mesh, [layout])
    return value if wanted is None or value.placements == (wanted,) else value.redistribute(placements=[wanted])


def as_given(out: Any, wanted: Placement | None, local: bool) -> Any:
    """An output placed as wanted, as a plain tensor where the style says so."""
    if not isinstance(out, DTensor):
        return out
    if wanted is not None and out.placements != (wanted,):
        out = out.redistribute(placements=[wanted])
    return out.to_local() if local else out


def _spread(module: Any, mesh: DeviceMesh, layouts: dict[str, Placement], source: int | None) -> None:
    """The module's own parameters as DTensors."""
    for name, p in list(module._parameters.items()):
        if p is not None and not isinstance(p, DTensor):
            module.register_parameter(
                name, distribute_tensor(p, mesh, [layouts.get(name, Replicate())], src_data_rank=source)
            )


class _Cut(ParallelStyle):
    """A Linear or Embedding cut along one of its dimensions."""

    layers: dict[type, dict[str, Placement]]
    wanted_input: dict[type, Placement]
    input_default: Placement
    output_default: Placement

    def __init__(
        self,
        *,
        input_layouts: Placement | None = None,
        output_layouts: Placement | None = None,
        use_local_output: bool = True,
    ):
        self.input_layouts = (input_layouts or self.input_default,)
        self.output_layouts = (output_layouts or self.output_default,)
        self.use_local_output = use_local_output

    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        kind = next((k for k in self.layers if isinstance(module, k)), None)
        if kind is None:
            raise NotImplementedError(
                f"{type(self).__name__} currently only support nn.Linear and nn.Embedding, not {type(module).__name__}!"
            )

        def before(mod: Any, inputs: Any, mesh: DeviceMesh) -> Any:
            return (as_distributed(inputs[0], mesh, self.input_layouts[0], self.wanted_input[kind]), *inputs[1:])

        def after(mod: Any, out: Any, mesh: DeviceMesh) -> Any:
            return as_given(out, self.output_layouts[0], self.use_local_output)

        return distribute_module(
            module,
            device_mesh,
            lambda name, mod, mesh: _spread(mod, mesh, self.layers[kind], self.src_data_rank),
            before,
            after,
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(input_layouts={self.input_layouts}, output_layouts={self.output_layouts}, "
            f"use_local_output={self.use_local_output})"
        )


class ColwiseParallel(_Cut):
    """A Linear cut along its outputs, or an Embedding along its columns:
    the output is a piece along the last dimension (Shard(-1)).

    The input is replicated (``input_layouts``: how it arrives); ``output_layouts`` other than
    Shard(-1) redistributes the output, and ``use_local_output`` gives the plain piece instead of a
    DTensor. NotImplementedError for other modules.
    """

    layers = {nn.Linear: {"weight": Shard(0), "bias": Shard(0)}, nn.Embedding: {"weight": Shard(1)}}
    wanted_input = {nn.Linear: Replicate(), nn.Embedding: Replicate()}
    input_default, output_default = Replicate(), Shard(-1)


class RowwiseParallel(_Cut):
    """A Linear cut along its inputs, or an Embedding along its rows: the terms of the output are summed (Replicate),
    or scattered too (Shard).

    The input is a piece along the last dimension (``input_layouts``), for an Embedding replicated.
    """

    layers = {nn.Linear: {"weight": Shard(1), "bias": Replicate()}, nn.Embedding: {"weight": Shard(0)}}
    wanted_input = {nn.Linear: Shard(-1), nn.Embedding: Replicate()}
    input_default, output_default = Shard(-1), Replicate()


class SequenceParallel(ParallelStyle):
    """A norm or dropout on pieces of the sequence (dimension ``sequence_dim``); its parameters are replicated."""

    def __init__(self, *, sequence_dim: int = 1, use_local_output: bool = False):
        self.sequence_dim, self.sequence_sharding, self.use_local_output = (
            sequence_dim,
            (Shard(sequence_dim),),
            use_local_output,
        )

    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        def before(mod: Any, inputs: Any, mesh: DeviceMesh) -> Any:
            return (as_distributed(inputs[0], mesh, self.sequence_sharding[0], self.sequence_sharding[0]), *inputs[1:])

        return distribute_module(
            module,
            device_mesh,
            lambda name, mod, mesh: _spread(mod, mesh, {}, self.src_data_rank),
            before,
            lambda mod, out, mesh: as_given(out, None, self.use_local_output),
        )

    def __repr__(self) -> str:
        return f"SequenceParallel(sequence_dim={self.sequence_dim}, use_local_output={self.use_local_output})"


def _several(layouts: Layouts) -> tuple[Placement | None, ...] | None:
    return None if layouts is None else (layouts,) if isinstance(layouts, Placement) else tuple(layouts)


class PrepareModuleInput(ParallelStyle):
    """Place a module's inputs: they arrive as ``input_layouts`` (None: leave it alone) and are redistributed to
    ``desired_input_layouts``.

    Keyword arguments by name in ``input_kwarg_layouts`` and ``desired_input_kwarg_layouts``. ``use_local_output``:
    hand plain pieces on.
    """

    def __init__(
        self,
        *,
        input_layouts: Layouts = None,
        desired_input_layouts: Layouts = None,
        input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None,
        use_local_output: bool = False,
    ):
        self.input_layouts, self.desired_input_layouts = _several(input_layouts), _several(desired_input_layouts)
        self.use_local_output = use_local_output
        if self.input_layouts is not None:
            if self.desired_input_layouts is None:
                raise AssertionError("desired module inputs should not be None!")
            if len(self.input_layouts) != len(self.desired_input_layouts):
                raise AssertionError("input_layouts and desired_input_layouts should have same length!")
        self.with_kwargs = input_kwarg_layouts is not None
        self.input_kwarg_layouts, self.desired_input_kwarg_layouts = (
            input_kwarg_layouts or {},
            desired_input_kwarg_layouts or {},
        )
        if self.with_kwargs and len(self.input_kwarg_layouts) != len(self.desired_input_kwarg_layouts):
            raise AssertionError("input_kwarg_layouts and desired_input_kwarg_layouts should have same length!")

    def _one(self, value: Any, mesh: DeviceMesh, layout: Placement | None, wanted: Placement | None) -> Any:
        if layout is None:
            return value
        if value is None:
            raise AssertionError("input is None, but a layout was given for it")
        d = as_distributed(value, mesh, layout, wanted)
        return d.to_local() if self.use_local_output else d

    def _inputs(self, inputs: Any, mesh: DeviceMesh) -> Any:
        if self.input_layouts is None:
            return inputs
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        assert self.desired_input_layouts is not None
        if len(inputs) != len(self.input_layouts):
            raise ValueError("module inputs and input_layouts should have same length!")
        return tuple(
            self._one(v, mesh, a, b) for v, a, b in zip(inputs, self.input_layouts, self.desired_input_layouts)
        )

    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        def before(mod: Any, args: Any, kwargs: Any) -> Any:
            return self._inputs(args, device_mesh), {
                k: self._one(v, device_mesh, self.input_kwarg_layouts.get(k), self.desired_input_kwarg_layouts.get(k))
                for k, v in kwargs.items()
            }

        module.register_forward_pre_hook(before, with_kwargs=True)
        return module


class PrepareModuleOutput(ParallelStyle):
    """Place a module's outputs: they are made as ``output_layouts`` (None: leave it alone) and redistributed to
    ``desired_output_layouts``."""

    def __init__(self, *, output_layouts: Layouts, desired_output_layouts: Layouts, use_local_output: bool = True):
        self.output_layouts, self.desired_output_layouts, self.use_local_output = (
            _several(output_layouts),
            _several(desired_output_layouts),
            use_local_output,
        )
        if (
            self.output_layouts is None
            or self.desired_output_layouts is None
            or len(self.output_layouts) != len(self.desired_output_layouts)
        ):
            raise AssertionError("output_layouts and desired_output_layouts should have same length!")

    def _outputs(self, out: Any, mesh: DeviceMesh) -> Any:
        assert self.output_layouts is not None and self.desired_output_layouts is not None
        several = out if isinstance(out, tuple) else (out,)
        if len(several) != len(self.output_layouts):
            raise ValueError("module outputs and output_layouts should have same length!")
        placed = tuple(
            v if a is None else as_given(as_distributed(v, mesh, a), b, self.use_local_output)
            for v, a, b in zip(several, self.output_layouts, self.desired_output_layouts)
        )
        return placed if isinstance(out, tuple) else placed[0]

    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        module.register_forward_hook(lambda mod, inputs, out: self._outputs(out, device_mesh))
        return module


class PrepareModuleInputOutput(ParallelStyle):
    """PrepareModuleInput and PrepareModuleOutput in one."""

    def __init__(
        self,
        *,
        input_layouts: Layouts = None,
        desired_input_layouts: Layouts = None,
        input_kwarg_layouts: dict[str, Placement] | None = None,
        desired_input_kwarg_layouts: dict[str, Placement] | None = None,
        use_local_input: bool = False,
        output_layouts: Layouts,
        desired_output_layouts: Layouts,
        use_local_output: bool = True,
    ):
        self.prepare_module_input = PrepareModuleInput(
            input_layouts=input_layouts,
            desired_input_layouts=desired_input_layouts,
            input_kwarg_layouts=input_kwarg_layouts,
            desired_input_kwarg_layouts=desired_input_kwarg_layouts,
            use_local_output=use_local_input,
        )
        self.prepare_module_output = PrepareModuleOutput(
            output_layouts=output_layouts,
            desired_output_layouts=desired_output_layouts,
            use_local_output=use_local_output,
        )

    def _apply(self, module: Any, device_mesh: DeviceMesh) -> Any:
        return self.prepare_module_output._apply(self.prepare_module_input._apply(module, device_mesh), device_mesh)
