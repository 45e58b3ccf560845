"""An ordinary PyTorch program: an MLP learns MNIST in one epoch.

    python examples/mnist.py --root DATA              under PyTorch
    rushlight run examples/mnist.py --root DATA       the same file under rushlight
"""

import argparse
import json

import torch
import torch.nn as nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 256)
        self.fc2 = nn.Linear(256, 128)
        self.fc3 = nn.Linear(128, 10)

    def forward(self, x):
        x = x.view(-1, 784)
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


def train(model, loader, criterion, optimizer):
    """One epoch; gives the losses of its steps."""
    losses = []
    model.train()
    for step, (x, y) in enumerate(loader):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 200 == 0:
            print(f"step {step}: loss {losses[-1]:.4f}")
    return losses


def accuracy(model, loader):
    """The share of right answers."""
    model.eval()
    correct = 0
    with torch.no_grad():
        for x, y in loader:
            correct += (model(x).argmax(1) == y).sum().item()
    return correct / len(loader.dataset)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--root", default="data")
    p.add_argument("--losses", help="write the losses of all steps to this JSON file")
    args = p.parse_args()
    torch.manual_seed(0)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    train_loader = DataLoader(datasets.MNIST(args.root, train=True, transform=transform), batch_size=64, shuffle=True)
    test_loader = DataLoader(datasets.MNIST(args.root, train=False, transform=transform), batch_size=1000)
    model = MLP()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = train(model, train_loader, nn.CrossEntropyLoss(), optimizer)
    print(f"test accuracy: {accuracy(model, test_loader):.4f}")
    if args.losses:
        with open(args.losses, "w") as f:
            json.dump(losses, f)


if __name__ == "__main__":
    main()
