"""A mixture density network: an inverse problem with several answers; log-sum-exp and sampling."""
import json
import math

import torch
from torch import nn

torch.manual_seed(0)
y = torch.rand(200, 1) * 2 - 1
x = y + 0.3 * torch.sin(2 * math.pi * y) + 0.05 * torch.randn(200, 1)


class MDN(nn.Module):
    def __init__(self, hidden, mixtures):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, hidden), nn.Hardtanh())
        self.pi, self.sigma, self.mu = nn.Linear(hidden,
                                                 mixtures), nn.Linear(hidden, mixtures), nn.Linear(hidden, mixtures)

    def forward(self, x):
        h = self.body(x)
        return self.pi(h), nn.functional.softplus(self.sigma(h)) + 1e-3, self.mu(h)


def nll(pi, sigma, mu, y):
    log_normal = -0.5 * ((y - mu) / sigma) ** 2 - sigma.log() - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(pi.log_softmax(1) + log_normal, dim=1).mean()


model = MDN(20, 4)
optimizer = torch.optim.Adamax(model.parameters(), lr=0.02)
losses = []
for epoch in range(40):
    loss = nll(*model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
with torch.no_grad():
    pi, sigma, mu = model(torch.linspace(-1, 1, 8).view(-1, 1))
    k = torch.multinomial(pi.softmax(1), 1)
    drawn = torch.normal(mu.gather(1, k), sigma.gather(1, k))
print(json.dumps({"losses": losses[::5], "drawn": drawn.flatten().tolist()}))
