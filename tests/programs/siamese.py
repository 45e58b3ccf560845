"""Pairs and triplets of digits: one network, contrastive and triplet losses, a cosine one too."""
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from datafiles import mnist

torch.manual_seed(0)
images, labels = mnist(200)
x, y = torch.from_numpy(images).float().unsqueeze(1) / 255, torch.from_numpy(labels)


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(1, 4, 5, stride=2), nn.PReLU(),
                                 nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 8))

    def forward_once(self, x):
        return self.cnn(x)

    def forward(self, *inputs):
        return tuple(self.forward_once(i) for i in inputs)


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=2.0):
        super().__init__()
        self.margin = margin

    def forward(self, output1, output2, label):
        distance = F.pairwise_distance(output1, output2, keepdim=True)
        return torch.mean((1 - label) * torch.pow(distance, 2) + label * torch.pow(
            torch.clamp(self.margin - distance, min=0.0), 2))


net = Siamese()
optimizer = torch.optim.Adam(net.parameters(), lr=0.0005 * 4)
contrastive, triplet, cosine = ContrastiveLoss(), nn.TripletMarginLoss(margin=1.0), nn.CosineEmbeddingLoss(margin=0.2)
losses = []
for step in range(12):
    i, j, k = torch.randint(0, 200, (3, 24))
    a, b, c = net(x[i], x[j], x[k])
    different = (y[i] != y[j]).float().unsqueeze(1)
    loss = contrastive(a, b, different) + 0.1 * triplet(a, b, c) + 0.1 * cosine(a, b, 1 - 2 * different.squeeze(1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
with torch.no_grad():
    (codes,) = net(x[:6])
print(json.dumps({"losses": losses, "distances": torch.cdist(codes, codes)[0].tolist(),
                  "slope": net.cnn[1].weight.item()}))
