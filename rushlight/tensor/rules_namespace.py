"""What ``F`` is in the table's rules: the public functions and the longer rules."""

from __future__ import annotations

import types
from typing import Any


def namespace() -> Any:
    """One namespace with everything that rules may call."""
    from rushlight.tensor import creation, functions, special
    from rushlight.tensor.functions import (
        attention, common, ctc_rules, linalg, matrix_rules, normalization_rules, quantized, recurrent, rules, scatter_rules)
    out = types.SimpleNamespace()
    for module in (common, creation, functions, linalg, rules, normalization_rules, scatter_rules,
                   matrix_rules, recurrent, attention, quantized, ctc_rules):
        for name, value in vars(module).items():
            if not name.startswith("__"):
                setattr(out, name, value)
    out.as_spec = rules.as_spec_of
    out.special, out.linalg = special, linalg
    out.adjoint = rules.adjoint
    from rushlight.tensor.functions.shape import sum_to
    out.sum_to = sum_to
    return out
