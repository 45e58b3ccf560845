"""Building blocks of image networks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn

Layer = Callable[..., nn.Module]


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation of ``[N, C, H, W]`` whose statistics, weight and bias are buffers and never change.

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``; loads weights of BatchNorm2d.

    >>> FrozenBatchNorm2d(8)
    FrozenBatchNorm2d(8, eps=1e-05)
    """

    def __init__(self, num_features: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        for name, fill in (("weight", rl.ones), ("bias", rl.zeros), ("running_mean", rl.zeros),
                           ("running_var", rl.ones)):
            self.register_buffer(name, fill(num_features))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.weight.shape[0]}, eps={self.eps})"


def _same_padding(kernel_size: int | Sequence[int], dilation: int | Sequence[int]) -> int | tuple[int, ...]:
    """What keeps the size of the picture at stride 1."""
    if isinstance(kernel_size, int) and isinstance(dilation, int):
        return (kernel_size - 1) // 2 * dilation
    dims = len(kernel_size) if isinstance(kernel_size, Sequence) else len(dilation)  # type: ignore[arg-type]
    kernels = (kernel_size,) * dims if isinstance(kernel_size, int) else kernel_size
    steps = (dilation,) * dims if isinstance(dilation, int) else dilation
    return tuple((k - 1) // 2 * d for k, d in zip(kernels, steps))


class ConvNormActivation(nn.Sequential):
    """A convolution, a normalisation and an activation; its children are
    Conv2dNormActivation and Conv3dNormActivation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, ...] = 3,
                 stride: int | tuple[int, ...] = 1, padding: int | tuple[int, ...] | str | None = None, groups: int = 1,
                 norm_layer: Layer | None = nn.BatchNorm2d, activation_layer: Layer | None = nn.ReLU,
                 dilation: int | tuple[int, ...] = 1, inplace: bool | None = True, bias: bool | None = None,
                 conv_layer: Layer = nn.Conv2d) -> None:
        if padding is None:
            padding = _same_padding(kernel_size, dilation)
        layers = [conv_layer(in_channels, out_channels, kernel_size, stride, padding, dilation=dilation, groups=groups,
                             bias=norm_layer is None if bias is None else bias)]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer() if inplace is None else activation_layer(inplace=inplace))
        super().__init__(*layers)
        self.out_channels = out_channels
        if type(self) is ConvNormActivation:
            warnings.warn("Don't use ConvNormActivation directly, "
                          "please use Conv2dNormActivation and Conv3dNormActivation instead.")


class Conv2dNormActivation(ConvNormActivation):
    """Conv2d, normalisation and activation in a row; without ``padding`` the size stays at stride 1.

    ``bias`` defaults to whether there is no ``norm_layer``;
    ``inplace=None`` for activations that have no such argument.

    >>> Conv2dNormActivation(3, 8, stride=2)(rl.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int] = 3,
                 stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] | str | None = None, groups: int = 1,
                 norm_layer: Layer | None = nn.BatchNorm2d, activation_layer: Layer | None = nn.ReLU,
                 dilation: int | tuple[int, int] = 1, inplace: bool | None = True, bias: bool | None = None) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, groups, norm_layer, activation_layer,
                         dilation, inplace, bias, nn.Conv2d)


class Conv3dNormActivation(ConvNormActivation):
    """Conv3d, normalisation and activation in a row.

    >>> [type(layer).__name__ for layer in Conv3dNormActivation(3, 8)]
    ['Conv3d', 'BatchNorm3d', 'ReLU']
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int, int] = 3,
                 stride: int | tuple[int, int, int] = 1, padding: int | tuple[int, int, int] | str | None = None,
                 groups: int = 1, norm_layer: Layer | None = nn.BatchNorm3d, activation_layer: Layer | None = nn.ReLU,
                 dilation: int | tuple[int, int, int] = 1, inplace: bool | None = True,
                 bias: bool | None = None) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, groups, norm_layer, activation_layer,
                         dilation, inplace, bias, nn.Conv3d)


class SqueezeExcitation(nn.Module):
    """Scales channels by what a small network sees in their means (arXiv 1709.01507, figure 1).

    ``x * σ(fc2(δ(fc1(mean(x)))))`` with δ = ``activation`` and σ = ``scale_activation``.

    >>> SqueezeExcitation(8, 2)(rl.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(self, input_channels: int, squeeze_channels: int, activation: Layer = nn.ReLU,
                 scale_activation: Layer = nn.Sigmoid) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def _scale(self, input: Tensor) -> Tensor:
        return self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(input)))))

    def forward(self, input: Tensor) -> Tensor:
        return self._scale(input) * input


class MLP(nn.Sequential):
    """Linear layers with normalisation, activation and dropout between them; the last is followed by dropout alone.

    >>> [type(layer).__name__ for layer in MLP(4, [8, 2])]
    ['Linear', 'ReLU', 'Dropout', 'Linear', 'Dropout']
    """

    def __init__(self, in_channels: int, hidden_channels: list[int], norm_layer: Layer | None = None,
                 activation_layer: Layer | None = nn.ReLU, inplace: bool | None = None, bias: bool = True,
                 dropout: float = 0.0):
        how = {} if inplace is None else {"inplace": inplace}
        widths = [in_channels, *hidden_channels]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip(widths, widths[1:])):
            layers.append(nn.Linear(before, after, bias=bias))
            if i < len(hidden_channels) - 1:
                if norm_layer is not None:
                    layers.append(norm_layer(after))
                layers.append(activation_layer(**how))  # type: ignore[misc]
            layers.append(nn.Dropout(dropout, **how))
        super().__init__(*layers)


class Permute(nn.Module):
    """Reorders the dimensions of a tensor.

    >>> Permute([0, 2, 1])(rl.zeros(1, 2, 3)).shape
    torch.Size([1, 3, 2])
    """

    def __init__(self, dims: list[int]):
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.dims)
