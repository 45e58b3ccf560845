"""FlopCounterMode: the multiplications and additions of products, convolutions and attention
(torch.utils.flop_counter)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

# row of the table -> flops from the types of its operands, results and its attributes
Counter = Callable[[Any, Any, dict[str, Any]], int]


def _matmul(given: Any, outs: Any, attrs: dict[str, Any]) -> int:
    return 2 * outs[0].numel * (given[0].shape[-1] if given[0].shape else 1)


def _linear(given: Any, outs: Any, attrs: dict[str, Any]) -> int:
    return 2 * outs[0].numel * given[1].shape[-1]


def _convolution(given: Any, outs: Any, attrs: dict[str, Any]) -> int:
    return 2 * outs[0].numel * math.prod(given[1].shape[1:])


COUNTS: dict[str, tuple[str, Counter]] = {
    "matmul": ("aten.mm", _matmul), "linear": ("aten.addmm", _linear), "linear_no_bias": ("aten.mm", _linear),
    "convolution": ("aten.convolution", _convolution),
    "convolution_input_grad": ("aten.convolution_backward", lambda g, o, a: 2 * g[0].numel * math.prod(g[1].shape[1:])),
    "convolution_weight_grad": ("aten.convolution_backward",
                                lambda g, o, a: 2 * g[0].numel * math.prod(o[0].shape[1:])),
}


class FlopCounterMode:
    """Counts flops (two per multiply-add) of what runs in the block,
    by operation, in all and for each module that is called.

    ``mods`` is taken for compatibility: modules are followed wherever they are called. ``depth`` limits the printed
    table, ``display`` prints it at the end.

    >>> import rushlight as rl
    >>> with FlopCounterMode(display=False) as counter:
    ...     _ = (rl.ones(2, 3) @ rl.ones(3, 4)).sum().item()
    >>> counter.get_total_flops()
    48
    """

    def __init__(self, mods: Any = None, depth: int = 2, display: bool = True,
                 custom_mapping: dict[Any, Any] | None = None):
        if custom_mapping:
            raise NotImplementedError("FlopCounterMode(custom_mapping=…) names operations of "
                                      "PyTorch's dispatcher, which are not here")
        self.depth, self.display = depth, display
        self.flop_counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._path: list[str] = ["Global"]

    def __enter__(self) -> FlopCounterMode:
        from rushlight.nn import Module
        from rushlight.tensor.memory import realize_pending
        realize_pending()
        self._call = call = Module.__call__
        counter = self

        def module_call(mod: Any, *args: Any, **kwargs: Any) -> Any:
            counter._count()
            counter._path.append(f"{counter._path[-1]}.{type(mod).__name__}" if len(counter._path) > 1
                                 else type(mod).__name__)
            try:
                return call(mod, *args, **kwargs)
            finally:
                counter._count()
                counter._path.pop()
        Module.__call__ = module_call
        from rushlight.exec import realize
        self._observer = realize.observer
        realize.observer = self._observe
        return self

    def __exit__(self, *_: Any) -> None:
        from rushlight.exec import realize
        from rushlight.nn import Module
        self._count()
        Module.__call__ = self._call
        realize.observer = self._observer
        if self.display:
            print(self.get_table(self.depth))

    def _count(self) -> None:
        """What was recorded is run now, so that it counts for the module that is open."""
        from rushlight.tensor.memory import realize_pending
        realize_pending()

    def _observe(self, nodes: list[Any], run: Any, given: Any) -> Any:
        for node in nodes:
            found = COUNTS.get(node.sig.op.name)
            if found is not None:
                flops = found[1](node.sig.given, node.sig.outs, dict(zip(node.sig.op.attrs, node.sig.attrs)))
                for name in self._path:
                    self.flop_counts[name][found[0]] += flops
        return run(given)

    def get_total_flops(self) -> int:
        """All of them."""
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict[str, dict[str, int]]:
        """By module, then by operation."""
        return {k: dict(v) for k, v in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """The counts as a table."""
        total = max(1, self.get_total_flops())
        rows = [["Module", "FLOP", "% Total"]]
        for name, counts in self.flop_counts.items():
            level = 0 if name == "Global" else name.count(".") + 1
            if level > (self.depth if depth is None else depth):
                continue
            rows.append(["  " * level + name, f"{sum(counts.values()):,}",
                         f"{100 * sum(counts.values()) / total:.2f}%"])
            rows += [["  " * level + " - " + op, f"{n:,}", f"{100 * n / total:.2f}%"] for op, n in counts.items()]
        widths = [max(len(r[i]) for r in rows) for i in range(3)]
        return "\n".join(f"{r[0].ljust(widths[0])}  {r[1].rjust(widths[1])}  {r[2].rjust(widths[2])}" for r in rows)
