"""Softmax regression on handwritten digits with nothing but tensors, then with nn.Linear."""
import json

import torch
import torch.nn.functional as F
from datafiles import mnist

images, labels = mnist(1000)
x_train, y_train = map(torch.tensor, (images.reshape(-1, 784) / 255.0, labels))
x_train = x_train.float()
n, c = x_train.shape
torch.manual_seed(0)
weights = torch.randn(784, 10) / 28
weights.requires_grad_()
bias = torch.zeros(10, requires_grad=True)


def log_softmax(x):
    return x - x.exp().sum(-1).log().unsqueeze(-1)


def model(xb):
    return log_softmax(xb @ weights + bias)


def nll(input, target):
    return -input[range(target.shape[0]), target].mean()


def accuracy(out, yb):
    return (torch.argmax(out, dim=1) == yb).float().mean()


bs, lr = 64, 0.5
for epoch in range(2):
    for i in range((n - 1) // bs + 1):
        xb, yb = x_train[i * bs:i * bs + bs], y_train[i * bs:i * bs + bs]
        loss = nll(model(xb), yb)
        loss.backward()
        with torch.no_grad():
            weights -= weights.grad * lr
            bias -= bias.grad * lr
            weights.grad.zero_()
            bias.grad.zero_()
by_hand = F.cross_entropy(x_train @ weights + bias, y_train).item()
print(json.dumps({"loss": by_hand, "nll": nll(model(x_train), y_train).item(),
                  "accuracy": accuracy(model(x_train), y_train).item(), "bias": bias.tolist()}))
