"""Half of the channels of a residual network leave it, for good; a PyTorch program with `rushlight.compress`.

    rushlight run examples/prune.py --root ../shared/data

trains on MNIST, removes the channels whose filters are weakest from every layer that has them, trains the smaller network a little
more, and does so again. Prints accuracy, parameters and multiplications after each step. Under a minute on two cores.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from rushlight import compress


class Block(nn.Module):
    """Two convolutions beside a shortcut: what the sum joins can only shrink together."""

    def __init__(self, channels: int, out: int, stride: int = 1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.short = nn.Identity() if stride == 1 and channels == out else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

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


def train(model, loader, epochs, rate):
    """Adam with a rate that falls to 0."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, epochs * len(loader))
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
    with torch.no_grad():
        return sum((model(x).argmax(1) == y).sum().item() for x, y in loader) / len(loader.dataset)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--root", default="../shared/data", help="the folder that holds MNIST/raw")
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--images", type=int, default=8_000, help="how many training images")
    p.add_argument("--rounds", type=int, default=2, help="how often channels are removed")
    p.add_argument("--amount", type=float, default=0.5, help="the fraction of channels removed each time")
    args = p.parse_args()
    torch.manual_seed(0)
    digits = datasets.MNIST(args.root, transform=transforms.ToTensor())
    test = DataLoader(datasets.MNIST(args.root, train=False, transform=transforms.ToTensor()), batch_size=500)
    loader = DataLoader(Subset(digits, range(args.images)), batch_size=64, shuffle=True)
    example = torch.zeros(1, 1, 28, 28)

    def row(name, model):
        c = compress.cost(model, example)
        print(f"{name:24}{accuracy(model, test):10.2%}{c.parameters:12,}{c.bytes / 1000:9.0f}{c.multiply_adds / 1e6:10.2f}", flush=True)

    print(f"{'network':24}{'accuracy':>10}{'parameters':>12}{'kB':>9}{'M mul-add':>10}")
    model = train(ResNet(), loader, args.epochs, 2e-3)
    row("trained", model)
    for _ in range(args.rounds):
        model, report = compress.prune_channels(model, example, args.amount)
        row(f"{args.amount:.0%} of channels removed", model)
        train(model, loader, 1, 1e-3)
        row("trained again", model)
    print(report)


if __name__ == "__main__":
    main()
