"""functorch.dim: dimensions as objects. ``i, j = dims(); x[i, j]`` names the
dimensions of x; operations match them by name.

>>> import rushlight as rl
>>> i, j, k = dims()
>>> a, b = rl.ones(2, 3), rl.ones(3, 4)
>>> (a[i, k] * b[k, j]).sum(k).order(i, j).shape
torch.Size([2, 4])
"""

from __future__ import annotations

from typing import Any

from rushlight.functorch.dim.indexing import index
from rushlight.functorch.dim.names import Dim, DimensionBindError, DimensionMismatchError, DimList, dimlists, dims
from rushlight.functorch.dim.rearrange import cat, split, stack
from rushlight.functorch.dim.tensors import Named as _Tensor
from rushlight.functorch.dim.tensors import Tensor, call
from rushlight.tensor import protocol
from rushlight.tensor.core import Tensor as _Plain


def softmax(input: Any, dim: Any, *args: Any, **kwargs: Any) -> Any:
    """torch.nn.functional.softmax along a Dim or a number."""
    return call(_Plain.softmax, (input, dim, *args), kwargs)


protocol.switch_on()  # functions of torch hand named tensors over from now on
TensorLike = (_Tensor, _Plain)

__all__ = ["Dim", "DimList", "DimensionBindError", "DimensionMismatchError", "Tensor", "TensorLike", "cat", "dimlists",
           "dims", "index", "softmax", "split",
           "stack"]
