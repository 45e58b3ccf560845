"""Transfer learning: a network trained on five kinds of clothes learns five others from ten pictures of each.

    rushlight run examples/transfer.py --root ../shared/data

A small ResNet is trained on half of FashionMNIST's classes. Then it learns the other half from 50 pictures in all, in
four ways of as many steps: from scratch; with the body frozen, so that only a new head learns; all layers at once; and
in stages: the new head first, then everything, the body more slowly. Which 50 pictures they are matters, so this is
done with several draws of them. Prints the mean accuracy of each way on the 5,000 test pictures of the new classes, and
that of each draw. The last two end alike here, well above the first two: such a small body has to move, and bears it.
Under a minute on two cores.

    rushlight run examples/transfer.py --weights DEFAULT

starts from torchvision's ImageNet weights instead (from $TORCH_HOME/hub/checkpoints, or downloaded).
"""

import argparse
from copy import deepcopy

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torchvision import datasets
from torchvision.models import ResNet18_Weights, resnet18
from torchvision.models.resnet import BasicBlock, ResNet

from rushlight.finetune import freeze, gradual_unfreezing, layer_groups, replace_head

KNOWN = (0, 3, 4, 5, 7)  # T-shirt, dress, coat, sandal, sneaker
NEW = (1, 2, 6, 8, 9)  # trousers, pullover, shirt, bag, boot


def pictures(root, train, classes, each=None):
    """(N, 3, 28, 28) pixels of mean 0 and labels from 0, of these classes; of every class ``each`` pictures by chance, or
    all."""
    data = datasets.FashionMNIST(root, train=train)
    rows = [(data.targets == c).nonzero()[:, 0] for c in classes]
    rows = torch.cat([r if each is None else r[torch.randperm(len(r))[:each]] for r in rows])
    x = (data.data[rows].float()[:, None] / 255 - 0.286) / 0.353
    return x.expand(-1, 3, -1, -1), torch.bucketize(data.targets[rows], torch.tensor(classes))


def train(model, optimizer, x, y, epochs, batch):
    """Some epochs of cross entropy in batches of one size, at a rate that falls to 0; of every batch half the pictures
    are mirrored."""
    steps = max(len(x) // batch, 1)
    schedule = LambdaLR(optimizer, lambda step: 1 - step / (epochs * steps))
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch)[:steps]:
            pixels = x[rows]
            pixels = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, pixels.flip(-1), pixels)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pixels), y[rows]).backward()
            optimizer.step()
            schedule.step()


def accuracy(model, x, y):
    """The share of right answers."""
    model.eval()
    with torch.no_grad():
        return (torch.cat([model(part).argmax(1) for part in x.split(500)]) == y).float().mean().item()


def small_resnet():
    """ResNet-18 with one block where it has two: its layers have the same names."""
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5)


def pretrained(args):
    """torchvision's weights where they are asked for; else ResNet-18 trained here on the known classes."""
    if args.weights:
        return resnet18(weights=ResNet18_Weights[args.weights])
    model = small_resnet()
    x, y = pictures(args.root, True, KNOWN, args.images)
    train(model, torch.optim.AdamW(model.parameters(), lr=2e-3), x, y, args.epochs, batch=64)
    right = accuracy(model, *pictures(args.root, False, KNOWN))
    print(f"known classes, {args.images} pictures of each: {right:.1%}", flush=True)
    return model


def from_scratch(model, x, y, rounds):
    model = small_resnet()
    train(model, torch.optim.AdamW(model.parameters(), lr=1e-3), x, y, 4 * rounds, batch=16)
    return model


def head_only(model, x, y, rounds):
    freeze(model)
    head = replace_head(model, outputs=len(NEW))
    train(model, torch.optim.AdamW(head.parameters(), lr=1e-2), x, y, 4 * rounds, batch=16)
    return model


def all_at_once(model, x, y, rounds):
    replace_head(model, outputs=len(NEW))
    train(model, torch.optim.AdamW(model.parameters(), lr=1e-3), x, y, 4 * rounds, batch=16)
    return model


def in_stages(model, x, y, rounds):
    """A quarter of the steps for the head alone, then everything, the body slower: it meets a head that knows what it
    wants (Kumar and others, arXiv 2202.10054)."""
    replace_head(model, outputs=len(NEW))
    stages = gradual_unfreezing(layer_groups(model), lr=1e-3, decay=0.7, head_lr=1e-2)
    for parameters, epochs in zip(stages, (rounds, 3 * rounds)):
        train(model, torch.optim.AdamW(parameters), x, y, epochs, batch=16)
    return model


WAYS = {"from scratch": from_scratch, "head only": head_only, "all at once": all_at_once, "in stages": in_stages}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--root", default="../shared/data", help="the folder that holds FashionMNIST/raw")
    p.add_argument("--weights", choices=list(ResNet18_Weights.__members__), help="start from torchvision's weights")
    p.add_argument("--images", type=int, default=1000, help="how many pictures of each known class")
    p.add_argument("--epochs", type=int, default=2, help="over the known classes")
    p.add_argument("--each", type=int, default=10, help="how many pictures of each new class")
    p.add_argument("--rounds", type=int, default=6, help="a quarter of the epochs over the new classes")
    p.add_argument("--draws", type=int, default=4, help="how often pictures of the new classes are drawn")
    p.add_argument("--seed", type=int, default=0)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    model = pretrained(args)
    test = pictures(args.root, False, NEW)
    right = {name: [] for name in WAYS}
    for draw in range(args.draws):
        new = pictures(args.root, True, NEW, args.each)
        for name, way in WAYS.items():
            torch.manual_seed(1000 * args.seed + draw)
            right[name].append(accuracy(way(deepcopy(model), *new, args.rounds), *test))
    for name, found in right.items():
        each = ", ".join(f"{share:.1%}" for share in found)
        print(f"new classes, {args.each} pictures of each, {name + ':':14} {sum(found) / len(found):.1%} ({each})", flush=True)


if __name__ == "__main__":
    main()
