"""From a captured program to an ONNX model."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from rushlight.export.capture import Facts
from rushlight.export.captured import Captured
from rushlight.export.modes import SWITCHES
from rushlight.fx.node import Node, map_arg
from rushlight.ir import dtype as dtypes
from rushlight.onnx.builder import Builder, Value, element
from rushlight.onnx.errors import OnnxExporterError, SymbolicValueError, UnsupportedOperatorError
from rushlight.onnx.rules import NoRule, Rule, table
from rushlight.tensor.core import Tensor

DROPPED = (
    "dtype",
    "device",
    "layout",
    "requires_grad",
    "pin_memory",
    "memory_format",
    "out",
    "generator",
    "non_blocking",
    "copy",
)
RANDOM = frozenset(
    """rand randn randint rand_like randn_like normal normal_ uniform_ bernoulli bernoulli_
    multinomial randperm dropout exponential_""".split()
)
NUMBERS = {math.ceil: "sym_ceil", math.floor: "sym_floor", math.trunc: "sym_trunc"}


class Conversion:
    """Writes the nodes of one captured program into a `Builder`."""

    def __init__(self, captured: Captured, opset: int, custom: dict[str, Rule], keep_names: bool = True):
        from rushlight.onnx.rules_binary import PYTHON

        self.captured, self.g, self.rules = captured, Builder(opset), {**table(), **custom}
        self.python = {**PYTHON, **NUMBERS}
        self.env: dict[
            Node, Any
        ] = {}  # a Value, a list of them, or for what is known already the tensor or number itself
        self.parameters: list[str] = []
        self.opset = opset

    def run(self, input_names: list[str] | None) -> tuple[list[Value], list[Value]]:
        """Inputs and outputs of the graph, which is in the builder then."""
        if self.captured.aliased:
            where = self.captured.aliased[0][1]
            raise OnnxExporterError(
                "a tensor is read after its memory was written through another tensor (a view)"
                f"{' in ' + where if where else ''}; ONNX has no views: write `x = x + y` instead of writing in place"
            )
        inputs = []
        for i, n in enumerate(self.captured.placeholders):
            name = self.g.unique(input_names[i] if input_names and i < len(input_names) else str(n.target))
            inputs.append(self._typed(Value(self.g, name), n))
            self.env[n] = inputs[-1]
        for n in self.captured.graph.nodes:
            if n.op == "get_attr":
                self.env[n] = self._attribute(n)
            elif n.op not in ("placeholder", "output") and n.target not in SWITCHES:  # results have their dtypes anyway
                self.env[n] = self._operation(n)
        outputs = [
            self.value(self.env[o] if isinstance(o, Node) else o) for o in self.captured.outputs if o is not None
        ]
        return inputs, outputs

    # --- values ---------------------------------------------------------------------------------------------------
    @staticmethod
    def _typed(v: Value, n: Node) -> Value:
        facts = n.meta["val"]
        v.dtype, v.shape = (
            facts.dtype,
            tuple([None if isinstance(s, str) else s for s in n.meta.get("sizes", facts.shape)]),
        )
        return v

    def _attribute(self, n: Node) -> Any:
        t = self.captured.attribute(n.target)
        if n.target in self.captured.constants:
            return t.detach().clone()
        self.parameters.append(n.target)
        return self.g.initializer(n.target, _array(t), t.dtype)

    def value(self, x: Any) -> Value:
        """Anything that an edge can carry as one."""
        if isinstance(x, Value):
            return x
        if isinstance(x, Tensor):
            return self.g.const(_array(x), x.dtype)
        if isinstance(x, (bool, int, float)):
            return self.g.const(
                x, dtypes.bool_ if isinstance(x, bool) else dtypes.int64 if isinstance(x, int) else dtypes.float32
            )
        raise SymbolicValueError(f"a result of type {type(x).__name__} has no form in ONNX")

    def _operand(self, n: Node) -> Any:
        x = self.env[n]
        return self.g.const(_array(x), x.dtype) if isinstance(x, Tensor) else x

    # --- operations -----------------------------------------------------------------------------------------------
    def name_of(self, n: Node) -> str:
        """The operation's name in the table."""
        if n.op == "call_method":
            return str(n.target)
        if n.target is getattr:
            return str(n.args[1])
        return self.python.get(n.target) or getattr(n.target, "__name__", str(n.target))

    def _operation(self, n: Node) -> Any:
        name = self.name_of(n)
        number = not isinstance(n.meta.get("val"), Facts) and isinstance(n.meta.get("val"), (int, float))
        if number and not n.meta.get("dynamic"):
            return n.meta["val"]
        if name not in RANDOM and all(self._known(a) for a in n.all_input_nodes):
            return self._computed(n)
        if name == "getitem" and isinstance(self.env.get(n.args[0]), list):
            return self.env[n.args[0]][n.args[1]]
        found = self.rules.get(name) or self.rules.get(name.removesuffix("_"))
        if found is None:
            raise UnsupportedOperatorError(f"aten::{name}", n.meta.get("path", ""), opset=self.opset)
        out = self._apply(n, name, found)
        self._mutate(n, out)
        return out

    def _known(self, n: Node) -> bool:
        x = self.env[n]
        return not isinstance(x, (Value, list)) or isinstance(x, list) and not any(isinstance(v, Value) for v in x)

    def _computed(self, n: Node) -> Any:
        """A result that no input has a part in."""
        from rushlight.autograd.grad_mode import no_grad

        args, kwargs = (map_arg(a, lambda m: self.env[m]) for a in (n.args, n.kwargs))
        with no_grad():
            out = (
                n.target(*args, **kwargs)
                if n.op == "call_function"
                else getattr(args[0], n.target)(*args[1:], **kwargs)
            )
        facts = n.meta.get("val")
        return out.to(facts.dtype) if isinstance(facts, Facts) and isinstance(out, Tensor) else out

    def _apply(self, n: Node, name: str, found: Rule) -> Any:
        args = map_arg(n.args[:1] if n.target is getattr else n.args, self._operand)
        kwargs = {k: map_arg(v, self._operand) for k, v in n.kwargs.items() if k not in DROPPED}
        self.g.label, self.g.outs = n.name, self._types(n)
        try:
            inspect.signature(found).bind(self.g, *args, **kwargs)
        except TypeError as e:
            raise UnsupportedOperatorError(
                f"aten::{name}", n.meta.get("path", ""), f"These operands have no rule: {e}.", self.opset
            ) from None
        try:
            out = found(self.g, *args, **kwargs)
        except NoRule as e:
            raise UnsupportedOperatorError(
                f"aten::{name}", n.meta.get("path", ""), str(e)[:1].upper() + str(e)[1:] + ".", self.opset
            ) from None
        return self._settled(n, out)

    def _types(self, n: Node) -> list[Value]:
        """The types of the results."""
        if isinstance(n.meta.get("val"), Facts):
            return [self._typed(Value(self.g, ""), n)]
        if isinstance(n.meta.get("val"), (int, float)):
            return [Value(self.g, "", dtypes.int64 if isinstance(n.meta["val"], int) else dtypes.float32, ())]
        parts = {u.args[1]: u for u in n.users if u.target is self.getitem and isinstance(u.meta.get("val"), Facts)}
        return [
            self._typed(Value(self.g, ""), parts[i]) if i in parts else Value(self.g, "", dtypes.float32, ())
            for i in range(max(parts, default=-1) + 1)
        ]

    @property
    def getitem(self) -> Any:
        import operator

        return operator.getitem

    def _settled(self, n: Node, out: Any) -> Any:
        """The results with the types that they have in the program."""
        if isinstance(n.meta.get("val"), Facts):
            return self._retyped(out[0] if isinstance(out, list) else out, self.g.outs[0])
        if isinstance(n.meta.get("val"), (int, float)):
            return self._retyped(out, self.g.outs[0])
        parts = out if isinstance(out, list) else [out]
        for i, t in enumerate(self.g.outs):
            if i < len(parts) and isinstance(parts[i], Value):
                parts[i] = self._retyped(parts[i], t)
        return parts

    @staticmethod
    def _retyped(v: Value, t: Value) -> Value:
        if v.dtype is not None and v.dtype is not t.dtype and v.array is None:
            v = v.g.op("Cast", v, to=element(t.dtype))
        elif v.dtype is not None and v.dtype is not t.dtype:
            v = v.cast(t.dtype)
        if v.array is None:
            v.dtype, v.shape = t.dtype, t.shape
        return v

    def _mutate(self, n: Node, out: Any) -> None:
        """After an operation in place, its tensor is the result."""
        targets = [
            a for a in (n.args[:1] + tuple(x for x in [n.kwargs.get("out")] if x is not None)) if isinstance(a, Node)
        ]
        for m in n.meta.get("mutates", ()):
            if m in targets and isinstance(out[0] if isinstance(out, list) else out, Value):
                new = out[0] if isinstance(out, list) else out
                facts = m.meta["val"]
                new = new.cast(facts.dtype) if new.dtype is not facts.dtype else new
                if isinstance(n.meta.get("val"), Facts) or n.target is self.setitem:
                    new.shape = tuple([None if isinstance(s, str) else s for s in m.meta.get("sizes", facts.shape)])
                self.env[m] = new

    @property
    def setitem(self) -> Any:
        import operator

        return operator.setitem


def _array(t: Tensor) -> np.ndarray[Any, Any]:
    from rushlight.tensor.core import unwrap

    return np.array(unwrap(t.detach()), order="C")
