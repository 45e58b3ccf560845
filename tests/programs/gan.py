"""Generator against discriminator with two optimizers."""
import json

import numpy as np
import torch
import torch.nn as nn
from datafiles import mnist

torch.manual_seed(0)
real_imgs = torch.from_numpy(mnist(256)[0].astype(np.float32) / 127.5 - 1)
latent_dim = 16


def block(in_feat, out_feat, normalize=True):
    layers = [nn.Linear(in_feat, out_feat)]
    if normalize:
        layers.append(nn.BatchNorm1d(out_feat, 0.8))
    layers.append(nn.LeakyReLU(0.2, inplace=True))
    return layers


generator = nn.Sequential(*block(latent_dim, 32, normalize=False), *block(32, 64), nn.Linear(64, 784), nn.Tanh())
discriminator = nn.Sequential(nn.Flatten(), nn.Linear(784, 64),
                              nn.LeakyReLU(0.2, inplace=True), nn.Linear(64, 1), nn.Sigmoid())
adversarial_loss = nn.BCELoss()
optimizer_G = torch.optim.Adam(generator.parameters(), lr=0.0002, betas=(0.5, 0.999))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=0.0002, betas=(0.5, 0.999))
history = []
for i in range(0, 256, 32):
    imgs = real_imgs[i:i + 32]
    valid = torch.ones(imgs.size(0), 1, requires_grad=False)
    fake = torch.zeros(imgs.size(0), 1)
    optimizer_G.zero_grad()
    z = torch.normal(0, 1, (imgs.shape[0], latent_dim))
    gen_imgs = generator(z)
    g_loss = adversarial_loss(discriminator(gen_imgs), valid)
    g_loss.backward()
    optimizer_G.step()
    optimizer_D.zero_grad()
    real_loss = adversarial_loss(discriminator(imgs), valid)
    fake_loss = adversarial_loss(discriminator(gen_imgs.detach()), fake)
    d_loss = (real_loss + fake_loss) / 2
    d_loss.backward()
    optimizer_D.step()
    history.append([d_loss.item(), g_loss.item()])
print(json.dumps({"history": history, "spread": gen_imgs.std().item()}))
