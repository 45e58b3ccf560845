"""Eight-bit floats, checkpointed modules, counted flops, custom operators, flattened gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointImpl, CheckpointWrapper, apply_activation_checkpointing, checkpoint_wrapper, offload_wrapper)
from rushlight.library import custom_op, register_autograd
from rushlight.utils.flop_counter import FlopCounterMode

torch = pytest.importorskip("torch")
NUMBERS = [0.1, 1.7, 300.0, -500.0, 1e6, -1e6, 1e-4, 448.0, 465.0, float("inf"), float("nan"), -0.0, 57344.0, 61440.0]


# --- eight-bit floats ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_numbers_of_one_byte_convert_as_pytorchs(name: str) -> None:
    mine, theirs = getattr(rl, name), getattr(torch, name)
    got, want = rl.tensor(NUMBERS).to(mine), torch.tensor(NUMBERS).to(theirs)
    np.testing.assert_array_equal(got.float().numpy(), want.float().numpy())
    assert got.dtype is mine and str(got.dtype) == str(want.dtype) and got.itemsize == 1
    assert rl.finfo(mine).max == torch.finfo(theirs).max and rl.finfo(mine).tiny == torch.finfo(theirs).tiny
    np.testing.assert_array_equal(got[1:3].reshape(2, 1).t().contiguous().float().numpy(),
                                  want[1:3].reshape(1, 2).float().numpy())
    assert rl.cat([got, got]).shape == (28,) and rl.zeros(2, dtype=mine).float().tolist() == [0.0, 0.0]


def test_they_are_not_computed_with() -> None:
    x = rl.ones(2).to(rl.float8_e5m2)
    with pytest.raises(NotImplementedError, match="not implemented for 'Float8_e5m2'"):
        x + x
    with pytest.raises(RuntimeError, match="Promotion for Float8 Types is not supported, "
                       "attempted to promote Float8_e5m2 and Float"):
        rl.promote_types(rl.float8_e5m2, rl.float32)


# --- checkpointed modules -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("impl", list(CheckpointImpl))
def test_wrapped_modules_train_alike_and_keep_their_names(impl: CheckpointImpl) -> None:
    rl.manual_seed(0)
    model = rl.nn.Sequential(rl.nn.Linear(3, 4), rl.nn.Sequential(rl.nn.Linear(4, 4), rl.nn.Tanh()), rl.nn.Linear(4, 1))
    x = rl.randn(5, 3).requires_grad_()
    plain = rl.autograd.grad(model(x).sum(), list(model.parameters()))
    keys = list(model.state_dict())
    apply_activation_checkpointing(model, lambda m: checkpoint_wrapper(m, impl), lambda m: isinstance(m, rl.nn.Linear))
    assert [type(m).__name__ for m in model] == ["CheckpointWrapper", "Sequential", "CheckpointWrapper"]
    assert isinstance(model[1][0], CheckpointWrapper)
    assert list(model.state_dict()) == keys == [
        n.replace("_checkpoint_wrapped_module.", "") for n, _ in model.named_parameters()]
    model.load_state_dict(model.state_dict())
    model(x).sum().backward()
    assert all(rl.allclose(p.grad, g) for p, g in zip(model.parameters(), plain))
    assert model[0].in_features == 3


def test_offloaded_modules() -> None:
    inner = rl.nn.Linear(2, 2)
    wrapped = offload_wrapper(inner)
    wrapped(rl.ones(1, 2)).sum().backward()
    assert inner.weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert [n for n, _ in wrapped.named_parameters()] == ["weight", "bias"]


# --- flops --------------------------------------------------------------------------------------------------------
FLOPS: dict[str, Any] = {
    "mm": lambda t: t.mm(t.ones(2, 3), t.ones(3, 4)), "bmm": lambda t: t.bmm(t.ones(2, 2, 3), t.ones(2, 3, 4)),
    "linear": lambda t: t.nn.functional.linear(t.ones(5, 3), t.ones(4, 3), t.ones(4)),
    "conv": lambda t: t.nn.functional.conv2d(t.ones(2, 3, 8, 8), t.ones(4, 3, 3, 3)),
    "grouped": lambda t: t.nn.functional.conv2d(t.ones(2, 4, 8, 8), t.ones(8, 2, 3, 3), groups=2),
    "backward of linear": lambda t: t.nn.functional.linear(t.ones(5, 3, requires_grad=True),
                                                           t.ones(4, 3, requires_grad=True)).sum().backward(),
    "backward of conv": lambda t: t.nn.functional.conv2d(t.ones(2, 3, 8, 8, requires_grad=True),
                                                         t.ones(4, 3, 3, 3, requires_grad=True)).sum().backward(),
}


@pytest.mark.parametrize("name", FLOPS)
def test_flops_are_pytorchs(name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode as Theirs
    counts = []
    for t, mode in ((rl, FlopCounterMode), (torch, Theirs)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mode(display=False) as counter:
                kept = FLOPS[name](t)
                if t is rl and kept is not None:
                    kept.sum().item()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_flops_of_modules(capsys: Any) -> None:
    model = rl.nn.Sequential(rl.nn.Linear(3, 4), rl.nn.ReLU(), rl.nn.Linear(4, 1))
    with FlopCounterMode(depth=3) as counter:
        out = model(rl.ones(5, 3))
    counts = counter.get_flop_counts()
    assert sum(counts["Sequential"].values()) == counter.get_total_flops() == 2 * 5 * (12 + 4)
    assert sum(counts["Sequential.Linear"].values()) == 160
    assert "Sequential" in capsys.readouterr().out and out.shape == (5, 1)


# --- operators and other names ------------------------------------------------------------------------------------
def test_custom_operators() -> None:
    @custom_op("mine::cube", mutates_args=())
    def cube(x: rl.Tensor, k: float = 1.0) -> rl.Tensor:
        return k * x ** 3
    x = rl.tensor([2.0], requires_grad=True)
    assert not cube(x).requires_grad and cube(x, k=2.0).item() == 16.0 and cube.__name__ == "cube"

    def setup(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.k = inputs[1]
    register_autograd("mine::cube", lambda ctx, g: (g * ctx.k * 3 * ctx.saved_tensors[0] ** 2, None),
                      setup_context=setup)
    cube(x, k=2.0).sum().backward()
    assert x.grad.item() == 24.0
    cube.register_kernel("cpu", lambda x, k=1.0: k * x * x * x)
    assert cube(x).item() == 8.0
    with pytest.raises(ValueError, match="namespace::name"):
        custom_op("cube", lambda x: x, mutates_args=())
    with pytest.raises(ValueError, match="there is no operator"):
        register_autograd("mine::square", print)


def test_flat_tensors() -> None:
    from rushlight._utils import _flatten_dense_tensors, _take_tensors, _unflatten_dense_tensors
    parts = [rl.arange(4.0).reshape(2, 2), rl.ones(3)]
    flat = _flatten_dense_tensors(parts)
    assert flat.tolist() == [0.0, 1.0, 2.0, 3.0, 1.0, 1.0, 1.0]
    assert all(rl.equal(a, b) for a, b in zip(_unflatten_dense_tensors(flat, parts), parts))
    assert [len(g) for g in _take_tensors([rl.ones(4), rl.ones(4), rl.ones(4)], 32)] == [2, 1]


def test_devices_and_switches() -> None:
    with pytest.raises(AssertionError, match="Torch not compiled with XPU enabled"):
        rl.ones(1).xpu()
    with pytest.warns(FutureWarning, match="sdp_kernel"), rl.backends.cuda.sdp_kernel(enable_math=False):
        assert not rl.backends.cuda.math_sdp_enabled()
    assert rl.backends.cuda.math_sdp_enabled() and rl.hub.get_dir().startswith(rl.hub._get_torch_home())
