"""A convolutional network on digits: the basic example with log_softmax and NLL, Adadelta and StepLR."""
import argparse
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from datafiles import mnist
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1)
        self.conv2 = nn.Conv2d(8, 16, 3, 1)
        self.dropout1 = nn.Dropout(0.0)
        self.fc1 = nn.Linear(2304, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        return F.log_softmax(self.fc2(x), dim=1)


parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1.0)
parser.add_argument("--gamma", type=float, default=0.7)
args = parser.parse_args([])
torch.manual_seed(1)
images, labels = mnist(640)
x = torch.from_numpy(images).float().div_(255).sub_(0.1307).div_(0.3081).unsqueeze(1)
loader = DataLoader(TensorDataset(x, torch.from_numpy(labels)), batch_size=64, shuffle=True)
model = Net()
optimizer = optim.Adadelta(model.parameters(), lr=args.lr)
scheduler = StepLR(optimizer, step_size=1, gamma=args.gamma)
losses = []
for epoch in range(2):
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    scheduler.step()
model.eval()
with torch.no_grad():
    output = model(x[:200])
    test_loss = F.nll_loss(output, torch.from_numpy(labels[:200]), reduction="sum").item()
    correct = output.argmax(dim=1, keepdim=True).eq(torch.from_numpy(labels[:200]).view_as(output.argmax(dim=1, keepdim=True))).sum().item()
print(json.dumps({"losses": losses[:14], "test": test_loss / 200,
                  "correct": correct / 200, "lr": scheduler.get_last_lr()}))
