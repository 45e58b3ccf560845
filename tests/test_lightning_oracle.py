"""Hooks, values, files and weights of whole runs are those that pytorch_lightning has with PyTorch
(tests/lightning_scenarios.py)."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

import lightning_scenarios
import rushlight
import rushlight.lightning as lightning
import rushlight.lightning.loggers.logger

EXPECTED = json.loads(lightning_scenarios.RECORD.read_text(encoding="utf8"))


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Where two results differ; numbers may by rounding."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [d for k in {**theirs, **ours}
                for d in differences(theirs.get(k, "absent"), ours.get(k, "absent"), f"{path}/{k}")]
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [d for i, (a, b) in enumerate(zip(theirs, ours)) for d in differences(a, b, f"{path}[{i}]")]
    plain = lambda x: isinstance(x, (int, float)) and not isinstance(x, bool)
    same = math.isclose(theirs, ours, rel_tol=1e-4, abs_tol=1e-6) if plain(theirs) and plain(ours) else theirs == ours
    return [] if same else [f"{path}: {theirs} there, {ours} here"]


@pytest.mark.parametrize("name", lightning_scenarios.SCENARIOS)
def test_as_lightning(name: str) -> None:
    assert not differences(EXPECTED[name], lightning_scenarios.run(name, rushlight, lightning))


def test_every_scenario_is_recorded_and_says_something() -> None:
    assert EXPECTED.keys() == lightning_scenarios.SCENARIOS.keys()
    assert all(len(json.dumps(result)) > 100 for result in EXPECTED.values())
    assert differences({"a": [1.0, True]}, {"a": [1.1, False]}) == ["/a[0]: 1.0 there, 1.1 here",
                                                                    "/a[1]: True there, False here"]
