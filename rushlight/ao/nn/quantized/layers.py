"""Quantized convolutions and linear layers: integers in, integers out, with the weights in 8 bits."""

from __future__ import annotations

from typing import Any

import rushlight as rl
from rushlight import nn
from rushlight.ao import kernels
from rushlight.ao.tensors import QuantizedTensor, quantize_per_channel, quantize_per_tensor
from rushlight.ao.schemes import per_channel_affine, per_channel_symmetric

NO_QCONFIG = ("Input float module must have qconfig defined: "
              "prepare the model first (its layers get a qconfig and observers)")


def quantized_weight(weight: Any, observer: Any) -> Any:
    """A float weight as integers, with the range that an observer of it (fresh or used) gives."""
    if observer.dtype is not rl.qint8:
        raise AssertionError(f"Weight observer must have dtype torch.qint8, got {observer.dtype}")
    scale, zero = observer.calculate_qparams()
    w = weight.detach().float()
    if observer.qscheme in (per_channel_symmetric, per_channel_affine):
        return quantize_per_channel(w, scale, zero, int(getattr(observer, "ch_axis", 0)), rl.qint8)
    return quantize_per_tensor(w, float(scale), int(zero), rl.qint8)


def observed(weight: Any, observer: Any) -> Any:
    """The observer after a look at the weight."""
    observer(weight.detach().float())
    return observer


def output_parameters(module: Any) -> tuple[float, int, Any]:
    """Scale, zero point and dtype that the observer of a module's output found."""
    observer = module.activation_post_process
    scale, zero = observer.calculate_qparams()
    return float(scale), int(zero), observer.dtype


class _Layer(nn.Module):
    """What quantized layers share: `scale` and `zero_point` of the output, and packed weights."""

    _relu = False
    _FLOAT_MODULE: Any = None

    def _set(self, weight: Any, bias: Any) -> None:
        self._weights = kernels.Weights(weight, bias, self._window())

    def _window(self) -> Any:
        return None

    def weight(self) -> Any:
        """The quantized weight."""
        return self._weights.weight

    def bias(self) -> Any:
        """The bias in float32, or None."""
        return self._weights.bias

    def set_weight_bias(self, w: Any, b: Any) -> None:
        """Another weight and bias. RuntimeError unless the weight is symmetric qint8."""
        self._set(w, b)

    def forward(self, input: Any) -> Any:
        if not isinstance(input, QuantizedTensor):
            raise NotImplementedError(f"Could not run 'quantized::{type(self).__name__}' with arguments from the "
                                      f"'CPU' backend: {self._get_name()} takes a quantized tensor, got a float one. "
                                      "Put a QuantStub before the layers that are quantized.")
        return kernels.output(input, self._weights, self.scale, self.zero_point, self._relu)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "scale"] = rl.tensor(self.scale)
        destination[prefix + "zero_point"] = rl.tensor(self.zero_point)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing: Any,
                              unexpected: Any, errors: Any) -> None:
        given = {name: state_dict.pop(prefix + name, None) for name in self._saved}
        for name, value in given.items():
            if value is None and not name.endswith(("bias", "dtype")):
                missing.append(prefix + name)
        if all(given[n] is not None for n in ("scale", "zero_point")):
            self.scale, self.zero_point = float(given["scale"]), int(given["zero_point"])
        self._take(given)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, False, missing, unexpected, errors)

    _saved: tuple[str, ...] = ()

    def _take(self, given: dict[str, Any]) -> None:
        raise NotImplementedError

    def __deepcopy__(self, memo: Any) -> Any:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update({k: v.copy() if isinstance(v, dict) else v for k, v in self.__dict__.items()})
        made._set(self.weight().clone(), None if self.bias() is None else self.bias().clone())
        return made

    def __getstate__(self) -> Any:
        return {**{k: v for k, v in self.__dict__.items() if k != "_weights"}, "_kept": (self.weight(), self.bias())}

    def __setstate__(self, state: Any) -> None:
        kept = state.pop("_kept")
        super().__setstate__(state)
        self._set(*kept)

    @classmethod
    def _parts(cls, mod: Any) -> tuple[Any, Any]:
        """The float layer of a module to convert, and the observer of its weight."""
        if not hasattr(mod, "qconfig") and not hasattr(mod, "weight_fake_quant"):
            raise AssertionError(NO_QCONFIG)
        if hasattr(mod, "weight_fake_quant"):
            return mod, mod.weight_fake_quant
        layer = mod[0] if isinstance(mod, nn.Sequential) else mod
        return layer, observed(layer.weight, mod.qconfig.weight())


