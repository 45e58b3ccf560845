"""The base of callbacks that write checkpoints: they come after all others."""

from __future__ import annotations

from rushlight.lightning.callbacks.callback import Callback


class Checkpoint(Callback):
    """Derive from it to write checkpoints in another way; the Trainer then adds no ModelCheckpoint of its own."""
