"""Running primitives of oneDNN on ordinary arrays."""

from __future__ import annotations

import itertools

import numpy as np

from rushlight.exec.cpu.onednn import primitives
from rushlight.exec.cpu.onednn.memory import Desc, strides_of
from rushlight.exec.cpu.onednn.primitive import Bound, Primitive
from rushlight.ir import dtype as dt

RAW = ("workspace", "scratchpad")


def buffer(size: int) -> np.ndarray:
    """Zeroed bytes, aligned as oneDNN likes them."""
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start:start + size]


def plain(array: np.ndarray) -> Desc:
    return Desc.of(array.shape, dt.of_numpy(array.dtype))


def any_of(array: np.ndarray) -> Desc:
    return Desc.any(array.shape, dt.of_numpy(array.dtype))


def copied(source: Desc, target: Desc, memory: np.ndarray) -> np.ndarray:
    """The bytes of an array in another layout."""
    result = buffer(target.size)
    bound = Bound(primitives.reorder(source, target))
    place = {"src": memory.ctypes.data, "dst": result.ctypes.data}
    scratch = [buffer(bound.primitive.descs[name].size) for name in bound.primitive.slots if name in RAW]
    for name, array in itertools.zip_longest(RAW[1:], scratch):
        if array is not None:
            place[name] = array.ctypes.data
    for name, pointer in place.items():
        bound.set(name, pointer)
    bound.execute()
    return result


def run(primitive: Primitive, **given: np.ndarray) -> dict[str, np.ndarray]:
    """Executes with ordinary arrays for some slots (workspaces as bytes); all other slots, as ordinary arrays."""
    bound = Bound(primitive)
    assert bound.count == len(primitive.slots) == len(primitive.descs)
    assert set(given) <= set(primitive.slots), primitive
    memory = {}
    for name, desc in primitive.descs.items():
        if name not in given:
            memory[name] = buffer(desc.size)
        elif name in RAW:
            memory[name] = given[name]
        else:
            source = np.ascontiguousarray(given[name])
            memory[name] = copied(plain(source), desc, source)
        bound.set(name, memory[name].ctypes.data)
    bound.execute()
    results = {}
    for name, desc in primitive.descs.items():
        if name in RAW:
            results[name] = memory[name]
        elif name not in given or name == "dst":
            dense = Desc.of(desc.shape, desc.dtype)
            results[name] = copied(desc, dense, memory[name]).view(desc.dtype.numpy).reshape(desc.shape)
    return results


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=tolerance, atol=tolerance)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, np.float32)


def described(array: np.ndarray, layout: str) -> Desc:
    if layout == "any":
        return any_of(array)
    order = (0, *range(2, array.ndim), 1) if layout == "last" else None
    return Desc.of(array.shape, dt.float32, strides_of(array.shape, order))
