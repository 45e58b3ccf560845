"""Deep Q-learning with replay memory and a target network in a corridor."""
import json
import math
import random
from collections import deque, namedtuple

import torch
import torch.nn as nn
import torch.optim as optim

Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))


class Corridor:
    """Ten places in a row; the way out is at the right end."""

    def reset(self):
        self.place, self.steps = 3, 0
        return self.observe()

    def observe(self):
        return [self.place / 9, math.sin(self.place), self.steps / 30]

    def step(self, action):
        self.place = max(0, self.place + (1 if action == 1 else -1))
        self.steps += 1
        done = self.place == 9
        return self.observe(), (1.0 if done else -0.02), done, self.steps >= 30


class ReplayMemory:
    def __init__(self, capacity):
        self.memory = deque([], maxlen=capacity)

    def push(self, *args):
        self.memory.append(Transition(*args))

    def sample(self, batch_size):
        return random.sample(self.memory, batch_size)

    def __len__(self):
        return len(self.memory)


class DQN(nn.Module):
    def __init__(self, n_observations, n_actions):
        super().__init__()
        self.layer1 = nn.Linear(n_observations, 32)
        self.layer2 = nn.Linear(32, 32)
        self.layer3 = nn.Linear(32, n_actions)

    def forward(self, x):
        x = torch.relu(self.layer1(x))
        return self.layer3(torch.relu(self.layer2(x)))


random.seed(0)
torch.manual_seed(0)
BATCH_SIZE, GAMMA, TAU = 16, 0.95, 0.05
env, memory = Corridor(), ReplayMemory(500)
policy_net, target_net = DQN(3, 2), DQN(3, 2)
target_net.load_state_dict(policy_net.state_dict())
optimizer = optim.AdamW(policy_net.parameters(), lr=1e-3, amsgrad=True)
losses, rewards, steps_done = [], [], 0
for episode in range(4):
    state = torch.tensor(env.reset(), dtype=torch.float32).unsqueeze(0)
    total = 0.0
    while True:
        eps = 0.1 + 0.8 * math.exp(-steps_done / 40)
        steps_done += 1
        if random.random() > eps:
            with torch.no_grad():
                action = policy_net(state).max(1).indices.view(1, 1)
        else:
            action = torch.tensor([[random.randrange(2)]], dtype=torch.long)
        observation, reward, terminated, truncated = env.step(action.item())
        total += reward
        next_state = None if terminated else torch.tensor(observation, dtype=torch.float32).unsqueeze(0)
        memory.push(state, action, next_state, torch.tensor([reward]))
        state = next_state
        if len(memory) >= BATCH_SIZE:
            batch = Transition(*zip(*memory.sample(BATCH_SIZE)))
            non_final_mask = torch.tensor(tuple(map(lambda s: s is not None, batch.next_state)), dtype=torch.bool)
            non_final_next_states = torch.cat([s for s in batch.next_state if s is not None])
            state_action_values = policy_net(torch.cat(batch.state)).gather(1, torch.cat(batch.action))
            next_state_values = torch.zeros(BATCH_SIZE)
            with torch.no_grad():
                next_state_values[non_final_mask] = target_net(non_final_next_states).max(1).values
            expected = next_state_values * GAMMA + torch.cat(batch.reward)
            loss = nn.SmoothL1Loss()(state_action_values, expected.unsqueeze(1))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
            optimizer.step()
            losses.append(loss.item())
            target_dict, policy_dict = target_net.state_dict(), policy_net.state_dict()
            for key in policy_dict:
                target_dict[key] = policy_dict[key] * TAU + target_dict[key] * (1 - TAU)
            target_net.load_state_dict(target_dict)
        if terminated or truncated:
            break
    rewards.append(total)
print(json.dumps({"losses": losses[::5], "rewards": rewards, "q": target_net(torch.zeros(1, 3)).tolist()}))
