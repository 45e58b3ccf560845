"""Reinforcement learning: two methods learn to balance a pole on a cart.

    rushlight run examples/cartpole.py

The cart is pushed left or right fifty times a second; an episode ends when the pole leans over 12°, the cart leaves
its track, or after 500 steps; the return is the number of steps (the rules of CartPole-v1; physics of Barto, Sutton
and Anderson, 1983). REINFORCE (Williams, 1992) learns from whole episodes, DQN (Mnih and others, 2015) from
remembered steps. Many carts run at once, so that one plan asks the network for all of them. Prints returns while
training, and at last over 100 new episodes without exploration.
"""

import argparse
import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

LIMIT = 500  # steps of an episode


class Carts:
    """Many carts at once; a state is (position, speed, angle, angular speed)."""

    def __init__(self, n, seed):
        self.random = np.random.default_rng(seed)
        self.state = self._start(n)
        self.age = np.zeros(n, dtype=np.int64)

    def _start(self, n):
        return self.random.uniform(-0.05, 0.05, (n, 4)).astype(np.float32)

    def step(self, push_right):
        """One fiftieth of a second; the states then, which poles fell,
        and which episodes ended (these carts start anew)."""
        _, v, angle, turn = self.state.T
        force = np.where(push_right, 10.0, -10.0)
        sine, cosine = np.sin(angle), np.cos(angle)
        sideways = (force + 0.05 * turn ** 2 * sine) / 1.1
        turning = (9.8 * sine - cosine * sideways) / (0.5 * (4 / 3 - 0.1 * cosine ** 2 / 1.1))
        moving = sideways - 0.05 * turning * cosine / 1.1
        change = np.stack([v, moving, turn, turning], 1)
        after = (self.state + 0.02 * change).astype(np.float32)
        self.age += 1
        fell = (np.abs(after[:, 0]) > 2.4) | (np.abs(after[:, 2]) > math.radians(12))
        ended = fell | (self.age >= LIMIT)
        self.state = after.copy()
        self.state[ended] = self._start(ended.sum())
        self.age[ended] = 0
        return after, fell, ended


def network():
    return nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))


def asked(model, states):
    """The network's two numbers for each cart."""
    with torch.no_grad():
        return model(torch.from_numpy(states)).numpy()


def score(model, episodes=100):
    """The mean return of so many episodes in which the better action is always taken."""
    carts, total = Carts(episodes, seed=12345), np.zeros(episodes)
    running = np.ones(episodes, dtype=bool)
    while running.any():
        ended = carts.step(asked(model, carts.state).argmax(1) == 1)[2]
        total += running
        running &= ~ended
    return total.mean()


def whole_episodes(model, carts, random):
    """One episode of each cart, actions drawn from the policy: states (T, N, 4),
    actions (T, N), which were alive (T, N)."""
    states, actions, alive = [], [], []
    running = np.ones(len(carts.state), dtype=bool)
    while running.any():
        scores = asked(model, carts.state)
        right = random.random(len(scores)) < 1 / (1 + np.exp(scores[:, 0] - scores[:, 1]))
        states.append(carts.state)
        actions.append(right)
        alive.append(running.copy())
        running &= ~carts.step(right)[2]
    return np.stack(states), np.stack(actions).astype(np.int64), np.stack(alive)


def reinforce(rounds, n=16, discount=0.99):
    """Actions that were followed by more than usual become likelier:
    -log π(a|s) · (G - mean G of that step) / deviation."""
    torch.manual_seed(0)
    model, random = network(), np.random.default_rng(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for k in range(1, rounds + 1):
        states, actions, alive = whole_episodes(model, Carts(n, seed=k), random)
        returns = np.zeros(alive.shape, dtype=np.float32)
        later = np.zeros(n, dtype=np.float32)
        for t in reversed(range(len(alive))):
            later = returns[t] = alive[t] + discount * later
        gain = (returns - returns[alive].mean()) / (returns[alive].std() + 1e-6)
        # Always as many rows, so that one plan serves all rounds: those after an episode's end weigh nothing
        rows = {name: np.concatenate([x, np.zeros((LIMIT - len(x), *x.shape[1:]), x.dtype)]).reshape(-1, *x.shape[2:])
                for name, x in (("states", states), ("actions", actions), ("gain", gain * alive))}
        logits = model(torch.from_numpy(rows["states"]))
        chosen = F.cross_entropy(logits, torch.from_numpy(rows["actions"]), reduction="none")
        optimizer.zero_grad()
        ((chosen * torch.from_numpy(rows["gain"])).sum() / float(alive.sum())).backward()
        optimizer.step()
        if k % 10 == 0:
            print(f"REINFORCE, round {k}: mean return {alive.sum(0).mean():.0f}", flush=True)
            if alive.sum(0).mean() > 495:
                break
    return model


class Memory:
    """The last so many steps of all carts, to draw batches from."""

    def __init__(self, size):
        self.columns = [np.zeros((size, 4), np.float32), np.zeros(size, np.int64),
                        np.zeros((size, 4), np.float32), np.zeros(size, np.float32)]
        self.size, self.count = size, 0

    def add(self, *columns):
        at = (self.count + np.arange(len(columns[0]))) % self.size
        for mine, new in zip(self.columns, columns, strict=True):
            mine[at] = new
        self.count += len(at)

    def draw(self, n, random):
        rows = random.integers(0, min(self.count, self.size), n)
        return [torch.from_numpy(column[rows]) for column in self.columns]


def learn_from(batch, model, target, optimizer, discount):
    """A step towards Q(s, a) = 1 + discount · Q'(s', argmax Q(s', ·)),
    without the second part for a fallen pole (double DQN)."""
    state, action, after, fell = batch
    with torch.no_grad():
        best = model(after).argmax(1, keepdim=True)
        aim = 1 + discount * (1 - fell) * target(after).gather(1, best)[:, 0]
    optimizer.zero_grad()
    F.smooth_l1_loss(model(state).gather(1, action[:, None])[:, 0], aim).backward()
    optimizer.step()


def dqn(steps, n=16, discount=0.99):
    """Learn the value of each action from remembered steps; explore less and less; keep the network that did best."""
    torch.manual_seed(0)
    model, random, carts, memory = network(), np.random.default_rng(0), Carts(n, seed=0), Memory(20_000)
    target, best, best_score = copy.deepcopy(model), model, 0.0
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for k in range(1, steps + 1):
        explore = max(0.05, 1 - k / 1000)
        state = carts.state
        right = np.where(random.random(n) < explore, random.random(n) < 0.5, asked(model, state).argmax(1) == 1)
        after, fell, _ = carts.step(right)
        memory.add(state, right, after, fell)
        if k > 50:
            learn_from(memory.draw(128, random), model, target, optimizer, discount)
        if k % 100 == 0:
            target.load_state_dict(model.state_dict())
        if k % 500 == 0:
            now = score(model, 20)
            print(f"DQN, step {k}: mean return {now:.0f}", flush=True)
            if now > best_score:
                best, best_score = copy.deepcopy(model), now
            if now == LIMIT:
                break
    return best


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=150, help="of REINFORCE, at most")
    p.add_argument("--steps", type=int, default=6000, help="of DQN, at most")
    args = p.parse_args()
    torch.manual_seed(0)  # about one untrained network in thirty stays up for 50 steps
    print(f"untrained: mean return {score(network()):.0f}")
    print(f"REINFORCE: mean return of 100 new episodes {score(reinforce(args.rounds)):.0f}", flush=True)
    print(f"DQN: mean return of 100 new episodes {score(dqn(args.steps)):.0f}")


if __name__ == "__main__":
    main()
