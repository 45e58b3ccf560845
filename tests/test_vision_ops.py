"""vision.ops against torchvision where it is pure Python, and against straightforward loops where it is not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vision_oracle import torch, torchvision

import rushlight as rl
from rushlight.vision import ops

theirs = torchvision.ops
BOXES = (st.integers(0, 2**31), st.integers(1, 40))


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def boxes(seed: int, count: int, size: float = 20.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low = rng.uniform(-2, size, (count, 2))
    return np.concatenate([low, low + rng.uniform(0.1, size / 2, (count, 2))], axis=1).astype(np.float32)


def rois(seed: int, count: int, images: int, size: float) -> np.ndarray:
    ids = np.random.default_rng(seed + 1).integers(0, images, (count, 1)).astype(np.float32)
    return np.concatenate([ids, boxes(seed, count, size)], axis=1)


def same(name: str, *arrays: Any, atol: float = 1e-5, **options: Any) -> None:
    mine = getattr(ops, name)(*(rl.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays), **options)
    other = getattr(theirs, name)(*(torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays), **options)
    assert str(mine.dtype) == str(other.dtype)
    np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-5, atol=atol)


def test_public_names_and_signatures() -> None:
    assert sorted(ops.__all__) == sorted(theirs.__all__)
    import inspect
    for name in ops.__all__:
        mine, other = inspect.signature(getattr(ops, name)), inspect.signature(getattr(theirs, name))
        assert list(mine.parameters) == list(other.parameters), name
        for parameter in other.parameters.values():
            default = mine.parameters[parameter.name].default
            assert getattr(default, "__name__", default) == getattr(parameter.default, "__name__",
                                                                    parameter.default), (name, parameter)


@settings(max_examples=40, deadline=None)
@given(*BOXES, st.sampled_from([0.1, 0.5, 0.7]), st.booleans())
def test_nms(seed: int, count: int, threshold: float, ties: bool) -> None:
    scores = np.random.default_rng(seed).random(count).astype(np.float32)
    same("nms", boxes(seed, count), scores.round(1) if ties else scores, threshold)


@pytest.mark.parametrize("count", [0, 7, 1200])
def test_batched_nms(count: int) -> None:
    rng = np.random.default_rng(count)
    same("batched_nms", boxes(3, count, 60), rng.random(count).astype(np.float32), rng.integers(0, 4, count), 0.3)


@settings(max_examples=20, deadline=None)
@given(*BOXES, st.sampled_from(["box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou"]))
def test_overlaps(seed: int, count: int, name: str) -> None:
    same(name, boxes(seed, count), boxes(seed + 5, 4))


@pytest.mark.parametrize("fmt", ["xyxy", "xywh", "cxcywh"])
def test_formats_of_overlaps(fmt: str) -> None:
    same("box_iou", np.abs(boxes(1, 5)), np.abs(boxes(2, 3)), fmt=fmt)
    same("box_area", boxes(1, 5), fmt=fmt)
    same("box_area", boxes(1, 5).astype(np.int8), fmt=fmt)
    same("box_iou", np.stack([boxes(1, 5), boxes(4, 5)]), np.stack([boxes(2, 3), boxes(3, 3)]))


@pytest.mark.parametrize("start", ["xyxy", "xywh", "cxcywh", "xywhr", "cxcywhr", "xyxyxyxy", "nonsense"])
@pytest.mark.parametrize("goal", ["xyxy", "xywh", "cxcywh", "xywhr", "cxcywhr", "xyxyxyxy"])
def test_box_convert(start: str, goal: str) -> None:
    width = 8 if start == "xyxyxyxy" else 5 if start.endswith("r") else 4
    values = numbers(0, 6, width) * 20
    try:
        theirs.box_convert(torch.from_numpy(values), start, goal)
    except (ValueError, NotImplementedError) as e:
        with pytest.raises(type(e), match=re.escape(str(e))):
            ops.box_convert(rl.tensor(values), start, goal)
        return
    same("box_convert", values, start, goal, atol=1e-4)


def test_clipping_small_boxes_and_masks() -> None:
    same("clip_boxes_to_image", boxes(4, 9), (15, 12))
    same("remove_small_boxes", boxes(4, 30), 3.0)
    masks = np.random.default_rng(0).random((5, 9, 7)) > 0.9
    masks[2] = False
    same("masks_to_boxes", masks)
    same("masks_to_boxes", masks.astype(np.uint8) * 3)
    same("masks_to_boxes", masks[:0])


@pytest.mark.parametrize("name", ["generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_losses_of_boxes(name: str, reduction: str) -> None:
    a, b = boxes(7, 12, 8), boxes(8, 12, 8)
    same(name, a, b, reduction=reduction)
    same(name, a[:0], b[:0], reduction=reduction)
    mine, other = rl.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    getattr(ops, name)(mine, rl.tensor(b), reduction="sum").backward()
    getattr(theirs, name)(other, torch.from_numpy(b), reduction="sum").backward()
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="reduction"):
        getattr(ops, name)(rl.tensor(a), rl.tensor(b), reduction="median")


@pytest.mark.parametrize("options", [{}, {"alpha": -1}, {"gamma": 0.5, "reduction": "mean"}, {"reduction": "sum"}])
def test_focal_loss(options: dict[str, Any]) -> None:
    same("sigmoid_focal_loss", numbers(1, 5, 4), (numbers(2, 5, 4) > 0).astype(np.float32), **options)


def test_focal_loss_of_a_wrong_alpha() -> None:
    with pytest.raises(ValueError, match="Invalid alpha value: 2"):
        ops.sigmoid_focal_loss(rl.zeros(1), rl.zeros(1), alpha=2)


REGIONS: list[tuple[str, dict[str, Any]]] = [
    ("roi_align", {}), ("roi_align", {"aligned": True}), ("roi_align", {"sampling_ratio": 2, "aligned": True}),
    ("roi_align", {"sampling_ratio": 3}), ("ps_roi_align", {}), ("ps_roi_align", {"sampling_ratio": 2}),
    ("roi_pool", {}), ("ps_roi_pool", {})]


@pytest.mark.parametrize("name,options", REGIONS)
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_regions_and_their_gradients(name: str, options: dict[str, Any], scale: float) -> None:
    x, where = numbers(3, 2, 12, 9, 11), rois(5, 8, 2, 11 / scale)
    same(name, x, where, (3, 2), scale, **options)
    mine, other = rl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    out = getattr(ops, name)(mine, rl.tensor(where), (3, 2), scale, **options)
    weights = numbers(6, *out.shape)
    (out * rl.tensor(weights)).sum().backward()
    import vision_oracle
    loop = getattr(vision_oracle, name)
    extra = (options.get("sampling_ratio", -1),) if name.endswith("align") else ()
    extra += (options.get("aligned", False),) if name == "roi_align" else ()
    result = loop(other, torch.from_numpy(where), scale, 3, 2, *extra)
    ((result if name == "roi_align" else result[0]) * torch.from_numpy(weights)).sum().backward()
    np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_regions_as_lists_and_wrong_ones() -> None:
    x, first, second = numbers(1, 2, 4, 9, 9), boxes(1, 3, 8), boxes(2, 2, 8)
    listed = ops.roi_align(rl.tensor(x), [rl.tensor(first), rl.tensor(second)], 2)
    rows = np.concatenate([np.repeat([[0.0], [1.0]], [3, 2], axis=0),
                           np.concatenate([first, second])], axis=1).astype(np.float32)
    np.testing.assert_array_equal(listed.numpy(), ops.roi_align(rl.tensor(x), rl.tensor(rows), 2).numpy())
    with pytest.raises(AssertionError, match="boxes tensor shape is not correct"):
        ops.roi_align(rl.tensor(x), rl.tensor(first), 2)
    with pytest.raises(RuntimeError, match="same type"):
        ops.roi_align(rl.tensor(x), rl.tensor(rows).double(), 2)
    with pytest.raises(RuntimeError, match="multiple of pooling height"):
        ops.ps_roi_align(rl.tensor(x), rl.tensor(rows), 3)


def test_multi_scale_regions() -> None:
    maps = {str(i): numbers(i, 2, 3, 64 >> i, 48 >> i) for i in range(4)}
    where = [boxes(1, 6, 120), boxes(2, 3, 60)]
    results = []
    for library, module in ((rl, ops), (torch, theirs)):
        pool = module.MultiScaleRoIAlign(["0", "1", "2"], 3, 2)
        results.append(pool({k: library.tensor(v) for k, v in maps.items()}, [library.tensor(w) for w in where],
                            [(256, 192), (250, 190)]).numpy())
        assert repr(pool) == "MultiScaleRoIAlign(featmap_names=['0', '1', '2'], output_size=(3, 3), sampling_ratio=2)"
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


def deform_by_loops(x: np.ndarray, offset: np.ndarray, weight: np.ndarray, stride: int, padding: int, dilation: int,
                    mask: np.ndarray) -> np.ndarray:
    """Every output pixel from its definition."""
    batch, channels, height, width = x.shape
    outputs, group_channels, kh, kw = weight.shape
    groups = offset.shape[1] // (2 * kh * kw)
    out = np.zeros((batch, outputs, *offset.shape[2:]))

    def at(n: int, c: int, y: float, x_: float) -> float:
        total = 0.0
        for yy in (int(np.floor(y)), int(np.floor(y)) + 1):
            for xx in (int(np.floor(x_)), int(np.floor(x_)) + 1):
                if 0 <= yy < height and 0 <= xx < width:
                    total += (1 - abs(y - yy)) * (1 - abs(x_ - xx)) * x[n, c, yy, xx]
        return total

    for n, o, i, j in np.ndindex(*out.shape):
        first = o // (outputs // (channels // group_channels)) * group_channels
        for c, a, b in np.ndindex(group_channels, kh, kw):
            channel = first + c
            place = (channel // (channels // groups)) * kh * kw + a * kw + b
            dy, dx = offset[n, 2 * place, i, j], offset[n, 2 * place + 1, i, j]
            value = at(n, channel, i * stride - padding + a * dilation + dy, j * stride - padding + b * dilation + dx)
            out[n, o, i, j] += weight[o, c, a, b] * value * mask[n, place, i, j]
    return out


@pytest.mark.parametrize("stride,padding,dilation,groups,weight_groups",
                         [(1, 0, 1, 1, 1), (2, 1, 1, 2, 1), (1, 2, 2, 2, 2)])
def test_deform_conv(stride: int, padding: int, dilation: int, groups: int, weight_groups: int) -> None:
    x, weight = numbers(1, 2, 4, 6, 5), numbers(2, 4, 4 // weight_groups, 3, 2)
    out_h = (6 + 2 * padding - dilation * 2 - 1) // stride + 1
    out_w = (5 + 2 * padding - dilation - 1) // stride + 1
    offset, mask = numbers(3, 2, 2 * groups * 6, out_h, out_w) * 1.5, numbers(4, 2, groups * 6, out_h, out_w)
    expected = deform_by_loops(x, offset, weight, stride, padding, dilation, mask)
    args = [rl.tensor(a, requires_grad=True) for a in (x, offset, weight)]
    result = ops.deform_conv2d(*args, stride=stride, padding=padding, dilation=dilation, mask=rl.tensor(mask))
    np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    result.sum().backward()
    assert all(a.grad is not None for a in args)
    with pytest.raises(RuntimeError, match="offset tensor at dimension 1 is not valid"):
        ops.deform_conv2d(args[0], args[1][:, :5], args[2])


def test_deform_conv_layer() -> None:
    layers = []
    for library, module in ((rl, ops), (torch, theirs)):
        library.manual_seed(3)
        layers.append(module.DeformConv2d(4, 6, 3, padding=1, groups=2))
    assert repr(layers[0]) == repr(layers[1])
    for name, value in layers[1].state_dict().items():
        np.testing.assert_array_equal(layers[0].state_dict()[name].numpy(), value.numpy())


@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_stochastic_depth(mode: str, p: float) -> None:
    results = []
    for library, module in ((rl, ops), (torch, theirs)):
        library.manual_seed(1)
        results.append(module.stochastic_depth(library.ones(9, 2), p, mode).numpy())
    np.testing.assert_allclose(*results)
    with pytest.raises(ValueError, match="drop probability"):
        ops.stochastic_depth(rl.ones(1), 2, mode)


@pytest.mark.parametrize("dims", [2, 3])
def test_drop_block(dims: int) -> None:
    results = []
    for library, module in ((rl, ops), (torch, theirs)):
        library.manual_seed(1)
        layer = getattr(module, f"DropBlock{dims}d")(0.2, 3)
        results.append(layer(library.ones(2, 3, *[8] * dims)).numpy())
        assert repr(layer) == f"DropBlock{dims}d(p=0.2, block_size=3, inplace=False)"
    np.testing.assert_allclose(*results, rtol=1e-5)
    with pytest.raises(ValueError, match="block size should be odd"):
        getattr(ops, f"drop_block{dims}d")(rl.ones(1, 1, *[8] * dims), 0.1, 2)


LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("FrozenBatchNorm2d", (4,), {}, (2, 4, 3, 3)),
    ("Conv2dNormActivation", (3, 8), {"stride": 2}, (2, 3, 8, 8)),
    ("Conv2dNormActivation", (4, 8, (3, 5)),
     {"dilation": 2, "groups": 2, "inplace": None, "bias": True}, (2, 4, 12, 12)),
    ("Conv2dNormActivation", (3, 8, 1), {"norm_layer": None, "activation_layer": None}, (2, 3, 4, 4)),
    ("Conv3dNormActivation", (3, 4), {}, (1, 3, 4, 4, 4)),
    ("SqueezeExcitation", (8, 2), {}, (2, 8, 4, 4)),
    ("MLP", (4, [6, 5, 2]), {"dropout": 0.1}, (3, 4)),
    ("Permute", ([0, 2, 1],), {}, (1, 2, 3)),
]


@pytest.mark.parametrize("name,args,options,shape", LAYERS)
def test_layers(name: str, args: tuple[Any, ...], options: dict[str, Any], shape: tuple[int, ...]) -> None:
    layers = []
    for library, module in ((rl, ops), (torch, theirs)):
        library.manual_seed(0)
        layers.append(getattr(module, name)(*args, **options).eval())
    mine, other = (layer.state_dict() for layer in layers)
    assert list(mine) == list(other)
    for key, value in other.items():
        np.testing.assert_array_equal(mine[key].numpy(), value.numpy(), err_msg=key)
    x = numbers(0, *shape)
    np.testing.assert_allclose(layers[0](rl.tensor(x)).detach().numpy(),
                               layers[1](torch.from_numpy(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_feature_pyramid_with_extra_levels() -> None:
    maps = {"a": numbers(0, 1, 4, 9, 8), "b": numbers(1, 1, 6, 5, 4)}
    for extra in ("LastLevelMaxPool", "LastLevelP6P7", None):
        results = []
        for library, module in ((rl, ops), (torch, theirs)):
            library.manual_seed(0)
            from importlib import import_module
            blocks = import_module(module.__name__ + ".feature_pyramid_network")
            block = None if extra is None else getattr(blocks, extra)(*((6, 3) if extra == "LastLevelP6P7" else ()))
            fpn = module.FeaturePyramidNetwork([4, 6], 3, block)
            results.append(fpn({k: library.tensor(v) for k, v in maps.items()}))
        assert list(results[0]) == list(results[1])
        for key, value in results[1].items():
            np.testing.assert_allclose(results[0][key].detach().numpy(), value.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_old_pyramid_weights_load() -> None:
    fpn = ops.FeaturePyramidNetwork([4], 3)
    old = {key.replace(".0.weight", ".weight").replace(".0.bias", ".bias").replace("blocks.weight", "blocks.0.weight")
           .replace("blocks.bias", "blocks.0.bias"): value for key, value in fpn.state_dict().items()}
    assert "inner_blocks.0.weight" in old
    fpn.load_state_dict(old, strict=True)
