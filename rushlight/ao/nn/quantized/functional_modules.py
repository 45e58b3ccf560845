"""Sums and products as modules, so that each place in a network has an observer, and later a scale, of its own."""

from __future__ import annotations

from typing import Any

import rushlight as rl
from rushlight import nn
from rushlight.ao import kernels
from rushlight.ao.nn.quantized.layers import output_parameters


class FloatFunctional(nn.Module):
    """Operations of float tensors, observed: `add`, `add_scalar`, `mul`, `mul_scalar`, `cat`, `add_relu`, `matmul`."""

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process = nn.Identity()

    def forward(self, x: Any) -> Any:
        """It is no layer: RuntimeError."""
        raise RuntimeError("FloatFunctional is not intended to use the 'forward'. Please use the underlying operation")

    def add(self, x: Any, y: Any) -> Any:
        """x + y."""
        return self.activation_post_process(rl.add(x, y))

    def add_scalar(self, x: Any, y: float) -> Any:
        """x + a number, whose result needs no observer."""
        return rl.add(x, y)

    def mul(self, x: Any, y: Any) -> Any:
        """x · y."""
        return self.activation_post_process(rl.mul(x, y))

    def mul_scalar(self, x: Any, y: float) -> Any:
        """x times a number."""
        return rl.mul(x, y)

    def cat(self, x: Any, dim: int = 0) -> Any:
        """Tensors joined along a dimension."""
        return self.activation_post_process(rl.cat(x, dim=dim))

    def add_relu(self, x: Any, y: Any) -> Any:
        """max(x + y, 0)."""
        return self.activation_post_process(nn.functional.relu(rl.add(x, y)))

    def matmul(self, x: Any, y: Any) -> Any:
        """x @ y."""
        return self.activation_post_process(rl.matmul(x, y))


class FXFloatFunctional(FloatFunctional):
    """`FloatFunctional` without observers."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.activation_post_process = nn.Identity()


class QFunctional(nn.Module):
    """The same operations on quantized tensors, with the scale that was observed."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.zero_point = 1.0, 0
        self.activation_post_process = nn.Identity()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "scale"], destination[prefix
                                                   + "zero_point"] = rl.tensor(self.scale), rl.tensor(self.zero_point)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        self.scale = float(state_dict.pop(prefix + "scale"))
        self.zero_point = int(state_dict.pop(prefix + "zero_point"))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _get_name(self) -> str:
        return "QFunctional"

    def extra_repr(self) -> str:
        return f"scale={self.scale}, zero_point={self.zero_point}"

    def forward(self, x: Any) -> Any:
        """It is no layer: RuntimeError."""
        raise RuntimeError("Functional is not intended to use the 'forward'. Please use the underlying operation")

    def add(self, x: Any, y: Any) -> Any:
        """x + y, requantized."""
        return kernels.add(x, y, self.scale, self.zero_point, False)

    def add_relu(self, x: Any, y: Any) -> Any:
        """max(x + y, 0), requantized."""
        return kernels.add(x, y, self.scale, self.zero_point, True)

    def add_scalar(self, x: Any, y: float) -> Any:
        """x + a number, with the scale of x."""
        return kernels.quantized_as(x.dequantize() + y, x.q_scale(), x.q_zero_point(), x.dtype)

    def mul(self, x: Any, y: Any) -> Any:
        """x · y, requantized."""
        return kernels.mul(x, y, self.scale, self.zero_point)

    def mul_scalar(self, x: Any, y: float) -> Any:
        """x times a number: the same integers with another scale where the number is positive."""
        if y > 0:
            return rl.ao.tensors.per_tensor(x._ints, x.q_scale() * y, x.q_zero_point(), x.dtype)
        low, high = (255, 127)[x.dtype is rl.qint8], 0
        scale = x.q_scale() * abs(y) or 1.0
        zero = (low if x.dtype is rl.quint8 else -1) - x.q_zero_point() + high
        return kernels.quantized_as(x.dequantize() * y, scale, zero, x.dtype)

    def cat(self, x: Any, dim: int = 0) -> Any:
        """Joined along a dimension, requantized where a scale differs."""
        own = [t if (t.q_scale(), t.q_zero_point()) == (self.scale, self.zero_point)
               else kernels.quantized_as(t.dequantize(), self.scale, self.zero_point, t.dtype) for t in x]
        return rl.cat(own, dim)

    def matmul(self, x: Any, y: Any) -> Any:
        """x @ y, requantized."""
        return kernels.quantized_as(x.dequantize() @ y.dequantize(), self.scale, self.zero_point, x.dtype)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """With the scale that a FloatFunctional observed."""
        made = cls()
        made.scale, made.zero_point, _ = output_parameters(mod)
        return made
