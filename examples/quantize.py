"""A residual network for handwritten digits in float32, with weights of 16 bits, and with 8 bits throughout; a PyTorch program.

    rushlight run examples/quantize.py --root ../shared/data

trains on MNIST, then quantizes three ways: weights in bfloat16; int8 after calibration on some training images; int8 after a
little training with fake quantization. Prints accuracy, size of the file and time of a batch for each. Under a minute on two cores.
"""

import argparse
import copy
import io
import time

import torch
from torch import nn
from torch.ao.quantization import get_default_qat_qconfig_mapping, get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx, prepare_qat_fx
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

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


def size_of(model):
    """Bytes of the file with its weights."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


def milliseconds(model, x):
    """The least time of a batch."""
    times = []
    with torch.no_grad():
        for _ in range(12):
            start = time.perf_counter()
            model(x).sum().item()
            times.append(time.perf_counter() - start)
    return 1000 * min(times)


def half(model):
    """A copy whose weights went through bfloat16, and what they take as a file."""
    weights = {k: v.bfloat16() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    file = io.BytesIO()
    torch.save(weights, file)
    made = copy.deepcopy(model)
    made.load_state_dict(weights)
    return made, file.tell()


def calibrated(model, loader):
    """int8, with the ranges of activations on some images."""
    ready = prepare_fx(model, get_default_qconfig_mapping("onednn"), ())
    with torch.no_grad():
        for x, _ in loader:
            ready(x)
    return convert_fx(ready)


def trained_for_it(model, loader, rate):
    """int8, after an epoch in which the network feels the rounding."""
    ready = prepare_qat_fx(copy.deepcopy(model).train(), get_default_qat_qconfig_mapping("onednn"), ())
    return convert_fx(train(ready, loader, 1, rate))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--root", default="../shared/data", help="the folder that holds MNIST/raw")
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--images", type=int, default=8_000, help="how many training images")
    args = p.parse_args()
    torch.manual_seed(0)
    digits = datasets.MNIST(args.root, transform=transforms.ToTensor())
    test = DataLoader(datasets.MNIST(args.root, train=False, transform=transforms.ToTensor()), batch_size=500)
    loader = DataLoader(Subset(digits, range(args.images)), batch_size=64, shuffle=True)
    few = DataLoader(Subset(digits, range(512)), batch_size=64)
    shorter = DataLoader(Subset(digits, range(args.images // 4)), batch_size=64, shuffle=True)

    model = train(ResNet(), loader, args.epochs, 2e-3)
    small, bytes_of_half = half(model)
    rows = [("float32", model, size_of(model)), ("bfloat16 weights", small, bytes_of_half)]
    for name, made in (("int8, calibrated", calibrated(model, few)), ("int8, trained for it", trained_for_it(model, shorter, 2e-4))):
        rows.append((name, made, size_of(made)))
    batch = next(iter(test))[0][:64]
    print(f"{'network':22}{'accuracy':>10}{'kB':>9}{'ms per 64':>12}")
    for name, made, size in rows:
        print(f"{name:22}{accuracy(made, test):10.2%}{size / 1000:9.0f}{milliseconds(made, batch):12.2f}", flush=True)


if __name__ == "__main__":
    main()
