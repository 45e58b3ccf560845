"""Real NVP on two moons: masked couplings, log-determinants, sampling by the inverse."""
import json
import math

import torch
from torch import nn

torch.manual_seed(0)
angle = torch.rand(128) * math.pi
upper = torch.rand(128) < 0.5
x = torch.stack([torch.where(upper, angle.cos(), 1 - angle.cos()),
                 torch.where(upper, angle.sin(), 0.5 - angle.sin())], 1) + 0.05 * torch.randn(128, 2)


class Coupling(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)
        self.scale = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(), nn.Linear(16, 2), nn.Tanh())
        self.shift = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(), nn.Linear(16, 2))

    def forward(self, x):
        kept = x * self.mask
        s, t = self.scale(kept) * (1 - self.mask), self.shift(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * (x * s.exp() + t), s.sum(1)

    def inverse(self, z):
        kept = z * self.mask
        s, t = self.scale(kept) * (1 - self.mask), self.shift(kept) * (1 - self.mask)
        return kept + (1 - self.mask) * ((z - t) * (-s).exp())


flow = nn.ModuleList([Coupling(torch.tensor([float(i % 2), float(1 - i % 2)])) for i in range(4)])
optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)
losses = []
for step in range(15):
    z, log_det = x, torch.zeros(128)
    for layer in flow:
        z, d = layer(z)
        log_det = log_det + d
    loss = -(-0.5 * z.pow(2).sum(1) - math.log(2 * math.pi) + log_det).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
with torch.no_grad():
    z = x
    for layer in flow:
        z, _ = layer(z)
    back = z
    for layer in reversed(flow):
        back = layer.inverse(back)
    sample = torch.randn(5, 2)
    for layer in reversed(flow):
        sample = layer.inverse(sample)
print(json.dumps({"losses": losses, "inverse": bool(torch.allclose(back, x, atol=1e-4)), "sample": sample.tolist()}))
