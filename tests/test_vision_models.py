"""vision.models against torchvision: names, shapes, weights from real files,
outputs, initial values, weight enums, errors.

Every model's names and shapes are compared always, outputs of a small set;
RUSHLIGHT_ALL_MODELS=1 compares outputs of all.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import os
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vision_models import arguments, as_file, described, fill, pair
from vision_oracle import torch, torchvision

import rushlight as rl
from rushlight import hub
from rushlight.vision import models
from rushlight.vision.models import _utils

ALL = [name for name in models.list_models()]
IMAGE_MODELS = [name for name in ALL if models.get_model_builder(name).__module__.split(".")[3]
                not in ("detection", "video", "optical_flow", "quantization")]
SMALL = ["squeezenet1_1", "resnet18", "mobilenet_v3_small", "lraspp_mobilenet_v3_large"]
COMPARED = IMAGE_MODELS if os.environ.get("RUSHLIGHT_ALL_MODELS") else SMALL


def test_the_same_models_are_listed() -> None:
    assert ALL == torchvision.models.list_models()
    for options in ({"include": "res*"}, {"exclude": ["*1*", "*2*"]}, {"include": ["vgg*", "vit*"], "exclude": "*bn"}):
        assert models.list_models(**options) == torchvision.models.list_models(**options)
    assert models.list_models(module=models.segmentation) == torchvision.models.list_models(
        module=torchvision.models.segmentation)


@pytest.mark.parametrize("name", ["", "segmentation", "detection", "video", "optical_flow", "quantization"])
def test_public_names(name: str) -> None:
    mine = getattr(models, name) if name else models
    theirs = getattr(torchvision.models, name) if name else torchvision.models
    public = {key for key, value in vars(theirs).items() if not key.startswith("_") and not inspect.ismodule(value)}
    assert {key for key in public if not hasattr(mine, key)} == set()
    assert inspect.isfunction(models.alexnet) and inspect.isfunction(models.googlenet)


@pytest.mark.parametrize("name", ALL)
def test_names_shapes_and_types(name: str) -> None:
    mine, theirs = pair(name)
    for what in ("named_parameters", "named_buffers"):
        assert described(getattr(mine, what)()) == described(getattr(theirs, what)())
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert [key for key, _ in mine.named_modules()] == [key for key, _ in theirs.named_modules()]
    assert [p.requires_grad for p in mine.parameters()] == [p.requires_grad for p in theirs.parameters()]
    weights = models.get_model_weights(name).DEFAULT
    # # Files of googlenet, vit_h_14 and regnet_y_128gf are of other settings than
    # the default ones; detection networks without
    # weights have norms that are not frozen, segmentation networks no auxiliary head
    if name in IMAGE_MODELS and not name.startswith(("googlenet", "inception", "fcn",
                                                     "deeplab", "vit_h", "regnet_y_128")):
        assert sum(p.numel() for p in mine.parameters()) == weights.meta["num_params"]


def size_of(name: str) -> tuple[int, dict[str, Any]]:
    """A small size of image that the model takes, and the argument that says so where one must."""
    if name.startswith("vit"):
        side = 56 if "14" in name else 64
        return side, {"image_size": side}
    return (72 if name.startswith("swin") else max(64, *models.get_model_weights(name).DEFAULT.meta["min_size"])), {}


def assert_same_state(found: Any, expected: Any) -> None:
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype and torch.equal(found[key], value), key


@pytest.mark.parametrize("name", COMPARED)
def test_weights_from_a_real_file_and_outputs(name: str) -> None:
    size, options = size_of(name)
    mine, theirs = pair(name, **options)
    fill(theirs)
    mine.load_state_dict(rl.load(as_file(theirs.state_dict())), strict=True)
    back = io.BytesIO()
    rl.save(mine.state_dict(), back)
    assert_same_state(torch.load(io.BytesIO(back.getbuffer()), weights_only=True), theirs.state_dict())
    x = np.random.default_rng(1).standard_normal((2, 3, size, size)).astype(np.float32)
    with rl.no_grad(), torch.no_grad():
        ours, expected = mine(rl.tensor(x)), theirs(torch.from_numpy(x))
    if not isinstance(expected, dict):
        ours, expected = {"out": ours}, {"out": expected}
    assert list(ours) == list(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(ours[key].numpy(), value.numpy(), atol=1e-4 * float(value.abs().max()), rtol=1e-4)


DETECTION = [name for name in ALL if ".detection." in models.get_model_builder(name).__module__]


ONE_OF_EACH_KIND = ["ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn",
                    "fcos_resnet50_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn"]


def few_detections(name: str) -> dict[str, Any]:
    """Settings with which a network of made-up weights finds something in small pictures, and not hundreds of it."""
    if "rcnn" in name:
        return {"min_size": 128, "max_size": 192, "rpn_pre_nms_top_n_test": 100, "rpn_post_nms_top_n_test": 40,
                "box_detections_per_img": 20, "box_score_thresh": 0.0}
    few = {"topk_candidates": 40, "detections_per_img": 20, "score_thresh": 0.0}
    return few if "ssd" in name else {**few, "min_size": 128, "max_size": 192}


def partners(found: dict[str, Any], expected: dict[str, Any]) -> np.ndarray:
    """For each expected detection the one found with its label and the nearest box
    and score: equal scores may stand in any order.

    Boxes may be equal, too: those without area at an edge do not suppress each other.
    """
    assert list(found) == list(expected) and len(expected["boxes"]) > 0
    far = np.abs(found["boxes"].numpy()[None] - expected["boxes"].numpy()[:, None]).max(2)
    far = far + 1e6 * (found["labels"].numpy()[None] != expected["labels"].numpy()[:, None])
    nearest = (far + 1e3 * np.abs(found["scores"].numpy()[None] - expected["scores"].numpy()[:, None])).argmin(1)
    assert sorted(nearest) == list(range(far.shape[1]))
    return nearest


@pytest.mark.parametrize("name", DETECTION if os.environ.get("RUSHLIGHT_ALL_MODELS") else ONE_OF_EACH_KIND)
def test_detection_weights_from_a_real_file_and_detections(name: str) -> None:
    """Into the network and out again; and what the whole network finds in two pictures.

    torchvision's nms and roi_align are those of vision_oracle, in plain PyTorch, where its native ones are missing.
    """
    mine, theirs = pair(name, **few_detections(name))
    fill(theirs)
    mine.load_state_dict(rl.load(as_file(theirs.state_dict())), strict=True)
    back = io.BytesIO()
    rl.save(mine.state_dict(), back)
    assert_same_state(torch.load(io.BytesIO(back.getbuffer()), weights_only=True), theirs.state_dict())
    images = [np.random.default_rng(i).random(shape).astype(np.float32)
              for i, shape in enumerate([(3, 96, 120), (3, 120, 100)])]
    with rl.no_grad(), torch.no_grad():
        found, expected = mine([rl.tensor(image) for image in images]), theirs([
            torch.from_numpy(image) for image in images])
    for one, other in zip(found, expected, strict=True):
        order = partners(one, other)
        for key, value in other.items():
            np.testing.assert_allclose(one[key].numpy()[order], value.numpy(),
                                       atol=1e-4 * float(value.abs().max()), rtol=1e-4, err_msg=key)


@pytest.mark.parametrize("name", DETECTION if os.environ.get("RUSHLIGHT_ALL_MODELS") else [
    "fcos_resnet50_fpn", "retinanet_resnet50_fpn_v2"])
def test_initial_values_of_detection_networks(name: str) -> None:
    rl.manual_seed(4)
    torch.manual_seed(4)
    mine, theirs = pair(name, drawn=True)
    for (key, a), (other, b) in zip(mine.state_dict().items(), theirs.state_dict().items(), strict=True):
        assert key == other and a.numpy().tobytes() == b.numpy().tobytes(), key
    assert rl.get_rng_state().numpy().tobytes() == torch.get_rng_state().numpy().tobytes()


def modules_pair(name: str) -> tuple[Any, Any]:
    """A module of models in both libraries."""
    from importlib import import_module
    return import_module(f"rushlight.vision.models.{name}"), import_module(f"torchvision.models.{name}")


SMALL_BUILDS: list[tuple[str, Any]] = [
    ("alexnet", None), ("squeezenet", lambda m: m.SqueezeNet("1_0", num_classes=7)),
    ("densenet", lambda m: m.DenseNet(8, (2, 3), 16, num_classes=5)),
    ("resnet", lambda m: m.ResNet(m.BasicBlock, [1, 1, 1, 1], num_classes=3, zero_init_residual=True)),
    ("resnet", lambda m: m.ResNet(m.Bottleneck, [1, 1, 1, 1], num_classes=3, groups=2, width_per_group=8,
                                  replace_stride_with_dilation=[False, True, True])),
    ("mobilenetv2", lambda m: m.MobileNetV2(num_classes=4, width_mult=0.35)),
    ("mobilenetv3", lambda m: m.mobilenet_v3_small(width_mult=0.5, reduced_tail=True, dilated=True, num_classes=5)),
    ("mnasnet", lambda m: m.MNASNet(0.35, num_classes=4)),
    ("shufflenetv2", lambda m: m.shufflenet_v2_x0_5(num_classes=4)),
    ("efficientnet", lambda m: m.EfficientNet([m.MBConvConfig(1, 3, 1, 8, 8, 2), m.FusedMBConvConfig(4, 3, 2, 8, 16, 2),
                                               m.FusedMBConvConfig(1, 3, 1, 16, 16, 1)], 0.0, num_classes=5)),
    ("regnet", lambda m: m.RegNet(m.BlockParams.from_init_params(6, 24, 24.48, 2.54,
                                                                 16, se_ratio=0.25), num_classes=4)),
    ("convnext", lambda m: m.ConvNeXt([m.CNBlockConfig(8, 16, 2), m.CNBlockConfig(16, None, 1)], 0.3, num_classes=4)),
    ("vision_transformer", lambda m: m.VisionTransformer(16, 4, 2, 2, 8, 16, num_classes=3, representation_size=6)),
    ("vision_transformer", lambda m: m.VisionTransformer(
        16, 4, 1, 2, 8, 16, num_classes=3, conv_stem_configs=[m.ConvStemConfig(8, 3, 2), m.ConvStemConfig(8, 3, 2)])),
    ("swin_transformer", lambda m: m.SwinTransformer([4, 4], 8, [2, 2], [2, 4], [3, 3], num_classes=3)),
    ("swin_transformer", lambda m: m.SwinTransformer([4, 4], 8, [2, 2], [2, 4], [3, 2],
                                                     num_classes=3, block=m.SwinTransformerBlockV2,
                                                     downsample_layer=m.PatchMergingV2)),
    ("maxvit", lambda m: m.MaxVit((32, 32), 8, 2, [8, 16], [2, 1], 8, 0.2, num_classes=3)),
    ("googlenet", lambda m: m.GoogLeNet(num_classes=3, init_weights=True, transform_input=True, aux_logits=False)),
    ("segmentation.deeplabv3", lambda m: m.DeepLabHead(8, 3)), ("segmentation.fcn", lambda m: m.FCNHead(8, 3)),
    ("segmentation.lraspp", lambda m: m.LRASPPHead(8, 16, 3, 4)),
]


@pytest.mark.parametrize("place", range(1, len(SMALL_BUILDS)), ids=lambda i: SMALL_BUILDS[i][0] + str(i))
def test_the_same_seed_gives_the_same_initial_weights(place: int) -> None:
    module, build = SMALL_BUILDS[place]
    states = []
    for library, family in zip((rl, torch), modules_pair(module)):
        library.manual_seed(5)
        states.append(build(family).state_dict())
        states.append(library.rand(1))
    assert list(states[0]) == list(states[2])
    for key, value in states[2].items():
        np.testing.assert_allclose(states[0][key].numpy(), value.numpy(), rtol=1e-6, atol=1e-7, err_msg=key)
    assert states[1].item() == states[3].item()  # and the generator is as far


@pytest.mark.parametrize("place", [3, 9, 11, 12, 14, 15])
def test_training_outputs_and_gradients(place: int) -> None:
    """A step in training mode: batch statistics, and stochastic depth draws alike."""
    module, build = SMALL_BUILDS[place]
    size = {"vision_transformer": 16, "maxvit": 32}.get(module, 64)
    x = np.random.default_rng(0).standard_normal((3, 3, size, size)).astype(np.float32)
    results = []
    for library, family in zip((rl, torch), modules_pair(module)):
        library.manual_seed(5)
        model = build(family).train()
        library.manual_seed(6)
        out = model(library.from_numpy(x))
        out.square().sum().backward()
        results.append((out, dict(model.named_parameters())))
    np.testing.assert_allclose(results[0][0].detach().numpy(), results[1][0].detach().numpy(), rtol=1e-3, atol=1e-4)
    for key, value in results[1][1].items():
        if value.grad is None:
            continue
        expected = value.grad.numpy()
        np.testing.assert_allclose(results[0][1][key].grad.numpy(), expected, rtol=1e-2,
                                   atol=2e-3 * max(1e-3, np.abs(expected).max()), err_msg=key)


ENUMS = sorted({models.get_model_weights(name).__name__ for name in ALL})


@pytest.mark.parametrize("name", ENUMS)
def test_weight_enums(name: str) -> None:
    library = torchvision.models
    homes = (library, library.segmentation, library.detection, library.video,
             library.optical_flow, library.quantization)
    theirs = next(getattr(home, name) for home in homes if hasattr(home, name))
    mine = type(models.get_weight(f"{name}.DEFAULT"))
    assert list(mine.__members__) == list(theirs.__members__) and mine.DEFAULT.name == theirs.DEFAULT.name
    for member, weights in theirs.__members__.items():
        assert mine[member].url == weights.url and repr(mine[member]) == repr(weights)
        public = {key: value for key, value in weights.meta.items() if key != "_docs"}
        found = dict(mine[member].meta)
        for facts in (found, public):
            facts["unquantized"] = str(facts.get("unquantized"))
        np.testing.assert_equal(found, public)
        assert repr(mine[member].transforms()) == repr(weights.transforms())
    assert mine.verify(f"{name}.DEFAULT") is mine.DEFAULT and mine.verify("DEFAULT") is mine.DEFAULT
    assert mine.verify(None) is None


def test_transforms_of_weights() -> None:
    image = (np.random.default_rng(0).random((3, 300, 280)) * 255).astype(np.uint8)
    for name in ("ResNet50_Weights.IMAGENET1K_V2", "ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1"):
        mine, theirs = models.get_weight(name).transforms(), torchvision.models.get_weight(name).transforms()
        np.testing.assert_allclose(mine(rl.tensor(image)).numpy(), theirs(torch.from_numpy(image)).numpy(), atol=0.02)
    mine = models.get_weight("FasterRCNN_ResNet50_FPN_Weights.DEFAULT").transforms()(rl.tensor(image))
    np.testing.assert_allclose(mine.numpy(), image / 255, atol=1e-6)


def test_unknown_names_say_what_is_near() -> None:
    with pytest.raises(ValueError, match="Unknown model resnet51.*resnet50"):
        models.get_model("resnet51")
    with pytest.raises(ValueError, match="Invalid weight name provided: 'nonsense'"):
        models.get_weight("nonsense")
    with pytest.raises(ValueError, match="The weight enum 'ResNet51_Weights'.*ResNet50_Weights"):
        models.get_weight("ResNet51_Weights.DEFAULT")
    with pytest.raises(TypeError, match="expected ResNet18_Weights but received ResNet34_Weights"):
        models.resnet18(weights=models.ResNet34_Weights.DEFAULT)
    with pytest.raises(KeyError, match="IMAGENET1K_V1"):
        models.resnet18(weights="IMAGENET1K_V9")
    with pytest.raises(AttributeError, match="torchvision.models.audio"):
        models.audio


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weight files, under a $TORCH_HOME of this test."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_weights_from_torch_home(checkpoints: Path) -> None:
    mine, theirs = pair("squeezenet1_1")
    fill(theirs)
    torch.save(theirs.state_dict(), checkpoints / "squeezenet1_1-b8a52dc0.pth")
    model = models.squeezenet1_1(weights="DEFAULT", progress=False)
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[key].numpy(), value.numpy())
    assert models.SqueezeNet1_1_Weights.DEFAULT.get_state_dict(progress=False).keys() == theirs.state_dict().keys()
    with pytest.raises(ValueError, match="The parameter 'num_classes' expected value 1000 but got 10 instead"):
        models.squeezenet1_1(weights="DEFAULT", num_classes=10)


def test_densenet_files_with_old_names(checkpoints: Path) -> None:
    mine, theirs = pair("densenet121")
    fill(theirs)
    old = {__import__("re").sub(r"(denselayer\d+\.(?:norm|conv))(\d)\.", r"\1.\2.", key): value
           for key, value in theirs.state_dict().items()}
    assert old.keys() != theirs.state_dict().keys()
    torch.save(old, checkpoints / "densenet121-a639ec97.pth")
    model = models.densenet121(weights="DEFAULT", progress=False)
    key = "features.denseblock1.denselayer1.conv1.weight"
    np.testing.assert_array_equal(model.state_dict()[key].numpy(), theirs.state_dict()[key].numpy())


def test_a_weight_file_of_another_architecture(checkpoints: Path) -> None:
    path = checkpoints / "squeezenet1_1-b8a52dc0.pth"
    torch.save(pair("shufflenet_v2_x0_5")[1].state_dict(), path)
    with pytest.raises(RuntimeError) as caught:
        models.squeezenet1_1(weights="DEFAULT", progress=False)
    text = str(caught.value)
    assert text.startswith("Error(s) in loading state_dict for SqueezeNet") and str(path) in text
    assert "Remove the file" in text and "SqueezeNet1_1_Weights.IMAGENET1K_V1" in text
    torch.save(torch.zeros(3), path)
    with pytest.raises(RuntimeError, match="does not hold the weights"):
        models.squeezenet1_1(weights="DEFAULT", progress=False)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(RuntimeError, match="squeezenet1_1-b8a52dc0"):
        models.squeezenet1_1(weights="DEFAULT", progress=False)


def test_downloads_are_checked(checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = as_file({"a": torch.ones(3)}).getvalue()
    digest = hashlib.sha256(whole).hexdigest()[:8]
    good, bad = tmp_path / f"net-{digest}.pth", tmp_path / "net-00000000.pth"
    good.write_bytes(whole)
    bad.write_bytes(whole)
    state = hub.load_state_dict_from_url(good.as_uri(), check_hash=True)
    assert state["a"].tolist() == [1, 1, 1] and (checkpoints / good.name).exists()
    assert "Downloading" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match='invalid hash value \\(expected "00000000"'):
        hub.load_state_dict_from_url(bad.as_uri(), check_hash=True, progress=False)
    assert not (checkpoints / bad.name).exists() and not list(checkpoints.glob("*unchecked"))
    assert hub.load_state_dict_from_url(bad.as_uri(), progress=False)["a"].tolist() == [1, 1, 1]
    missing = (tmp_path / "none-12345678.pth").as_uri()
    with pytest.raises(RuntimeError, match="Without a network: download .* and put it at"):
        hub.load_state_dict_from_url(missing, check_hash=True, progress=False)


def test_hub_folder_and_local_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert hub.get_dir() == torch.hub.get_dir()
    monkeypatch.setattr(hub, "_folder", None)
    hub.set_dir(str(tmp_path / "x"))
    assert hub.get_dir() == str(tmp_path / "x")
    (tmp_path / "hubconf.py").write_text("def double(x, *, plus=0):\n    return 2 * x + plus\n")
    assert hub.load(str(tmp_path), "double", 4, source="local", plus=1) == 9
    with pytest.raises(RuntimeError, match="Cannot find callable triple in hubconf"):
        hub.load(str(tmp_path), "triple", source="local")
    with pytest.raises(NotImplementedError, match="clone"):
        hub.load("pytorch/vision", "resnet18")


def texts_of(call: Any) -> tuple[list[str], Any]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result: Any = call()
        except Exception as e:
            result = type(e), str(e)
    return [str(w.message) for w in seen if issubclass(w.category, UserWarning)], result


@pytest.mark.parametrize("args,kwargs",
                         [((), {"pretrained": False}), ((False,), {}), ((None, False), {}), ((), {"weights": False}),
                          ((), {"pretrained": True}), ((True,), {}), ((), {"weights": None})])
def test_deprecated_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], checkpoints: Path) -> None:
    """The same warnings as torchvision's, on the same weights."""
    outcomes = []
    for library, enum_home, utils in ((rl, models, _utils), (torch, torchvision.models, torchvision.models._utils)):
        enum = enum_home.SqueezeNet1_1_Weights

        @utils.handle_legacy_interface(weights=("pretrained", enum.IMAGENET1K_V1))
        def build(*, weights: Any = None, progress: bool = True, **more: Any) -> tuple[str, bool, Any]:
            return repr(weights), progress, more

        outcomes.append(texts_of(partial(build, *args, **kwargs)))
    assert outcomes[0] == outcomes[1]


