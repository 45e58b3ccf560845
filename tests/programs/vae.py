"""A variational autoencoder: reparametrised samples, binary cross entropy and the divergence from the prior."""
import json

import torch
import torch.nn.functional as F
from datafiles import mnist
from torch import nn, optim


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 100)
        self.fc21 = nn.Linear(100, 10)
        self.fc22 = nn.Linear(100, 10)
        self.fc3 = nn.Linear(10, 100)
        self.fc4 = nn.Linear(100, 784)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 784))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return BCE + KLD


torch.manual_seed(1)
x = torch.tensor(mnist(320)[0]).unsqueeze(1) / 255
model = VAE()
optimizer = optim.Adam(model.parameters(), lr=1e-3)
losses = []
for i in range(0, 320, 32):
    optimizer.zero_grad()
    recon_batch, mu, logvar = model(x[i:i + 32])
    loss = loss_function(recon_batch, x[i:i + 32], mu, logvar)
    loss.backward()
    losses.append(loss.item() / 32)
    optimizer.step()
with torch.no_grad():
    sample = model.decode(torch.randn(4, 10)).view(4, 1, 28, 28)
print(json.dumps({"losses": losses, "samples": sample.mean((1, 2, 3)).tolist()}))
