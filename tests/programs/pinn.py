"""A physics-informed network: second derivatives by create_graph, a damped oscillator; a gradient penalty."""
import json

import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
t = torch.linspace(0, 1, 30).view(-1, 1).requires_grad_(True)
t0 = torch.zeros(1, 1, requires_grad=True)
losses = []
for step in range(40):
    optimizer.zero_grad()
    u0 = net(t0)
    du0 = torch.autograd.grad(u0, t0, torch.ones_like(u0), create_graph=True)[0]
    boundary = (u0.squeeze() - 1) ** 2 + du0.squeeze() ** 2
    u = net(t)
    dudt = torch.autograd.grad(u, t, torch.ones_like(u), create_graph=True)[0]
    d2udt2 = torch.autograd.grad(dudt, t, torch.ones_like(dudt), create_graph=True)[0]
    physics = torch.mean((d2udt2 + 4 * dudt + 100 * u) ** 2)
    loss = boundary + 1e-3 * physics
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
critic, points = nn.Sequential(nn.Linear(3, 8), nn.Softplus(), nn.Linear(8, 1)), torch.randn(6, 3, requires_grad=True)
(g,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
((g.norm(2, dim=1) - 1) ** 2).mean().backward()
print(json.dumps({"losses": losses[::5], "penalty": critic[0].weight.grad.flatten().tolist()}))
