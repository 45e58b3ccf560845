"""The methods of Tensor: public functions under their names, operators,
in-place variants, and what only tensors have."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from rushlight.tensor import functions
from rushlight.tensor.core import Tensor
from rushlight.tensor.methods import conversion, copies, facts, gradients, new, random_fills, reading, writing
from rushlight.tensor.methods.conversion import NAMED
from rushlight.tensor.methods.in_place import METHODS
from rushlight.tensor.methods.operators import OPERATORS
from rushlight.tensor.methods.properties import PROPERTIES
from rushlight.tensor.methods.random_fills import FILLS

# functions whose first argument is not the tensor, or which are no methods in PyTorch
NOT_METHODS = {"cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "row_stack", "column_stack",
               "einsum", "meshgrid", "tensordot", "broadcast_tensors", "broadcast_shapes", "atleast_1d", "atleast_2d",
               "atleast_3d", "complex", "polar", "chain_matmul", "Size", "real", "imag", "polygamma", "rsub", "deg2rad",
               "rad2deg", "result", "where", "block_diag", "cartesian_prod", "combinations", "cdist", "trapezoid",
               "trapz", "cumulative_trapezoid", "gradient", "searchsorted", "bucketize", "vander", "lu_unpack", "fill"}
GROUPS = (reading, copies, facts, gradients, conversion, writing, random_fills, new)  # their functions are methods


def _functions(group: ModuleType) -> dict[str, Any]:
    """The public functions that a module defines, and those with names like ``__len__``."""
    return {name: f for name, f in vars(group).items()
            if callable(f) and getattr(f, "__module__", None) == group.__name__
            and (name[0] != "_" or name[:2] == "__")}


def attach() -> None:
    """Put every method on Tensor. Called once at import."""
    for family in functions.FAMILIES:
        for name in family.__all__:
            if name not in NOT_METHODS and callable(getattr(family, name)):
                setattr(Tensor, name, getattr(family, name))
    from rushlight.tensor.functions import factorizations, older_linalg
    for name, f in {**older_linalg.TORCH_LEVEL, **factorizations.TORCH_LEVEL}.items():
        if name not in NOT_METHODS:
            setattr(Tensor, name, f)
    for name in ("deg2rad", "rad2deg"):
        setattr(Tensor, name, getattr(functions, name))
    for table in (METHODS, *map(_functions, GROUPS), OPERATORS, FILLS, NAMED, PROPERTIES):
        for name, value in table.items():
            setattr(Tensor, name, value)


attach()
