"""Checkpoints written by several processes (torch.distributed.checkpoint): a folder with one file per rank.

DTensors are written piece by piece, and read by any number of ranks, whatever their placements. Files are rushlight's
own safe format (`rushlight.save`); folders written by PyTorch are not read.
"""

from __future__ import annotations

from rushlight.distributed.checkpoint.planner import DefaultLoadPlanner, DefaultSavePlanner, LoadPlanner, SavePlanner
from rushlight.distributed.checkpoint.storage import (FileSystemReader, FileSystemWriter, load, load_state_dict, save,
                                                      save_state_dict)

__all__ = ["DefaultLoadPlanner", "DefaultSavePlanner", "FileSystemReader", "FileSystemWriter", "LoadPlanner",
           "SavePlanner", "load", "load_state_dict", "save",
           "save_state_dict"]
