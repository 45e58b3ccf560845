"""Hooks on modules and tensors: activations, gradients, Grad-CAM, and gradients changed on the way."""
import json

import torch
import torch.nn as nn
from datafiles import mnist

torch.manual_seed(0)
images, labels = mnist(16)
x, y = torch.from_numpy(images).float().unsqueeze(1) / 255, torch.from_numpy(labels)
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 10))
seen, order = {}, []


def get_activation(name):
    def hook(model, input, output):
        seen[name] = output.detach()
        order.append(name)
    return hook


def get_gradient(module, grad_input, grad_output):
    seen["gradient"] = grad_output[0].detach()
    return (grad_input[0] * 0.5 if grad_input[0] is not None else None,)


handles = [m.register_forward_hook(get_activation(f"{i}")) for i, m in enumerate(model)]
model.register_forward_pre_hook(lambda module, args: (args[0] * 2 - 1,))
handles.append(model[1].register_full_backward_hook(get_gradient))
activation = {}
handles.append(model[0].register_forward_hook(lambda m, i, o: activation.setdefault("conv", o)))
handles.append(model[4].weight.register_hook(lambda grad: grad.clamp(-0.01, 0.01)))
out = model(x)
activation["conv"].retain_grad()
out[torch.arange(16), y].sum().backward()
cam = torch.relu((activation["conv"] * activation["conv"].grad.mean((2, 3), keepdim=True)).sum(1))
result = {"order": order, "means": [v.mean().item() for v in seen.values()], "cam": cam.amax((1, 2)).tolist(),
          "clamped": model[4].weight.grad.abs().max().item(), "first": model[0].weight.grad.flatten().tolist()}
for h in handles:
    h.remove()
order.clear()
model.zero_grad()
model(x).sum().backward()
result["without"] = [len(order), model[4].weight.grad.abs().max().item()]
print(json.dumps(result))
