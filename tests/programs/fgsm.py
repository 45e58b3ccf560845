"""Adversarial examples: pictures changed along the sign of their gradient, and by projected steps."""
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from datafiles import mnist

torch.manual_seed(0)
images, labels = mnist(256)
x, y = torch.from_numpy(images).float().unsqueeze(1) / 255, torch.from_numpy(labels)
model = nn.Sequential(nn.Conv2d(1, 6, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(864, 10))
optimizer = torch.optim.NAdam(model.parameters(), lr=0.01)
for i in range(0, 256, 32):
    optimizer.zero_grad()
    F.cross_entropy(model(x[i:i + 32]), y[i:i + 32]).backward()
    optimizer.step()
model.eval()
for p in model.parameters():
    p.requires_grad_(False)


def fgsm_attack(image, epsilon, data_grad):
    return torch.clamp(image + epsilon * data_grad.sign(), 0, 1)


rows = []
for epsilon in (0, 0.05, 0.1, 0.2):
    data = x[:64].clone()
    data.requires_grad = True
    loss = F.nll_loss(F.log_softmax(model(data), dim=1), y[:64])
    model.zero_grad()
    loss.backward()
    attacked = model(fgsm_attack(data, epsilon, data.grad.data))
    rows.append([loss.item(), F.cross_entropy(attacked, y[:64]).item(),
                 (attacked.argmax(1) == y[:64]).float().mean().item()])
delta = torch.zeros_like(x[:16], requires_grad=True)
for _ in range(4):
    loss = F.cross_entropy(model(x[:16] + delta), y[:16])
    (g,) = torch.autograd.grad(loss, delta)
    with torch.no_grad():
        delta.add_(0.03 * g.sign()).clamp_(-0.08, 0.08)
print(json.dumps({"rows": rows, "projected": loss.item(), "delta": delta.abs().mean().item()}))
