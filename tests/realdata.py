"""Where the real data for tests lies: $RUSHLIGHT_DATA, or ../shared/data beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def path(name: str) -> Path:
    """A file or folder of the data; the test is skipped where it is missing."""
    root = Path(os.environ.get("RUSHLIGHT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    found = root / name
    if not found.exists():
        pytest.skip(f"{found} is not here; set RUSHLIGHT_DATA")
    return found
