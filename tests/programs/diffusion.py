"""Denoising diffusion on digits of 7x7: a schedule, a time embedding, an exponential average of weights, sampling."""
import copy
import json
import math

import torch
import torch.nn.functional as F
from datafiles import mnist
from torch import nn

torch.manual_seed(0)
T = 20
betas = torch.linspace(1e-4, 0.2, T)
alphas_cumprod = torch.cumprod(1 - betas, dim=0)
x0 = F.avg_pool2d(torch.from_numpy(mnist(128)[0]).float().unsqueeze(1) / 127.5 - 1, 4)


def timestep_embedding(t, dim=16):
    freqs = torch.exp(-math.log(10000) * torch.arange(dim // 2, dtype=torch.float32) / (dim // 2))
    args = t[:, None].float() * freqs[None]
    return torch.cat([torch.cos(args), torch.sin(args)], dim=-1)


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 16))
        self.inp, self.mid, self.out = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(
            16, 1, 3, padding=1)
        self.norm = nn.GroupNorm(4, 16)

    def forward(self, x, t):
        h = self.inp(x) + self.time(timestep_embedding(t))[:, :, None, None]
        return self.out(h + F.silu(self.norm(self.mid(F.silu(h)))))


model = Denoiser()
ema = copy.deepcopy(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
losses = []
for step in range(10):
    x = x0[torch.randint(0, 128, (32,))]
    t = torch.randint(0, T, (32,))
    noise = torch.randn_like(x)
    a = alphas_cumprod[t].view(-1, 1, 1, 1)
    loss = F.mse_loss(model(a.sqrt() * x + (1 - a).sqrt() * noise, t), noise)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for p, q in zip(ema.parameters(), model.parameters()):
            p.lerp_(q, 0.1)
    losses.append(loss.item())


@torch.no_grad()
def sample(n):
    x = torch.randn(n, 1, 7, 7)
    for i in reversed(range(T)):
        t = torch.full((n,), i)
        alpha, bar = 1 - betas[i], alphas_cumprod[i]
        x = (x - betas[i] / (1 - bar).sqrt() * ema(x, t)) / alpha.sqrt()
        if i:
            x = x + betas[i].sqrt() * torch.randn_like(x)
    return x


made = sample(2)
print(json.dumps({"losses": losses, "mean": made.mean((1, 2, 3)).tolist(), "std": made.std().item()}))
