"""Transfer learning: a network trained on digits, its features frozen,
a new head for clothes; then fine-tuning in groups."""
import copy
import json

import torch
import torch.nn as nn
import torch.optim as optim
from datafiles import mnist
from torch.optim import lr_scheduler


def data(name):
    images, labels = mnist(256, name)
    return torch.from_numpy(images).float().unsqueeze(1) / 255, torch.from_numpy(labels)


def train(model, optimizer, scheduler, x, y, steps):
    losses, best = [], copy.deepcopy(model.state_dict())
    for step in range(steps):
        i = step * 64 % 256
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[i:i + 64]), y[i:i + 64])
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        if not losses or loss.item() < min(losses):
            best = copy.deepcopy(model.state_dict())
        losses.append(loss.item())
    model.load_state_dict(best)
    return losses


torch.manual_seed(0)
model = nn.Sequential()
model.add_module("features", nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten()))
model.add_module("fc", nn.Linear(288, 10))
first = train(model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), None, *data("MNIST"), 12)
for param in model.features.parameters():
    param.requires_grad = False
before = model.features[0].weight.clone()
num_ftrs = model.fc.in_features
model.fc = nn.Linear(num_ftrs, 10)
x, y = data("FashionMNIST")
optimizer = optim.SGD(filter(lambda p: p.requires_grad, model.parameters()), lr=0.05, momentum=0.9)
second = train(model, optimizer, lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.5), x, y, 10)
unchanged = torch.equal(before, model.features[0].weight)
for param in model.parameters():
    param.requires_grad_(True)
optimizer = optim.AdamW([{"params": model.features.parameters(), "lr": 1e-4},
                         {"params": model.fc.parameters()}], lr=1e-3)
third = train(model, optimizer, None, x, y, 6)
print(json.dumps({"first": first, "second": second, "third": third, "unchanged": unchanged,
                  "moved": not torch.equal(before, model.features[0].weight),
                  "rates": [g["lr"] for g in optimizer.param_groups]}))
