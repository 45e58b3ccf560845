"""The network an estimator trains: built from sizes, called for, or copied from a module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

from rushlight import nn


def mlp(inputs: int, outputs: int, hidden: Sequence[int] = (100,), dropout: float = 0.0) -> nn.Sequential:
    """A multilayer perceptron: linear layers with ReLU, and dropout if any, between them; (N, inputs) to (N, outputs).

    >>> mlp(4, 3, hidden=(8,))
    Sequential(
      (0): Linear(in_features=4, out_features=8, bias=True)
      (1): ReLU()
      (2): Linear(in_features=8, out_features=3, bias=True)
    )
    """
    sizes, layers = [inputs, *hidden], []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()] + ([nn.Dropout(dropout)] if dropout else [])
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


Network = nn.Module | Callable[[int, int], nn.Module] | None


def fresh_network(module: Network, inputs: int, outputs: int, hidden: Sequence[int], keep_weights: bool) -> nn.Module:
    """The network to train: an `mlp` for None, what a function of (inputs, outputs) returns, or a module's copy.

    The copy's layers are drawn anew, so that members of an ensemble differ, unless ``keep_weights``.
    """
    if module is None:
        return mlp(inputs, outputs, hidden)
    if not isinstance(module, nn.Module):
        return module(inputs, outputs)
    network = deepcopy(module)
    if not keep_weights:
        for part in network.modules():
            for name in ("_reset_parameters", "reset_parameters"):  # attention layers have the first only
                if hasattr(part, name):
                    getattr(part, name)()
                    break
    return network.train()
