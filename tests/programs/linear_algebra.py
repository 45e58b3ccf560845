"""Least squares, ridge, PCA, power iteration, k-means, Gaussian process: learning without networks."""
import json

import torch
from datafiles import mnist

torch.manual_seed(0)
A, b = torch.randn(30, 4, dtype=torch.double), torch.randn(30, dtype=torch.double)
solution = torch.linalg.lstsq(A, b).solution
ridge = torch.linalg.solve(A.T @ A + 0.1 * torch.eye(4, dtype=torch.double), A.T @ b)
x = torch.from_numpy(mnist(100)[0]).double().flatten(1) / 255
centred = x - x.mean(0)
U, S, Vh = torch.linalg.svd(centred, full_matrices=False)
explained = (S ** 2 / (S ** 2).sum())[:4]
v = torch.ones(784, dtype=torch.double)
for _ in range(40):
    v = torch.nn.functional.normalize(centred.T @ (centred @ v), dim=0)
power = (v @ Vh[0]).abs()
centres = x[:5].clone()
for _ in range(4):
    owner = torch.cdist(x, centres).argmin(1)
    for k in range(5):
        if (owner == k).any():
            centres[k] = x[owner == k].mean(0)
t = torch.linspace(0, 1, 12, dtype=torch.double)
noise = torch.tensor(-2.0, dtype=torch.double, requires_grad=True)
K = torch.exp(-((t[:, None] - t[None]) ** 2) / 0.02) + noise.exp() * torch.eye(12, dtype=torch.double)
L = torch.linalg.cholesky(K)
y = torch.sin(6 * t)
alpha = torch.cholesky_solve(y[:, None], L).squeeze(1)
nll = 0.5 * y @ alpha + L.diagonal().log().sum()
nll.backward()
print(json.dumps({"solution": solution.tolist(), "ridge": ridge.tolist(),
                  "explained": explained.tolist(), "power": power.item(),
                  "counts": torch.bincount(owner, minlength=5).tolist(), "nll": nll.item(), "slope": noise.grad.item(),
                  "det": torch.logdet(K).item(), "eigen": torch.linalg.eigvalsh(K.detach())[-3:].tolist()}))
