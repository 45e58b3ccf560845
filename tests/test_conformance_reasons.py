"""The reasons that docs/conformance.toml gives for entries where PyTorch's result is another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from lbfgs_descent import descent

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)


def gradient(lib: Any, f: Any, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    t = lib.tensor(x).requires_grad_()
    out = f(lib, t)
    return lib.autograd.grad((out * lib.tensor(weights.astype(out.detach().numpy().dtype))).sum(),
                             [t])[0].resolve_conj().numpy()


def test_every_reason_has_a_test() -> None:
    facts = tomllib.loads((Path(__file__).parent.parent / "docs" / "conformance.toml").read_text())
    names = {n.split(".")[-1] for entry in facts["failing"] for n in entry.split(", ")}
    text = Path(__file__).read_text()
    assert all(f"({n}" in text or f".{n}(" in text or f'"{n}"' in text for n in names)


def test_sorting_is_stable() -> None:
    values = RNG.integers(0, 3, 500)
    want = np.argsort(values, kind="stable").tolist()
    for dtype in (rl.bool, rl.bfloat16, rl.int64, rl.uint8):
        x = rl.tensor(values).to(dtype) if dtype is not rl.bool else rl.tensor(values > 1)
        expected = want if dtype is not rl.bool else np.argsort(values > 1, kind="stable").tolist()
        assert x.sort().indices.tolist() == expected and x.argsort().tolist() == expected


def test_as_strided_scatter_has_the_derivative() -> None:
    x, src = RNG.standard_normal((3, 3)), RNG.standard_normal((2, 2))
    weights = RNG.standard_normal((3, 3))
    def f(lib: Any, t: Any) -> Any:
        return lib.as_strided_scatter(t, lib.tensor(src), [2, 2], [3, 1])
    numbers = np.zeros((3, 3))
    for at in np.ndindex(3, 3):
        step = np.zeros((3, 3))
        step[at] = 1e-6
        numbers[at] = ((f(torch, torch.tensor(x + step)) - f(torch,
                                                             torch.tensor(x - step))).numpy() * weights).sum() / 2e-6
    np.testing.assert_allclose(gradient(rl, f, x, weights), numbers, atol=1e-8)
    assert not np.allclose(gradient(torch, f, x, weights), numbers, atol=1e-3)


def test_logcumsumexp_is_nearer_to_double_precision() -> None:
    x, weights = RNG.standard_normal((5, 5, 5)) * 8, RNG.standard_normal((5, 5, 5))
    x[0] = 10000
    def f(lib: Any, t: Any) -> Any:
        return lib.logcumsumexp(t, 0)
    exact = gradient(torch, f, x, weights)
    ours, theirs = (np.abs(gradient(lib, f, x.astype("f4"), weights) - exact).max() for lib in (rl, torch))
    assert ours < 1e-5 and ours < theirs


def test_ctc_loss_is_nearer_to_double_precision() -> None:
    x, targets = RNG.standard_normal((50, 4, 20)), RNG.integers(1, 20, (4, 25))
    def f(lib: Any, t: Any) -> Any:
        return lib.nn.functional.ctc_loss(t, lib.tensor(targets), [50] * 4, [25, 20, 10, 22], reduction="none")
    weights = RNG.standard_normal(4)
    exact = gradient(torch, f, x, weights)
    ours, theirs = (np.abs(gradient(lib, f, x.astype("f4"), weights) - exact).max() for lib in (rl, torch))
    assert ours < 1e-4 and ours < theirs


def test_logsumexp_of_one_number_is_the_identity() -> None:
    x, weights = np.array(-1500.7 + 20000.3j, "c8"), np.array(1.0)
    def f(lib: Any, t: Any) -> Any:
        return lib.logsumexp(t, [0], True)
    np.testing.assert_allclose(gradient(rl, lambda lib, t: f(lib, t).real, x, weights), 1, atol=1e-6)


def test_renorm_of_complex_numbers_by_their_largest() -> None:
    x = (RNG.standard_normal((3, 4)) + 1j * RNG.standard_normal((3, 4))).astype("c8")
    def f(lib: Any, t: Any) -> Any:
        return lib.renorm(t, float("inf"), 0, 0.5).abs()
    weights = RNG.standard_normal((3, 4))
    assert np.isfinite(gradient(rl, f, x, weights)).all() and not np.isfinite(gradient(torch, f, x, weights)).all()


def test_matrix_exp_in_bfloat16() -> None:
    want = np.diag(np.exp([1.0, 1.0]))
    np.testing.assert_allclose(rl.matrix_exp(rl.eye(2, dtype=rl.bfloat16)).float().numpy(), want, rtol=1e-2)
    assert not np.allclose(torch.matrix_exp(torch.eye(2, dtype=torch.bfloat16)).float().numpy(), want, rtol=1e-2)


@pytest.mark.parametrize("name", ("bessel_j0", "bessel_y1"))
def test_bessel_functions_are_exact(name: str) -> None:
    scipy = pytest.importorskip("scipy.special")
    x = np.linspace(5.1, 30, 200)
    exact = getattr(scipy, name.removeprefix("bessel_"))(x)
    ours, theirs = (np.abs(getattr(lib.special, name)(lib.tensor(x)).numpy() - exact).max() for lib in (rl, torch))
    assert ours < 1e-13 < 1e-8 < theirs


# the entry "LBFGS"


class TorchsTanh(rl.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.y = torch.tanh(torch.from_numpy(x.detach().numpy().copy()))
        return rl.from_numpy(ctx.y.numpy().copy())

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return rl.from_numpy(torch.ops.aten.tanh_backward(torch.from_numpy(g.detach().numpy().copy()), ctx.y).numpy())


def test_lbfgs_has_pytorchs_trajectory_but_for_tanh() -> None:
    wanted = descent(torch, torch.tanh, lr=0.01)
    assert descent(rl, TorchsTanh.apply, lr=0.01) == wanted
    assert not np.allclose(descent(rl, rl.tanh, lr=0.01), wanted, rtol=1e-3, atol=1e-5)


def test_pytorch_has_another_trajectory_where_its_sums_have_another_order() -> None:
    program = Path(__file__).with_name("lbfgs_descent.py")
    found = [json.loads(subprocess.run([sys.executable, program], env={**os.environ, **more}, capture_output=True, text=True,
                                       check=True).stdout) for more in ({}, {"ATEN_CPU_CAPABILITY": "default"})]
    assert found[0] == descent(torch, torch.tanh, lr=0.01)
    assert not np.allclose(*found, rtol=1e-3, atol=1e-5)


def test_pytorchs_tanh_and_sqrt_miss_the_nearest_number() -> None:
    x = np.abs(RNG.standard_normal((20, 8000))).astype(np.float32)  # of that many numbers ours are rounded correctly
    for name, low, high in (("tanh", 1e-5, 2e-3), ("sqrt", 0, 0.3)):
        exact = getattr(np, name)(x.astype(np.float64)).astype(np.float32)
        theirs, ours = (np.stack([getattr(lib, name)(lib.from_numpy(row)).numpy() for row in x]) for lib in (torch, rl))
        assert low <= (theirs != exact).mean() < high, name
        assert (ours == exact).all(), name
