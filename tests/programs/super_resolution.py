"""Sub-pixel convolution makes small photographs large; bicubic interpolation beside it; activation checkpointing."""
import json
from math import log10

import torch
import torch.nn as nn
import torch.nn.functional as F
from datafiles import cifar
from torch.nn import init
from torch.utils.checkpoint import checkpoint


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(3, 12, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(12, 8, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(8, 3 * upscale_factor ** 2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight)

    def forward(self, x):
        x = checkpoint(lambda x: self.relu(self.conv2(self.relu(self.conv1(x)))), x, use_reentrant=False)
        return self.pixel_shuffle(self.conv3(x))


torch.manual_seed(123)
target = torch.from_numpy(cifar(32)[0]).float() / 255
small = F.interpolate(target, scale_factor=0.5, mode="area")
model, criterion = Net(2), nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
losses = []
for step in range(8):
    optimizer.zero_grad()
    loss = criterion(model(small), target)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
bicubic = F.interpolate(small, size=(32, 32), mode="bicubic", align_corners=False)
print(json.dumps({"losses": losses, "psnr": 10 * log10(1 / losses[-1]), "bicubic": criterion(bicubic, target).item()}))
