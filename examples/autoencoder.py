"""A denoising autoencoder (Vincent and others, 2008): pictures go through 32 numbers, and come out without their noise.

    rushlight run examples/autoencoder.py --root ../shared/data

trains on FashionMNIST, prints the test error of each epoch as a peak signal-to-noise ratio (in dB, more is better),
and how well a linear classifier reads the clothes from the 32 numbers alone. Saves a picture: test images, with
noise, and as they come out. About half a minute on two cores.
"""

import argparse

import torch
from torch import nn
from torchvision import datasets
from torchvision.utils import save_image

NOISE = 0.4


class Autoencoder(nn.Module):
    """(N, 1, 28, 28) to a code (N, 32) and back."""

    def __init__(self, width=16, code=32):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1), nn.ReLU(), nn.Conv2d(width, 2 * width, 4, 2, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(2 * width * 49, code))
        self.decoder = nn.Sequential(
            nn.Linear(code, 2 * width * 49), nn.ReLU(), nn.Unflatten(1, (2 * width, 7, 7)),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, 2, 1), nn.Sigmoid())

    def forward(self, x):
        return self.decoder(self.encoder(x))


def noisy(x):
    return (x + NOISE * torch.randn_like(x)).clamp(0, 1)


def decibels(a, b):
    """The peak signal-to-noise ratio of pictures from 0 to 1."""
    return -10 * torch.log10((a - b).square().mean()).item()


def train(model, x, test, epochs, batch=128):
    """Minimise the squared error of what comes out against the pictures without noise;
    the ratios, the first of the noise itself."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    with torch.no_grad():
        dirty = noisy(test)
        ratios = [decibels(dirty, test)]
        print(f"noisy test pictures: {ratios[0]:.1f} dB", flush=True)
        for epoch in range(1, epochs + 1):
            with torch.enable_grad():
                for rows in torch.randperm(len(x)).split(batch):
                    optimizer.zero_grad()
                    nn.functional.mse_loss(model(noisy(x[rows])), x[rows]).backward()
                    optimizer.step()
            ratios.append(decibels(model(dirty), test))
            print(f"epoch {epoch}: {ratios[-1]:.1f} dB", flush=True)
    return ratios


def linear_probe(codes, y, test_codes, test_y, steps=300):
    """The accuracy of a linear classifier of codes."""
    mean, scale = codes.mean(0), codes.std(0)
    codes, test_codes = (codes - mean) / scale, (test_codes - mean) / scale
    probe = nn.Linear(codes.shape[1], 10)
    optimizer = torch.optim.Adam(probe.parameters(), lr=0.02)
    for _ in range(steps):
        rows = torch.randint(0, len(codes), (512,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(probe(codes[rows]), y[rows]).backward()
        optimizer.step()
    return (probe(test_codes).argmax(1) == test_y).float().mean().item()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--root", default="../shared/data", help="the folder that holds FashionMNIST/raw")
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--images", type=int, default=30_000, help="how many training images")
    p.add_argument("--picture", default="autoencoder.png")
    args = p.parse_args()
    torch.manual_seed(0)
    data, test = datasets.FashionMNIST(args.root), datasets.FashionMNIST(args.root, train=False)
    x, tx = data.data[:args.images, None].float() / 255, test.data[:2000, None].float() / 255
    model = Autoencoder()
    train(model, x, tx, args.epochs)
    with torch.no_grad():
        codes, test_codes = torch.cat([model.encoder(part) for part in x.split(1000)]), model.encoder(tx)
        shown = torch.cat([tx[(test.targets[:2000] == k).nonzero()[0]] for k in range(10)])  # one of each kind
        dirty = noisy(shown)
        rows = torch.cat([shown, dirty, model(dirty)])
        save_image(nn.functional.interpolate(rows, scale_factor=3), args.picture, nrow=10, pad_value=0.3)
    right = linear_probe(codes, data.targets[:args.images], test_codes, test.targets[:2000])
    print(f"a linear classifier of the codes: {right:.1%} right")
    print(f"saved {args.picture}")


if __name__ == "__main__":
    main()
