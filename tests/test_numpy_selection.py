"""Selections name the same place as PyTorch also where elements are equal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as rl

torch = pytest.importorskip("torch")
rows = st.integers(1, 120).flatmap(lambda n: st.integers(1, 12).flatmap(
    lambda m: st.lists(st.integers(0, m), min_size=n, max_size=n)))
DTYPES = st.sampled_from(("int64", "float32", "uint8", "bfloat16"))


def both(values: list[int], dtype: str) -> tuple[object, object]:
    return torch.tensor(values, dtype=getattr(torch, dtype)), rl.tensor(values, dtype=getattr(rl, dtype))


@settings(max_examples=60, deadline=None)
@given(rows, DTYPES, st.data())
def test_kthvalue_among_equal_elements(values: list[int], dtype: str, data: st.DataObject) -> None:
    want, got = both(values, dtype)
    k = data.draw(st.integers(1, len(values)))
    assert got.kthvalue(k).indices.item() == want.kthvalue(k).indices.item()


@settings(max_examples=80, deadline=None)
@given(rows, DTYPES, st.booleans(), st.booleans(), st.data())
def test_topk_among_equal_elements(values: list[int], dtype: str, largest: bool,
                                   ordered: bool, data: st.DataObject) -> None:
    want, got = both(values, dtype)
    k = data.draw(st.integers(0, len(values)))
    want, got = want.topk(k, largest=largest, sorted=ordered), got.topk(k, largest=largest, sorted=ordered)
    assert got.indices.tolist() == want.indices.tolist()
    assert got.values.tolist() == want.values.tolist()


@settings(max_examples=60, deadline=None)
@given(rows, DTYPES, st.sampled_from(("median", "nanmedian", "mode")))
def test_medians_and_mode_among_equal_elements(values: list[int], dtype: str, name: str) -> None:
    want, got = both(values, dtype)
    want, got = getattr(want, name)(0), getattr(got, name)(0)
    assert got.indices.item() == want.indices.item()
    assert got.values.item() == want.values.item()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from((0.0, 1.0, 2.0, float("nan"))), min_size=1, max_size=70), st.data())
def test_nan_is_the_largest(values: list[float], data: st.DataObject) -> None:
    want, got = torch.tensor(values), rl.tensor(values)
    k = data.draw(st.integers(1, len(values)))
    for f in (lambda t: t.kthvalue(k), lambda t: t.topk(k), lambda t: t.topk(k, largest=False),
              lambda t: t.median(0), lambda t: t.nanmedian(0)):
        assert repr(f(got).indices.tolist()) == repr(f(want).indices.tolist())
        assert repr(f(got).values.tolist()) == repr(f(want).values.tolist())


@pytest.mark.parametrize("dim", (0, 1, 2))
def test_rows_of_any_dimension(dim: int) -> None:
    torch.manual_seed(0)
    want = torch.randint(0, 4, (5, 20, 6))
    got = rl.tensor(want.numpy())
    for f in (lambda t: t.kthvalue(3, dim), lambda t: t.topk(4, dim),
              lambda t: t.median(dim, True), lambda t: t.mode(dim)):
        assert f(got).indices.tolist() == f(want).indices.tolist()


def test_long_rows_with_ties_keep_their_values() -> None:
    want = torch.arange(20000) % 7
    got = rl.tensor(want.numpy())
    assert got.topk(9).values.tolist() == want.topk(9).values.tolist()
    assert got.kthvalue(11).values.item() == want.kthvalue(11).values.item()
    assert got[got.topk(9).indices].tolist() == want.topk(9).values.tolist()
