"""The named tuples that functions with several results return (torch.return_types)."""

from __future__ import annotations

import collections
from typing import Any

FIELDS = {
    **dict.fromkeys(("max", "min", "sort", "topk", "kthvalue", "median",
                     "nanmedian", "mode", "cummax", "cummin"), "values indices"),
    "aminmax": "min max", "frexp": "mantissa exponent", "geqrf": "a tau", "histogram": "hist bin_edges",
    "histogramdd": "hist bin_edges",
    "linalg_cholesky_ex": "L info", "linalg_eig": "eigenvalues eigenvectors", "linalg_eigh": "eigenvalues eigenvectors",
    "linalg_inv_ex": "inverse info",
    "linalg_ldl_factor": "LD pivots", "linalg_ldl_factor_ex": "LD pivots info",
    "linalg_lstsq": "solution residuals rank singular_values",
    "linalg_lu": "P L U", "linalg_lu_factor": "LU pivots", "linalg_lu_factor_ex": "LU pivots info", "linalg_qr": "Q R",
    "linalg_slogdet": "sign logabsdet", "linalg_solve_ex": "result info", "linalg_svd": "U S Vh", "lu_unpack": "P L U",
    "qr": "Q R",
    "slogdet": "sign logabsdet", "svd": "U S V", "triangular_solve": "solution cloned_coefficient",
}
_made: dict[str, Any] = {}


def result(name: str, fields: str = "") -> Any:
    """The type of torch.return_types of that name: a tuple with fields,
    made of one sequence or of one argument per field.

    >>> result("max")((1, 2)).indices
    2
    """
    kind = _made.get(name)
    if kind is None:
        base = collections.namedtuple(name, fields or FIELDS[name])  # type: ignore[misc]
        count = len(base._fields)

        def new(cls: type, *values: Any) -> Any:
            given = tuple(values[0]) if len(values) == 1 else values
            if len(given) != count:
                raise TypeError(f"torch.return_types.{name}() takes a {count}-sequence ({len(given)}-sequence given)")
            return tuple.__new__(cls, given)

        def shown(self: Any) -> str:
            return f"torch.return_types.{name}(\n" + ",\n".join(f"{f}={v!r}" for f, v in zip(self._fields, self)) + ")"

        def reduced(self: Any) -> Any:
            return _rebuild, (name, tuple(self))
        kind = _made[name] = type(name, (base,),
                                  {"__new__": new, "__repr__": shown, "__reduce__": reduced, "__slots__": (),
                                   "__module__": "torch.return_types",
                                                  "n_fields": count, "n_sequence_fields": count, "n_unnamed_fields": 0})
    return kind


def _rebuild(name: str, values: tuple[Any, ...]) -> Any:
    return result(name)(values)
