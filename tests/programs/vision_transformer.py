"""A vision transformer: patches by unfold, a class token, nn.MultiheadAttention, pre-norm blocks, warm-up."""
import json

import torch
from datafiles import cifar
from torch import nn


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, dim * 2), nn.GELU(approximate="tanh"), nn.Linear(dim * 2, dim))

    def forward(self, x):
        h = self.norm1(x)
        attended, weights = self.attn(h, h, h, need_weights=True)
        x = x + attended
        return x + self.mlp(self.norm2(x)), weights


class ViT(nn.Module):
    def __init__(self, dim=24, patch=8):
        super().__init__()
        self.unfold = nn.Unfold(patch, stride=patch)
        self.embed = nn.Linear(3 * patch * patch, dim)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos = nn.Parameter(torch.randn(1, 17, dim) * 0.02)
        self.blocks = nn.ModuleList([Block(dim, 3) for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 10)
        nn.init.trunc_normal_(self.cls, std=0.02)

    def forward(self, x):
        x = self.embed(self.unfold(x).transpose(1, 2))
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.pos
        for block in self.blocks:
            x, self.last = block(x)
        return self.head(self.norm(x)[:, 0])


torch.manual_seed(0)
x, y = cifar(96)
x, y = torch.from_numpy(x).float() / 127.5 - 1, torch.from_numpy(y[:96])
model = ViT()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4)
losses = []
for i in list(range(0, 96, 32)) * 3:
    loss = nn.functional.cross_entropy(model(x[i:i + 32]), y[i:i + 32])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    warmup.step()
    losses.append(loss.item())
print(json.dumps({"losses": losses, "attention": model.last[0, 0].tolist(), "shape": list(model.last.shape)}))
