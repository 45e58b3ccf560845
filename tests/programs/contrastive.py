"""Contrastive learning: two views of each picture, normalised temperature-scaled
cross entropy; a nearest neighbour probe."""
import json

import torch
import torch.nn.functional as F
from datafiles import mnist
from torch import nn

torch.manual_seed(0)
images, labels = mnist(192, "FashionMNIST")
x, y = torch.from_numpy(images).float().unsqueeze(1) / 255, torch.from_numpy(labels)


def augment(x):
    shift = torch.randint(-2, 3, (2,)).tolist()
    x = torch.roll(x, shifts=shift, dims=(2, 3))
    flip = torch.rand(len(x)) < 0.5
    x = torch.where(flip.view(-1, 1, 1, 1), x.flip(-1), x)
    return (x + 0.1 * torch.randn_like(x)).clamp(0, 1)


def nt_xent(a, b, temperature=0.5):
    z = F.normalize(torch.cat([a, b]), dim=1)
    similarity = z @ z.t() / temperature
    similarity.fill_diagonal_(float("-inf"))
    n = len(a)
    return F.cross_entropy(similarity, torch.cat([torch.arange(n, 2 * n), torch.arange(n)]))


encoder = nn.Sequential(nn.Conv2d(1, 8, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(512, 32))
projector = nn.Sequential(nn.ReLU(), nn.Linear(32, 16))
optimizer = torch.optim.SGD([*encoder.parameters(), *projector.parameters()], lr=0.1, momentum=0.9)
losses = []
for batch in torch.arange(192).repeat(2).split(48):
    a, b = augment(x[batch]), augment(x[batch])
    loss = nt_xent(projector(encoder(a)), projector(encoder(b)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
with torch.no_grad():
    codes = F.normalize(encoder(x), dim=1)
    near = (codes @ codes.t()).fill_diagonal_(-1).argmax(1)
print(json.dumps({"losses": losses, "accuracy": (y[near] == y).float().mean().item(),
                  "codes": codes.mean(0)[:4].tolist()}))
