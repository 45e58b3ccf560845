"""torch._subclasses.fake_tensor: programs on shapes and dtypes only, beside PyTorch's."""

from __future__ import annotations

import copy
import resource
from typing import Any

import pytest

import rushlight as rl
import rushlight.nn as nn
from rushlight._subclasses import fake_tensor
from rushlight._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from rushlight.vision import models


def _programs() -> dict[str, Any]:
    def trained(lib: Any) -> Any:
        m = lib.nn.Sequential(
            lib.nn.Conv2d(3, 8, 3),
            lib.nn.BatchNorm2d(8),
            lib.nn.ReLU(),
            lib.nn.Flatten(),
            lib.nn.Dropout(0.5),
            lib.nn.Linear(8 * 36, 4),
        )
        loss = lib.nn.functional.cross_entropy(m(lib.randn(2, 3, 8, 8)), lib.tensor([1, 3]))
        loss.backward()
        lib.optim.Adam(m.parameters(), 0.1).step()
        return [loss, *m.parameters(), *[p.grad for p in m.parameters()], *m.buffers()]

    def sampled(lib: Any) -> Any:
        x = lib.rand(3, 4)
        return [
            x,
            lib.randn(2, 3, dtype=lib.float64),
            lib.randint(0, 5, (4,)),
            lib.randperm(5),
            lib.rand_like(x),
            lib.bernoulli(x),
            lib.multinomial(x, 2),
            lib.empty(2, 2).uniform_(),
            lib.arange(4),
            lib.zeros(2, dtype=lib.int32),
            lib.ones(1) + lib.full((3, 1), 2),
            lib.eye(3)[0],
            lib.cat([x, x]),
            x[:, 1:].sum(0),
            x.argmax(1),
            x > 0.5,
        ]

    def layers(lib: Any) -> Any:
        return [
            lib.nn.TransformerEncoderLayer(8, 2, 16)(lib.randn(3, 2, 8)),
            *lib.nn.LSTM(3, 4)(lib.randn(5, 2, 3))[1],
            lib.nn.Embedding(5, 3, padding_idx=0)(lib.tensor([[1, 2]])),
        ]

    return {"training": trained, "sampling": sampled, "layers": layers}


@pytest.mark.parametrize("name", _programs())
def test_shapes_and_dtypes_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    from torch._subclasses.fake_tensor import FakeTensorMode as Theirs

    program = _programs()[name]
    with FakeTensorMode():
        mine = program(rl)
    with Theirs():
        theirs = program(torch)
    assert [(tuple(t.shape), str(t.dtype), t.requires_grad) for t in mine] == [
        (tuple(t.shape), str(t.dtype), t.requires_grad) for t in theirs
    ]
    assert all(isinstance(t, FakeTensor) for t in mine)


def test_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with FakeTensorMode():
        big = nn.Sequential(*[nn.Linear(50_000, 50_000) for _ in range(4)])
        out = big(rl.randn(4, 50_000))
        picture = models.resnet50()(rl.randn(8, 3, 224, 224))
    assert out.shape == (4, 50_000) and picture.shape == (8, 1000) and sum(p.numel() for p in big.parameters()) > 10**10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_real_programs_are_unharmed() -> None:
    def gradient() -> Any:
        rl.manual_seed(0)
        m = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        m(rl.ones(2, 3)).sum().backward()
        return [p.grad.tolist() for p in m.parameters()]

    want = gradient()
    waiting = rl.ones(3) + 1  # pending when the mode begins
    with FakeTensorMode():
        m = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        m(rl.ones(2, 3)).sum().backward()
    assert waiting.tolist() == [2.0, 2.0, 2.0] and gradient() == want and not isinstance(rl.ones(2) * 2, FakeTensor)
    state = rl.get_rng_state()
    with FakeTensorMode():
        rl.randn(5)
        nn.Linear(3, 3)
    assert rl.equal(state, rl.get_rng_state())


def test_reading_values() -> None:
    with FakeTensorMode():
        x = rl.randn(2, 3)
        for read in (
            lambda: x.sum().item(),
            lambda: bool(x.sum() > 0),
            lambda: float(x.sum()),
            lambda: x.tolist(),
            lambda: rl.allclose(x, x),
        ):
            with pytest.raises(DataDependentOutputException):
                read()
        for read in (lambda: x.nonzero(), lambda: x.unique(), lambda: rl.masked_select(x, x > 0), lambda: x[x > 0]):
            with pytest.raises(DynamicOutputShapeException):
                read()
        with pytest.raises(RuntimeError, match="not supported for tensor subclasses"):
            x.numpy()
        with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
            x.item()
        with pytest.raises(RuntimeError, match="The size of tensor a"):
            x + rl.ones(5)
    assert issubclass(DataDependentOutputException, RuntimeError)
    assert issubclass(DynamicOutputShapeException, RuntimeError)


def test_outside_the_mode() -> None:
    with FakeTensorMode() as mode:
        layer = nn.Linear(3, 2)
        x = rl.randn(4, 3)
    y = layer(x)
    assert isinstance(y, FakeTensor) and y.shape == (4, 2) and y.fake_mode is mode and y.requires_grad
    assert repr(x) == "FakeTensor(..., size=(4, 3))"
    assert repr(x.long()) == "FakeTensor(..., size=(4, 3), dtype=torch.int64)"
    assert repr(layer.weight) == "Parameter(FakeTensor(..., size=(2, 3), requires_grad=True))"
    assert isinstance(layer.weight, nn.Parameter)
    twin = copy.deepcopy(layer)
    assert isinstance(twin.weight, nn.Parameter) and isinstance(twin.weight, FakeTensor) and twin(x).shape == (4, 2)


def test_real_tensors() -> None:
    mode = FakeTensorMode()
    real = rl.ones(2, 3)
    fake = mode.from_tensor(real)
    assert isinstance(fake, FakeTensor) and mode.from_tensor(real) is fake and not fake_tensor.is_fake(real)
    assert fake_tensor.is_fake(fake)
    assert isinstance(mode.from_tensor(nn.Parameter(real)), nn.Parameter)
    with pytest.raises(AssertionError, match="Please convert all Tensors to FakeTensors first"):
        fake + real
    with FakeTensorMode(), pytest.raises(AssertionError, match="allow_non_fake_inputs"):
        real + 1
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert isinstance(real + 1, FakeTensor)
    assert (real + 1).sum().item() == 12
    with mode, fake_tensor.unset_fake_temporarily():
        assert rl.ones(2).sum().item() == 2


def test_devices() -> None:
    with FakeTensorMode():
        x = rl.ones(2, device="cuda")
        assert x.device.type == "cuda" and (x + 1).device.type == "cuda"
        assert rl.ones(2).to("meta").device.type == "meta" and rl.ones(1).device.type == "cpu"
