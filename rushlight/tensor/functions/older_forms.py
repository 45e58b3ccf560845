"""Forms of calls that PyTorch deprecated long ago and still takes: numbers in front of the tensors that they multiply.

Optimizers written for early versions are full of them: ``p.add_(-lr, grad)``, ``v.addcmul_(1 - beta, grad, grad)``.
"""

from __future__ import annotations

import warnings
from typing import Any

from rushlight.tensor.core import Tensor

# names of the numbers and of the tensors after the first; the places of tensors (T) and numbers (N) that are taken
SUM = ("TNT",)
PRODUCT = ("NTNTT", "NTTT", "TNNTT", "TNTT")
OLDER: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "add": (("alpha",), ("other",), SUM),
    "sub": (("alpha",), ("other",), SUM),
    "addcmul": (("value",), ("tensor1", "tensor2"), ("TNTT",)),
    "addcdiv": (("value",), ("tensor1", "tensor2"), ("TNTT",)),
    "addmm": (("beta", "alpha"), ("mat1", "mat2"), PRODUCT),
    "addmv": (("beta", "alpha"), ("mat", "vec"), PRODUCT),
    "addr": (("beta", "alpha"), ("vec1", "vec2"), PRODUCT),
    "addbmm": (("beta", "alpha"), ("batch1", "batch2"), PRODUCT),
    "baddbmm": (("beta", "alpha"), ("batch1", "batch2"), PRODUCT),
}
_warned: set[str] = set()


def in_order(name: str, *given: Any) -> tuple[list[Any], dict[str, Any]]:
    """The operands of a call in an older form, and its factors by their names; warns once for each function.

    TypeError where the function never took such arguments.

    >>> import rushlight as rl
    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     rl.ones(2).add(10, rl.ones(2))
    tensor([11., 11.])
    """
    numbers, tensors, forms = OLDER[name]
    form = "".join(["T" if isinstance(x, Tensor) else "N" for x in given[:-1]]) + "T"  # a sum's other operand may be a number
    if form not in forms or not (isinstance(given[-1], Tensor) or forms == SUM):
        kinds = ", ".join([type(x).__name__ for x in given])
        raise TypeError(f"{name}() received an invalid combination of arguments - got ({kinds}), "
                        f"but expected {_newer(name)}")
    if name not in _warned:
        _warned.add(name)
        kept = numbers[:form.count("N")]
        old = ", ".join([f"Number {n}" for n in kept] + [f"Tensor {t}" for t in tensors])
        warnings.warn(f"This overload of {name} is deprecated:\n\t{name}({old})\nConsider using one of the following "
                      f"signatures instead:\n\t{_newer(name)}", UserWarning, stacklevel=3)
    return ([x for x, kind in zip(given, form) if kind == "T"],
            dict(zip(numbers, [x for x, kind in zip(given, form) if kind == "N"])))


def _newer(name: str) -> str:
    numbers, tensors, _ = OLDER[name]
    return f"{name}({', '.join([f'Tensor {t}' for t in tensors])}, *, {', '.join([f'Number {n} = 1' for n in numbers])})"
