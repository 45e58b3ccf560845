"""Checkpoints written by several processes (torch.distributed.checkpoint): a folder with one file per rank.

Files are rushlight's own safe format (`rushlight.save`); folders written by PyTorch are not read.
"""

from __future__ import annotations

from rushlight.distributed.checkpoint.storage import FileSystemReader, FileSystemWriter, load, load_state_dict, save, save_state_dict

__all__ = ["FileSystemReader", "FileSystemWriter", "load", "load_state_dict", "save", "save_state_dict"]
