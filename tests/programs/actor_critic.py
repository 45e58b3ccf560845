"""Advantage actor-critic with an entropy bonus on a bandit with contexts; one body, two heads."""
import json

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(0)


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 24), nn.Tanh())
        self.actor, self.critic = nn.Linear(24, 3), nn.Linear(24, 1)

    def forward(self, x):
        x = self.body(x)
        return F.log_softmax(self.actor(x), dim=-1), self.critic(x).squeeze(-1)


model = ActorCritic()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
true = torch.randn(5, 3)
history = []
for step in range(40):
    context = torch.randn(16, 5)
    logp, value = model(context)
    action = torch.multinomial(logp.exp().detach(), 1)
    reward = (context @ true).gather(1, action).squeeze(1).clamp(-2, 2)
    advantage = reward - value
    actor_loss = -(logp.gather(1, action).squeeze(1) * advantage.detach()).mean()
    critic_loss = advantage.pow(2).mean()
    entropy = -(logp.exp() * logp).sum(-1).mean()
    loss = actor_loss + 0.5 * critic_loss - 0.01 * entropy
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    if step % 8 == 7:
        history.append([actor_loss.item(), critic_loss.item(), entropy.item(), reward.mean().item()])
print(json.dumps({"history": history}))
