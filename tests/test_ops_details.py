"""Single points of operators where PyTorch has a say beyond the definition:
gradients off the manifold, rounding, dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
A = RNG.standard_normal((4, 4)) + 1j * RNG.standard_normal((4, 4))


def gradient(lib: Any, f: Any, x: np.ndarray) -> np.ndarray:
    t = lib.tensor(x).requires_grad_()
    out = f(lib, t)
    weights = lib.tensor(np.random.default_rng(1).standard_normal(tuple(out.shape)))
    loss = (out * weights).sum()
    return lib.autograd.grad(loss.abs(), [t])[0].resolve_conj().numpy()


DECOMPOSITIONS: dict[str, Any] = {
    **{f"eigh {u}": lambda lib, x, u=u: lib.linalg.eigh(x, UPLO=u)[1].abs() for u in "LU"},
    **{f"cholesky {upper}": lambda lib, x, upper=upper: lib.linalg.cholesky(x, upper=upper) for upper in (False, True)},
    **{f"cholesky_ex {upper}": lambda lib, x, upper=upper: lib.linalg.cholesky_ex(x, upper=upper)[0]
       for upper in (False, True)},
    "qr": lambda lib, x: lib.linalg.qr(x)[0], "qr of a tall matrix": lambda lib, x: lib.linalg.qr(x[:, :2])[0],
}


@pytest.mark.parametrize("kind", ("real", "complex"))
@pytest.mark.parametrize("name", DECOMPOSITIONS)
def test_gradients_of_decompositions(name: str, kind: str) -> None:
    x = A if kind == "complex" else A.real
    x = x @ x.conj().T + np.eye(4) if name.startswith("chol") else x
    np.testing.assert_allclose(gradient(rl, DECOMPOSITIONS[name], x),
                               gradient(torch, DECOMPOSITIONS[name], x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("upper", (False, True))
def test_cholesky_reads_one_triangle(upper: bool) -> None:
    x = A.real @ A.real.T + 4 * np.eye(4)
    x += np.tril(np.ones((4, 4)), -1)  # no longer symmetric
    want = torch.linalg.cholesky(torch.tensor(x), upper=upper).numpy()
    np.testing.assert_allclose(rl.linalg.cholesky(rl.tensor(x), upper=upper).numpy(), want, atol=1e-12)


def test_ldl_factor_holds_zeros_above() -> None:
    pytest.importorskip("scipy")
    x = A.real + A.real.T
    np.testing.assert_allclose(rl.linalg.ldl_factor(rl.tensor(x)).LD.numpy(),
                               torch.linalg.ldl_factor(torch.tensor(x)).LD.numpy(), atol=1e-12)


@pytest.mark.parametrize("mode", ("bilinear", "bicubic"))
@pytest.mark.parametrize("options", ({"align_corners": True}, {}, {"antialias": True}), ids=str)
@pytest.mark.parametrize("size", ((5, 9), (20, 13), (11, 11)))
def test_pictures_of_bytes_are_resized_alike(mode: str, options: dict[str, bool], size: tuple[int, int]) -> None:
    x = RNG.integers(0, 256, (2, 3, 11, 11)).astype(np.uint8)
    want = torch.nn.functional.interpolate(torch.tensor(x), size=size, mode=mode, **options)
    got = rl.nn.functional.interpolate(rl.tensor(x), size=size, mode=mode, **options)
    assert got.dtype is rl.uint8 and got.numpy().tolist() == want.numpy().tolist()


SAME: dict[str, Any] = {
    "logaddexp of complex": lambda lib: lib.logaddexp(lib.tensor(A[0]), lib.tensor(A[1])),
    "logaddexp with -inf": lambda lib: lib.logaddexp(lib.tensor([complex(-np.inf, 0)]),
                                                     lib.tensor([complex(-np.inf, 0)])),
    "a number less bfloat16": lambda lib: 8.396163642458497 - lib.tensor(A.real[0]).bfloat16(),
    "tensordot of bytes": lambda lib: lib.tensordot(lib.ones(1, 1, 1, dtype=lib.uint8),
                                                    lib.ones(2, 1, 2, dtype=lib.uint8), dims=[[0, 1], [2, 0]]),
    "einsum of bytes": lambda lib: lib.einsum("ik,j->ij",
                                              lib.ones(1, 3, dtype=lib.uint8), lib.ones(3, dtype=lib.uint8)),
    "addbmm of bytes": lambda lib: lib.addbmm(lib.ones(1, 2, dtype=lib.uint8), lib.ones(2, 1, 3, dtype=lib.uint8),
                                              lib.ones(2, 3, 2, dtype=lib.uint8)),
    "all over nothing": lambda lib: lib.ones(2, dtype=lib.uint8).all(dim=[]),
    "any over nothing": lambda lib: lib.zeros(2).any(dim=[]),
    "relu6 of bytes": lambda lib: lib.nn.functional.relu6(lib.tensor([1, 9], dtype=lib.uint8)),
    "scalar_tensor wraps": lambda lib: lib.scalar_tensor(-5, dtype=lib.uint8),
    "arange of bytes": lambda lib: lib.arange(0.0, -8.000001, -4.0, dtype=lib.uint8),
    "unravel_index of bytes": lambda lib: lib.unravel_index(lib.tensor([1, 5], dtype=lib.uint8), (4, 1 << 30)),
    "masked var of complex": lambda lib: lib.masked.var(lib.tensor(A[0]), 0),
    "masked logsumexp of complex": lambda lib: lib.masked.logsumexp(lib.tensor(A[0]), 0,
                                                                    mask=lib.tensor([True, False, True, True])),
    "cov with weights": lambda lib: lib.cov(lib.tensor(A.real[:2]).bfloat16(), correction=0, aweights=lib.ones(4)),
    "histogramdd with odd edges": lambda lib: lib.histogramdd(lib.tensor(A.real[:, :2]),
                                                              [lib.tensor([-1.0, 1, 0, 2], dtype=lib.float64)] * 2),
    "histogramdd density": lambda lib: lib.histogramdd(lib.tensor(A.real[:, :2]),
                                                       [lib.tensor([-2.0, 0, 1], dtype=lib.float64)] * 2, density=True,
                                                       weight=lib.tensor([1.0, 2, 3, 4], dtype=lib.float64)),
}


@pytest.mark.parametrize("name", SAME)
def test_the_result_is_the_same(name: str) -> None:
    def parts(r: Any) -> list[Any]:
        return [q for p in r for q in parts(p)] if isinstance(r, (tuple, list)) else [r]
    got, want = parts(SAME[name](rl)), parts(SAME[name](torch))
    assert len(got) == len(want)
    for g, w in zip(got, want):
        assert g.dtype.name == str(w.dtype).removeprefix("torch.") and tuple(g.shape) == tuple(w.shape)
        wide = (lambda t, lib: t.to(lib.float32) if "bfloat16" in str(t.dtype) else t)
        np.testing.assert_allclose(wide(g, rl).numpy(), wide(w, torch).numpy(), rtol=1e-6)


def test_ctc_has_the_gradient_of_logits() -> None:
    """Of log_probs that are no logarithms of a softmax too, where PyTorch adds their exponential."""
    x, targets = RNG.standard_normal((5, 2, 4)), np.array([[1, 2], [3, 3]])
    def f(lib: Any, t: Any) -> Any:
        return lib.nn.functional.ctc_loss(t, lib.tensor(targets), [5, 4], [2, 1], reduction="none", zero_infinity=True)
    np.testing.assert_allclose(gradient(rl, f, x), gradient(torch, f, x), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ("tensor_split", "hsplit", "vsplit", "dsplit"))
def test_splits_take_each_keyword(name: str) -> None:
    x = np.arange(4 * 6 * 2.0).reshape(4, 6, 2)
    ways: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((2,), {}), (((1, 2),), {}), ((), {"sections": 2}), ((), {"indices": [1]}), ((), {"indices": (1, -1)})
    ]
    wrong: list[dict[str, Any]] = [{}, {"indices": 2}, {"sections": 2, "indices": [1]}]
    if name == "tensor_split":
        wrong.append({"sections": [1]})
        ways += [((2, 1), {}), ((), {"sections": 5, "dim": 1}), ((), {"indices": [1, 9], "dim": -1})]
    for method in (False, True):
        def call(lib: Any, *args: Any, **kwargs: Any) -> Any:
            return (getattr(lib.tensor(x), name)(*args, **kwargs) if method else
                    getattr(lib, name)(lib.tensor(x), *args, **kwargs))
        for args, kwargs in ways:
            assert [p.tolist() for p in call(rl, *args, **kwargs)] == [p.tolist() for p in call(torch, *args, **kwargs)]
        for kwargs in wrong:
            for lib in (torch, rl):
                with pytest.raises(TypeError, match="received an invalid combination of arguments"):
                    call(lib, **kwargs)
    if name == "tensor_split":
        at = {"tensor_indices_or_sections": rl.tensor([1, 3])}
        assert [p.shape[0] for p in rl.tensor_split(rl.tensor(x), **at)] == [1, 2, 1]


def test_meshgrid_asks_for_its_indexing() -> None:
    for lib in (torch, rl):
        torch.set_warn_always(True)
        with pytest.warns(UserWarning, match="torch.meshgrid: in an upcoming release, "
                          "it will be required to pass the indexing argument"):
            a, _ = lib.meshgrid(lib.arange(2), lib.arange(3))
        torch.set_warn_always(False)
        assert a.tolist() == lib.meshgrid(lib.arange(2), lib.arange(3), indexing="ij")[0].tolist()
