"""Segmentation with transposed convolutions, skip connections and a Dice loss."""
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from datafiles import mnist

torch.manual_seed(0)
images, _ = mnist(32)
mask = torch.from_numpy(images > 100).unsqueeze(1)
x = F.pad(torch.from_numpy(images).float().unsqueeze(1) / 255, (2, 2, 2, 2)) + 0.3 * torch.randn(32, 1, 32, 32)
y = F.pad(mask, (2, 2, 2, 2)).float()


class DoubleConv(nn.Sequential):
    def __init__(self, i, o):
        super().__init__(nn.Conv2d(i, o, 3, padding=1), nn.GroupNorm(2, o), nn.ReLU(inplace=True),
                         nn.Conv2d(o, o, 3, padding="same"), nn.ELU())


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.middle = DoubleConv(1, 4), DoubleConv(4, 8), DoubleConv(8, 8)
        self.up2, self.conv2 = nn.ConvTranspose2d(8, 8, 2, stride=2), DoubleConv(16, 4)
        self.up1 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.conv1, self.out = DoubleConv(8, 4), nn.Conv2d(4, 1, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        m = self.middle(F.avg_pool2d(b, 2))
        x = self.conv2(torch.cat([self.up2(m), b], dim=1))
        return self.out(self.conv1(torch.cat([self.up1(x), a], dim=1)))


def dice_loss(logits, target, eps=1.0):
    p = torch.sigmoid(logits).flatten(1)
    target = target.flatten(1)
    return 1 - ((2 * (p * target).sum(1) + eps) / (p.sum(1) + target.sum(1) + eps)).mean()


model = UNet()
optimizer = torch.optim.RAdam(model.parameters(), lr=0.01)
losses = []
for step in range(6):
    i = step * 16 % 32
    logits = model(x[i:i + 16])
    loss = F.binary_cross_entropy_with_logits(logits, y[i:i + 16]) + dice_loss(logits, y[i:i + 16])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(json.dumps({"losses": losses, "iou": ((logits > 0) & (y[i:i + 16] > 0)).sum().item() / ((logits > 0) | (y[i:i + 16] > 0)).sum().item()}))
