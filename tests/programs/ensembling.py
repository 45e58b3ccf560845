"""Several models as one by stack_module_state and vmap; also on different data each."""
import copy
import json

import torch
from datafiles import mnist
from torch import nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

torch.manual_seed(0)


class SimpleMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 32), nn.Linear(32, 16), nn.Linear(16, 10)

    def forward(self, x):
        x = x.flatten(1)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


images, labels = mnist(60)
data, targets = torch.from_numpy(images).float() / 255, torch.from_numpy(labels)
models = [SimpleMLP() for _ in range(3)]
params, buffers = stack_module_state(models)
base_model = copy.deepcopy(models[0]).to("meta") if False else copy.deepcopy(models[0])


def fmodel(params, buffers, x):
    return functional_call(base_model, (params, buffers), (x,))


together = vmap(fmodel, in_dims=(0, 0, None))(params, buffers, data)
separate = torch.stack([m(data) for m in models])
minibatches = data.view(3, 20, 28, 28)
each = vmap(fmodel)(params, buffers, minibatches)


def loss_of(params, x, y):
    return nn.functional.cross_entropy(functional_call(base_model, params, (x,)), y)


params = {k: v.detach() for k, v in params.items()}
losses = []
for _ in range(4):
    grads, values = vmap(grad_and_value(loss_of), in_dims=(0, None, None))(params, data, targets)
    params = {k: p - 0.5 * grads[k] for k, p in params.items()}
    losses.append(values.tolist())
print(json.dumps({"close": bool(torch.allclose(together, separate, atol=1e-5)), "each": each.mean((1, 2)).tolist(),
                  "losses": losses, "votes": together.mean(0).argmax(1)[:10].tolist()}))
