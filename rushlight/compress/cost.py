"""What a network costs: parameters, bytes as a file, multiplications per input."""

from __future__ import annotations

import io
from dataclasses import dataclass
from math import prod
from typing import Any

from rushlight import nn
from rushlight.compress.channels import CONVS, TRANSPOSED
from rushlight.compress.shapes import traced


@dataclass(frozen=True)
class Cost:
    """``parameters``, ``bytes`` of the saved state_dict, and ``multiply_adds`` of
    convolutions and linear layers for the inputs."""

    parameters: int
    bytes: int
    multiply_adds: int

    def __str__(self) -> str:
        return (f"{self.parameters:,} parameters, {self.bytes / 1e6:.2f} MB, "
                f"{self.multiply_adds / 1e6:.1f} M multiply-adds")


def saved_bytes(model: Any) -> int:
    """The size of the file that torch.save makes of a module's state_dict (or of a state_dict).

    >>> import rushlight as rl
    >>> saved_bytes(rl.nn.Linear(100, 100)) > 40_400
    True
    """
    from rushlight.serialization import save
    file = io.BytesIO()
    save(model.state_dict() if isinstance(model, nn.Module) else model, file)
    return file.tell()


def cost(model: Any, example_inputs: Any) -> Cost:
    """The cost of a network that `rushlight.fx` can trace, for inputs of that shape.

    >>> import rushlight as rl
    >>> cost(rl.nn.Sequential(rl.nn.Linear(4, 3)), rl.zeros(2, 4)).multiply_adds
    24
    """
    graph, shapes = traced(model, example_inputs)
    modules = dict(model.named_modules(remove_duplicate=False))
    total = 0
    for node in graph.nodes:
        m = modules.get(node.target) if node.op == "call_module" else None
        if isinstance(m, CONVS) or isinstance(m, nn.Linear):
            total += prod(shapes[node]) * prod(m.weight.shape[1:])
        elif isinstance(m, TRANSPOSED):
            total += prod(shapes[node.args[0]]) * prod(m.weight.shape[1:])
    return Cost(sum(p.numel() for p in model.parameters()), saved_bytes(model), total)
