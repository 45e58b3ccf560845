"""Shared set-up of the tests: the oracle is optional locally and required where RUSHLIGHT_ORACLE=required."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import numpy as np
import pytest

# Several test processes share few cores: threads of NumPy's BLAS would only wait for each other
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Tests set constants of the planner: no other process may have plans made by these
os.environ.setdefault("RUSHLIGHT_KEEP_PLANS", "0")

HAVE_ORACLE = importlib.util.find_spec("torch") is not None
NEEDS = re.compile(r"importorskip\(.torch.\)|^import torch|^from torch|import nn_oracle|from nn_oracle", re.MULTILINE)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "oracle: compares with PyTorch")
    if os.environ.get("RUSHLIGHT_ORACLE") == "required" and not HAVE_ORACLE:
        raise pytest.UsageError("RUSHLIGHT_ORACLE=required, but torch is not installed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    texts: dict[Path, bool] = {}
    for item in items:
        path = Path(item.path)
        if path not in texts:
            texts[path] = bool(NEEDS.search(path.read_text(encoding="utf8")))
        if texts[path]:
            item.add_marker(pytest.mark.oracle)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that start the same in every test."""
    return np.random.default_rng(0)
