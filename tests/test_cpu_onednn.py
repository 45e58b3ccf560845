"""The binding of oneDNN: layouts, errors, products; every primitive against NumPy,
in the layouts that the library chooses."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onednn_oracle import any_of, close, copied, normal, plain, run

from rushlight.exec.cpu.onednn import library, primitives
from rushlight.exec.cpu.onednn.library import OneDNNError, Unsupported
from rushlight.exec.cpu.onednn.memory import Desc, strides_of
from rushlight.exec.cpu.onednn.primitive import Attributes, Binary, Eltwise, Sum
from rushlight.exec.cpu.onednn.primitives import Window
from rushlight.ir import dtype as dt

pytestmark = pytest.mark.skipif(not library.available(), reason="oneDNN is not installed")


def test_layouts_of_descriptors() -> None:
    x = Desc.of((2, 3, 4, 5), dt.float32, strides_of((2, 3, 4, 5), (0, 2, 3, 1)))
    assert x.plain == (60, 1, 15, 3) and x.layout == "acdb" and x.size == 480 and x.blocks == ()
    assert x == Desc.of((2, 3, 4, 5), dt.float32, (60, 1, 15, 3)) and x != Desc.of((2, 3, 4, 5), dt.float32)
    assert len({x, Desc.copy(x.handle)}) == 1
    assert Desc.any((3,), dt.float32).plain is None and Desc.any((3,), dt.float32).layout == "any"
    assert Desc.of((), dt.float32).shape == (1,)
    assert Desc.of((0, 3), dt.float32).size == 0
    assert Desc.of((4, 6), dt.float32).reshape((2, 2, 6)).plain == (12, 6, 1)


def test_blocked_layouts_are_not_plain() -> None:
    conv = primitives.convolution(Desc.any((1, 5, 8, 8), dt.float32), Desc.any((7, 5, 3, 3), dt.float32),
                                  Desc.any((1, 7, 6, 6), dt.float32),
                                  Window((1, 1), ((0, 0), (0, 0))), Desc.any((7,), dt.float32))
    dst = conv.descs["dst"]
    if dst.blocks:  # the channel count is padded to the block
        assert dst.plain is None and dst.size > 7 * 36 * 4 and dst.layout == f"aBcd{dst.blocks[0][1]}b"
    assert conv.descs["bias"].plain == (1,)


@pytest.mark.parametrize("make", [lambda: Desc.of((5, 7), dt.float32, (1, 1)), lambda: Desc.of((2,) * 13, dt.float32),
                                  lambda: Desc.of((2,), dt.complex64), lambda: Desc.any((2,), dt.int64)])
def test_impossible_descriptors_are_unsupported(make: Any) -> None:
    with pytest.raises(Unsupported):
        make()


def test_errors_have_names() -> None:
    f64 = [Desc.of((2, 2), dt.float64)] * 3
    with pytest.raises(Unsupported) as info:
        primitives.matmul(*f64)
    assert info.value.status == "unimplemented" and info.value.call == "dnnl_matmul_primitive_desc_create"
    wrong = [Desc.of((2, 3), dt.float32)] * 3
    with pytest.raises(OneDNNError, match="invalid_arguments") as other:
        primitives.matmul(*wrong)
    assert not isinstance(other.value, Unsupported)


def test_reorder_round_trip(rng: np.random.Generator) -> None:
    x = normal(rng, 2, 19, 5, 3)
    blocked = primitives.convolution(any_of(x), Desc.any((16, 19, 3, 3), dt.float32),
                                     Desc.any((2, 16, 3, 1), dt.float32), Window((1, 1), ((0, 0), (0, 0)))).descs["src"]
    back = copied(blocked, plain(x), copied(plain(x), blocked, x)).view(np.float32).reshape(x.shape)
    np.testing.assert_array_equal(back, x)
    half = run(primitives.reorder(plain(x), Desc.of(x.shape, dt.bfloat16)), src=x)["dst"]
    np.testing.assert_array_equal(half, x.astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize("m,k,n", [(1, 1, 1), (5, 7, 3), (16, 32, 64), (33, 65, 17), (64, 784, 256), (1, 100, 31)])
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
def test_matmul_forms(rng: np.random.Generator, m: int, k: int, n: int, form: str) -> None:
    a, b = normal(rng, m, k), normal(rng, k, n)
    left = Desc.of((m, k), dt.float32, (1, m) if form[0] == "t" else None)
    right = Desc.of((k, n), dt.float32, (1, k) if form[1] == "t" else None)
    out = run(primitives.matmul(left, right, Desc.of((m, n), dt.float32)), src=a, weights=b)["dst"]
    close(out, a.astype(float) @ b, 1e-4 * max(1, k / 50))


def test_matmul_batched_broadcast_and_strided(rng: np.random.Generator) -> None:
    a, b, bias = normal(rng, 2, 3, 5, 8), normal(rng, 1, 3, 8, 7), normal(rng, 1, 1, 1, 7)
    # (batch, step, head, feature) seen as (batch, head, step, feature)
    heads = Desc.of((2, 3, 5, 8), dt.float32, (5 * 24, 8, 24, 1))
    prim = primitives.matmul(heads, plain(b), Desc.of((2, 3, 5, 7), dt.float32), plain(bias))
    close(run(prim, src=a, weights=b, bias=bias)["dst"], a.astype(float) @ b + bias)


POSTS = {"relu": lambda y: np.maximum(y, 0), "tanh": np.tanh, "logistic": lambda y: 1 / (1 + np.exp(-y)),
         "gelu_tanh": lambda y: 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y ** 3)))}


@pytest.mark.parametrize("name", POSTS)
def test_matmul_with_bias_and_function(rng: np.random.Generator, name: str) -> None:
    a, b, bias = normal(rng, 9, 21), normal(rng, 21, 13), normal(rng, 1, 13)
    prim = primitives.matmul(plain(a), plain(b), Desc.of((9, 13), dt.float32),
                             plain(bias), Attributes((Eltwise(name),)))
    close(run(prim, src=a, weights=b, bias=bias)["dst"], POSTS[name](a.astype(float) @ b + bias))


def test_matmul_sum_then_binary(rng: np.random.Generator) -> None:
    a, b, c, scale = normal(rng, 6, 10), normal(rng, 10, 4), normal(rng, 6, 4), normal(rng, 1, 4)
    prim = primitives.matmul(plain(a), plain(b), plain(c),
                             attributes=Attributes((Sum(2.0), Binary("mul", plain(scale)), Eltwise("relu"))))
    assert list(prim.slots)[-1] == "post1"
    close(run(prim, src=a, weights=b, dst=c, post1=scale)["dst"], np.maximum((a.astype(float) @ b + 2 * c) * scale, 0))


def test_matmul_weights_in_a_layout_of_choice(rng: np.random.Generator) -> None:
    a, b = normal(rng, 40, 70), normal(rng, 70, 50)
    prim = primitives.matmul(plain(a), any_of(b), Desc.of((40, 50), dt.float32))
    close(run(prim, src=a, weights=b)["dst"], a.astype(float) @ b)


def test_matmul_bfloat16(rng: np.random.Generator) -> None:
    a, b = (normal(rng, *s).astype(ml_dtypes.bfloat16) for s in ((17, 32), (32, 9)))
    prim = primitives.matmul(plain(a), plain(b), Desc.of((17, 9), dt.float32))
    close(run(prim, src=a, weights=b)["dst"], a.astype(float) @ b.astype(float), 1e-3)


def test_matmul_int8(rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 255, (5, 12), np.uint8), rng.integers(-127, 127, (12, 6), np.int8)
    scale, zero = np.array([0.5], np.float32), np.array([3], np.int32)
    each = np.linspace(0.1, 1, 6, dtype=np.float32)
    attributes = Attributes(scales={"src": (0, 1), "weights": (2, 6)}, zero_points={"src": (0, 1)})
    prim = primitives.matmul(plain(a), plain(b), Desc.of((5, 6), dt.float32), attributes=attributes)
    out = run(prim, src=a, weights=b, **{"scale:src": scale, "scale:weights": each, "zero:src": zero})["dst"]
    close(out, (a.astype(float) - 3) * 0.5 @ (b.astype(float) * each))


def test_skipped_implementations(rng: np.random.Generator) -> None:
    a, b = normal(rng, 8, 8), normal(rng, 8, 8)
    seen = []
    with pytest.raises(Unsupported):
        for skip in range(50):
            prim = primitives.matmul(plain(a), plain(b), Desc.of((8, 8), dt.float32), attributes=Attributes(skip=skip))
            close(run(prim, src=a, weights=b)["dst"], a.astype(float) @ b)
            seen.append((prim.impl, prim.reference))
    assert len(seen) > 1 and seen[-1][1] and not seen[0][1]


@pytest.mark.parametrize("m,k,n", [(64, 784, 256), (5, 7, 3), (1, 1, 1)])
@pytest.mark.parametrize("describe", [plain, any_of])
def test_inner_product(rng: np.random.Generator, describe: Any, m: int, k: int, n: int) -> None:
    x, w, bias, dy = normal(rng, m, k), normal(rng, n, k), normal(rng, n), normal(rng, m, n)
    forward = primitives.inner_product(describe(x), describe(w), describe(dy), plain(bias))
    close(run(forward, src=x, weights=w, bias=bias)["dst"], x.astype(float) @ w.T + bias, 1e-3)
    back = primitives.inner_product_backward_data(describe(x), describe(w), describe(dy), forward)
    close(run(back, diff_dst=dy, weights=w)["diff_src"], dy.astype(float) @ w, 1e-3)
    found = run(primitives.inner_product_backward_weights(describe(x), describe(w), describe(dy),
                                                          forward, plain(bias)), src=x, diff_dst=dy)
    close(found["diff_weights"], dy.T.astype(float) @ x, 1e-3)
    close(found["diff_bias"], dy.sum(0, dtype=float), 1e-3)


def test_sgemm_has_an_address() -> None:
    assert library.address("dnnl_sgemm") and library.address("dnnl_primitive_execute") != library.address("dnnl_sgemm")
