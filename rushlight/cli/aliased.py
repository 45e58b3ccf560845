"""Importing this module is calling as_torch(): what the fork server preloads."""

from rushlight.cli.alias import as_torch

as_torch()
