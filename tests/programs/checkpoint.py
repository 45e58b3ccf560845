"""Save and resume: model, optimizer, scheduler, generator; a partial load with strict=False."""
import json
import os
import tempfile

import torch
from torch import nn


def make():
    model = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.GELU(), nn.Linear(12, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)


def steps(model, optimizer, scheduler, n):
    losses = []
    for _ in range(n):
        x = torch.randn(16, 6)
        loss = nn.functional.mse_loss(model(x), x[:, :2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    return losses


torch.manual_seed(0)
parts = make()
losses = steps(*parts, 5)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "checkpoint.pt")
    torch.save({"epoch": 5, "state_dict": parts[0].state_dict(), "optimizer": parts[1].state_dict(),
                "scheduler": parts[2].state_dict(), "rng": torch.get_rng_state()}, path)
    on = steps(*parts, 5)
    torch.manual_seed(99)
    again = make()
    checkpoint = torch.load(path)
    again[0].load_state_dict(checkpoint["state_dict"])
    again[1].load_state_dict(checkpoint["optimizer"])
    again[2].load_state_dict(checkpoint["scheduler"])
    torch.set_rng_state(checkpoint["rng"])
    resumed = steps(*again, 5)
    other = nn.Sequential(nn.Linear(6, 12), nn.Identity(), nn.GELU(), nn.Linear(12, 2))
    report = other.load_state_dict(checkpoint["state_dict"], strict=False)
    whole = os.path.join(folder, "tensors.pt")
    torch.save([torch.arange(4).view(2, 2).t(), {"a": torch.tensor(1.5, dtype=torch.bfloat16)}], whole)
    back = torch.load(whole, weights_only=True)
print(json.dumps({"losses": losses, "on": on, "exact": on == resumed,
                  "epoch": checkpoint["epoch"], "unexpected": sorted(report.unexpected_keys),
                  "missing": report.missing_keys, "back": [back[0].tolist(), back[0].stride(), back[1]["a"].item()]}))
