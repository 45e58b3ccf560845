"""Sequences of different lengths: padded to one tensor, or packed without padding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import rushlight as rl
from rushlight.tensor.core import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpad_sequence",
    "pack_sequence",
    "unpack_sequence",
]


class PackedSequence_(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(PackedSequence_):
    """The rows of several sequences, step by step: first all first steps, then all second ones, and so on.

    ``batch_sizes[t]`` sequences reach step t; ``sorted_indices`` sorted them by falling length, and
    ``unsorted_indices`` undoes it. Made by :func:`pack_padded_sequence` and :func:`pack_sequence`.
    """

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Any:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. "
                "They should be instantiated by functions like pack_sequence and pack_padded_sequences in nn.utils.rnn."
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data: Tensor, device: Any = None) -> Any:
        indices = (self.sorted_indices, self.unsorted_indices)
        if device is not None:
            indices = tuple(None if index is None else index.to(device) for index in indices)
        return type(self)(data, self.batch_sizes, *indices)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """The same with the data moved or cast as by ``Tensor.to``."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else self._with(data, data.device)

    def cuda(self, *args: Any, **kwargs: Any) -> Any:
        """The same on a GPU."""
        return self.to(*args, **kwargs) if args else self.to(**{"device": "cuda", **kwargs})

    def cpu(self, *args: Any, **kwargs: Any) -> Any:
        """The same on the CPU."""
        return self.to(*args, **{"device": "cpu", **kwargs})

    def pin_memory(self) -> Any:
        """The same in page-locked memory."""
        pinned = (None if t is None else t.pin_memory() for t in (self.sorted_indices, self.unsorted_indices))
        return type(self)(self.data.pin_memory(), self.batch_sizes, *pinned)

    def double(self) -> Any:
        """The data as float64."""
        return self.to(dtype=rl.float64)

    def float(self) -> Any:
        """The data as float32."""
        return self.to(dtype=rl.float32)

    def half(self) -> Any:
        """The data as float16."""
        return self.to(dtype=rl.float16)

    def long(self) -> Any:
        """The data as int64."""
        return self.to(dtype=rl.int64)

    def int(self) -> Any:
        """The data as int32."""
        return self.to(dtype=rl.int32)

    def short(self) -> Any:
        """The data as int16."""
        return self.to(dtype=rl.int16)

    def char(self) -> Any:
        """The data as int8."""
        return self.to(dtype=rl.int8)

    def byte(self) -> Any:
        """The data as uint8."""
        return self.to(dtype=rl.uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data lies on a GPU."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data lies in page-locked memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes this one.

    >>> invert_permutation(rl.tensor([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    return None if permutation is None else permutation.argsort()


def _check_lengths(lengths: list[int], steps: int, batch: int, enforce_sorted: bool) -> None:
    if len(lengths) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(lengths)} (batch_size={batch})"
        )
    if lengths and min(lengths) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if enforce_sorted and any(a < b for a, b in zip(lengths, lengths[1:])):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability."
        )
    if lengths and max(lengths) > steps:
        raise RuntimeError(f"Expected `lengths` to be at most the padded length {steps}, but got {max(lengths)}")


def _sizes_per_step(lengths: list[int]) -> list[int]:
    return [sum(length > t for length in lengths) for t in range(max(lengths, default=0))]


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | list[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs a padded batch (T, N, …), with ``batch_first`` (N, T, …), of sequences of the given lengths.

    They must be sorted by falling length unless ``enforce_sorted`` is False. Raises RuntimeError otherwise.
    """
    if isinstance(lengths, Tensor) and (lengths.ndim != 1 or lengths.dtype is not rl.int64):
        raise RuntimeError("'lengths' argument should be a 1D CPU int64 tensor, "
                           f"but got {lengths.ndim}D cpu {lengths.dtype.name} tensor")
    counts = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    if batch_first:
        input = input.transpose(0, 1)
    if input.size(0) == 0 or input.size(1) == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    _check_lengths(counts, input.size(0), input.size(1), enforce_sorted)
    sorted_indices = None
    if not enforce_sorted:
        order = rl.sort(rl.tensor(counts, dtype=rl.int64), descending=True)[1]
        counts = [counts[i] for i in order.tolist()]
        sorted_indices = order.to(input.device)
        input = input.index_select(1, sorted_indices)
    sizes = _sizes_per_step(counts)
    # A row of the (T·N) flattened batch for every step and every sequence that reaches it.
    rows = [t * input.size(1) + n for t, size in enumerate(sizes) for n in range(size)]
    flat = input.reshape(-1, *input.shape[2:])
    data = flat.index_select(0, rl.tensor(rows, dtype=rl.int64, device=input.device))
    return PackedSequence(data, rl.tensor(sizes, dtype=rl.int64), sorted_indices, None)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The padded batch (T, N, …), or (N, T, …), and the lengths; T is ``total_length`` or that of the longest."""
    data, batch_sizes, _, unsorted_indices = sequence
    sizes = batch_sizes.tolist()
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    batch = sizes[0]
    lengths = [sum(size > n for size in sizes) for n in range(batch)]
    order = list(range(batch)) if unsorted_indices is None else unsorted_indices.tolist()
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    # Row len(data) of the data with one row of padding behind it stands for every missing step.
    pad = data.size(0)
    pick = [[starts[t] + n if t < lengths[n] else pad for n in order] for t in range(steps)]
    with_pad = rl.cat([data, data.new_full((1, *data.shape[1:]), padding_value)])
    index = rl.tensor(pick, dtype=rl.int64, device=data.device)
    if batch_first:
        index = index.t().contiguous()
    padded = with_pad.index_select(0, index.reshape(-1)).reshape(*index.shape, *data.shape[1:])
    return padded, rl.tensor([lengths[n] for n in order], dtype=rl.int64)


def pad_sequence(
    sequences: Tensor | list[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Stacks sequences (Tᵢ, …) to (T, N, …), with ``batch_first`` (N, T, …), padded on one side."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    for sequence in sequences[1:]:
        for d, (a, b) in enumerate(zip(sequences[0].shape[1:], sequence.shape[1:], strict=False), 1):
            if a != b:
                raise RuntimeError(f"The size of tensor a ({a}) must match the size of tensor "
                                   f"b ({b}) at non-singleton dimension {d}")
    longest = max(sequence.size(0) for sequence in sequences)
    padded = []
    for sequence in sequences:
        missing = longest - sequence.size(0)
        if missing:
            padding = sequence.new_full((missing, *sequence.shape[1:]), padding_value)
            sequence = rl.cat([sequence, padding] if padding_side == "right" else [padding, sequence])
        padded.append(sequence)
    return rl.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, each of its own length."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [sequence[:length] for sequence, length in zip(padded_sequences, lengths.tolist(), strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs a list of sequences (Tᵢ, …)."""
    lengths = [sequence.size(0) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The list of sequences that was packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
