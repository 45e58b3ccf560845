"""Meta-learning: the gradient goes through inner steps of gradient descent; sines of random phase."""
import json
import math

import torch
import torch.nn.functional as F

torch.manual_seed(0)
params = [torch.randn(16, 1) * 0.5, torch.zeros(16), torch.randn(1, 16) * 0.3, torch.zeros(1)]
for p in params:
    p.requires_grad_()
meta = torch.optim.Adam(params, lr=0.02)


def net(x, params):
    w1, b1, w2, b2 = params
    return F.linear(torch.tanh(F.linear(x, w1, b1)), w2, b2)


history = []
for iteration in range(10):
    meta.zero_grad()
    total = 0.0
    for task in range(3):
        amplitude, phase = torch.rand(1) * 2 + 0.5, torch.rand(1) * math.pi
        xs, xq = torch.rand(8, 1) * 6 - 3, torch.rand(8, 1) * 6 - 3
        fast = params
        for _ in range(2):
            inner = F.mse_loss(net(xs, fast), amplitude * torch.sin(xs + phase))
            grads = torch.autograd.grad(inner, fast, create_graph=True)
            fast = [p - 0.05 * g for p, g in zip(fast, grads)]
        outer = F.mse_loss(net(xq, fast), amplitude * torch.sin(xq + phase))
        (outer / 3).backward()
        total += outer.item() / 3
    meta.step()
    history.append(total)
print(json.dumps({"history": history, "bias": params[1].tolist()}))
