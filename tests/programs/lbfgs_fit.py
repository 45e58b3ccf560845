"""Curves fitted by L-BFGS with a closure: a sum of sines, and a Rosenbrock valley with a line search."""
import json

import torch
from torch import nn

torch.manual_seed(0)
t = torch.linspace(0, 6, 80, dtype=torch.double)
target = 1.5 * torch.sin(1.1 * t + 0.3) + 0.4 * torch.cos(2.9 * t)
p = torch.tensor([1.0, 1.0, 0.0, 0.5, 3.0], dtype=torch.double, requires_grad=True)
optimizer = torch.optim.LBFGS([p], lr=0.5, max_iter=8, history_size=6)
losses = []


def closure():
    optimizer.zero_grad()
    loss = (p[0] * torch.sin(p[1] * t + p[2]) + p[3] * torch.cos(p[4] * t) - target).pow(2).mean()
    loss.backward()
    return loss


for _ in range(5):
    losses.append(optimizer.step(closure).item())
xy = torch.tensor([-1.2, 1.0], dtype=torch.double, requires_grad=True)
valley = torch.optim.LBFGS([xy], max_iter=40, line_search_fn="strong_wolfe")


def rosenbrock():
    valley.zero_grad()
    loss = (1 - xy[0]) ** 2 + 100 * (xy[1] - xy[0] ** 2) ** 2
    loss.backward()
    return loss


start = valley.step(rosenbrock).item()
net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
fit = torch.optim.LBFGS(net.parameters(), lr=1, max_iter=10, line_search_fn="strong_wolfe")


def fitting():
    fit.zero_grad()
    loss = nn.functional.mse_loss(net(t[:, None]), target[:, None])
    loss.backward()
    return loss


steps = [fit.step(fitting).item() for _ in range(3)]
print(json.dumps({"losses": losses, "p": p.tolist(), "start": start,
                  "end": [round(v, 3) for v in xy.tolist()], "steps": steps}))
