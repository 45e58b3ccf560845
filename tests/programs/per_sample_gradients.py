"""Per-sample gradients by torch.func, against a loop; a step of DP-SGD."""
import json

import torch
from datafiles import mnist
from torch import nn
from torch.func import functional_call, grad, vmap

torch.manual_seed(0)
images, labels = mnist(16)
data, targets = torch.from_numpy(images).float().unsqueeze(1) / 255, torch.from_numpy(labels)
model = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(676, 10))
params = {k: v.detach() for k, v in model.named_parameters()}
buffers = {k: v.detach() for k, v in model.named_buffers()}


def compute_loss(params, buffers, sample, target):
    predictions = functional_call(model, (params, buffers), (sample.unsqueeze(0),))
    return nn.functional.cross_entropy(predictions, target.unsqueeze(0))


ft_per_sample_grads = vmap(grad(compute_loss), in_dims=(None, None, 0, 0))(params, buffers, data, targets)
apart = 0.0
for i in range(4):
    loop = torch.autograd.grad(nn.functional.cross_entropy(model(data[i:i + 1]), targets[i:i + 1]),
                               list(model.parameters()))
    apart = max(apart, *((g[i] - l).abs().max().item() for g, l in zip(ft_per_sample_grads.values(), loop)))
norms = torch.stack([g.flatten(1).norm(dim=1) for g in ft_per_sample_grads.values()]).norm(dim=0)
factor = (1.0 / norms).clamp(max=1.0)
with torch.no_grad():
    for name, p in model.named_parameters():
        g = ft_per_sample_grads[name]
        clipped = (g * factor.view(-1, *[1] * (g.dim() - 1))).mean(0)
        p -= 0.1 * (clipped + 0.01 * torch.randn_like(p))
print(json.dumps({"close": apart < 1e-5, "norms": norms.tolist(),
                  "loss": nn.functional.cross_entropy(model(data), targets).item()}))
