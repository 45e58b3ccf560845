"""The one exception of bad checkpoints, and the small one that inner code raises."""

from __future__ import annotations

import pickle

UNSAFE_HELP = (
    "Only if you trust whoever made the file: load it with `weights_only=False`, which can run any code that "
    "the file contains."
)


class CheckpointError(pickle.UnpicklingError, RuntimeError):
    """A file that cannot be loaded as a checkpoint: damaged, malformed or holding something that is not allowed.

    ``file`` names the file, ``record`` the part of it, ``tensors`` the key paths of the tensors that are lost.
    """

    def __init__(self, message: str, file: str = "", record: str = "", tensors: tuple[str, ...] = ()):
        super().__init__(message)
        self.file = file
        self.record = record
        self.tensors = tensors


class Fault(Exception):
    """A fact about the bytes at hand; the door of `load` adds file, record and help."""


class Direct(Fault):
    """A fault whose text stands for itself, as PyTorch's texts of damaged archives do."""


class UserError(Exception):
    """Carries an exception of the user's own function out of the loader."""

    def __init__(self, error: Exception):
        super().__init__(str(error))
        self.error = error


def short(message: str) -> str:
    """The message of an exception, cut to a length that is fit to print."""
    return message if len(message) <= 1000 else message[:1000] + "…"


def weights_only_message(message: str, where: str) -> str:
    """The text of a refused pickle, which begins as PyTorch's does because programs match on it."""
    if "was not an allowed global by default" in message:
        return (
            "Weights only load failed. This file can still be loaded, to do so you have two options, "
            "do those steps only if you trust the source of the checkpoint.\n"
            f"\t(1) {UNSAFE_HELP}\n"
            "\t(2) Keep `weights_only=True` and allow what the following error names.\n"
            f"\tWeightsUnpickler error: {message}\n{where}"
        )
    return f"Weights only load failed. {message}\n{where}"
