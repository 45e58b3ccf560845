"""A deep convolutional GAN (Radford, Metz and Chintala, arXiv 1511.06434) draws digits as MNIST's writers did.

    rushlight run examples/dcgan.py --root ../shared/data --out dcgan

Saves a picture of the same 64 draws after each epoch, and prints both losses and how good the draws are by the eye of a
classifier trained on MNIST: how sure it is of each digit, how evenly the ten digits come up, and the inception score
that sums up both (1 for noise, 10 at best; MNIST's own test pictures get 9.3). Under a minute on two cores.
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision import datasets
from torchvision.utils import save_image

CODE = 64


def generator(width=32):
    """(N, 64, 1, 1) random numbers to (N, 1, 28, 28) pixels from -1 to 1."""
    return nn.Sequential(
        nn.ConvTranspose2d(CODE, 3 * width, 7, bias=False), nn.BatchNorm2d(3 * width), nn.ReLU(),
        nn.ConvTranspose2d(3 * width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, 2, 1), nn.Tanh())


def discriminator(width=32):
    """Pictures to (N, 1): over 0 for those that look real."""
    return nn.Sequential(
        nn.Conv2d(1, width, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(49 * 2 * width, 1))


def as_paper_says(module):
    """Weights from a normal distribution of deviation 0.02."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def classifier(x, y, epochs=2):
    """A small network that reads digits, to judge the draws."""
    model = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(),
                          nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()


def quality(judge, pictures):
    """The judge's mean confidence, the share of the rarest digit, and the inception score exp E KL(p(y|x) | p(y))."""
    with torch.no_grad():
        p = judge(pictures).softmax(1)
    overall = p.mean(0, keepdim=True)
    score = (p * (p.clamp(min=1e-12).log() - overall.log())).sum(1).mean().exp()
    shares = torch.bincount(p.argmax(1), minlength=10) / len(p)
    return p.amax(1).mean().item(), shares.min().item(), score.item()


def play(g, d, real, optimizers):
    """One move of each: the discriminator learns to tell real from drawn,
    the generator to be taken for real; both losses."""
    drawn = g(torch.randn(len(real), CODE, 1, 1))
    optimizers[1].zero_grad()
    # Real pictures are 0.9 real: a discriminator that is never quite sure leaves the generator a slope to climb
    yes, no = d(real), d(drawn.detach())
    loss_d = (F.binary_cross_entropy_with_logits(yes, torch.full_like(yes, 0.9))
              + F.binary_cross_entropy_with_logits(no, torch.zeros_like(no)))
    loss_d.backward()
    optimizers[1].step()
    optimizers[0].zero_grad()
    answer = d(drawn)
    loss_g = F.binary_cross_entropy_with_logits(answer, torch.ones_like(answer))
    loss_g.backward()
    optimizers[0].step()
    return loss_g, loss_d


def draw(g, codes):
    """Pictures of codes."""
    with torch.no_grad():
        return torch.cat([g(part) for part in codes.view(-1, CODE, 1, 1).split(64)])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--root", default="../shared/data", help="the folder that holds MNIST/raw")
    p.add_argument("--out", default="dcgan", help="the folder for the pictures")
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--images", type=int, default=25_600, help="how many training images")
    p.add_argument("--batch", type=int, default=64)
    args = p.parse_args()
    torch.manual_seed(0)
    data = datasets.MNIST(args.root)
    x = data.data[:, None].float() / 127.5 - 1
    judge, x = classifier(x, data.targets), x[:args.images]
    test = datasets.MNIST(args.root, train=False)
    print("MNIST's test pictures: sure {:.1%}, rarest digit {:.1%}, inception score {:.2f}".format(
        *quality(judge, test.data[:, None].float() / 127.5 - 1)), flush=True)
    g, d = generator().apply(as_paper_says), discriminator().apply(as_paper_says)
    optimizers = [torch.optim.Adam(m.parameters(), lr=1e-3, betas=(0.5, 0.999)) for m in (g, d)]
    steps = args.epochs * -(-len(x) // args.batch)
    # The second half learns ever slower
    schedules = [LambdaLR(o, lambda step: min(1.0, 2 - 2 * step / steps)) for o in optimizers]
    # The mean of the generator's last hundred or so states draws better than the state it happens to be in
    steady = AveragedModel(g, multi_avg_fn=get_ema_multi_avg_fn(0.99), use_buffers=True)
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    shown = torch.randn(64, CODE)
    for epoch in range(1, args.epochs + 1):
        losses = []
        for rows in torch.randperm(len(x)).split(args.batch):
            loss_g, loss_d = play(g, d, x[rows], optimizers)
            losses.append(torch.stack([loss_g.detach(), loss_d.detach()]))
            steady.update_parameters(g)
            for schedule in schedules:
                schedule.step()
        mean = torch.stack(losses).mean(0).tolist()
        steady.eval()
        sure, rarest, score = quality(judge, draw(steady, torch.randn(2048, CODE)))
        save_image(F.interpolate(draw(steady, shown), scale_factor=3), folder / f"epoch{epoch}.png", nrow=8,
                   normalize=True, value_range=(-1, 1), pad_value=0.3)
        print(f"epoch {epoch}: generator {mean[0]:.2f}, discriminator {mean[1]:.2f}; draws: sure {sure:.1%}, "
              f"rarest digit {rarest:.1%}, inception score {score:.2f}", flush=True)
    print(f"saved {folder}/epoch1.png to epoch{args.epochs}.png")


if __name__ == "__main__":
    main()
