"""Real photographs: convolutions with batch normalisation, pooling, SGD with weight decay and Nesterov."""
import json

import torch
import torch.nn as nn
from datafiles import cifar

torch.manual_seed(0)
x, y = cifar(256)
x = torch.from_numpy(x).float() / 255
y = torch.from_numpy(y[:256])
mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
x = (x - mean) / std


def block(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o),
                         nn.ReLU(inplace=True), nn.MaxPool2d(2))


net = nn.Sequential(block(3, 16), block(16, 32), block(32, 32),
                    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
for m in net.modules():
    if isinstance(m, nn.Conv2d):
        nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4, nesterov=True)
losses = []
for epoch in range(2):
    for xb, yb in zip(x.split(64), y.split(64)):
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(net(xb), yb)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
net.eval()
with torch.inference_mode():
    logits = net(x[:64])
print(json.dumps({"losses": losses, "mean": mean.flatten().tolist(),
                  "running": net[0][1].running_mean.tolist(), "steps": net[0][1].num_batches_tracked.item(),
                  "top5": logits[:1].topk(5).values.tolist(), "parameters": sum(p.numel() for p in net.parameters())}))
