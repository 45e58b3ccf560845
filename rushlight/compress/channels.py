"""Which channels of a network belong together: removing one of them removes it everywhere.

The network is traced, and every result is described by the channels along one of its dimensions: runs of channels that
some layer made. A layer that consumes a run must shrink with the layer that made it; a sum of two results joins their
runs, a concatenation puts them side by side, flattening makes each channel several features. What the network takes and
gives, and what passes through an operation that is not known here, keeps its size.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import rushlight as rl
from rushlight import nn
from rushlight.compress.shapes import traced
from rushlight.nn import functional as F

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
SPATIAL = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d,
           nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
           nn.Upsample, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.LPPool2d)
ALIKE = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.CELU, nn.SELU, nn.LeakyReLU, nn.Hardswish,
         nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Mish, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d,
         nn.Dropout3d, nn.AlphaDropout)
ALIKE_FUNCTIONS = frozenset((F.relu, F.relu6, F.gelu, F.silu, F.elu, F.leaky_relu, F.hardswish, F.hardsigmoid,
                             F.softplus, F.mish, F.dropout, F.dropout2d, rl.relu, rl.sigmoid, rl.tanh, rl.clamp,
                             F.max_pool1d, F.max_pool2d, F.avg_pool1d, F.avg_pool2d, F.adaptive_avg_pool1d,
                             F.adaptive_avg_pool2d, F.adaptive_max_pool2d,
                             F.interpolate, operator.neg, rl.abs, rl.square))
ALIKE_METHODS = frozenset(("relu", "relu_", "sigmoid", "tanh", "clamp", "contiguous", "clone", "detach", "abs",
                           "square", "float", "to"))
PAIRS = frozenset((operator.add, operator.iadd, operator.sub, operator.mul, operator.imul, operator.truediv, rl.add,
                   rl.sub, rl.mul, rl.div, rl.maximum, rl.minimum,
                   "add", "add_", "sub", "mul", "mul_", "div"))
FLATTENS = frozenset((rl.flatten, "flatten", "view", "reshape", rl.reshape, nn.Flatten))
MEANS = frozenset((rl.mean, "mean", rl.amax, "amax", "sum"))


@dataclass(frozen=True)
class Use:
    """A module that has the channels of a group. ``role``: makes them (out), consumes them (in), or has one number or
    filter for each (each). Channel i is at start + i · width … of the module's inputs or outputs, width in all."""

    module: str
    role: str
    start: int = 0
    width: int = 1


@dataclass(eq=False)
class ChannelGroup:
    """Channels that only go together. ``size`` of them; ``fixed`` says why none may go, or is None."""

    size: int
    uses: list[Use] = field(default_factory=list)
    fixed: str | None = None
    parent: ChannelGroup | None = None

    @property
    def root(self) -> ChannelGroup:
        g = self
        while g.parent is not None:
            g = g.parent
        return g

    @property
    def name(self) -> str:
        """The first module that makes the channels; empty for those of the network's input."""
        return next((u.module for u in self.uses if u.role == "out"), "")

    def fix(self, why: str) -> None:
        root = self.root
        root.fixed = root.fixed or why

    def join(self, other: ChannelGroup) -> None:
        a, b = self.root, other.root
        if a is not b:
            b.parent = a
            a.uses += b.uses
            a.fixed = a.fixed or b.fixed

    def __repr__(self) -> str:
        made = ", ".join(u.module for u in self.uses if u.role == "out")
        return f"<{self.size} channels of {made}{f', fixed: {self.fixed}' if self.fixed else ''}>"


Run = tuple[ChannelGroup, int]  # a group and how many features each of its channels is


@dataclass
class Layout:
    """A result's channels: runs in order along a dimension."""

    dim: int
    runs: tuple[Run, ...]

    def fix(self, why: str) -> None:
        for g, _ in self.runs:
            g.fix(why)


