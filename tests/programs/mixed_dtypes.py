"""A model in float64, bfloat16 and float32; promotion; master weights kept by hand."""
import json

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
x = torch.randn(10, 6)
outs = {"float32": model(x).sum().item(), "float64": model.double()(x.double()).sum().item()}
low = model.to(torch.bfloat16)(x.to(torch.bfloat16))
outs["bfloat16"] = round(low.float().sum().item(), 1)
outs["dtypes"] = [str(low.dtype).split(".")[-1], str((low + torch.ones(3)).dtype).split(".")[-1],
                  str((torch.arange(3) / 2).dtype).split(".")[-1],
                  str((torch.ones(2, dtype=torch.uint8) + torch.ones(2, dtype=torch.int8)).dtype).split(".")[-1],
                  str(torch.result_type(torch.tensor([1], dtype=torch.int32), 1.5)).split(".")[-1]]
model.float()
master = [p.detach().clone().double() for p in model.parameters()]
losses = []
for step in range(20):
    loss = (model(x) - x[:, :3]).pow(2).mean()
    model.zero_grad()
    (loss * 128).backward()
    with torch.no_grad():
        for p, m in zip(model.parameters(), master):
            m -= 0.1 * (p.grad / 128).double()
            p.copy_(m)
    losses.append(loss.item())
outs["losses"] = losses
outs["wrapped"] = [(torch.tensor([250], dtype=torch.uint8) + 10).item(),
                   (torch.tensor([7]) // 2).item(), (torch.tensor([-7]) % 3).item(),
                   torch.tensor(3.7).to(torch.int64).item(), torch.tensor(300).to(torch.uint8).item()]
print(json.dumps(outs))
