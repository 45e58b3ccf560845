"""Training steps on graphs, sequences, signals and pictures with noise, and programs whose sizes change all the time.

Each function takes torch (or what stands for it) and gives a step that reads its loss, or what it has generated.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from typing import Any

from networks import Step, training_step


def graph(torch: Any) -> Step:
    """Two graph convolutions on a graph of Cora's size, by index_add."""
    nn, nodes, edges = torch.nn, 2708, 10556
    source, target = torch.randint(0, nodes, (edges,)), torch.randint(0, nodes, (edges,))
    x, y = torch.randn(nodes, 128), torch.randint(0, 7, (nodes,))
    degree = torch.zeros(nodes).scatter_add_(0, target, torch.ones(edges)).clamp(min=1)[:, None]
    layers = nn.ModuleList([nn.Linear(128, 64), nn.Linear(64, 7)])

    def loss() -> Any:
        h = x
        for at, layer in enumerate(layers):
            h = nn.functional.dropout(nn.functional.relu(h), 0.5) if at else h
            h = layer(h)
            h = torch.zeros_like(h).index_add(0, target, h[source]) / degree
        return nn.functional.cross_entropy(h, y)
    return training_step(torch, layers.parameters(), loss)


def diffusion(torch: Any) -> Step:
    """A small network with group norm that takes noise away from pictures."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, before: int, after: int) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.GroupNorm(8, before), nn.GroupNorm(8, after)])
            self.convolutions = nn.ModuleList([nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1), nn.Conv2d(before, after, 1)])
            self.time = nn.Linear(64, after)

        def forward(self, x: Any, t: Any) -> Any:
            h = self.convolutions[0](F.silu(self.norms[0](x))) + self.time(t)[:, :, None, None]
            return self.convolutions[1](F.silu(self.norms[1](h))) + self.convolutions[2](x)
    parts = nn.ModuleList([Block(32, 32), Block(32, 64), Block(64, 64), Block(96, 32), nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 1, 3, padding=1)])
    time, pictures, left = nn.Linear(64, 64), torch.randn(16, 1, 28, 28), torch.linspace(0.999, 0.01, 1000)

    def loss() -> Any:
        t, noise = torch.randint(0, 1000, (16,)), torch.randn_like(pictures)
        share = left[t][:, None, None, None]
        angles = t[:, None].float() * torch.exp(-torch.arange(32) / 8)
        e = F.silu(time(torch.cat([angles.sin(), angles.cos()], 1)))
        high = parts[0](parts[4](share.sqrt() * pictures + (1 - share).sqrt() * noise), e)
        low = parts[2](parts[1](F.avg_pool2d(high, 2), e), e)
        return F.mse_loss(parts[5](parts[3](torch.cat([F.interpolate(low, scale_factor=2), high], 1), e)), noise)
    return training_step(torch, [*parts.parameters(), *time.parameters()], loss)


def spectrogram(torch: Any) -> Step:
    """A mask on a spectrogram, back to sound."""
    nn = torch.nn
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    window, x, y = torch.hann_window(256), torch.randn(8, 8000), torch.randn(8, 8000)

    def loss() -> Any:
        spectrum = torch.stft(x, 256, 64, window=window, return_complex=True)
        mask = model(spectrum.abs().unsqueeze(1)).squeeze(1).sigmoid()
        return nn.functional.l1_loss(torch.istft(spectrum * mask, 256, 64, window=window, length=8000), y)
    return training_step(torch, model.parameters(), loss)


def tagging(torch: Any) -> Step:
    """A conditional random field over 20 words."""
    emit, between = torch.nn.Linear(32, 9), torch.nn.Parameter(torch.randn(9, 9) * 0.1)
    x, y = torch.randn(16, 20, 32), torch.randint(0, 9, (16, 20))

    def loss() -> Any:
        e = emit(x)
        total = e[:, 0]
        for t in range(1, 20):
            total = torch.logsumexp(total.unsqueeze(2) + between, 1) + e[:, t]
        score = e.gather(2, y.unsqueeze(2)).squeeze(2).sum(1) + between[y[:, :-1], y[:, 1:]].sum(1)
        return (total.logsumexp(1) - score).mean()
    return training_step(torch, [*emit.parameters(), between], loss)


def speech(torch: Any) -> Step:
    nn = torch.nn
    parts = nn.ModuleList([nn.LSTM(20, 64, bidirectional=True, batch_first=True), nn.Linear(128, 30)])
    x, y = torch.randn(8, 60, 20), torch.randint(1, 30, (8, 10))
    lengths, sizes = torch.full((8,), 60), torch.full((8,), 10)
    return training_step(torch, parts.parameters(), lambda: nn.functional.ctc_loss(
        parts[1](parts[0](x)[0]).log_softmax(-1).transpose(0, 1), y, lengths, sizes))


def rays(torch: Any) -> Step:
    """A radiance field: 256 rays of 32 points."""
    nn, F = torch.nn, torch.nn.functional
    model = nn.Sequential(nn.Linear(63, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 4))
    octaves, colours = 2.0 ** torch.arange(10), torch.rand(256, 3)

    def loss() -> Any:
        start, direction = torch.rand(256, 3), F.normalize(torch.randn(256, 3), dim=1)
        depth = torch.linspace(2, 6, 32) + torch.rand(256, 32) * 0.1
        points = start[:, None] + direction[:, None] * depth[..., None]
        waves = (points[..., None] * octaves).flatten(-2)
        made = model(torch.cat([points, waves.sin(), waves.cos()], -1))
        steps = torch.cat([depth[:, 1:] - depth[:, :-1], torch.full((256, 1), 100.0)], 1)
        opaque = 1 - torch.exp(-F.relu(made[..., 3]) * steps)
        seen = torch.cumprod(torch.cat([torch.ones(256, 1), 1 - opaque + 1e-10], 1), 1)[:, :-1] * opaque
        return F.mse_loss((seen[..., None] * made[..., :3].sigmoid()).sum(1), colours)
    return training_step(torch, model.parameters(), loss)


def skip_grams(torch: Any) -> Step:
    """Word vectors with sparse gradients: other rows, and other numbers of them, at every step."""
    F, words = torch.nn.functional, 10_000
    inner, outer = (torch.nn.Embedding(words, 100, sparse=True) for _ in range(2))
    optimizer = torch.optim.SparseAdam([*inner.parameters(), *outer.parameters()], 1e-3)

    def step() -> float:
        centre, near, others = (torch.randint(0, words, s) for s in ((512,), (512,), (512, 5)))
        optimizer.zero_grad()
        c = inner(centre)
        value = -(F.logsigmoid((c * outer(near)).sum(1)) + F.logsigmoid(-(outer(others) @ c.unsqueeze(2)).squeeze(2)).sum(1)).mean()
        value.backward()
        optimizer.step()
        return float(value.item())
    return step


def experts(torch: Any) -> Step:
    """Eight experts, of which each sample goes to two: other batches for each of them at every step."""
    nn = torch.nn
    gate = nn.Linear(64, 8)
    several = nn.ModuleList([nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64)) for _ in range(8)])
    x, y = torch.randn(256, 64), torch.randn(256, 64)

    def loss() -> Any:
        weights, chosen = gate(x).softmax(-1).topk(2, -1)
        out = torch.zeros_like(x)
        for at, expert in enumerate(several):
            rows, place = (chosen == at).nonzero(as_tuple=True)
            if rows.numel():
                out = out.index_add(0, rows, expert(x[rows]) * weights[rows, place].unsqueeze(1))
        return nn.functional.mse_loss(out, y)
    return training_step(torch, [*gate.parameters(), *several.parameters()], loss)


def generation(torch: Any) -> Step:
    """16 tokens of a transformer of four layers of 128, keys and values kept."""
    nn, F = torch.nn, torch.nn.functional
    norms, products = nn.ModuleList([nn.LayerNorm(128) for _ in range(8)]), nn.ModuleList()
    for _ in range(4):
        products.extend([nn.Linear(128, 384), nn.Linear(128, 128), nn.Linear(128, 512), nn.Linear(512, 128)])
    words, head = nn.Embedding(200, 128), nn.Linear(128, 200)

    def layer(at: int, x: Any, kept: Any) -> tuple[Any, Any]:
        together, apart, up, down = (products[4 * at + i] for i in range(4))
        q, k, v = (t.view(1, -1, 4, 32).transpose(1, 2) for t in together(norms[2 * at](x)).chunk(3, -1))
        if kept is not None:
            k, v = torch.cat([kept[0], k], 2), torch.cat([kept[1], v], 2)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=kept is None)
        x = x + apart(seen.transpose(1, 2).reshape(1, -1, 128))
        return x + down(F.gelu(up(norms[2 * at + 1](x)))), (k, v)

    def step() -> float:
        with torch.no_grad():
            token, kept, total = torch.randint(0, 200, (1, 8)), [None] * 4, 0.0
            for _ in range(16):
                h = words(token)
                for at in range(4):
                    h, kept[at] = layer(at, h, kept[at])
                token = torch.multinomial((head(h[:, -1]) / 0.8).softmax(-1), 1)
                total += token.item()
        return total
    return step


def new_texts(torch: Any) -> Step:
    """As `generation`, but each text goes on from one that is longer than those before: no size comes twice."""
    nn, F = torch.nn, torch.nn.functional
    words, head, at = nn.Embedding(200, 128), nn.Linear(128, 200), count()
    layers = nn.ModuleList([nn.ModuleList([nn.LayerNorm(128), nn.LayerNorm(128), nn.Linear(128, 384), nn.Linear(128, 128), nn.Linear(128, 512),
                                           nn.Linear(512, 128)]) for _ in range(4)])

    def step() -> float:
        with torch.no_grad():
            token, total = torch.randint(0, 200, (1, 1)), 0.0
            kept = [[torch.randn(1, 4, 16 * (1 + start), 32) for _ in range(2)] for start in [next(at)] for _ in layers]
            for _ in range(16):
                h = words(token)
                for i, (first, second, together, apart, up, down) in enumerate(layers):
                    q, *new = (t.view(1, -1, 4, 32).transpose(1, 2) for t in together(first(h)).chunk(3, -1))
                    k, v = kept[i] = [torch.cat([a, b], 2) for a, b in zip(kept[i], new)]
                    h = h + apart(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, -1, 128))
                    h = h + down(F.gelu(up(second(h))))
                token = torch.multinomial((head(h[:, -1]) / 0.8).softmax(-1), 1)
                total += token.item()
        return total
    return step


def translation(torch: Any) -> Step:
    """Pairs of texts of 4 to 13 words, read and written by cells, one pair a step."""
    nn, F, draw = torch.nn, torch.nn.functional, random.Random(0)
    words, reads, writes, head = nn.Embedding(50, 64), nn.GRUCell(64, 64), nn.GRUCell(64, 64), nn.Linear(64, 50)

    def loss() -> Any:
        x, y = (torch.tensor([draw.randrange(50) for _ in range(draw.randrange(4, 14))]) for _ in range(2))
        h, total = torch.zeros(1, 64), 0
        for at in range(len(x)):
            h = reads(words(x[at:at + 1]), h)
        for at in range(len(y)):
            h = writes(words(y[at - 1:at or None]), h)
            total = total + F.nll_loss(F.log_softmax(head(h), 1), y[at:at + 1])
        return total
    return training_step(torch, [p for m in (words, reads, writes, head) for p in m.parameters()], loss)


def episodes(torch: Any) -> Step:
    """Actor and critic on episodes of 20 to 100 actions, sampled and read one by one."""
    nn, F, draw = torch.nn, torch.nn.functional, random.Random(0)
    body, actor, critic = nn.Linear(4, 128), nn.Linear(128, 2), nn.Linear(128, 1)

    def loss() -> Any:
        total = []
        for _ in range(draw.randrange(20, 101)):
            h = F.relu(body(torch.tensor([draw.random() for _ in range(4)])))
            choice, value = torch.distributions.Categorical(F.softmax(actor(h), -1)), critic(h)
            action = choice.sample()
            gain = draw.random() + action.item()
            total += [-choice.log_prob(action) * (gain - value.item()), F.smooth_l1_loss(value, torch.tensor([gain]))]
        return torch.stack(total).sum()
    return training_step(torch, [p for m in (body, actor, critic) for p in m.parameters()], loss)


def cells(torch: Any) -> Step:
    """Twenty steps of a GRU cell of 32 units, batch 16."""
    cell, x = torch.nn.GRUCell(32, 32), torch.randn(20, 16, 32)

    def loss() -> Any:
        h = torch.zeros(16, 32)
        for row in x:
            h = cell(row, h)
        return h.square().mean()
    return training_step(torch, cell.parameters(), loss)


# name -> what it is, and what makes its step
STRUCTURES: dict[str, tuple[str, Callable[[Any], Step]]] = {
    "graph": ("graph convolutions, 2,708 nodes, 10,556 edges", graph),
    "diffusion": ("noise of 16 pictures of 28², group norm", diffusion),
    "spectrogram": ("mask on spectrograms of 8 × 8,000 samples, and back", spectrogram),
    "tagging": ("conditional random field, 16 × 20 words", tagging),
    "speech": ("bidirectional LSTM and CTC, 8 × 60", speech),
    "rays": ("radiance field, 256 rays of 32 points", rays),
    "skip_grams": ("word vectors of 10,000 words, SparseAdam, batch 512", skip_grams),
    "cells": ("20 steps of a GRU cell of 32, batch 16", cells),
    "translation": ("pairs of texts of 4 to 13 words by GRU cells, other lengths each time", translation),
    "episodes": ("actor-critic on episodes of 20 to 100 actions, other lengths each time", episodes),
    "experts": ("mixture of 8 experts, batch 256", experts),
    "generation": ("16 tokens of a transformer of 4 layers of 128, keys and values kept", generation),
    "new_texts": ("16 tokens of that transformer, after texts of lengths that never come again", new_texts),
}
