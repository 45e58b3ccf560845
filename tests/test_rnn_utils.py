"""Padding and packing of sequences against PyTorch: values, gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
LENGTHS = [3, 5, 1, 5]


def sequences(lib):
    lib.manual_seed(0)
    return [lib.randn(n, 2) for n in LENGTHS]


def arrays(value):
    """Tensors as arrays, tuples and lists element by element."""
    if isinstance(value, (list, tuple)):
        return [arrays(v) for v in value]
    return value.detach().numpy() if hasattr(value, "detach") else value


def equal(a, b):
    if isinstance(b, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            equal(x, y)
    elif isinstance(b, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b


CALLS = {
    "pad": lambda lib, u, s: u.pad_sequence(s), "pad first": lambda lib, u, s: u.pad_sequence(s, True, -1.0),
    "pad left": lambda lib, u, s: u.pad_sequence(s, padding_side="left"),
    "unpad": lambda lib, u, s: u.unpad_sequence(u.pad_sequence(s), lib.tensor(LENGTHS)),
    "unpad first": lambda lib, u, s: u.unpad_sequence(u.pad_sequence(s, True), lib.tensor(LENGTHS), True),
    "pack": lambda lib, u, s: tuple(u.pack_padded_sequence(u.pad_sequence(s),
                                                           lib.tensor(LENGTHS), enforce_sorted=False)),
    "pack first": lambda lib, u, s: tuple(u.pack_padded_sequence(u.pad_sequence(s, True), LENGTHS,
                                                                 batch_first=True, enforce_sorted=False)),
    "pack sorted": lambda lib, u, s: tuple(u.pack_padded_sequence(u.pad_sequence(s), [5, 4, 4, 1])),
    "pack_sequence": lambda lib, u, s: tuple(u.pack_sequence(s, enforce_sorted=False)),
    "unpack": lambda lib, u, s: u.unpack_sequence(u.pack_sequence(s, enforce_sorted=False)),
    "pad packed": lambda lib, u, s: u.pad_packed_sequence(u.pack_sequence(s, enforce_sorted=False)),
    "pad packed first": lambda lib, u, s: u.pad_packed_sequence(
        u.pack_sequence(s, enforce_sorted=False), batch_first=True),
    "total length": lambda lib, u, s: u.pad_packed_sequence(u.pack_sequence(s, enforce_sorted=False),
                                                            total_length=7, padding_value=9.0),
    "double": lambda lib, u, s: u.pack_sequence(s, False).double().data,
    "to": lambda lib, u, s: u.pack_sequence(s, False).to(lib.float64).data,
    "cpu": lambda lib, u, s: u.pack_sequence(s, False).cpu().is_cuda,
    "pinned": lambda lib, u, s: u.pack_sequence(s, False).is_pinned(),
    "invert": lambda lib, u, s: u.invert_permutation(lib.tensor([2, 0, 1])),
    "none": lambda lib, u, s: u.invert_permutation(None),
}


@pytest.mark.parametrize("name", CALLS)
def test_values(name):
    equal(*[arrays(CALLS[name](lib, lib.nn.utils.rnn, sequences(lib))) for lib in (rl, torch)])


def test_gradients_go_through_packing():
    found = []
    for lib in (rl, torch):
        lib.manual_seed(1)
        x = lib.randn(5, 4, 2).requires_grad_()
        u = lib.nn.utils.rnn
        out, _ = u.pad_packed_sequence(u.pack_padded_sequence(x, [5, 3, 3, 1]))
        (out ** 3).sum().backward()
        found.append(x.grad.numpy())
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_packed_sequences_through_recurrent_layers():
    found = []
    for lib in (rl, torch):
        s = sequences(lib)
        lib.manual_seed(3)
        for layer in (lib.nn.LSTM(2, 3, bidirectional=True), lib.nn.GRU(2, 3, 2), lib.nn.RNN(2, 3)):
            out, state = layer(lib.nn.utils.rnn.pack_sequence(s, enforce_sorted=False))
            found.append((lib, [*arrays(tuple(out)), *arrays(state if isinstance(state, tuple) else (state,))]))
    for (_, a), (_, b) in zip(found[:3], found[3:], strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


BAD = {
    "not sorted": lambda lib, u: u.pack_padded_sequence(lib.ones(3, 2), [1, 3]),
    "zero": lambda lib, u: u.pack_padded_sequence(lib.ones(3, 2), [3, 0]),
    "sequence": lambda lib, u: u.pack_sequence([lib.ones(1), lib.ones(3)]),
    "total": lambda lib, u: u.pad_packed_sequence(u.pack_sequence([lib.ones(3)]), total_length=1),
    "empty": lambda lib, u: u.pad_sequence([]), "number": lambda lib, u: u.pad_sequence(3),
    "side": lambda lib, u: u.pad_sequence([lib.ones(2)], padding_side="up"),
    "sizes": lambda lib, u: u.pad_sequence([lib.ones(2, 2), lib.ones(2, 3)]),
    "lengths": lambda lib, u: u.pack_padded_sequence(lib.ones(3, 2), lib.tensor([[3, 2]])),
    "count": lambda lib, u: u.pack_padded_sequence(lib.ones(3, 2), [3]),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    with pytest.raises(Exception) as theirs:
        BAD[name](torch, torch.nn.utils.rnn)
    with pytest.raises(type(theirs.value)) as ours:
        BAD[name](rl, rl.nn.utils.rnn)
    assert str(ours.value)[:50] == str(theirs.value)[:50]
