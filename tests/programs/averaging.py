"""Stochastic weight averaging and an exponential average with AveragedModel; batch-norm statistics afterwards."""
import json

import torch
from datafiles import mnist
from torch import nn
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

torch.manual_seed(0)
images, labels = mnist(192)
x, y = torch.from_numpy(images).float().flatten(1) / 255, torch.from_numpy(labels)
model = nn.Sequential(nn.Linear(784, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10))
swa_model, ema_model = AveragedModel(model), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
swa_scheduler = SWALR(optimizer, swa_lr=0.05, anneal_epochs=2)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=48)
losses, rates = [], []
for epoch in range(4):
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(xb), yb)
        loss.backward()
        optimizer.step()
        ema_model.update_parameters(model)
        losses.append(loss.item())
    if epoch > 1:
        swa_model.update_parameters(model)
        swa_scheduler.step()
    else:
        scheduler.step()
    rates.append(optimizer.param_groups[0]["lr"])
update_bn(loader, swa_model)
swa_model.eval()
with torch.no_grad():
    final = nn.functional.cross_entropy(swa_model(x), y).item()
    ema = nn.functional.cross_entropy(ema_model.eval()(x), y).item()
print(json.dumps({"losses": losses, "rates": rates, "final": final, "ema": ema,
                  "averaged": swa_model.n_averaged.item()}))
