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


def outcome(f):
    """What a call gives, or the kind of its error."""
    try:
        found = f()
    except Exception as e:
        return type(e).__name__
    return found.tolist() if hasattr(found, "tolist") else found


def gradient_by_its_old_name(lib, **more):
    x = lib.ones(2, requires_grad=True)
    lib.autograd.backward(x * 2, grad_variables=lib.tensor([1.0, 3.0]), **more)
    return x.grad


# arguments that nothing read
READ = {
    "no vectors": lambda lib: [t.tolist() for t in lib.svd(lib.arange(6.).reshape(3, 2), compute_uv=False)][::2],
    "the sum of repetitions": lambda lib: lib.arange(3.).repeat_interleave(lib.tensor([1, 2, 3]), output_size=6),
    "another sum": lambda lib: lib.arange(3.).repeat_interleave(lib.tensor([1, 2, 3]), output_size=5),
    "another sum of one number": lambda lib: lib.arange(3.).repeat_interleave(2, output_size=5),
    "a resized order": lambda lib: lib.empty(0).resize_(1, 2, 3, 3, memory_format=lib.channels_last).stride(),
    "too few dimensions": lambda lib: lib.empty(0).resize_(2, 3, memory_format=lib.channels_last),
    "the order of another": lambda lib: lib.empty(0).resize_as_(
        lib.ones(1, 2, 3, 3).to(memory_format=lib.channels_last), memory_format=lib.preserve_format).stride(),
    "an old name": gradient_by_its_old_name, "both names": lambda lib: gradient_by_its_old_name(lib, grad_tensors=lib.ones(2)),
    **{f"{name} in an order": lambda lib, name=name: getattr(lib, name)(lib.ones(2, 3, 1, 4), memory_format=lib.channels_last).stride()
       for name in ("empty_like", "zeros_like", "ones_like", "rand_like", "randn_like")},
    "full_like in the ordinary order": lambda lib: lib.full_like(
        lib.ones(2, 3, 2, 2).to(memory_format=lib.channels_last), 2.0, memory_format=lib.contiguous_format).stride(),
    "empty in an order": lambda lib: lib.empty(2, 1, 4, 4, memory_format=lib.channels_last).stride(),
    "random numbers in memory's order": lambda lib: (lib.manual_seed(0), lib.rand_like(lib.ones(1, 2, 2, 2), memory_format=lib.channels_last))[1],
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.filterwarnings("ignore")
def test_arguments_are_read(name: str) -> None:
    assert outcome(lambda: READ[name](rl)) == outcome(lambda: READ[name](torch))


def test_quantization_says_what_it_does_not_read() -> None:
    from rushlight.ao.quantization import quantize_fx
    with pytest.raises(NotImplementedError, match="backend_config"):
        quantize_fx.prepare_fx(rl.nn.Linear(2, 2).eval(), {}, None, backend_config={"a": 1})
    with pytest.raises(NotImplementedError, match="convert_custom_config_dict"):
        rl.ao.quantization.convert(rl.nn.Linear(2, 2), convert_custom_config_dict={"a": 1})
