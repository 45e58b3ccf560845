"""torch.export: programs captured as graphs."""

from __future__ import annotations
