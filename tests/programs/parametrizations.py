"""Constraints on weights by parametrization: symmetric, orthogonal, spectral norm, weight norm."""
import json

import torch
import torch.nn.utils.parametrize as parametrize
from torch import nn
from torch.nn.utils import parametrizations


class Symmetric(nn.Module):
    def forward(self, X):
        return X.triu() + X.triu(1).transpose(-1, -2)

    def right_inverse(self, A):
        return A.triu()


class MatrixExponential(nn.Module):
    def forward(self, X):
        return torch.matrix_exp(X)


torch.manual_seed(0)
layer = nn.Linear(3, 3)
parametrize.register_parametrization(layer, "weight", Symmetric())
symmetric = torch.allclose(layer.weight, layer.weight.T)
A = torch.rand(3, 3)
A = A + A.T
layer.weight = A
kept = torch.allclose(layer.weight, A)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
x, losses = torch.randn(8, 3), []
for _ in range(5):
    loss = (layer(x) - x).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
still = torch.allclose(layer.weight, layer.weight.T)
spectral = parametrizations.spectral_norm(nn.Linear(4, 5))
norm = torch.linalg.matrix_norm(spectral(torch.eye(4)).T - spectral.bias[:, None], 2).item()
weight = parametrizations.weight_norm(nn.Linear(4, 2))
names = [n for n, _ in weight.named_parameters()]
y = weight(torch.ones(1, 4)).detach()
parametrize.remove_parametrizations(weight, "weight")
removed = torch.allclose(weight(torch.ones(1, 4)), y)
with parametrize.cached():
    both = layer.weight is layer.weight
print(json.dumps({"flags": [bool(f) for f in (symmetric, kept, still, removed, both)],
                  "losses": losses, "norm": round(norm, 2), "names": names,
                  "is": parametrize.is_parametrized(layer), "type": type(layer).__name__, "text": str(layer)}))
