"""A variational autoencoder (Kingma and Welling, 2014) of handwritten digits; a PyTorch program.

    rushlight run examples/vae.py --root ../shared/data

trains on MNIST, prints the test loss of each epoch, and saves a picture: digits of the test set above what the network
makes of them, then digits from random numbers. Under a minute on two cores.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms
from torchvision.utils import save_image


class VAE(nn.Module):
    """28×28 pixels to the mean and log variance of a few hidden numbers, and back to probabilities of ink."""

    def __init__(self, hidden: int = 256, code: int = 16):
        super().__init__()
        self.code = code
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 2 * code))
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, 784))

    def forward(self, x):
        mean, log_variance = self.encoder(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return self.decoder(z), mean, log_variance


def loss_of(logits, x, mean, log_variance):
    """The negative evidence bound per picture: cross entropy of the pixels plus
    the divergence from the normal distribution."""
    pixels = F.binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="sum")
    divergence = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum()
    return (pixels + divergence) / len(x)


def test_loss(model, loader):
    """The mean loss over a data set."""
    model.eval()
    with torch.no_grad():
        return sum(loss_of(*_parts(model, x)).item() * len(x) for x, _ in loader) / len(loader.dataset)


def _parts(model, x):
    logits, mean, log_variance = model(x)
    return logits, x, mean, log_variance


def train(model, loader, test, epochs, rate=1e-3):
    """Train the model; the test losses, the first before training."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    losses = [test_loss(model, test)]
    print(f"before training: test loss {losses[0]:.1f}")
    for epoch in range(epochs):
        model.train()
        for x, _ in loader:
            optimizer.zero_grad()
            loss = loss_of(*_parts(model, x))
            loss.backward()
            optimizer.step()
        losses.append(test_loss(model, test))
        print(f"epoch {epoch + 1}: test loss {losses[-1]:.1f}", flush=True)
    return losses


def picture(model, x, path):
    """Save digits, what the model makes of them, and digits from random numbers, in rows of as many."""
    model.eval()
    with torch.no_grad():
        again = torch.sigmoid(model(x)[0]).view_as(x)
        fresh = torch.sigmoid(model.decoder(torch.randn(2 * len(x), model.code))).view(-1, 1, 28, 28)
    rows = torch.cat([x, again, fresh])
    save_image(F.interpolate(rows, scale_factor=3), path, nrow=len(x), pad_value=0.3)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--root", default="../shared/data", help="the folder that holds MNIST/raw")
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--images", type=int, default=60_000, help="how many training images")
    p.add_argument("--picture", default="vae.png")
    args = p.parse_args()
    torch.manual_seed(0)
    training = Subset(datasets.MNIST(args.root, transform=transforms.ToTensor()), range(args.images))
    test = datasets.MNIST(args.root, train=False, transform=transforms.ToTensor())
    model = VAE()
    train(model, DataLoader(training, batch_size=128, shuffle=True), DataLoader(test, batch_size=1000), args.epochs)
    picture(model, torch.stack([test[i][0] for i in range(12)]), args.picture)
    print(f"saved {args.picture}")


if __name__ == "__main__":
    main()
