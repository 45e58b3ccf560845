"""Tensors made of what is there: other tensors, arrays, capsules, files."""

from __future__ import annotations

import os

import numpy as np
import pytest

import rushlight as rl
from rushlight.utils import dlpack


def test_asarray_keeps_a_tensors_history_unless_told_otherwise():
    leaf = rl.ones(2, requires_grad=True)
    grown = leaf + 2
    assert rl.asarray(grown) is grown and rl.asarray(leaf) is leaf
    assert rl.asarray(grown, dtype=rl.float64).grad_fn is not None
    assert rl.asarray(grown, copy=True).grad_fn is not None
    for cut in (rl.asarray(grown, requires_grad=False), rl.asarray(leaf, requires_grad=False)):
        assert not cut.requires_grad and cut.grad_fn is None
    assert leaf.requires_grad
    rl.asarray(grown, dtype=rl.float64).sum().backward()
    assert leaf.grad.tolist() == [1, 1]
    with pytest.raises(ValueError, match="can't alias"):
        rl.asarray(leaf, dtype=rl.float64, copy=False)


@pytest.mark.parametrize("read", (rl.from_dlpack, dlpack.from_dlpack), ids=("torch", "utils"))
def test_a_capsules_memory_is_written_to_from_both_sides(read):
    x = rl.arange(4)
    y = read(dlpack.to_dlpack(x))
    y[0] = -9
    x[1] = 7
    assert x.tolist() == y.tolist() == [-9, 7, 2, 3]
    array = np.arange(3.0)
    z = read(array)
    z += 1
    assert array.tolist() == [1, 2, 3]
    del x, array
    assert y.tolist() == [-9, 7, 2, 3] and z.tolist() == [1, 2, 3]
    assert read(np.ones(2), copy=True).add_(1).tolist() == [2, 2]


def test_memory_only_for_reading_is_not_written_to():
    array = np.arange(3.0)
    array.flags.writeable = False
    with pytest.raises((ValueError, RuntimeError, BufferError)):
        rl.from_dlpack(array)[0] = 5
    assert array.tolist() == [0, 1, 2]


def test_from_file_maps_what_is_there(tmp_path):
    file = tmp_path / "numbers.bin"
    np.arange(5, dtype=np.float32).tofile(file)
    mine = rl.from_file(file, size=4)
    mine += 1
    assert mine.tolist() == [1, 2, 3, 4] and np.fromfile(file, np.float32).tolist() == [0, 1, 2, 3, 4]
    assert rl.from_file(str(file), size=2, dtype=rl.int16).dtype is rl.int16
    both = rl.from_file(file, shared=True, size=3)
    both[1] = 50
    assert np.fromfile(file, np.float32).tolist() == [0, 50, 2, 3, 4]
    longer = rl.from_file(tmp_path / "new.bin", shared=True, size=6, dtype=rl.float64)
    assert longer.tolist() == [0] * 6 and os.path.getsize(tmp_path / "new.bin") == 48
    assert rl.from_file(file, size=0).shape == (0,)


def test_from_file_names_what_is_wrong(tmp_path):
    with pytest.raises(RuntimeError, match="unable to open file <.*none.bin> in read-only mode"):
        rl.from_file(tmp_path / "none.bin", size=3)
    (tmp_path / "short.bin").write_bytes(b"1234")
    with pytest.raises(RuntimeError, match="size <4> is smaller than the required mapping size <80>"):
        rl.from_file(tmp_path / "short.bin", size=20)


@pytest.mark.parametrize("make", (lambda **kw: rl.full((2,), 1.0, **kw), lambda **kw: rl.ones(2, **kw)), ids=("full", "ones"))
def test_no_layout_is_ignored(make):
    assert make(layout=rl.strided).layout is rl.strided
    with pytest.raises(NotImplementedError):
        make(layout=rl.sparse_coo)
    assert rl.zeros(2, layout=rl.sparse_coo).layout is rl.sparse_coo


def test_from_file_makes_dense_tensors_only(tmp_path):
    (tmp_path / "numbers.bin").write_bytes(bytes(8))
    with pytest.raises(NotImplementedError, match="layout=torch.sparse_coo"):
        rl.from_file(tmp_path / "numbers.bin", size=2, layout=rl.sparse_coo)
