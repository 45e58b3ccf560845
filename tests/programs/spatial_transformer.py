"""A spatial transformer: affine_grid and grid_sample learn where to look."""
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from datafiles import mnist


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 5, kernel_size=5)
        self.fc1 = nn.Linear(720, 10)
        self.localization = nn.Sequential(nn.Conv2d(1, 4, kernel_size=7), nn.MaxPool2d(2, stride=2), nn.ReLU(True),
                                          nn.Conv2d(4, 5, kernel_size=5), nn.MaxPool2d(2, stride=2), nn.ReLU(True))
        self.fc_loc = nn.Sequential(nn.Linear(5 * 3 * 3, 16), nn.ReLU(True), nn.Linear(16, 3 * 2))
        self.fc_loc[2].weight.data.zero_()
        self.fc_loc[2].bias.data.copy_(torch.tensor([1, 0, 0, 0, 1, 0], dtype=torch.float))

    def stn(self, x):
        theta = self.fc_loc(self.localization(x).view(-1, 45)).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.size(), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(self.stn(x)), 2))
        return F.log_softmax(self.fc1(x.flatten(1)), dim=1)


torch.manual_seed(0)
images, labels = mnist(128)
x, y = torch.from_numpy(images).float().unsqueeze(1) / 255, torch.from_numpy(labels)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
losses = []
for i in list(range(0, 128, 32)) * 2:
    optimizer.zero_grad()
    loss = F.nll_loss(model(x[i:i + 32]), y[i:i + 32])
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
with torch.no_grad():
    moved = model.stn(x[:2]).sum().item()
print(json.dumps({"losses": losses, "moved": moved, "theta": model.fc_loc[2].bias.tolist()}))
