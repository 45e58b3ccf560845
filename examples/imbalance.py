"""Class imbalance: seven ways to learn from a data set in which some classes
have a hundred times fewer pictures than others.

    rushlight run examples/imbalance.py --root ../shared/data

FashionMNIST's training pictures are thinned out: 2,000 of the first class, fewer of each next one, 20 of the last.
The same network learns from them plainly, with class weights, with the weights of effective numbers, with balanced
sampling, with focal loss, and from data made balanced by SMOTE (needs imbalanced-learn) and by repetition. A table
shows, on the 10,000 test pictures, which are even, the balanced accuracy (the mean share recognised of each class),
and the shares for the three largest and smallest classes.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler, TensorDataset
from torchvision import datasets

from rushlight.imbalance import FocalLoss, balanced_sampler, class_counts, class_weights, recalls, resample


def pictures(root, train):
    """(N, 1, 14, 14) pixels, halved in size so that this runs quickly, and labels."""
    data = datasets.FashionMNIST(root, train=train)
    return F.avg_pool2d(data.data[:, None].float() / 255, 2), data.targets


def thinned(x, y, largest, smallest):
    """Of class k the first largest · (smallest / largest)^(k / 9) pictures."""
    counts = [round(largest * (smallest / largest) ** (k / 9)) for k in range(10)]
    rows = torch.cat([(y == k).nonzero()[:n, 0] for k, n in enumerate(counts)])
    return x[rows], y[rows]


def network():
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(32 * 9, 64), nn.ReLU(), nn.Linear(64, 10))


def train(x, y, steps, loss=F.cross_entropy, sampler=None, batch=64):
    """A network trained for so many steps, whatever the size of the data."""
    torch.manual_seed(0)
    model = network()
    data = TensorDataset(x, y)
    loader = DataLoader(data, batch, sampler=sampler or RandomSampler(data), drop_last=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    done = 0
    while done < steps:
        for pixels, labels in loader:
            optimizer.zero_grad()
            loss(model(pixels), labels).backward()
            optimizer.step()
            done += 1
            if done == steps:
                break
    return model.eval()


def ways(x, y, steps):
    """Name and trained model of each way."""
    yield "plain cross entropy", train(x, y, steps)
    yield "class weights", train(x, y, steps, nn.CrossEntropyLoss(class_weights(y)))
    yield "effective numbers", train(x, y, steps, nn.CrossEntropyLoss(class_weights(y, beta=0.999)))
    yield "balanced sampling", train(x, y, steps, sampler=balanced_sampler(y))
    yield "focal loss, weighted", train(x, y, steps, FocalLoss(gamma=2.0, weight=class_weights(y)))
    yield "SMOTE", train(*resample(x, y, "SMOTE", random_state=0), steps)
    yield "random oversampling", train(*resample(x, y, "RandomOverSampler", random_state=0), steps)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--root", default="../shared/data", help="the folder that holds FashionMNIST/raw")
    p.add_argument("--largest", type=int, default=2000, help="pictures of the largest class")
    p.add_argument("--smallest", type=int, default=20, help="pictures of the smallest class")
    p.add_argument("--steps", type=int, default=600, help="of training, for each way")
    args = p.parse_args()
    x, y = thinned(*pictures(args.root, True), args.largest, args.smallest)
    tx, ty = pictures(args.root, False)
    print("training pictures of each class:", *class_counts(y).tolist())
    print(f"{'':22}balanced accuracy   three largest   three smallest", flush=True)
    for name, model in ways(x, y, args.steps):
        with torch.no_grad():
            found = recalls(torch.cat([model(part).argmax(1) for part in tx.split(1000)]), ty)
        shares = found.mean().item(), found[:3].mean().item(), found[-3:].mean().item()
        print("{:22}{:17.1%}{:16.1%}{:17.1%}".format(name, *shares), flush=True)


if __name__ == "__main__":
    main()
