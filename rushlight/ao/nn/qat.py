"""torch.ao.nn.qat: layers that train with weights rounded to what 8 bits can say."""

from __future__ import annotations

from typing import Any

from rushlight import nn
from rushlight.nn import functional as F

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _config(mod: Any, qconfig: Any) -> Any:
    found = qconfig if qconfig is not None else getattr(mod, "qconfig", None)
    if not found:
        raise AssertionError("Input float module must have a valid qconfig: "
                             "set model.qconfig = get_default_qat_qconfig() before prepare_qat")
    return found


class Linear(nn.Linear):
    """nn.Linear with `weight_fake_quant` before its weight."""

    _FLOAT_MODULE = nn.Linear
    _relu = False

    def __init__(self, in_features: int, out_features: int, bias: bool = True,
                 qconfig: Any = None, device: Any = None, dtype: Any = None):
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.qconfig = _config(None, qconfig)
        self.weight_fake_quant = self.qconfig.weight()

    def forward(self, input: Any) -> Any:
        y = F.linear(input, self.weight_fake_quant(self.weight), self.bias)
        return F.relu(y) if self._relu else y

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """With the parameters themselves of a float layer that has a qconfig."""
        config = _config(mod, None)
        layer = mod[0] if isinstance(mod, nn.Sequential) else mod
        made = cls(layer.in_features, layer.out_features, layer.bias is not None, config)
        made.weight, made.bias = layer.weight, layer.bias
        made.train(mod.training)
        return made

    def to_float(self) -> Any:
        """The float layer with the same parameters."""
        made = nn.Linear(self.in_features, self.out_features, self.bias is not None)
        made.weight, made.bias = self.weight, self.bias
        return nn.Sequential(made, nn.ReLU()) if self._relu else made


class _ConvMixin:
    """A convolution with `weight_fake_quant` before its weight, then a batch norm and relu where the class has them.

    With a batch norm the rounded weight is the one after folding: w · γ / σ, by the running statistics, and the result
    is scaled back before the normalisation, so that what is rounded is what the converted network will hold
    (Krishnamoorthi, arXiv 1806.08342, section 3.2).
    """

    _n = 2
    _norm = False
    _relu = False

    def _begin(self, config: Any, bn: Any = None) -> None:
        self.qconfig = config
        self.weight_fake_quant = config.weight()
        if self._norm:
            self.bn = bn

    def _convolve(self: Any, x: Any, weight: Any, bias: Any) -> Any:
        return self._conv_forward(x, weight, bias)

    def forward(self: Any, input: Any) -> Any:
        if not self._norm:
            y = self._convolve(input, self.weight_fake_quant(self.weight), self.bias)
            return F.relu(y) if self._relu else y
        factor = self.bn.weight / (self.bn.running_var + self.bn.eps).sqrt()
        rows = [-1, *[1] * (self.weight.dim() - 1)]
        y = self._convolve(input, self.weight_fake_quant(self.weight * factor.reshape(rows)), None)
        y = y / factor.reshape([1, -1, *[1] * self._n])
        if self.bias is not None:
            y = y + self.bias.reshape([1, -1, *[1] * self._n])
        y = self.bn(y)
        return F.relu(y) if self._relu else y

    def folded(self: Any) -> tuple[Any, Any]:
        """Weight and bias for inference."""
        if not self._norm:
            return self.weight, self.bias
        bn = self.bn
        return nn.utils.fusion.fuse_conv_bn_weights(self.weight, self.bias, bn.running_mean,
                                                    bn.running_var, bn.eps, bn.weight, bn.bias)

    @classmethod
    def from_float(cls: Any, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """With the parameters themselves of a float layer (or fused layers) that has a qconfig."""
        config = _config(mod, None)
        layer = mod[0] if isinstance(mod, nn.Sequential) else mod
        made = cls(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
                   layer.dilation, layer.groups, layer.bias is not None, layer.padding_mode, qconfig=config,
                   bn=mod[1] if cls._norm else None)
        made.weight, made.bias = layer.weight, layer.bias
        made.train(mod.training)
        return made

    def update_bn_stats(self: Any) -> Any:
        """Let the batch norm learn its statistics again."""
        self.bn.train()
        return self

    def freeze_bn_stats(self: Any) -> Any:
        """Keep the statistics of the batch norm as they are."""
        self.bn.eval()
        self._frozen = True
        return self

    def train(self: Any, mode: bool = True) -> Any:
        """As usual, but frozen statistics stay frozen."""
        nn.Module.train(self, mode)
        if getattr(self, "_frozen", False):
            self.bn.eval()
        return self


def conv_class(name: str, n: int, norm: bool, relu: bool, module: str) -> Any:
    """A class of such convolutions."""
    base = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[n]

    def __init__(self: Any, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", *,
                 qconfig: Any = None, bn: Any = None, **kwargs: Any) -> None:
        base.__init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
                      padding_mode, **kwargs)
        norms = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
        self._begin(_config(None, qconfig), bn if bn is not None or not norm else norms[n](out_channels))
    what = ", batch norm" * norm + ", relu" * relu
    return type(name, (_ConvMixin, base), {
        "__init__": __init__, "_n": n, "_norm": norm, "_relu": relu, "_FLOAT_MODULE": base, "__module__": module,
        "__qualname__": name, "__doc__": f"nn.Conv{n}d{what}, with the weight rounded to 8 bits in forward."})


Conv1d, Conv2d, Conv3d = (conv_class(f"Conv{n}d", n, False, False, __name__) for n in (1, 2, 3))


class Embedding(nn.Embedding):
    """nn.Embedding with `weight_fake_quant` before its weight."""

    _FLOAT_MODULE = nn.Embedding

    def __init__(self, num_embeddings: int, embedding_dim: int, *args: Any, qconfig: Any = None, **kwargs: Any):
        super().__init__(num_embeddings, embedding_dim, *args, **kwargs)
        self.qconfig = _config(None, qconfig)
        self.weight_fake_quant = self.qconfig.weight()

    def forward(self, input: Any) -> Any:
        return F.embedding(input, self.weight_fake_quant(self.weight), self.padding_idx, self.max_norm, self.norm_type,
                           self.scale_grad_by_freq, self.sparse)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """With the table itself of a float layer that has a qconfig."""
        made = cls(mod.num_embeddings, mod.embedding_dim, mod.padding_idx, qconfig=_config(mod, None))
        made.weight = mod.weight
        return made


__all__ = ["Conv1d", "Conv2d", "Conv3d", "Embedding", "Linear"]
