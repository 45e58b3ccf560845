"""What the examples of compression share: MNIST, a residual network for it, its training and its accuracy.

    from digits import ResNet, accuracy, images, train
"""

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import datasets, transforms


def images(root):
    """MNIST's training and test images with their labels."""
    return [datasets.MNIST(root, train=part, transform=transforms.ToTensor()) for part in (True, False)]


class Block(nn.Module):
    """Two convolutions beside a shortcut: what the sum joins can only shrink together."""

    def __init__(self, channels: int, out: int, stride: int = 1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.short = nn.Identity()
        if stride != 1 or channels != out:
            self.short = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.short(x))


class ResNet(nn.Module):
    """Three blocks for 28 × 28 pixels."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(Block(width, width), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2))
        self.head = nn.Linear(4 * width, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn(self.stem(x))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def train(model, loader, epochs, rate, end=0.0):
    """Adam with a rate that falls evenly to ``end`` times the first."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, end, epochs * len(loader))
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def accuracy(model, loader):
    """The fraction of right answers."""
    model.eval()
    with torch.no_grad():
        return sum((model(x).argmax(1) == y).sum().item() for x, y in loader) / len(loader.dataset)
