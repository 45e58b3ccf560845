"""Networks for clips and for optical flow against torchvision: outputs, initial values, presets, weights, errors.

RUSHLIGHT_ALL_MODELS=1 compares whole networks at the sizes that they are for.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from vision_models import as_file, fill, pair, undrawn
from vision_oracle import torch, torchvision

import rushlight as rl
from rushlight.vision import models

WHOLE = {"r3d_18": (4, 40, 44), "mc3_18": (4, 40, 44), "r2plus1d_18": (4, 40, 44),
         "swin3d_t": (7, 30, 46), "swin3d_s": (3, 36, 36), "swin3d_b": (9, 64, 64),
         "s3d": (14, 224, 224), "mvit_v1_b": (16, 224, 224), "mvit_v2_s": (16, 224, 224)}
FAST = {"mc3_18", "r2plus1d_18"}
CHECKED = WHOLE if os.environ.get("RUSHLIGHT_ALL_MODELS") else FAST


def numbers(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def filled(mine: Any, reference: Any) -> tuple[Any, Any]:
    """Both with the same numbers, by way of a file."""
    fill(reference)
    mine.load_state_dict(rl.load(as_file(reference.state_dict())), strict=True)
    return mine.eval(), reference.eval()


def assert_equal_outputs(mine: Any, reference: Any, *inputs: np.ndarray, **kwargs: Any) -> None:
    with rl.no_grad(), torch.no_grad():
        found, expected = mine(*map(rl.tensor, inputs), **kwargs), reference(*map(torch.from_numpy, inputs), **kwargs)
    for a, b in zip(found, expected, strict=True) if isinstance(expected, list) else [(found, expected)]:
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-4 * float(b.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("name", sorted(CHECKED))
def test_outputs(name: str) -> None:
    assert_equal_outputs(*filled(*pair(name)), numbers(1, 3, *WHOLE[name]))


def modules(name: str) -> tuple[Any, Any]:
    return import_module(f"rushlight.vision.models.{name}"), import_module(f"torchvision.models.{name}")


def small_mvit(m: Any, second: bool) -> Any:
    blocks = [m.MSBlockConfig(1, 8, 8 if second else 16, [3, 3, 3] if second else [],
                              [3, 3, 3], [1, 1, 1] if second else [], [1, 4, 4]),
              m.MSBlockConfig(2, 8 if second else 16, 16, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 2, 2]),
              m.MSBlockConfig(2, 16, 16, [], [3, 3, 3], [], [1, 2, 2])]
    return m.MViT((32, 32), 4, blocks, residual_pool=second, residual_with_cls_embed=not second,
                  rel_pos_embed=second, proj_after_attn=second, num_classes=5)


def small_swin(m: Any, window: tuple[int, ...]) -> Any:
    return m.SwinTransformer3d([2, 4, 4], 12, [2, 2], [2, 3], list(window), num_classes=6)


SMALL = {
    "mvit 1": ("video.mvit", lambda m: small_mvit(m, False), (4, 32, 32)),
    "mvit 2": ("video.mvit", lambda m: small_mvit(m, True), (4, 32, 32)),
    "swin shifted": ("video.swin_transformer", lambda m: small_swin(m, (2, 3, 3)), (9, 30, 26)),
    "swin one window": ("video.swin_transformer", lambda m: small_swin(m, (8, 7, 7)), (4, 20, 24)),
    "inception": ("video.s3d", lambda m: m.SepInceptionBlock3D(3, 4, 3, 5, 2, 3, 4,
                                                               torch_or_rl(m).nn.BatchNorm3d), (3, 9, 8)),
    "bottlenecks": ("video.resnet", lambda m: m.VideoResNet(m.Bottleneck, [m.Conv2Plus1D] * 4,
                                                            [1, 1, 1, 1], m.R2Plus1dStem, 5), (4, 32, 32)),
}


def torch_or_rl(module: Any) -> Any:
    return rl if module.__name__.startswith("rushlight") else torch


@pytest.mark.parametrize("name", list(SMALL))
def test_small_networks(name: str) -> None:
    where, build, size = SMALL[name]
    both = []
    for module in modules(where):
        library = torch_or_rl(module)
        library.manual_seed(3)
        both.append(build(module).eval())
    mine, reference = both
    for (key, a), (other, b) in zip(mine.state_dict().items(), reference.state_dict().items(), strict=True):
        assert key == other and a.numpy().tobytes() == b.numpy().tobytes(), key
    assert rl.get_rng_state().numpy().tobytes() == torch.get_rng_state().numpy().tobytes()
    assert_equal_outputs(*filled(mine, reference), numbers(2, 3, *size))


def test_mvit_takes_pictures() -> None:
    both = [small_mvit(m, False) for m in modules("video.mvit")]
    for m in both:
        m.pos_encoding.temporal_size = 1
        m.pos_encoding.temporal_pos.data = m.pos_encoding.temporal_pos.data[:1]
    fill(both[1])
    both[0].load_state_dict(rl.load(as_file(both[1].state_dict())))
    assert_equal_outputs(both[0].eval(), both[1].eval(), numbers(2, 3, 32, 32))


@pytest.mark.parametrize("name", ["raft_small", "raft_large"])
def test_flows(name: str) -> None:
    mine, reference = filled(*pair(name))
    assert_equal_outputs(mine, reference, numbers(1, 3, 128, 136), numbers(1, 3, 128, 136, seed=2), num_flow_updates=2)


def test_flow_initial_values_and_gradients() -> None:
    both = []
    for library, home in ((rl, models.optical_flow), (torch, torchvision.models.optical_flow)):
        library.manual_seed(0)
        net = home.raft_small()
        first, second = (library.tensor(numbers(1, 3, 128, 128, seed=seed)) for seed in (1, 2))
        sum(flow.abs().mean() for flow in net(first, second, num_flow_updates=1)).backward()
        both.append({name: p.grad.numpy() for name, p in net.named_parameters()})
    assert list(both[0]) == list(both[1])
    for name, expected in both[1].items():
        np.testing.assert_allclose(both[0][name], expected, rtol=1e-2,
                                   atol=1e-6 + 1e-3 * float(np.abs(expected).max()), err_msg=name)


@pytest.mark.parametrize("call", [
    lambda net, lib: net(lib.zeros(1, 3, 128, 128), lib.zeros(1, 3, 128, 136)),
    lambda net, lib: net(lib.zeros(1, 3, 100, 128), lib.zeros(1, 3, 100, 128)),
    lambda net, lib: net(lib.zeros(1, 3, 64, 128), lib.zeros(1, 3, 64, 128)),
])
def test_flow_errors(call: Any) -> None:
    with undrawn():
        nets = models.optical_flow.raft_small(), torchvision.models.optical_flow.raft_small()
    with pytest.raises(ValueError) as expected:
        call(nets[1], torch)
    with pytest.raises(ValueError) as found:
        call(nets[0], rl)
    assert str(found.value)[:60] == str(expected.value)[:60]


@pytest.mark.parametrize("name", ["r3d_18", "s3d", "mvit_v2_s", "swin3d_t"])
def test_what_clips_are_made_into(name: str) -> None:
    mine = models.get_model_weights(name).DEFAULT.transforms()
    reference = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    assert repr(mine).replace("InterpolationMode.", "") == repr(reference).replace("InterpolationMode.", "")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 50), dtype=np.uint8)
    for clip in (pixels, np.stack([pixels, pixels[::-1]])):
        a, b = mine(rl.tensor(clip)), reference(torch.from_numpy(np.ascontiguousarray(clip)))
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1.01 / 255 / 0.2)
    assert "[T, C, H, W]" in mine.describe()


def test_what_pairs_of_pictures_are_made_into() -> None:
    mine, reference = (home.Raft_Large_Weights.DEFAULT.transforms()
                       for home in (models.optical_flow, torchvision.models.optical_flow))
    first, second = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 9), dtype=np.uint8)
    for a, b in zip(mine(rl.tensor(first), rl.tensor(second)),
                    reference(torch.from_numpy(first), torch.from_numpy(second))):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)
    assert repr(mine) == repr(reference)


def test_weights_are_for_one_size() -> None:
    with pytest.raises(ValueError, match="expected value 16 but got 8"):
        models.video.mvit_v2_s(weights="DEFAULT", temporal_size=8)
    assert models.video.mvit_v2_s.__doc__ and "clips" in models.video.mvit_v2_s.__doc__
    assert "5,257,536 parameters" in models.optical_flow.raft_large.__doc__
