"""Half of the channels of a residual network leave it, for good; a PyTorch program with `rushlight.compress`.

    rushlight run examples/prune.py --root ../shared/data

trains on MNIST, removes the channels whose filters are weakest from every layer that has them, trains
the smaller network a little more, and does so again. Prints accuracy, parameters and multiplications
after each step. Under a minute on two cores.
"""

import argparse

import torch
from torch.utils.data import DataLoader, Subset

from digits import ResNet, accuracy, images, train

from rushlight import compress


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--root", default="../shared/data", help="the folder that holds MNIST/raw")
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--images", type=int, default=8_000, help="how many training images")
    p.add_argument("--rounds", type=int, default=2, help="how often channels are removed")
    p.add_argument("--amount", type=float, default=0.5, help="the fraction of channels removed each time")
    args = p.parse_args()
    torch.manual_seed(0)
    digits, others = images(args.root)
    test = DataLoader(others, batch_size=500)
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