def test_builders_tell_what_they_are() -> None:
    signature = inspect.signature(models.resnet50)
    assert list(signature.parameters) == list(inspect.signature(torchvision.models.resnet50).parameters)
    assert models.resnet50.__name__ == "resnet50" and models.resnet50.__module__ == "rushlight.vision.models.resnet"
    assert "25,557,032 parameters" in (models.resnet50.__doc__ or "")
    assert models.get_model_weights(models.resnet50) is models.ResNet50_Weights
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3"):
        models.resnet18(None, True, 1000)


def test_interpolated_positions() -> None:
    theirs = torchvision.models.vision_transformer
    state = theirs.VisionTransformer(16, 4, 1, 2, 8, 16, num_classes=3).state_dict()
    expected = theirs.interpolate_embeddings(24, 4, dict(state), reset_heads=True)
    mine = models.vision_transformer.interpolate_embeddings(24, 4, rl.load(as_file(state)), reset_heads=True)
    assert list(mine) == list(expected)
    np.testing.assert_allclose(mine["encoder.pos_embedding"].numpy(),
                               expected["encoder.pos_embedding"].numpy(), atol=1e-5)


SCRIPT = """
import torch, torchvision
from torchvision.models import resnet18, ResNet18_Weights, get_model
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import nms
from torchvision.ops.misc import FrozenBatchNorm2d
import torchvision.models as models
model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=4)
model.fc = torch.nn.Linear(model.fc.in_features, 2)
print(tuple(model.eval()(torch.zeros(1, 3, 32, 32)).shape), models.get_model_weights("resnet18") is ResNet18_Weights)
print(torchvision.models.squeezenet1_1 is get_model.__globals__["get_model_builder"]("squeezenet1_1"))
"""


def test_programs_that_import_torchvision(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SCRIPT)
    code = "import rushlight, runpy; rushlight.as_torch(); runpy.run_path('program.py')"
    root = str(Path(__file__).resolve().parents[1])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["(1, 2) True", "True"], done.stderr


def test_arguments_that_do_not_fit() -> None:
    assert arguments("fcn_resnet50") == {"weights_backbone": None}
    with pytest.raises(ValueError, match="expected value 32 but got 8"):
        models.resnext50_32x4d(groups=8)
    with pytest.raises(ValueError, match="replace_stride_with_dilation should be None or a 3-element tuple"):
        models.resnet18(replace_stride_with_dilation=[True])
    with pytest.raises(NotImplementedError, match="auxiliary loss"):
        models.segmentation.lraspp_mobilenet_v3_large(weights_backbone=None, aux_loss=True)
    with pytest.raises(AssertionError, match="Wrong image height! Expected 16 but got 20!"):
        models.VisionTransformer(16, 4, 1, 2, 8, 16)(rl.zeros(1, 3, 20, 16))
