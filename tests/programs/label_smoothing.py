"""Losses of classification beside each other: smoothing, class weights, soft targets, focal loss, mixup."""
import json

import torch
import torch.nn.functional as F
from datafiles import mnist
from torch import nn

torch.manual_seed(0)
images, labels = mnist(192)
x, y = torch.from_numpy(images).float().flatten(1) / 255, torch.from_numpy(labels)


def focal(logits, target, gamma=2.0):
    ce = F.cross_entropy(logits, target, reduction="none")
    return ((1 - torch.exp(-ce)) ** gamma * ce).mean()


def smooth_by_hand(logits, target, eps=0.1):
    logp = logits.log_softmax(-1)
    return ((1 - eps) * -logp.gather(1, target[:, None]).squeeze(1) - eps * logp.mean(-1)).mean()


weights = 1.0 / torch.bincount(y, minlength=10).float()
LOSSES = {
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.1),
    "by hand": smooth_by_hand, "weighted": nn.CrossEntropyLoss(weight=weights),
    "both": nn.CrossEntropyLoss(weight=weights, label_smoothing=0.2),
    "soft": lambda o, t: F.cross_entropy(o, F.one_hot(t, 10) * 0.9 + 0.01),
    "focal": focal, "margin": nn.MultiMarginLoss(),
    "bce": lambda o, t: F.binary_cross_entropy_with_logits(o, F.one_hot(t, 10).float()),
    "kl": lambda o, t: F.kl_div(o.log_softmax(1), F.one_hot(t, 10) * 0.8 + 0.02, reduction="batchmean"),
}
result = {}
for name, loss_fn in LOSSES.items():
    torch.manual_seed(1)
    model = nn.Linear(784, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for xb, yb in zip(x.split(64), y.split(64)):
        lam, order = 0.7, torch.randperm(64)
        out = model(lam * xb + (1 - lam) * xb[order])
        loss = lam * loss_fn(out, yb) + (1 - lam) * loss_fn(out, yb[order])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    result[name] = [loss.item(), model.weight.norm().item()]
print(json.dumps(result))
