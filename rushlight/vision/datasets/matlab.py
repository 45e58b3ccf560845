"""Arrays in Matlab files, read by SciPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def read_mat(path: str | Path, *names: str) -> dict[str, Any]:
    """The arrays of these names; ValueError names the file where it is damaged
    or lacks one, ImportError asks for SciPy."""
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as e:
        raise ImportError(f"{path} is a Matlab file, which SciPy reads: pip install 'rushlight[scipy]'") from e
    try:
        found = loadmat(str(path))
    except FileNotFoundError:
        raise
    except (MatReadError, ValueError, TypeError, EOFError, OSError, NotImplementedError) as e:
        raise ValueError(f"{path} is no whole Matlab file: {e}. Delete it and fetch it again.") from e
    missing = [name for name in names if not isinstance(found.get(name), np.ndarray)]
    if missing:
        raise ValueError(f"{path} has no array {missing[0]!r}; "
                         "a file of another data set? Delete it and fetch it again.")
    return {name: found[name] for name in names}
