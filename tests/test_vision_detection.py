"""Detection networks against torchvision: their parts, and whole networks on a tiny backbone, trained and evaluated."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from vision_models import as_file, fill
from vision_oracle import torch, torchvision

import rushlight as rl
from rushlight.vision import models

LIBRARIES = ((rl, "rushlight.vision"), (torch, "torchvision"))


def home(root: str, name: str) -> Any:
    """A module of detection in one library."""
    return import_module(f"{root}.models.detection.{name}")


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def boxes(seed: int, count: int, size: float = 60.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, size, (count, 2))
    return np.concatenate([low, low + rng.uniform(4, size / 2, (count, 2))], axis=1).astype(np.float32)


def both(call: Any) -> tuple[Any, Any]:
    """What a function of (library, root) gives in each."""
    return tuple(call(*pair) for pair in LIBRARIES)


def close(results: tuple[Any, Any], atol: float = 1e-4) -> None:
    mine, theirs = results
    if isinstance(theirs, (list, tuple)):
        assert len(mine) == len(theirs)
        for pair in zip(mine, theirs):
            close(pair, atol)
        return
    assert tuple(mine.shape) == tuple(theirs.shape) and str(mine.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=atol)


def test_coders() -> None:
    for weights in ((1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)):
        def coded(library: Any, root: str, weights: Any = weights) -> Any:
            coder = home(root, "_utils").BoxCoder(weights)
            a, b = (library.from_numpy(boxes(seed, 5)) for seed in (1, 2))
            codes = library.from_numpy(numbers(3, 5, 8) * 4)
            return [coder.encode_single(a, b), coder.decode_single(codes, b), coder.decode(codes, [b[:2], b[2:]]),
                    *coder.encode([a[:2], a[2:]], [b[:2], b[2:]])]
        close(both(coded), atol=2e-2)
    for sized in (True, False):
        def linear(library: Any, root: str, sized: bool = sized) -> Any:
            coder = home(root, "_utils").BoxLinearCoder(sized)
            a, b = (library.from_numpy(boxes(seed, 5)) for seed in (1, 2))
            return [coder.encode(a, b), coder.decode(library.from_numpy(numbers(3, 5, 4)), b)]
        close(both(linear))


@pytest.mark.parametrize("kind,args", [("Matcher", (0.5, 0.3)), ("Matcher", (0.7, 0.3, True)), ("SSDMatcher", (0.4,))])
def test_matchers(kind: str, args: tuple[Any, ...]) -> None:
    quality = np.random.default_rng(0).random((4, 30)).astype(np.float32)
    quality[1] *= 0.3
    close(both(lambda library, root: getattr(home(root, "_utils"), kind)(*args)(library.from_numpy(quality.copy()))))
    for empty in (quality[:0], quality[:, :0]):
        with pytest.raises(ValueError, match="boxes available for one of the images during training"):
            getattr(home("rushlight.vision", "_utils"), kind)(*args)(rl.tensor(empty))


def test_samples_are_torchvisions() -> None:
    labels = np.random.default_rng(0).integers(-1, 3, 200)

    def drawn(library: Any, root: str) -> Any:
        library.manual_seed(4)
        positive, negative = home(root, "_utils").BalancedPositiveNegativeSampler(32, 0.25)(
            [library.from_numpy(labels)] * 2)
        return [*positive, *negative]
    close(both(drawn))


def test_anchors() -> None:
    def made(library: Any, root: str) -> Any:
        batch = home(root, "image_list").ImageList(library.zeros(2, 3, 64, 96), [(64, 90), (60, 96)])
        maps = [library.zeros(2, 4, 8, 12), library.zeros(2, 4, 4, 6)]
        utils = home(root, "anchor_utils")
        return ([utils.AnchorGenerator(((16, 24), (32,)), ((0.5, 1.0), (1.0, 2.0, 0.7)))(batch, maps),
                 utils.DefaultBoxGenerator([[2], [2, 3]])(batch, maps),
                 utils.DefaultBoxGenerator([[2], [2, 3]], scales=[0.1, 0.4,
                                                                  1.2], steps=[8, 16], clip=False)(batch, maps)])
    close(both(made))
    with pytest.raises(AssertionError, match="Got 2 feature maps and 1 sizes"):
        utils = home("rushlight.vision", "anchor_utils")
        batch = home("rushlight.vision", "image_list").ImageList(rl.zeros(1, 3, 8, 8), [(8, 8)])
        utils.AnchorGenerator(((16,),), ((1.0,),))(batch, [rl.zeros(1, 1, 4, 4), rl.zeros(1, 1, 2, 2)])


def test_masks_and_keypoints_are_put_into_the_image() -> None:
    def placed(library: Any, root: str) -> Any:
        if library is rl:
            masks, points = home(root, "_masks"), home(root, "_keypoints")
        else:
            masks = points = home(root, "roi_heads")
        where = library.from_numpy(boxes(5, 6, 50) - 6)
        maps = library.from_numpy(np.random.default_rng(1).random((6, 1, 14, 14)).astype(np.float32))
        heat = library.from_numpy(numbers(2, 6, 5, 12, 12))
        truth = library.from_numpy(np.concatenate(
            [boxes(5, 6, 50)[:, None, :2] - 3, np.ones((6, 1, 1), np.float32)], axis=2))
        return [masks.paste_masks_in_image(maps, where, (48, 56)), *points.heatmaps_to_keypoints(heat, where),
                *points.keypoints_to_heatmap(truth, where, 12)]
    mine, theirs = both(placed)
    close((mine[0], theirs[0]), 1e-5)
    close((mine[1:], list(theirs[1:])), 1e-3)


def test_transform() -> None:
    images = [np.random.default_rng(i).random(shape).astype(np.float32)
              for i, shape in enumerate([(3, 40, 60), (3, 50, 30)])]
    masks = (np.random.default_rng(5).random((2, 40, 60)) > 0.5).astype(np.uint8)

    def moved(library: Any, root: str, training: bool) -> Any:
        transform = home(root, "transform").GeneralizedRCNNTransform((48, 64), 80, [0.4, 0.5, 0.6], [0.2, 0.3, 0.2])
        transform.train(training)
        library.manual_seed(2)
        targets = [{"boxes": library.from_numpy(boxes(1, 2, 20)), "masks": library.from_numpy(masks.copy()),
                    "keypoints": library.from_numpy(numbers(2, 2, 4, 3))},
                   {"boxes": library.from_numpy(boxes(2, 1, 20))}]
        batch, targets = transform([library.from_numpy(image) for image in images], targets)
        return batch.image_sizes, [batch.tensors, *targets[0].values(), *targets[1].values()]
    for training in (True, False):
        mine, theirs = both(lambda library, root, training=training: moved(library, root, training))
        assert [tuple(size) for size in mine[0]] == [tuple(size) for size in theirs[0]]
        close((mine[1], theirs[1]), 1e-3)
    with pytest.raises(TypeError, match="Expected input images to be of floating type"):
        home("rushlight.vision", "transform").GeneralizedRCNNTransform(8, 8, [0.0], [1.0])(
            [rl.zeros(1, 4, 4, dtype=rl.uint8)])
    with pytest.raises(TypeError, match="unexpected arguments of a detection network: colour"):
        home("rushlight.vision", "transform").GeneralizedRCNNTransform(8, 8, [0.0], [1.0], colour=1)


def build(library: Any, root: str, kind: str) -> Any:
    """A network on a backbone of one convolution."""
    ops = import_module(f"{root}.ops")
    anchors = home(root, "anchor_utils")
    width = 32 if kind == "FCOS" else 8
    backbone = library.nn.Sequential(library.nn.Conv2d(3, width, 3, 4, 1), library.nn.ReLU())
    backbone.out_channels = [width] if kind == "SSD" else width
    size = {"min_size": 64, "max_size": 96}
    if kind == "SSD":
        return home(root, "ssd").SSD(backbone, anchors.DefaultBoxGenerator([[2]], 0.3, 0.6), (48, 48), 3)
    if kind == "RetinaNet":
        return home(root, "retinanet").RetinaNet(backbone, 3,
                                                 anchor_generator=anchors.AnchorGenerator(((16, 24),)), **size)
    if kind == "FCOS":
        return home(root, "fcos").FCOS(backbone, 3, anchor_generator=anchors.AnchorGenerator(((6,),), ((1.0,),)),
                                       score_thresh=0.05, **size)
    faster = home(root, "faster_rcnn")
    parts = {"rpn_anchor_generator": anchors.AnchorGenerator(((16, 24),)), "box_head": faster.TwoMLPHead(width * 9, 16),
             "box_predictor": faster.FastRCNNPredictor(16, 3), "box_roi_pool": ops.MultiScaleRoIAlign(["0"], 3, 2),
             "rpn_pre_nms_top_n_train": 60, "rpn_pre_nms_top_n_test": 60, "rpn_post_nms_top_n_train": 12,
             "rpn_post_nms_top_n_test": 12, "box_batch_size_per_image": 10, "box_detections_per_img": 8, **size}
    if kind == "MaskRCNN":
        module = home(root, "mask_rcnn")
        return module.MaskRCNN(backbone, None, mask_roi_pool=ops.MultiScaleRoIAlign(["0"], 4, 2),
                               mask_head=module.MaskRCNNHeads(width, (8,), 1),
                               mask_predictor=module.MaskRCNNPredictor(8, 8, 3), **parts)
    if kind == "KeypointRCNN":
        module = home(root, "keypoint_rcnn")
        return module.KeypointRCNN(backbone, None, keypoint_roi_pool=ops.MultiScaleRoIAlign(["0"], 4, 2),
                                   keypoint_head=module.KeypointRCNNHeads(width, (8,)),
                                   keypoint_predictor=module.KeypointRCNNPredictor(8, 5), **parts)
    return faster.FasterRCNN(backbone, None, **parts)


# nothing is padded: padding has equal scores
IMAGES = [np.random.default_rng(i).random(shape).astype(np.float32)
          for i, shape in enumerate([(3, 64, 96), (3, 64, 96)])]
TRUTH = [np.array([[5, 5, 30, 40], [30, 10, 60, 45]], np.float32), np.array([[8, 10, 40, 50]], np.float32)]


def targets(library: Any, kind: str) -> list[dict[str, Any]]:
    result = []
    for image, where in zip(IMAGES, TRUTH):
        y, x = np.mgrid[:image.shape[1], :image.shape[2]]
        masks = [(x >= b[0]) & (x < b[2]) & (y >= b[1]) & (y < b[3]) for b in where]
        points = np.concatenate([where[:, None, :2] + np.arange(1, 6)[None, :, None] * 3,
                                 np.ones((len(where), 5, 1))], axis=2)
        extra = {"MaskRCNN": {"masks": np.stack(masks).astype(np.uint8)},
                 "KeypointRCNN": {"keypoints": points.astype(np.float32)}}
        arrays = {"boxes": where, "labels": np.arange(1, len(where) + 1), **extra.get(kind, {})}
        result.append({key: library.from_numpy(value.copy()) for key, value in arrays.items()})
    return result


def in_order(detections: dict[str, Any]) -> np.ndarray:
    """An order that does not depend on how equal scores (of the padding) were sorted."""
    columns = [detections["labels"].numpy(), *detections["boxes"].numpy().round(1).T,
               detections["scores"].numpy().round(4)]
    return np.lexsort(columns)


@pytest.mark.parametrize("kind", ["FasterRCNN", "MaskRCNN", "KeypointRCNN", "RetinaNet", "FCOS", "SSD"])
def test_networks_detect_and_learn_alike(kind: str) -> None:
    mine, theirs = both(lambda library, root: build(library, root, kind))
    fill(theirs)
    mine.load_state_dict(rl.load(as_file(theirs.state_dict())), strict=True)
    with rl.no_grad(), torch.no_grad():
        found, expected = mine.eval()([rl.tensor(i) for i in IMAGES]), theirs.eval()(
            [torch.from_numpy(i) for i in IMAGES])
    for one, other in zip(found, expected):
        assert list(one) == list(other) and len(other["boxes"]) > 0
        np.testing.assert_allclose(one["scores"].numpy(), other["scores"].numpy(), atol=1e-4)
        orders = [in_order(detections) for detections in (one, other)]
        for key, value in other.items():
            close((one[key][rl.tensor(orders[0])], value[torch.tensor(orders[1])]), 2e-3)

    results = []
    for library, model in ((rl, mine), (torch, theirs)):
        library.manual_seed(3)
        losses = model.train()([library.from_numpy(i.copy()) for i in IMAGES], targets(library, kind))
        sum(losses.values()).backward()
        results.append((losses, dict(model.named_parameters())))
    assert sorted(results[0][0]) == sorted(results[1][0])
    for key, value in results[1][0].items():
        np.testing.assert_allclose(results[0][0][key].item(), value.item(), rtol=1e-4, atol=1e-5, err_msg=key)
    for key, value in results[1][1].items():
        expected = np.zeros(value.shape) if value.grad is None else value.grad.numpy()
        got = results[0][1][key].grad
        np.testing.assert_allclose(np.zeros(value.shape) if got is None else got.numpy(), expected, rtol=1e-2,
                                   atol=1e-3 * max(1e-3, float(np.abs(expected).max())), err_msg=key)


def test_wrong_targets() -> None:
    model = build(rl, "rushlight.vision", "FasterRCNN").train()
    images = [rl.tensor(IMAGES[0])]
    with pytest.raises(AssertionError, match="targets should not be none when in training mode"):
        model(images)
    with pytest.raises(AssertionError, match=r"shape \[N, 4\], got"):
        model(images, [{"boxes": rl.zeros(3), "labels": rl.zeros(3)}])
    with pytest.raises(AssertionError, match="Found invalid box .* for target at index 0"):
        model(images, [{"boxes": rl.tensor([[5.0, 5, 5, 9]]), "labels": rl.tensor([1])}])
    with pytest.raises(TypeError, match="target labels must of int64 type"):
        model(images, [{"boxes": rl.tensor([[5.0, 5, 9, 9]]), "labels": rl.tensor([1.0])}])
    with pytest.raises(ValueError, match="num_classes should not be None"):
        models.detection.FasterRCNN(model.backbone)


def test_images_without_anything_in_them() -> None:
    for kind in ("FasterRCNN", "RetinaNet", "FCOS", "SSD"):
        model = build(rl, "rushlight.vision", kind).train()
        nothing = {"boxes": rl.zeros(0, 4), "labels": rl.zeros(0, dtype=rl.int64)}
        losses = model([rl.tensor(IMAGES[0])], [nothing])
        assert all(np.isfinite(value.item()) for value in losses.values()), kind


def test_frozen_layers_with_a_trained_backbone() -> None:
    backbone = models.detection.backbone_utils.resnet_fpn_backbone
    assert torchvision is not None
    body = backbone(backbone_name="resnet18", weights=None, trainable_layers=2)
    trained = {name.split(".")[1] for name, p in body.named_parameters() if p.requires_grad and name.startswith("body")}
    assert trained == {"layer3", "layer4"} and body.out_channels == 256
    with pytest.raises(ValueError, match=r"Trainable layers should be in the range \[0,5\], got 7"):
        backbone(backbone_name="resnet18", weights=None, trainable_layers=7)
