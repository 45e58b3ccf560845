"""models.quantization against torchvision: fused and quantized networks, weights from real files, outputs, errors.

RUSHLIGHT_ALL_MODELS=1 compares outputs of all of them.
"""

from __future__ import annotations

import io
import os
import warnings
from typing import Any

import numpy as np
import pytest
from vision_models import arguments, as_file, fill, pair
from vision_oracle import torch, torchvision

import rushlight as rl
from rushlight.vision import models

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
ALL = [name for name in models.list_models() if name.startswith("quantized_")]
SMALL = ["quantized_mobilenet_v3_large", "quantized_shufflenet_v2_x0_5"]
COMPARED = ALL if os.environ.get("RUSHLIGHT_ALL_MODELS") else SMALL
HOMES = models.quantization.utils, torchvision.models.quantization.utils


def size_of(name: str) -> int:
    return 299 if "inception" in name else 64


def pictures(name: str, seed: int = 1, count: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, size_of(name), size_of(name))).astype(np.float32)


def outputs(mine: Any, reference: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with rl.no_grad(), torch.no_grad():
        return mine(rl.tensor(x)).numpy(), reference(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("name", COMPARED)
def test_float_fused_and_quantized(name: str) -> None:
    """As floats, fused, and quantized after one batch of data; the quantized state goes through files both ways."""
    mine, reference = pair(name)
    fill(reference)
    mine.load_state_dict(rl.load(as_file(reference.state_dict())), strict=True)
    x = pictures(name)
    found, expected = outputs(mine, reference, x)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max(), rtol=1e-4)
    for library, model, data in ((rl, mine, rl.tensor(x)), (torch, reference, torch.from_numpy(x))):
        ao = library.ao.quantization
        model.fuse_model()
        model.qconfig = ao.QConfig(activation=ao.default_observer, weight=ao.default_weight_observer)
        ao.prepare(model, inplace=True)
        with library.no_grad():
            model(data)
    names = [[key for key, _ in model.named_modules()] for model in (mine, reference)]
    assert names[0] == names[1]
    found, fused = outputs(mine, reference, x)
    np.testing.assert_allclose(found, fused, atol=1e-4 * np.abs(fused).max(), rtol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of auxiliary heads, which have seen no data
        rl.ao.quantization.convert(mine, inplace=True)
        torch.ao.quantization.convert(reference, inplace=True)
    mine.load_state_dict(rl.load(as_file(reference.state_dict())), strict=True)
    back = io.BytesIO()
    rl.save(mine.state_dict(), back)
    reference.load_state_dict(torch.load(io.BytesIO(back.getbuffer()), weights_only=True), strict=True)
    found, quantized = outputs(mine, reference, x)
    spread = np.abs(fused - fused.mean()).max()
    assert np.abs(found - quantized).max() <= 0.06 * spread  # integers may be rounded differently by one
    assert np.corrcoef(found.reshape(-1), fused.reshape(-1))[0, 1] > 0.8


@pytest.mark.parametrize("name", SMALL)
def test_builders_quantize(name: str) -> None:
    made = []
    for library, home in ((rl, models), (torch, torchvision.models)):
        library.manual_seed(0)
        made.append(home.get_model(name, quantize=True, num_classes=10))
    mine, reference = made
    kinds = [[name for name, m in net.named_modules() if type(m).__module__.count("quantized")] for net in made]
    assert {k for k in kinds[0] if not k.endswith(".layer")} == {k for k in kinds[1]
                                                                 if not k.endswith("_packed_params")} != set()
    assert list(mine.state_dict()) == list(reference.state_dict()) and not mine.training
    if "v3" not in name:  # whose fusing for training draws weights that nobody sees in PyTorch
        assert rl.get_rng_state().numpy().tobytes() == torch.get_rng_state().numpy().tobytes()
    assert rl.backends.quantized.engine == torch.backends.quantized.engine
    found, expected = outputs(mine, reference, pictures(name, count=1))
    assert found.shape == expected.shape and np.isfinite(found).all()


def test_training_aware() -> None:
    """Fused for training, a step, converted."""
    model = models.quantization.mobilenet_v2(num_classes=4, width_mult=0.25)
    reference = torchvision.models.quantization.mobilenet_v2(num_classes=4, width_mult=0.25)
    for library, m in ((rl, model), (torch, reference)):
        m.train()
        m.fuse_model()
        m.qconfig = library.ao.quantization.get_default_qat_qconfig("qnnpack")
        library.ao.quantization.prepare_qat(m, inplace=True)
    assert [key for key, _ in model.named_parameters()] == [key for key, _ in reference.named_parameters()]
    out = model(rl.randn(2, 3, 32, 32))
    out.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    rl.ao.quantization.convert(model, inplace=True)
    assert tuple(model(rl.randn(1, 3, 32, 32)).shape) == (1, 4)


def test_arguments() -> None:
    with pytest.raises(RuntimeError, match="Quantized backend not supported.*fbgemm"):
        models.quantization.shufflenet_v2_x0_5(quantize=True, backend="none")
    with pytest.raises(KeyError, match="IMAGENET1K_FBGEMM_V1"):
        models.quantization.resnet18(quantize=True, weights="IMAGENET1K_V1")
    with pytest.raises(TypeError, match="expected ResNet18_Weights but received ResNet18_QuantizedWeights"):
        models.quantization.resnet18(weights=models.quantization.ResNet18_QuantizedWeights.DEFAULT)
    weights = models.quantization.ResNet50_QuantizedWeights.IMAGENET1K_FBGEMM_V2
    assert weights.meta["unquantized"] is models.ResNet50_Weights.IMAGENET1K_V2
    assert models.get_model_weights("quantized_resnet50") is models.quantization.ResNet50_QuantizedWeights
    assert models.quantization.resnet50.__doc__ and "for 8 bits" in models.quantization.resnet50.__doc__
    assert arguments("quantized_googlenet") == {"init_weights": False}
    nets = []
    for library, home in zip((rl, torch), HOMES):
        nn = library.nn
        nets.append(nn.Sequential(nn.ReLU6(True), nn.Sequential(nn.ReLU(True)), nn.Hardswish()))
        home._replace_relu(nets[-1])
    assert repr(nets[0]) == repr(nets[1])


def test_whole_quantized_files(tmp_path: Any, monkeypatch: Any) -> None:
    """A file in the hub's folder, as published: quantized weights for a quantized network;
    another architecture's is refused."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(rl.hub, "_folder", None)
    enum = models.quantization.ShuffleNet_V2_X0_5_QuantizedWeights
    reference = torchvision.models.quantization.shufflenet_v2_x0_5(quantize=True)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setattr(enum, "get_state_dict",
                        lambda self, *args, **kwargs: rl.load(folder / self.url.rpartition("/")[2]))
    file = folder / enum.DEFAULT.url.rpartition("/")[2]
    torch.save(reference.state_dict(), file)
    mine = models.quantization.shufflenet_v2_x0_5(quantize=True, weights="DEFAULT")
    x = pictures("", count=1)
    found, expected = outputs(mine, reference, x)
    assert np.abs(found - expected).max() <= 0.06 * max(np.abs(expected).max(), 1e-3)
    torch.save(torchvision.models.quantization.resnet18().state_dict(), file)
    with pytest.raises(RuntimeError, match="does not hold the weights "
                       "ShuffleNet_V2_X0_5_QuantizedWeights.IMAGENET1K_FBGEMM_V1"):
        models.quantization.shufflenet_v2_x0_5(quantize=True, weights="DEFAULT")