class _Tracer:
    def __init__(self, model: Any, example_inputs: Any):
        self.graph, self.shapes = traced(model, example_inputs)
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.layouts: dict[Any, Layout] = {}
        self.groups: list[ChannelGroup] = []
        # layer -> layouts in and out, for layers that are called twice
        self.made: dict[str, tuple[Layout, Layout]] = {}

    def run(self) -> list[ChannelGroup]:
        for node in self.graph.nodes:
            if node.op == "output":
                self._inputs(node, "the network's result")
            elif node in self.shapes:
                self.layouts[node] = self._layout(node)
        found = []
        for g in self.groups:
            if g.parent is None and g.uses:
                g.uses = list(dict.fromkeys(g.uses))
                found.append(g)
        return found

    # --- helpers
    # --------------------------------------------------------------------------------------------------------
    def group(self, size: int, fixed: str | None = None) -> ChannelGroup:
        g = ChannelGroup(size, fixed=fixed)
        self.groups.append(g)
        return g

    def _inputs(self, node: Any, why: str) -> None:
        for n in node.all_input_nodes:
            if n in self.layouts:
                self.layouts[n].fix(why)

    def _unknown(self, node: Any) -> Layout:
        """Something that is not followed: nothing before it may shrink."""
        why = f"passes through {getattr(node.target, '__name__', node.target)}"
        if node.op == "call_module":
            why = f"passes through {type(self.modules[node.target]).__name__} {node.target}"
        self._inputs(node, why)
        shape = self.shapes[node]
        dim = 1 if len(shape) > 1 else 0
        return Layout(dim, ((self.group(shape[dim] if shape else 1, why), 1),))

    def _first(self, node: Any) -> Layout | None:
        return next((self.layouts[n] for n in node.all_input_nodes if n in self.layouts), None)

    # --- rules
    # ------------------------------------------------------------------------------------------------------------
    def _layout(self, node: Any) -> Layout:
        if node.op in ("placeholder", "get_attr"):
            shape = self.shapes[node]
            dim = 1 if len(shape) > 1 else 0
            why = "the network's input" if node.op == "placeholder" else "a parameter that the network reads itself"
            return Layout(dim, ((self.group(shape[dim] if shape else 1, why), 1),))
        if node.op == "call_module":
            return self._module(node, self.modules[node.target]) or self._unknown(node)
        return self._function(node, node.target) or self._unknown(node)

    def _module(self, node: Any, m: Any) -> Layout | None:
        x = self._first(node)
        if x is None:
            return None
        kind = type(m)
        rank = len(self.shapes[node.args[0]])
        if kind in CONVS and rank == len(m.kernel_size) + 2:
            return self._conv(node, m, x)
        if kind in TRANSPOSED and m.groups == 1 and rank == len(m.kernel_size) + 2:
            return self._layer(node.target, x, m.out_channels, 1)
        if kind is nn.Linear and x.dim == rank - 1:
            return self._layer(node.target, x, m.out_features, rank - 1)
        if kind in NORMS and x.dim == 1:
            return self._each(node.target, x)
        if kind is nn.LayerNorm and len(m.normalized_shape) == 1 and x.dim == rank - 1:
            return self._each(node.target, x)
        if kind is nn.PReLU and x.dim == 1:
            return x if m.num_parameters == 1 else self._each(node.target, x)
        if kind in SPATIAL and x.dim == 1 or kind in ALIKE:
            return x
        return self._flattened(node, x) if kind is nn.Flatten else None

    def _layer(self, name: str, x: Layout, out: int, dim: int) -> Layout:
        """A layer that consumes all runs and makes a new one."""
        known = self.made.get(name)
        if known is not None:  # called before: shares its parameters with that call
            self._joined(x, known[0])
            return known[1]
        start = 0
        for g, width in x.runs:
            g.root.uses.append(Use(name, "in", start, width))
            start += g.size * width
        made = self.group(out)
        made.uses.append(Use(name, "out"))
        layout = Layout(dim, ((made, 1),))
        self.made[name] = x, layout
        return layout

    def _conv(self, node: Any, m: Any, x: Layout) -> Layout | None:
        if m.groups == 1:
            return self._layer(node.target, x, m.out_channels, 1)
        if m.groups == m.in_channels == m.out_channels:  # a filter for each channel
            return self._each(node.target, x)
        return None

    def _each(self, name: str, x: Layout) -> Layout:
        start = 0
        for g, width in x.runs:
            g.root.uses.append(Use(name, "each", start, width))
            start += g.size * width
        return x

    def _function(self, node: Any, target: Any) -> Layout | None:
        x = self._first(node)
        if x is None:
            return None
        shape, before = self.shapes[node], self.shapes[next(iter(node.all_input_nodes))]
        if target in PAIRS:
            return self._pair(node, shape)
        if target in (rl.cat, rl.concat):
            return self._cat(node, shape)
        if target in FLATTENS:
            return self._flattened(node, x)
        if target in MEANS:
            return self._mean(node, x, before, shape)
        if (target in ALIKE_FUNCTIONS
            or target in ALIKE_METHODS) and len(shape) == len(before) and shape[x.dim] == before[x.dim]:
            return x
        return None

    def _pair(self, node: Any, shape: tuple[int, ...]) -> Layout | None:
        """A sum or product: the runs of both are one, unless one side has a single number there."""
        whole = [n for n in node.all_input_nodes if n in self.layouts and self.shapes[n]]
        found = None
        for n in whole:
            layout, lead = self.layouts[n], len(shape) - len(self.shapes[n])
            dim = layout.dim + lead
            if self.shapes[n][layout.dim] != shape[dim]:  # one number for all channels
                continue
            layout = Layout(dim, layout.runs)
            if found is not None and (found.dim != dim or not self._joined(found, layout)):
                return None
            found = found or layout
        return found

    @staticmethod
    def _joined(a: Layout, b: Layout) -> bool:
        """Make two layouts one; what cannot be stays as it is."""
        if [(g.size, w) for g, w in a.runs] != [(g.size, w) for g, w in b.runs]:
            a.fix("a sum of results whose channels come from different layers in different numbers")
            b.fix("a sum of results whose channels come from different layers in different numbers")
            return True
        for (g, _), (h, _) in zip(a.runs, b.runs):
            g.join(h)
        return True

    def _cat(self, node: Any, shape: tuple[int, ...]) -> Layout | None:
        parts = [self.layouts.get(n) for n in node.args[0]]
        dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
        dim %= len(shape)
        if any(p is None for p in parts):
            return None
        if any(p.dim != dim for p in parts):  # type: ignore[union-attr]
            if len({p.dim for p in parts}) > 1:  # type: ignore[union-attr]
                return None
            for p in parts[1:]:
                self._joined(parts[0], p)  # type: ignore[arg-type]
            return parts[0]
        return Layout(dim, tuple(r for p in parts for r in p.runs))  # type: ignore[union-attr]

    def _flattened(self, node: Any, x: Layout) -> Layout | None:
        """(N, C, …) to (N, C · …): each channel is as many features as it has places."""
        before, after = self.shapes[node.args[0]], self.shapes[node]
        if before == after:
            return x
        if x.dim == 1 and len(after) == 2 and before[0] == after[0] and prod(before[1:]) == after[1]:
            places = prod(before[2:])
            return Layout(1, tuple((g, width * places) for g, width in x.runs))
        return None

    def _mean(self, node: Any, x: Layout, before: tuple[int, ...], after: tuple[int, ...]) -> Layout | None:
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        if dims is None:
            return None
        gone = {d % len(before) for d in (dims if isinstance(dims, (tuple, list)) else (dims,))}
        if x.dim in gone:
            return None
        return x if len(before) == len(after) else Layout(x.dim - sum(d < x.dim for d in gone), x.runs)


def channel_groups(model: Any, example_inputs: Any) -> list[ChannelGroup]:
    """The groups of channels of a network that `rushlight.fx` can trace;
    ``example_inputs`` is a tensor or a tuple of them.

    TraceError where the network's way depends on values.

    >>> import rushlight as rl
    >>> net = rl.nn.Sequential(rl.nn.Conv2d(1, 4, 3), rl.nn.ReLU(), rl.nn.Conv2d(4, 2, 3))
    >>> channel_groups(net, rl.zeros(1, 1, 8, 8))
    [<1 channels of , fixed: the network's input>, <4 channels of 0>, <2 channels of 2, fixed: the network's result>]
    """
    return _Tracer(model, example_inputs).run()
