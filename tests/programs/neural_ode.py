"""A spiral learnt as a differential equation: Runge-Kutta steps that gradients flow through."""
import json

import torch
from torch import nn

torch.manual_seed(0)
true_A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])


def rk4(f, y, t, dt):
    k1 = f(t, y)
    k2 = f(t + dt / 2, y + dt / 2 * k1)
    k3 = f(t + dt / 2, y + dt / 2 * k2)
    k4 = f(t + dt, y + dt * k3)
    return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def odeint(f, y0, t):
    out = [y0]
    for a, b in zip(t[:-1], t[1:]):
        out.append(rk4(f, out[-1], a, b - a))
    return torch.stack(out)


class ODEFunc(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 12), nn.Tanh(), nn.Linear(12, 2))
        for m in self.net.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, mean=0, std=0.1)
                nn.init.constant_(m.bias, val=0)

    def forward(self, t, y):
        return self.net(y ** 3)


t = torch.linspace(0.0, 1.0, 9)
with torch.no_grad():
    true_y = odeint(lambda t, y: y ** 3 @ true_A, torch.tensor([[2.0, 0.0], [1.0, 1.0]]), t)
func = ODEFunc()
optimizer = torch.optim.RMSprop(func.parameters(), lr=1e-2)
losses = []
for _ in range(8):
    optimizer.zero_grad()
    loss = torch.mean(torch.abs(odeint(func, true_y[0], t) - true_y))
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(json.dumps({"losses": losses, "end": true_y[-1].tolist()}))
