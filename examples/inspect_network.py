"""Pictures of what a network for clothes has learned; a PyTorch program with `rushlight.inspect`.

    rushlight run examples/inspect_network.py --root ../shared/data --folder pictures

trains a small network on FashionMNIST, draws its filters, activations, weights, and what it looks at, and reports on
its health before and after training, and on a network that is started badly. Under a minute on two cores.
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from digits import train

from rushlight import inspect


def network() -> nn.Sequential:
    """Three convolutions and two linear layers for 28 × 28 pixels."""
    return nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1),
                         nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))


def badly_started() -> nn.Sequential:
    """The same with a tiny layer before a huge one, and biases that kill units."""
    model = network()
    with torch.no_grad():
        for p in model[0].parameters():
            p.div_(200)
        model[3].weight.mul_(200)
        model[6].bias[:40] = -300
    return model


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--root", default="../shared/data", help="the folder that holds FashionMNIST/raw")
    p.add_argument("--images", type=int, default=20_000, help="how many training images")
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--folder", default="pictures", help="where the pictures go")
    args = p.parse_args()
    folder = Path(args.folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    clothes = datasets.FashionMNIST(args.root, transform=transforms.ToTensor())
    test = datasets.FashionMNIST(args.root, train=False, transform=transforms.ToTensor())
    x, y = next(iter(DataLoader(test, batch_size=256)))
    model = network()
    print("before training:", *inspect.health(model, F.cross_entropy, x, y).problems or ["no problems found"])
    loader = DataLoader(Subset(clothes, range(args.images)), batch_size=64, shuffle=True)
    train(model, loader, args.epochs, 2e-3, 1.0)
    with torch.no_grad():
        print(f"accuracy on 256 test images {(model(x).argmax(1) == y).float().mean():.1%}")

    one_each = torch.stack([x[(y == c).nonzero()[0, 0]] for c in range(8)])
    made = {
        "filters": inspect.filters(model),
        "maps": inspect.activation_maps(model, x, ["1", "4"], image=0),
        "distributions": inspect.activation_distributions(model, x),
        "weights": inspect.weight_histograms(model),
        "saliency": inspect.saliency(model, one_each, smooth=16, labels=test.classes),
        "gradcam": inspect.grad_cam(model, one_each, "6", labels=test.classes),
        "health": inspect.health(model, F.cross_entropy, x, y),
        "sick": inspect.health(badly_started(), F.cross_entropy, x, y),
    }
    print(made["distributions"])
    print("after training:", *made["health"].problems or ["no problems found"])
    print("badly started:", *made["sick"].problems, sep="\n  ")
    for name, picture in made.items():
        picture.save(folder / f"{name}.png")
    print(f"saved {len(made)} pictures in {folder}")


if __name__ == "__main__":
    main()
