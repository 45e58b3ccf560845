"""Small plans run on one thread of OpenBLAS; the count that NumPy came with is put back."""

from __future__ import annotations

import pytest

import rushlight as rl
from rushlight.exec.numpy import blas


def counts(monkeypatch, size):
    """What OpenBLAS is told while a product of square matrices runs on a machine with 8 processors."""
    told = []
    monkeypatch.setenv("RUSHLIGHT_EXEC", "numpy")
    monkeypatch.setattr(blas, "library", lambda: (told.append, 8))
    monkeypatch.setattr(blas.threads, "count", lambda: 6)
    a = rl.ones(size, size)
    assert (a @ a)[0, -1].item() == size
    return told


@pytest.mark.parametrize(("size", "expected"), [(61, [1, 8]), (612, [4, 8]), (1203, [6, 8])])
def test_threads_by_the_work_of_the_largest_product(monkeypatch, size, expected):
    assert counts(monkeypatch, size) == expected


def test_nothing_is_set_where_all_threads_are_worth_it(monkeypatch):
    monkeypatch.setattr(blas, "library", lambda: (pytest.fail, 1))
    a = rl.ones(37, 41)
    assert (a @ a.t()).sum().item() == 37 * 37 * 41


def test_the_library_is_found_and_obeys():
    found = blas.library()
    if found is None:
        pytest.skip("NumPy uses another BLAS here")
    limit = blas.Limit(found[1])
    assert limit.count == 0
    with blas.Limit(1):
        pass
    blas.library.cache_clear()
    assert blas.library()[1] == found[1]
