"""Quantized layers without int8 arithmetic of their own: entry and exit, activations, normalisation, embeddings."""

from __future__ import annotations

from typing import Any

import rushlight as rl
from rushlight import nn
from rushlight.ao import kernels
from rushlight.ao.nn.quantized.layers import output_parameters
from rushlight.ao.tensors import quantize_per_channel, quantize_per_tensor


class Quantize(nn.Module):
    """Float to quantized: where a QuantStub was.

    >>> Quantize(0.1, 0, rl.quint8)(rl.ones(2)).int_repr()
    tensor([10, 10], dtype=torch.uint8)
    """

    def __init__(self, scale: Any, zero_point: Any, dtype: Any, factory_kwargs: Any = None):
        super().__init__()
        self.register_buffer("scale", rl.tensor([float(scale)]))
        self.register_buffer("zero_point", rl.tensor([int(zero_point)], dtype=rl.int64))
        self.dtype = dtype
        self._pair: tuple[float, int] | None = None

    def forward(self, X: Any) -> Any:
        if self._pair is None:  # reading the buffers once is enough
            self._pair = float(self.scale), int(self.zero_point)
        return quantize_per_tensor(X, *self._pair, self.dtype)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._pair = None

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """With the range that the stub observed."""
        return Quantize(*output_parameters(mod))

    def extra_repr(self) -> str:
        return f"scale={self.scale}, zero_point={self.zero_point}, dtype={self.dtype}"


class DeQuantize(nn.Module):
    """Quantized to float: where a DeQuantStub was."""

    def forward(self, Xq: Any) -> Any:
        return Xq.dequantize()

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """It has nothing to know."""
        return DeQuantize()


class _Requantized(nn.Module):
    """A float layer between dequantizing and quantizing, in one fused loop."""

    _float: Any = None

    def __init__(self, *args: Any, scale: float = 1.0, zero_point: int = 0, **kwargs: Any):
        super().__init__()
        self.layer = type(self)._float(*args, **kwargs)
        self.register_buffer("scale", rl.tensor(float(scale)))
        self.register_buffer("zero_point", rl.tensor(int(zero_point)))
        self._pair: tuple[float, int] | None = None

    def forward(self, input: Any) -> Any:
        if self._pair is None:
            self._pair = float(self.scale), int(self.zero_point)
        with rl.no_grad():
            return kernels.quantized_as(self.layer(input.dequantize()), *self._pair, input.dtype)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._pair = None

    def _get_name(self) -> str:
        return f"Quantized{type(self).__name__}"

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The layer with the range of its output."""
        made: Any = cls.__new__(cls)
        nn.Module.__init__(made)
        scale, zero, _ = output_parameters(mod)
        observer = mod._modules.pop("activation_post_process")
        import copy
        made.layer = copy.deepcopy(mod)
        mod.activation_post_process = observer
        made.layer._forward_hooks.clear()
        made.register_buffer("scale", rl.tensor(float(scale)))
        made.register_buffer("zero_point", rl.tensor(int(zero)))
        made._pair = None
        return made


def _requantized(name: str, layer: Any) -> type:
    return type(name, (_Requantized,), {"_float": layer, "__module__": __name__, "__qualname__": name,
                                        "__doc__": f"{layer.__name__} of quantized tensors, requantized."})


ELU, Hardswish, LeakyReLU, PReLU, Sigmoid, Softmax = (
    _requantized(n, getattr(nn, n)) for n in ("ELU", "Hardswish", "LeakyReLU", "PReLU", "Sigmoid", "Softmax"))
BatchNorm2d, BatchNorm3d, LayerNorm, GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d = (
    _requantized(n, getattr(nn, n)) for n in ("BatchNorm2d", "BatchNorm3d", "LayerNorm", "GroupNorm",
                                              "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"))


def _bn_relu(channels: int, *args: Any, **kwargs: Any) -> Any:
    return nn.Sequential(nn.BatchNorm2d(channels, *args, **kwargs), nn.ReLU())


BNReLU2d = type("BNReLU2d", (_Requantized,),
                {"_float": staticmethod(_bn_relu), "__module__": __name__, "__qualname__": "BNReLU2d",
                                              "__doc__": "BatchNorm2d and relu of quantized tensors, requantized."})


class ReLU6(nn.ReLU):
    """min(max(x, 0), 6) of quantized tensors."""

    def forward(self, input: Any) -> Any:
        return input.clamp(0, 6)

    def _get_name(self) -> str:
        return "QuantizedReLU6"

    @staticmethod
    def from_float(mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """It has nothing to know."""
        return ReLU6(mod.inplace)


class Dropout(nn.Dropout):
    """The identity: quantized networks do not train."""

    def forward(self, input: Any) -> Any:
        return input

    def _get_name(self) -> str:
        return "QuantizedDropout"

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """With the same probability."""
        return cls(mod.p, mod.inplace)


class MaxPool2d(nn.MaxPool2d):
    """The greatest numbers of windows: `nn.MaxPool2d` takes quantized tensors itself."""


class Embedding(nn.Module):
    """Rows of a table whose weights take 8 bits each; results are float32.

    Each row has its own scale and (real) zero point.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, **_: Any):
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.register_buffer("_weight", quantize_per_channel(
            rl.zeros(num_embeddings, embedding_dim), rl.ones(num_embeddings), rl.zeros(num_embeddings), 0, rl.quint8))

    def weight(self) -> Any:
        """The quantized table."""
        return self._weight

    def set_weight(self, w: Any) -> None:
        """Another table."""
        self._weight = w

    def forward(self, indices: Any) -> Any:
        w = self._weight
        rows = nn.functional.embedding(indices, w._ints.float())
        scale, zero = (nn.functional.embedding(indices, t.float().reshape(-1, 1))
                       for t in (w._meaning.scale, w._meaning.zero))
        return (rows - zero) * scale

    def _get_name(self) -> str:
        return "QuantizedEmbedding"

    def extra_repr(self) -> str:
        return f"num_embeddings={self.num_embeddings}, embedding_dim={self.embedding_dim}, dtype=torch.quint8"

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The table with 8 bits."""
        from rushlight.ao.quantization.observer import default_float_qparams_observer
        config = getattr(mod, "qconfig", None)
        observer = (config.weight() if config is not None and config.weight().dtype is rl.quint8
                    else default_float_qparams_observer())
        observer(mod.weight.detach())
        made = cls(mod.num_embeddings, mod.embedding_dim)
        made._weight = quantize_per_channel(mod.weight.detach(), *observer.calculate_qparams(), 0, rl.quint8)
        return made


__all__ = ["BNReLU2d", "BatchNorm2d", "BatchNorm3d", "DeQuantize", "Dropout", "ELU", "Embedding", "GroupNorm",
           "Hardswish", "InstanceNorm1d", "InstanceNorm2d",
           "InstanceNorm3d", "LayerNorm", "LeakyReLU", "MaxPool2d", "PReLU", "Quantize", "ReLU6", "Sigmoid", "Softmax",
           "quantize_per_tensor"]
