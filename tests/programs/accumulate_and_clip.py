"""Gradient accumulation equals one large batch; clipping by norm and by value; zero_grad both ways."""
import json

import torch
from torch import nn

torch.manual_seed(0)
x, y = torch.randn(64, 8), torch.randn(64, 1)


def make():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 1))


whole, parts = make(), make()
nn.functional.mse_loss(whole(x), y).backward()
accumulation_steps = 4
for xb, yb in zip(x.chunk(accumulation_steps), y.chunk(accumulation_steps)):
    (nn.functional.mse_loss(parts(xb), yb) / accumulation_steps).backward()
apart = max((a.grad - b.grad).abs().max().item() for a, b in zip(whole.parameters(), parts.parameters()))
norm = nn.utils.clip_grad_norm_(parts.parameters(), 0.1)
after = nn.utils.clip_grad_norm_(parts.parameters(), 10.0)
nn.utils.clip_grad_value_(whole.parameters(), 0.02)
optimizer = torch.optim.SGD(parts.parameters(), lr=0.5, momentum=0.9)
optimizer.step()
optimizer.zero_grad()
cleared = all(p.grad is None for p in parts.parameters())
whole.zero_grad(set_to_none=False)
zeros = all(p.grad.abs().sum() == 0 for p in whole.parameters())
vector = nn.utils.parameters_to_vector(parts.parameters())
nn.utils.vector_to_parameters(vector * 0.5, parts.parameters())
print(json.dumps({"small": apart < 1e-6, "norm": norm.item(),
                  "after": after.item(), "cleared": cleared, "zeros": bool(zeros),
                  "sum": vector.sum().item(), "loss": nn.functional.mse_loss(parts(x), y).item()}))
