"""A small network learns from a large one what the labels do not say; a PyTorch program with `rushlight.compress`.

    rushlight run examples/distill.py --root ../shared/data

trains a teacher on MNIST, then the same small student three times on few images: from their labels,
from the teacher's answers (Hinton's distillation), and from answers and features. Prints the
accuracy of each. Under a minute on two cores.
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from digits import accuracy, images, train

from rushlight import compress


def network(width: int) -> nn.Sequential:
    """Three convolutions and a linear layer for 28 × 28 pixels."""
    def stage(a, b):
        return [nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*stage(1, width), *stage(width, 2 * width), *stage(2 * width, 4 * width),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--root", default="../shared/data", help="the folder that holds MNIST/raw")
    p.add_argument("--images", type=int, default=20_000, help="how many images the teacher sees")
    p.add_argument("--few", type=int, default=1000, help="how many images a student sees")
    p.add_argument("--epochs", type=int, default=20, help="of a student")
    p.add_argument("--width", type=int, default=6, help="of a student; the teacher has 32")
    args = p.parse_args()
    torch.manual_seed(0)
    digits, others = images(args.root)
    test = DataLoader(others, batch_size=1000)
    many = DataLoader(Subset(digits, range(args.images)), batch_size=64, shuffle=True)
    teacher = train(network(32), many, 2, 2e-3, 1.0)
    few = Subset(digits, range(args.images, args.images + args.few))
    example = torch.zeros(1, 1, 28, 28)

    def row(name, model):
        print(f"{name:36}{accuracy(model, test):10.2%}{compress.cost(model, example).parameters:12,}", flush=True)

    print(f"{'network':36}{'accuracy':>10}{'parameters':>12}")
    row("teacher", teacher)
    for name in ("labels", "the teacher's answers", "answers and features"):
        torch.manual_seed(1)
        student, loader = network(args.width), DataLoader(few, batch_size=32, shuffle=True)
        if name == "labels":
            train(student, loader, args.epochs, 3e-3, 1.0)
        else:
            matching = compress.FeatureMatching(student, teacher, {"8": "8"}) if "features" in name else None
            if matching is not None:  # one pass makes its parameters
                pair = example.expand(2, 1, 28, 28)
                student(pair), teacher(pair), matching()
            parameters = [*student.parameters(), *(matching.parameters() if matching else ())]
            compress.distill(student, teacher, loader, torch.optim.Adam(parameters, lr=3e-3),
                             epochs=args.epochs, temperature=4.0, alpha=0.9, matching=matching)
        row(f"student, from {name}", student)


if __name__ == "__main__":
    main()
