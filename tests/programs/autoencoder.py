"""An autoencoder of digits with a bottleneck of three numbers."""
import json

import torch
from datafiles import mnist
from torch import nn

torch.manual_seed(0)
images, labels = mnist(512)
x = torch.as_tensor(images, dtype=torch.float32).view(-1, 784) / 255


class AutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 128), nn.Tanh(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 128), nn.Tanh(),
                                     nn.Linear(128, 784), nn.Sigmoid())

    def forward(self, x):
        encoded = self.encoder(x)
        return encoded, self.decoder(encoded)


autoencoder = AutoEncoder()
optimizer = torch.optim.Adam(autoencoder.parameters(), lr=0.005)
loss_func = nn.MSELoss()
losses = []
for epoch in range(4):
    for b_x in torch.chunk(x, 8):
        encoded, decoded = autoencoder(b_x)
        loss = loss_func(decoded, b_x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
code, picture = autoencoder(x[:2])
print(json.dumps({"losses": losses, "code": code.tolist(), "ink": picture.sum(1).tolist()}))
