"""Networks of layers drawn at random: of one to three dimensions, with any options, side by side and one after the other."""

from __future__ import annotations

import random
from math import prod
from typing import Any

import rushlight as rl
from rushlight import nn

LARGEST = 30_000  # elements between two layers
KINDS = ("conv conv conv conv depthwise transposed batch group instance layer relu act act max average adaptive upsample pad "
         "sum join dropout lp shuffle").split()
ACTIVATIONS = "SiLU GELU Hardswish LeakyReLU ReLU6 Tanh Sigmoid ELU Softplus Mish Hardsigmoid SELU PReLU LogSigmoid Softsign".split()

KEEPS_NO_RESULT = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm)  # so the next layer may write to it


class Sum(nn.Module):
    """A branch and what goes past it."""

    def __init__(self, branch: nn.Module, act: bool):
        super().__init__()
        self.branch, self.act = branch, act

    def forward(self, x: Any) -> Any:
        y = x + self.branch(x)
        return nn.functional.relu(y) if self.act else y


class Join(nn.Module):
    """Two branches, joined along the channels where their images have one size, else the first alone."""

    def __init__(self, first: nn.Module, second: nn.Module):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Any) -> Any:
        a, b = self.first(x), self.second(x)
        return rl.cat([a, b], 1) if a.shape[2:] == b.shape[2:] else a


class Network:
    """One drawn by a number: its layers, the shape of its input, and how it is used."""

    def __init__(self, seed: int):
        self.r = r = random.Random(seed)
        rl.manual_seed(seed)
        self.dims = r.choice((2, 2, 2, 1, 3))
        most = {1: 200, 2: 24, 3: 9}[self.dims]
        side = r.randint(4, most)
        self.shape = (r.randint(1, 4), r.choice((1, 2, 3, 4, 8, 12, 16, 17, 24, 32)), *(r.choice((side, side, r.randint(3, most))) for _ in range(self.dims)))
        self.layers, out = self.sequence(self.shape, r.randint(2, 8))
        if r.random() < 0.3:
            self.layers += [nn.Flatten(), nn.Linear(prod(out[1:]), r.randint(1, 20))]
        self.last = self.dims > 1 and r.random() < 0.4  # channels
        self.train = r.random() < 0.8
        self.model = nn.Sequential(*self.layers).train(self.train)
        if self.dims == 3 and any(w.dim() == 4 for w in self.model.parameters()):
            self.last = False  # layer norm's weights are taken for images that have no such order, and refused
        if self.last:
            self.model = self.model.to(memory_format=rl.channels_last if self.dims == 2 else rl.channels_last_3d)

    def sequence(self, shape: tuple[int, ...], count: int) -> tuple[list[nn.Module], tuple[int, ...]]:
        """Layers one after the other that take images of a shape, and what they give."""
        layers: list[nn.Module] = []
        for _ in range(count):
            made = self.fitting(shape, bool(layers) and isinstance(layers[-1], KEEPS_NO_RESULT))
            if made is not None:
                layers.append(made[0])
                shape = made[1]
        return layers or [nn.Identity()], shape

    def fitting(self, shape: tuple[int, ...], writable: bool) -> tuple[nn.Module, tuple[int, ...]] | None:
        """A layer that takes images of a shape, or None where the one that was drawn does not. Nothing is computed: only shapes are asked for."""
        try:
            made = self.layer(self.r.choice(KINDS), shape)
            with rl.no_grad():
                out = tuple(made.eval()(rl.empty(shape)).shape)
        except (RuntimeError, ValueError):
            return None
        if type(made) is nn.ReLU:
            made.inplace &= writable
        return (made.train(), out) if 0 < min(out) and prod(out) <= LARGEST else None

    def layer(self, kind: str, shape: tuple[int, ...]) -> nn.Module:
        r, dims, c = self.r, self.dims, shape[1]

        def of(name: str, *args: Any, **kwargs: Any) -> nn.Module:
            return getattr(nn, f"{name}{dims}d")(*args, **kwargs)

        if kind in ("conv", "depthwise"):
            size = r.choice((1, 1, 2, 3, 3, 3, 5, 7))
            out = c if kind == "depthwise" else r.choice((1, 2, 4, 6, 8, 10, 16, 20, 32, 48))
            groups = c if kind == "depthwise" else r.choice([g for g in (1, 1, 1, 2, 4) if c % g == out % g == 0])
            return of("Conv", c, out, size, stride=r.choice((1, 1, 1, 2, 3)), padding=r.choice((0, size // 2, size // 2, 1 if size > 1 else 0)),
                      dilation=r.choice((1, 1, 1, 2)), groups=groups, bias=r.random() < 0.6, padding_mode=r.choice(["zeros"] * 6 + ["reflect", "circular"]))
        if kind == "transposed":
            stride = r.choice((1, 2))
            return of("ConvTranspose", c, r.choice((2, 4, 8)), r.choice((2, 3, 4)), stride=stride, padding=r.choice((0, 1)), output_padding=r.randint(0, stride - 1))
        if kind == "batch":
            if shape[0] * prod(shape[2:]) < 6:  # of few numbers their spread may be next to nothing
                raise ValueError
            return of("BatchNorm", c, affine=r.random() < 0.8, track_running_stats=r.random() < 0.8)
        if kind in ("group", "layer", "instance"):
            if prod(shape[2:]) < 6:
                raise ValueError
            return (nn.GroupNorm(r.choice([g for g in (1, 2, 4, c) if c % g == 0]), c) if kind == "group" else
                    of("InstanceNorm", c, affine=r.random() < 0.5) if kind == "instance" else nn.LayerNorm(shape[r.choice((-dims, -dims - 1)):]))
        if kind in ("relu", "act"):
            return nn.ReLU(inplace=r.random() < 0.3) if kind == "relu" else getattr(nn, r.choice(ACTIVATIONS))()
        if kind == "max":
            padding = r.choice((0, 0, 1))  # and no dilation, for windows of padding alone have no number
            return of("MaxPool", r.choice((2, 2, 3)), stride=r.choice((None, 2, 1)), padding=padding, ceil_mode=r.random() < 0.3, dilation=1 if padding else r.choice((1, 1, 2)))
        if kind == "average":
            return of("AvgPool", r.choice((2, 3)), stride=r.choice((None, 1, 2)), padding=r.choice((0, 1)), count_include_pad=r.random() < 0.5, ceil_mode=r.random() < 0.3)
        if kind == "lp":
            return of("LPPool", 2, r.choice((2, 3)), stride=r.choice((None, 1)))
        if kind == "adaptive":
            return of(r.choice(("AdaptiveAvgPool", "AdaptiveMaxPool")), r.randint(1, 6))
        if kind == "upsample":
            return nn.Upsample(scale_factor=2, mode=r.choice(("nearest", {1: "linear", 2: "bilinear", 3: "trilinear"}[dims])))
        if kind == "pad":
            return of(r.choice(("ReflectionPad", "ReplicationPad", "CircularPad", "ZeroPad")), 1)
        if kind == "shuffle":
            return nn.ChannelShuffle(r.choice([g for g in (2, 3, 4) if c % g == 0])) if dims == 2 and c % 6 in (0, 2, 3, 4) else nn.Identity()
        if kind == "dropout":
            return nn.Dropout(0.0)
        if kind == "sum":
            return Sum(nn.Sequential(*self.sequence(shape, 2)[0]), r.random() < 0.5)
        return Join(*(nn.Sequential(*self.sequence(shape, 2)[0]) for _ in range(2)))
