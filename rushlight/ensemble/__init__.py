"""Ensembles: networks that answer together, and networks as scikit-learn estimators, which its ensembles combine.

`Committee` holds trained (or equal, still untrained) modules as one module. `NeuralClassifier` and `NeuralRegressor`
are scikit-learn estimators; `averaging`, `voting`, `bagging`, `boosting` and `stacking` build scikit-learn's
ensembles from modules and estimators. All but `Committee` need scikit-learn: ``pip install 'rushlight[sklearn]'``.
"""

from __future__ import annotations

import importlib
from typing import Any

_LAZY = {
    "Committee": "rushlight.ensemble.committee",
    "mlp": "rushlight.ensemble.networks",
    **dict.fromkeys(("NeuralClassifier", "NeuralRegressor"), "rushlight.ensemble.estimators"),
    **dict.fromkeys(("averaging", "voting", "bagging", "boosting", "stacking"), "rushlight.ensemble.combining"),
}
__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'rushlight.ensemble' has no attribute {name!r}")
    try:
        found = getattr(importlib.import_module(_LAZY[name]), name)
    except ModuleNotFoundError as e:
        if (e.name or "").partition(".")[0] != "sklearn":
            raise
        raise ImportError(f"rushlight.ensemble.{name} needs scikit-learn: pip install 'rushlight[sklearn]'") from e
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
