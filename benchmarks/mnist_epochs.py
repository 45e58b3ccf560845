"""Epochs of MNIST inside one process, without import, start-up and warming up: an ordinary PyTorch program like examples/mnist.py.

    python benchmarks/mnist_epochs.py ROOT              under PyTorch
    rushlight run benchmarks/mnist_epochs.py ROOT       under rushlight

Prints the seconds of two epochs over the 60,000 images in shuffled batches of 64, as JSON: ``loader`` only fetches them (data set,
ToTensor, Normalize, DataLoader without workers), ``training`` is the training epoch of examples/mnist.py. benchmarks/mnist.py
runs it under both in turn.
"""

import contextlib
import importlib.util
import io
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

PROGRAM = Path(__file__).resolve().parents[1] / "examples" / "mnist.py"
WARM = 6400  # images to warm up with


def example():
    """The module of examples/mnist.py."""
    spec = importlib.util.spec_from_file_location("mnist_example", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    program = example()
    torch.manual_seed(0)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    data = datasets.MNIST(sys.argv[1], train=True, transform=transform)
    model = program.MLP()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def fetch(loader):
        return sum(len(y) for _, y in loader)

    def train(loader):
        with contextlib.redirect_stdout(io.StringIO()):
            return 64 * len(program.train(model, loader, nn.CrossEntropyLoss(), optimizer))

    seconds = {}
    for name, run in (("loader", fetch), ("training", train)):
        run(DataLoader(Subset(data, range(WARM)), batch_size=64, shuffle=True))
        loader = DataLoader(data, batch_size=64, shuffle=True)
        begin = time.perf_counter()
        seen = run(loader)
        seconds[name] = time.perf_counter() - begin
        assert seen >= len(data)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
