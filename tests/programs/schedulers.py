"""Learning-rate schedulers of many kinds, alone and chained, on one small problem."""
import json

import torch
from torch import nn
from torch.optim import lr_scheduler as s

MAKE = {
    "step": lambda o: s.StepLR(o, 3, 0.5), "multi": lambda o: s.MultiStepLR(o, [2, 5], 0.1),
    "exp": lambda o: s.ExponentialLR(o, 0.9),
    "cosine": lambda o: s.CosineAnnealingLR(o, 6), "warm": lambda o: s.CosineAnnealingWarmRestarts(o, 3, 2),
    "lambda": lambda o: s.LambdaLR(o, lambda e: 1 / (1 + e)), "one": lambda o: s.OneCycleLR(o, 0.5, total_steps=12),
    "cyclic": lambda o: s.CyclicLR(o, 0.01, 0.1, 3), "linear": lambda o: s.LinearLR(o, 0.1, total_iters=4),
    "poly": lambda o: s.PolynomialLR(o, 8, 2.0),
    "sequence": lambda o: s.SequentialLR(o, [s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.8)], [3]),
    "chained": lambda o: s.ChainedScheduler([s.ConstantLR(o, 0.5, 4), s.ExponentialLR(o, 0.9)]),
}
result = {}
for name, make in MAKE.items():
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    x, rates = torch.randn(32, 4), []
    for _ in range(10):
        optimizer.zero_grad()
        loss = (model(x) - x.sum(1, keepdim=True)).pow(2).mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    result[name] = [*rates, loss.item()]
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
plateau = s.ReduceLROnPlateau(optimizer, "min", factor=0.1, patience=2, cooldown=1)
result["plateau"] = []
for metric in [5, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3]:
    plateau.step(metric)
    result["plateau"].append(optimizer.param_groups[0]["lr"])
print(json.dumps(result))
