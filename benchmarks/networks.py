"""Training steps as people write them: small and middling networks with dropout, normalisation, clipping, sampling, several losses.

Each function takes torch (or what stands for it) and gives a step that reads its loss.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Step = Callable[[], float]


def training_step(torch: Any, parameters: Any, loss: Callable[[], Any], clip: float | None = None, name: str = "Adam") -> Step:
    """zero_grad, loss, backward, clipping where asked for, step."""
    parameters = list(parameters)
    optimizer = getattr(torch.optim, name)(parameters)

    def step() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        return float(value.item())
    return step


def wide(width: int) -> Callable[[Any], Step]:
    def make(torch: Any) -> Step:
        nn = torch.nn
        model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
        x, y = torch.randn(64, width), torch.randint(0, 10, (64,))
        return training_step(torch, model.parameters(), lambda: nn.functional.cross_entropy(model(x), y))
    return make


def regression(torch: Any) -> Step:
    nn = torch.nn
    model = nn.Sequential(nn.Linear(100, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU(),
                          nn.Dropout(0.3), nn.Linear(256, 1))
    x, y = torch.randn(128, 100), torch.randn(128, 1)
    return training_step(torch, model.parameters(), lambda: nn.functional.mse_loss(model(x), y), 1.0, "AdamW")


def encoder(torch: Any) -> Step:
    nn = torch.nn
    layer = nn.TransformerEncoderLayer(128, 4, 256, dropout=0.1, batch_first=True)
    parts = nn.ModuleList([nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Embedding(1000, 128), nn.Linear(128, 5)])
    body, embedding, head = parts
    x, y = torch.randint(0, 1000, (32, 64)), torch.randint(0, 5, (32,))
    return training_step(torch, parts.parameters(), lambda: nn.functional.cross_entropy(head(body(embedding(x)).mean(1)), y), 1.0)


def gru(torch: Any) -> Step:
    nn = torch.nn
    parts = nn.ModuleList([nn.Embedding(5000, 64), nn.GRU(64, 128, batch_first=True, bidirectional=True), nn.Linear(256, 2)])
    embedding, layer, head = parts
    x, y = torch.randint(0, 5000, (32, 50)), torch.randint(0, 2, (32,))
    return training_step(torch, parts.parameters(), lambda: nn.functional.cross_entropy(head(layer(embedding(x))[0][:, -1]), y), 5.0)


def signals(torch: Any) -> Step:
    nn = torch.nn
    model = nn.Sequential(nn.Conv1d(1, 16, 7, padding=3), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(16, 32, 5, padding=2),
                          nn.BatchNorm1d(32), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 4))
    x, y = torch.randn(32, 1, 500), torch.randint(0, 4, (32,))
    return training_step(torch, model.parameters(), lambda: nn.functional.cross_entropy(model(x), y))


def unet(torch: Any) -> Step:
    nn = torch.nn

    def block(i: int, o: int) -> Any:
        return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.Conv2d(o, o, 3, padding=1), nn.ReLU())
    parts = nn.ModuleList([block(1, 16), block(16, 32), block(32, 64), nn.ConvTranspose2d(64, 32, 2, 2), block(64, 32), nn.ConvTranspose2d(32, 16, 2, 2),
                           block(32, 16), nn.Conv2d(16, 1, 1)])
    first, second, third, up, down, upper, last, out = parts
    x, y = torch.randn(4, 1, 64, 64), (torch.rand(4, 1, 64, 64) > 0.5).float()

    def loss() -> Any:
        a = first(x)
        b = second(nn.functional.max_pool2d(a, 2))
        c = down(torch.cat([up(third(nn.functional.max_pool2d(b, 2))), b], 1))
        return nn.functional.binary_cross_entropy_with_logits(out(last(torch.cat([upper(c), a], 1))), y)
    return training_step(torch, parts.parameters(), loss)


def vae(torch: Any) -> Step:
    nn = torch.nn
    parts = nn.ModuleList([nn.Sequential(nn.Linear(784, 400), nn.ReLU()), nn.Linear(400, 20), nn.Linear(400, 20),
                           nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))])
    encode, mean, spread, decode = parts
    x = torch.rand(128, 784)

    def loss() -> Any:
        h = encode(x)
        mu, logvar = mean(h), spread(h)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return nn.functional.binary_cross_entropy_with_logits(decode(z), x, reduction="sum") + kl
    return training_step(torch, parts.parameters(), loss)


def dcgan(torch: Any) -> Step:
    nn = torch.nn
    make = nn.Sequential(nn.ConvTranspose2d(64, 64, 4, 1, 0, bias=False), nn.BatchNorm2d(64), nn.ReLU(True), nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False),
                         nn.BatchNorm2d(32), nn.ReLU(True), nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh())
    judge = nn.Sequential(nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2, True), nn.Conv2d(32, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2, True),
                          nn.Flatten(), nn.Linear(1024, 1))
    first, second = (torch.optim.Adam(m.parameters(), 2e-4, (0.5, 0.999)) for m in (judge, make))
    real, one, zero, criterion = torch.randn(32, 1, 16, 16), torch.ones(32, 1), torch.zeros(32, 1), nn.BCEWithLogitsLoss()

    def step() -> float:
        made = make(torch.randn(32, 64, 1, 1))
        first.zero_grad()
        told = criterion(judge(real), one) + criterion(judge(made.detach()), zero)
        told.backward()
        first.step()
        second.zero_grad()
        fooled = criterion(judge(made), one)
        fooled.backward()
        second.step()
        return float(told.item() + fooled.item())
    return step


def dqn(torch: Any) -> Step:
    nn = torch.nn
    net = nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
    target, optimizer = copy.deepcopy(net), torch.optim.Adam(net.parameters(), 1e-3)
    states, after, rewards = torch.randn(10_000, 4), torch.randn(10_000, 4), torch.randn(10_000)
    actions, done = torch.randint(0, 2, (10_000,)), (torch.rand(10_000) < 0.1).float()

    def step() -> float:
        with torch.no_grad():
            net(states[0:1]).argmax(1).item()
        i = torch.randint(0, 10_000, (64,))
        values = net(states[i]).gather(1, actions[i][:, None]).squeeze(1)
        with torch.no_grad():
            wanted = rewards[i] + 0.99 * target(after[i]).max(1)[0] * (1 - done[i])
        loss = nn.functional.smooth_l1_loss(values, wanted)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(net.parameters(), 100)
        optimizer.step()
        with torch.no_grad():
            for p, q in zip(target.parameters(), net.parameters()):
                p.mul_(0.995).add_(q, alpha=0.005)
        return float(loss.item())
    return step


def recommendation(torch: Any) -> Step:
    nn = torch.nn
    parts = nn.ModuleList([nn.Embedding(20_000, 32), nn.Embedding(10_000, 32), nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))])
    users, items, head = parts
    user, item, y = torch.randint(0, 20_000, (512,)), torch.randint(0, 10_000, (512,)), torch.rand(512)
    return training_step(torch, parts.parameters(), lambda: nn.functional.binary_cross_entropy_with_logits(
        head(torch.cat([users(user), items(item)], 1)).squeeze(1), y))


def mnist(torch: Any) -> Step:
    nn = torch.nn
    model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
                          nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))
    x, y = torch.randn(64, 1, 28, 28), torch.randint(0, 10, (64,))
    return training_step(torch, model.parameters(), lambda: nn.functional.nll_loss(nn.functional.log_softmax(model(x), 1), y), None, "Adadelta")


def physics(torch: Any) -> Step:
    nn = torch.nn
    model = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 1))
    x = torch.rand(500, 2, requires_grad=True)

    def loss() -> Any:
        u = model(x)
        slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        bend = torch.autograd.grad(slope[:, 0].sum(), x, create_graph=True)[0]
        return (slope[:, 1:] - bend[:, :1]).pow(2).mean() + u.pow(2).mean()
    return training_step(torch, model.parameters(), loss)


def actor_critic(torch: Any) -> Step:
    nn = torch.nn
    parts = nn.ModuleList([nn.Sequential(nn.Linear(8, 64), nn.Tanh()), nn.Linear(64, 4), nn.Linear(64, 1)])
    body, actor, critic = parts
    state = torch.randn(8)

    def loss() -> Any:
        logs, values = [], []
        for _ in range(20):
            h = body(state)
            choice = torch.distributions.Categorical(logits=actor(h))
            action = choice.sample()
            logs.append(choice.log_prob(action))
            values.append(critic(h))
            action.item()
        log, value, reward = torch.stack(logs), torch.cat(values), torch.ones(20)
        return (-log * (reward - value.detach())).mean() + nn.functional.mse_loss(value, reward)
    return training_step(torch, parts.parameters(), loss)


# name -> what it is, and what makes its step
NETWORKS: dict[str, tuple[str, Callable[[Any], Step]]] = {
    "wide512": ("MLP 512-512-512-10, batch 64, Adam", wide(512)),
    "wide1024": ("MLP 1024-1024-1024-10, batch 64, Adam", wide(1024)),
    "wide2048": ("MLP 2048-2048-2048-10, batch 64, Adam", wide(2048)),
    "regression": ("MLP with batch norm, dropout, clipping, batch 128", regression),
    "encoder": ("transformer encoder, 2 layers of 128, dropout 0.1, 32 × 64 tokens", encoder),
    "gru": ("bidirectional GRU of 128, 32 × 50 tokens, clipping", gru),
    "signals": ("1-d convolutions on 32 signals of 500", signals),
    "unet": ("U-Net of 3 levels, 64², batch 4", unet),
    "vae": ("variational autoencoder 784-400-20, batch 128", vae),
    "dcgan": ("DCGAN, 16², batch 32: both networks", dcgan),
    "dqn": ("DQN: an action, a batch of 64, target network", dqn),
    "recommendation": ("two embeddings and a head, batch 512", recommendation),
    "mnist": ("convolutions of PyTorch's MNIST example, Adadelta, batch 64", mnist),
    "physics": ("network with second derivatives in its loss, 500 points", physics),
    "actor_critic": ("actor-critic, 20 actions sampled and read one by one", actor_critic),
}