class Linear(_Layer):
    """y = x · weightᵀ + bias on quantized tensors (…, in_features) -> (…, out_features).

    >>> import rushlight as rl
    >>> layer = Linear(3, 2)
    >>> layer(rl.quantize_per_tensor(rl.ones(1, 3), 0.1, 0, rl.quint8)).dequantize()
    tensor([[0., 0.]])
    """

    _version = 3
    _saved = ("scale", "zero_point", "_packed_params.dtype", "_packed_params._packed_params")

    def __init__(self, in_features: int, out_features: int, bias_: bool = True, dtype: Any = None):
        super().__init__()
        if dtype not in (None, rl.qint8):
            raise RuntimeError("Unsupported dtype specified for quantized Linear! torch.qint8 is the one it takes")
        self.in_features, self.out_features = in_features, out_features
        self.scale, self.zero_point = 1.0, 0
        self._set(quantize_per_tensor(rl.zeros(out_features, in_features), 1.0, 0, rl.qint8),
                  rl.zeros(out_features) if bias_ else None)

    def _get_name(self) -> str:
        return "QuantizedLinearReLU" if self._relu else "QuantizedLinear"

    def extra_repr(self) -> str:
        return (f"in_features={self.in_features}, out_features={self.out_features}, scale={self.scale}, "
                f"zero_point={self.zero_point}, qscheme={self.weight().qscheme()}")

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "_packed_params.dtype"] = rl.qint8
        destination[prefix + "_packed_params._packed_params"] = (self.weight(), self.bias())
        metadata = getattr(destination, "_metadata", None)
        if metadata is not None:  # in PyTorch these two belong to a submodule with a version of its own
            metadata[prefix + "_packed_params"] = {"version": 3}

    def _take(self, given: dict[str, Any]) -> None:
        packed = given["_packed_params._packed_params"]
        if packed is not None:
            self._set(*packed)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The quantized form of an observed Linear (or LinearReLU, or one trained with fake quantization)."""
        layer, observer = cls._parts(mod)
        made = cls(layer.in_features, layer.out_features)
        made.scale, made.zero_point, _ = output_parameters(mod)
        made._set(quantized_weight(layer.weight, observer), None if layer.bias is None else layer.bias.detach().clone())
        return made


class LinearReLU(Linear):
    """A quantized Linear and relu in one pass."""

    _relu = True


def _tuple(value: Any, n: int) -> tuple[int, ...]:
    return (int(value),) * n if isinstance(value, int) else tuple(int(v) for v in value)


class _Conv(_Layer):
    """A convolution of quantized images (N, C, *spatial), which lie with channels last."""

    _n = 2
    _version = 3
    _saved = ("weight", "bias", "scale", "zero_point")

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros",
                 device: Any = None, dtype: Any = None):
        super().__init__()
        n = self._n
        if padding_mode not in ("zeros", "reflect"):
            raise NotImplementedError(f"'padding_mode' {padding_mode} is not supported by quantized "
                                      "convolution: zeros and reflect are")
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"in_channels ({in_channels}) and out_channels ({out_channels}) "
                             f"must be divisible by groups ({groups})")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.groups, self.padding_mode = groups, padding_mode
        self.kernel_size, self.stride, self.dilation = _tuple(kernel_size, n), _tuple(stride, n), _tuple(dilation, n)
        if padding == "same":
            self.padding = _same(self.kernel_size, self.dilation)
        else:
            self.padding = _tuple(0 if padding == "valid" else padding, n)
        self.scale, self.zero_point = 1.0, 0
        weight = rl.zeros(out_channels, in_channels // groups, *self.kernel_size)
        self._set(quantize_per_tensor(weight, 1.0, 0, rl.qint8), rl.zeros(out_channels) if bias else None)

    def _window(self) -> Any:
        padding = self.padding if self.padding_mode == "zeros" else (0,) * self._n
        return self.stride, padding, self.dilation, self.groups

    def forward(self, input: Any) -> Any:
        if self.padding_mode == "reflect" and isinstance(input, QuantizedTensor):
            sides = [p for p in reversed(self.padding) for _ in (0, 1)]
            padded = nn.functional.pad(input._ints.float(), sides, mode="reflect").to(input._spec.dtype)
            from rushlight.ao.tensors import make
            input = make(padded, input._meaning)
        if input.dim() != self._n + 2:
            raise ValueError("Input shape must be `(N, C, "
                             f"{', '.join('LHW'[-self._n:] if self._n > 1 else 'L')})`, got {list(input.shape)}")
        return super().forward(input)

    def _get_name(self) -> str:
        return f"Quantized{'ConvReLU' if self._relu else 'Conv'}{self._n}d"

    def extra_repr(self) -> str:
        text = (f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
                f"stride={self.stride}, scale={self.scale}, zero_point={self.zero_point}")
        for name, plain in (("padding", 0), ("dilation", 1)):
            value = getattr(self, name)
            text += f", {name}={value}" if any(v != plain for v in value) else ""
        return text + (f", groups={self.groups}" if self.groups != 1
                       else "") + (", bias=False" if self.bias() is None else "")

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        scale, zero = destination.pop(prefix + "scale"), destination.pop(prefix + "zero_point")
        destination[prefix + "weight"], destination[prefix + "bias"] = self.weight(), self.bias()
        destination[prefix + "scale"], destination[prefix + "zero_point"] = scale, zero

    def _take(self, given: dict[str, Any]) -> None:
        if given["weight"] is not None:
            self._set(given["weight"], given["bias"])

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The quantized form of an observed convolution (with relu,
        or trained with fake quantization, batch norm folded)."""
        if hasattr(mod, "weight_fake_quant") and hasattr(mod, "folded"):
            weight, bias = mod.folded()
            layer, observer = mod, observed(weight, mod.weight_fake_quant)
        else:
            layer, observer = cls._parts(mod)
            weight, bias = layer.weight, layer.bias
        made = cls(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
                   layer.dilation, layer.groups, padding_mode=layer.padding_mode)
        made.scale, made.zero_point, _ = output_parameters(mod)
        made._set(quantized_weight(weight, observer), None if bias is None else bias.detach().clone())
        return made


def _same(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    if any(d * (k - 1) % 2 for k, d in zip(kernel, dilation)):
        raise NotImplementedError("padding='same' of a quantized convolution needs odd kernels")
    return tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation))


class Conv1d(_Conv):
    """A convolution of quantized sequences (N, C, L)."""

    _n = 1


class Conv2d(_Conv):
    """A convolution of quantized images (N, C, H, W); results lie with channels last."""

    _n = 2


class Conv3d(_Conv):
    """A convolution of quantized volumes (N, C, D, H, W)."""

    _n = 3


class ConvReLU1d(Conv1d):
    """A quantized convolution and relu in one pass."""

    _relu = True


class ConvReLU2d(Conv2d):
    """A quantized convolution and relu in one pass."""

    _relu = True


class ConvReLU3d(Conv3d):
    """A quantized convolution and relu in one pass."""

    _relu = True
