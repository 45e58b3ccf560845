"""RAFT (arXiv 2003.12039): optical flow refined again and again from the correlations of all pairs of pixels."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.nn import functional as F
from rushlight.vision.models._api import WeightsEnum, register_model, weights_enum
from rushlight.vision.models._utils import fan_out_normal, handle_legacy_interface, load_weights
from rushlight.vision.models.optical_flow._utils import grid_sample, make_coords_grid, upsample_flow
from rushlight.vision.ops.misc import Conv2dNormActivation

Layer = Callable[..., nn.Module]


def _unit(inputs: int, outputs: int, kernel_size: int, stride: int = 1, norm_layer: Layer | None = None,
          **more: Any) -> Conv2dNormActivation:
    """A convolution with a bias, a norm and an activation:
    norms are frozen in later training, so the bias is of use."""
    return Conv2dNormActivation(inputs, outputs, norm_layer=norm_layer,
                                kernel_size=kernel_size, stride=stride, bias=True, **more)


class _Block(nn.Module):
    """Convolutions beside a shortcut; everything is rectified once more than in ResNet."""

    def _shortcut(self, inputs: int, outputs: int, norm_layer: Layer | None, stride: int, project: bool) -> nn.Module:
        return _unit(inputs, outputs, 1, stride, norm_layer, activation_layer=None) if project else nn.Identity()

    def _branch(self, x: Tensor) -> Tensor:
        return self.convnormrelu2(self.convnormrelu1(x))

    def forward(self, x: Tensor) -> Tensor:
        y = self._branch(x)
        return self.relu(self.downsample(x) + y)


class ResidualBlock(_Block):
    """Two 3 × 3 convolutions beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, *, norm_layer: Layer | None, stride: int = 1,
                 always_project: bool = False):
        super().__init__()
        self.convnormrelu1 = _unit(in_channels, out_channels, 3, stride, norm_layer)
        self.convnormrelu2 = _unit(out_channels, out_channels, 3, 1, norm_layer)
        self.downsample = self._shortcut(in_channels, out_channels, norm_layer, stride, stride != 1 or always_project)
        self.relu = nn.ReLU(inplace=True)


class BottleneckBlock(_Block):
    """A 3 × 3 convolution of a quarter of the channels between two 1 × 1 ones, beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, *, norm_layer: Layer | None, stride: int = 1):
        super().__init__()
        narrow = out_channels // 4
        self.convnormrelu1 = _unit(in_channels, narrow, 1, 1, norm_layer)
        self.convnormrelu2 = _unit(narrow, narrow, 3, stride, norm_layer)
        self.convnormrelu3 = _unit(narrow, out_channels, 1, 1, norm_layer)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = self._shortcut(in_channels, out_channels, norm_layer, stride, stride != 1)

    def _branch(self, x: Tensor) -> Tensor:
        return self.convnormrelu3(super()._branch(x))


class FeatureEncoder(nn.Module):
    """Pictures ``[N, 3, H, W]`` as features ``[N, C, H/8, W/8]``;
    for both pictures, and for the context of the first."""

    def __init__(self, *, block: Layer = ResidualBlock, layers: Sequence[int] = (64, 64, 96, 128, 256),
                 strides: Sequence[int] = (2, 1, 2, 2), norm_layer: Layer | None = nn.BatchNorm2d):
        super().__init__()
        if len(layers) != 5:
            raise ValueError(f"The expected number of layers is 5, instead got {len(layers)}")
        self.convnormrelu = _unit(3, layers[0], 7, strides[0], norm_layer)
        for i in (1, 2, 3):
            first = block(layers[i - 1], layers[i], norm_layer=norm_layer, stride=strides[i])
            setattr(self, f"layer{i}",
                    nn.Sequential(first, block(layers[i], layers[i], norm_layer=norm_layer, stride=1)))
        self.conv = nn.Conv2d(layers[3], layers[4], kernel_size=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out_normal(module.weight)
        self.output_dim = layers[-1]
        self.downsample_factor = 2 ** sum(step == 2 for step in strides)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.layer3(self.layer2(self.layer1(self.convnormrelu(x)))))


class MotionEncoder(nn.Module):
    """The present flow and the correlations around where it points,
    as ``out_channels`` features; the last two are the flow."""

    def __init__(self, *, in_channels_corr: int, corr_layers: Sequence[int] = (256, 192),
                 flow_layers: Sequence[int] = (128, 64), out_channels: int = 128):
        super().__init__()
        if len(flow_layers) != 2:
            raise ValueError(f"The expected number of flow_layers is 2, instead got {len(flow_layers)}")
        if len(corr_layers) not in (1, 2):
            raise ValueError(f"The number of corr_layers should be 1 or 2, instead got {len(corr_layers)}")
        self.convcorr1 = _unit(in_channels_corr, corr_layers[0], 1)
        self.convcorr2 = _unit(*corr_layers, 3) if len(corr_layers) == 2 else nn.Identity()
        self.convflow1 = _unit(2, flow_layers[0], 7)
        self.convflow2 = _unit(*flow_layers, 3)
        self.conv = _unit(corr_layers[-1] + flow_layers[-1], out_channels - 2, 3)
        self.out_channels = out_channels

    def forward(self, flow: Tensor, corr_features: Tensor) -> Tensor:
        seen = self.convcorr2(self.convcorr1(corr_features))
        moved = self.convflow2(self.convflow1(flow))
        return rl.cat([self.conv(rl.cat([seen, moved], dim=1)), flow], dim=1)


class ConvGRU(nn.Module):
    """A gated recurrent unit of convolutions."""

    def __init__(self, *, input_size: int, hidden_size: int, kernel_size: Any, padding: Any):
        super().__init__()
        for gate in ("convz", "convr", "convq"):
            setattr(self, gate, nn.Conv2d(hidden_size + input_size, hidden_size,
                                          kernel_size=kernel_size, padding=padding))

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        both = rl.cat([h, x], dim=1)
        z, r = rl.sigmoid(self.convz(both)), rl.sigmoid(self.convr(both))
        q = rl.tanh(self.convq(rl.cat([r * h, x], dim=1)))
        return (1 - z) * h + z * q


def _pass_through_h(h: Tensor, _: Tensor) -> Tensor:
    """In the place of a second unit where there is one alone."""
    return h


class RecurrentBlock(nn.Module):
    """One or two units: the second goes along the other direction."""

    def __init__(self, *, input_size: int, hidden_size: int, kernel_size: Sequence[Any] = ((1, 5), (5, 1)),
                 padding: Sequence[Any] = ((0, 2), (2, 0))):
        super().__init__()
        if len(kernel_size) != len(padding):
            raise ValueError("kernel_size should have the same length as padding, instead got len(kernel_size) = "
                             f"{len(kernel_size)} and len(padding) = {len(padding)}")
        if len(kernel_size) not in (1, 2):
            raise ValueError(f"kernel_size should either 1 or 2, instead got {len(kernel_size)}")
        units = [ConvGRU(input_size=input_size, hidden_size=hidden_size, kernel_size=k, padding=p)
                 for k, p in zip(kernel_size, padding)]
        self.convgru1 = units[0]
        self.convgru2 = units[1] if len(units) == 2 else _pass_through_h
        self.hidden_size = hidden_size

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        return self.convgru2(self.convgru1(h, x), x)


class FlowHead(nn.Module):
    """The change of the flow, from the hidden state."""

    def __init__(self, *, in_channels: int, hidden_size: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, hidden_size, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden_size, 2, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.relu(self.conv1(x)))


class UpdateBlock(nn.Module):
    """One refinement: the next hidden state, and the change of the flow."""

    def __init__(self, *, motion_encoder: nn.Module, recurrent_block: nn.Module, flow_head: nn.Module):
        super().__init__()
        self.motion_encoder, self.recurrent_block, self.flow_head = motion_encoder, recurrent_block, flow_head
        self.hidden_state_size = recurrent_block.hidden_size

    def forward(self, hidden_state: Tensor, context: Tensor, corr_features: Tensor,
                flow: Tensor) -> tuple[Tensor, Tensor]:
        x = rl.cat([context, self.motion_encoder(flow, corr_features)], dim=1)
        hidden_state = self.recurrent_block(hidden_state, x)
        return hidden_state, self.flow_head(hidden_state)


class MaskPredictor(nn.Module):
    """The weights by which `upsample_flow` enlarges eightfold;
    ``multiplier`` makes the gradients of this branch smaller."""

    def __init__(self, *, in_channels: int, hidden_size: int, multiplier: float = 0.25):
        super().__init__()
        self.convrelu = _unit(in_channels, hidden_size, 3)
        self.conv = nn.Conv2d(hidden_size, 8 * 8 * 9, 1, padding=0)
        self.multiplier = multiplier

    def forward(self, x: Tensor) -> Tensor:
        return self.multiplier * self.conv(self.convrelu(x))


class CorrBlock(nn.Module):
    """The products of all pairs of features, at ``num_levels`` resolutions, and windows of them around given places."""

    def __init__(self, *, num_levels: int = 4, radius: int = 4):
        super().__init__()
        self.num_levels, self.radius = num_levels, radius
        self.corr_pyramid: list[Tensor] = []
        self.out_channels = num_levels * (2 * radius + 1) ** 2

    def build_pyramid(self, fmap1: Tensor, fmap2: Tensor) -> None:
        """Keep the correlations of the features ``[N, C, H, W]`` of two pictures;
        ValueError for shapes that do not fit."""
        if fmap1.shape != fmap2.shape:
            raise ValueError("Input feature maps should have the same shape, instead got "
                             f"{fmap1.shape} (fmap1.shape) != {fmap2.shape} (fmap2.shape)")
        least = 2 ** self.num_levels  # two places are left at the last level, the fewest that can be sampled between
        if any(size < least for size in fmap1.shape[-2:]):
            raise ValueError("Feature maps are too small to be down-sampled by the correlation pyramid. "
                             f"H and W of feature maps should be at least {least}; got: {fmap1.shape[-2:]}. "
                             "Remember that input images to the model are downsampled by 8, "
                             f"so that means their dimensions should be at least 8 * {least} = {8 * least}.")
        batch, channels, height, width = fmap1.shape
        products = fmap1.flatten(2).transpose(1, 2) @ fmap2.flatten(2)
        level = (products / channels ** 0.5).reshape(batch * height * width, 1, height, width)
        self.corr_pyramid = [level]
        for _ in range(self.num_levels - 1):
            level = F.avg_pool2d(level, kernel_size=2, stride=2)
            self.corr_pyramid.append(level)

    def index_pyramid(self, centroids_coords: Tensor) -> Tensor:
        """``[N, out_channels, H, W]``: of every level the square of side
        ``2·radius + 1`` around coordinates ``[N, 2, H, W]``."""
        side = 2 * self.radius + 1
        steps = rl.linspace(-self.radius, self.radius, side, device=centroids_coords.device)
        around = rl.stack(rl.meshgrid(steps, steps, indexing="ij"), dim=-1).view(1, side, side, 2)
        batch, _, height, width = centroids_coords.shape
        centres = centroids_coords.permute(0, 2, 3, 1).reshape(batch * height * width, 1, 1, 2)
        found = []
        for level, volume in enumerate(self.corr_pyramid):
            windows = grid_sample(volume, centres / 2 ** level + around, align_corners=True)
            found.append(windows.reshape(batch, height, width, -1))
        return rl.cat(found, dim=-1).permute(0, 3, 1, 2).contiguous()


class RAFT(nn.Module):
    """Flows from ``image1`` to ``image2``, both ``[N, 3, H, W]`` with H and W
    multiples of 8: a list, one better than the other.

    Args:
        feature_encoder, context_encoder: make features of an eighth of the size; of the context's, the first
            ``hidden_state_size`` channels begin the hidden state.
        corr_block: has ``build_pyramid`` and ``index_pyramid``.
        update_block: refines; has ``hidden_state_size``.
        mask_predictor: how to enlarge the flow; None interpolates.
    """

    def __init__(self, *, feature_encoder: nn.Module, context_encoder: nn.Module, corr_block: nn.Module,
                 update_block: nn.Module, mask_predictor: nn.Module | None = None):
        super().__init__()
        self.feature_encoder, self.context_encoder, self.corr_block = feature_encoder, context_encoder, corr_block
        self.update_block, self.mask_predictor = update_block, mask_predictor
        if not hasattr(update_block, "hidden_state_size"):
            raise ValueError("The update_block parameter should expose a 'hidden_state_size' attribute.")

    def forward(self, image1: Tensor, image2: Tensor, num_flow_updates: int = 12) -> list[Tensor]:
        batch, _, height, width = image1.shape
        if (height, width) != tuple(image2.shape[-2:]):
            raise ValueError(f"input images should have the same shape, instead got ({height}, "
                             f"{width}) != {image2.shape[-2:]}")
        if height % 8 or width % 8:
            raise ValueError(f"input image H and W should be divisible by 8, instead got {height} (h) and {width} (w)")
        small = height // 8, width // 8
        maps = self.feature_encoder(rl.cat([image1, image2], dim=0))
        if tuple(maps.shape[-2:]) != small:
            raise ValueError("The feature encoder should downsample H and W by 8")
        self.corr_block.build_pyramid(*rl.chunk(maps, chunks=2, dim=0))
        hidden_state, context = self._context(image1, small)
        start = make_coords_grid(batch, *small, device=image1.device)
        places, flows = start, []
        for _ in range(num_flow_updates):
            places = places.detach()  # gradients go through the change alone
            seen = self.corr_block.index_pyramid(centroids_coords=places)
            hidden_state, change = self.update_block(hidden_state, context, seen, places - start)
            places = places + change
            mask = None if self.mask_predictor is None else self.mask_predictor(hidden_state)
            flows.append(upsample_flow(flow=places - start, up_mask=mask))
        return flows

    def _context(self, image: Tensor, small: tuple[int, int]) -> tuple[Tensor, Tensor]:
        out = self.context_encoder(image)
        if tuple(out.shape[-2:]) != small:
            raise ValueError("The context encoder should downsample H and W by 8")
        hidden = self.update_block.hidden_state_size
        if out.shape[1] <= hidden:
            raise ValueError(f"The context encoder outputs {out.shape[1]} channels, "
                             f"but it should have at strictly more than hidden_state={hidden} channels")
        return rl.tanh(out[:, :hidden]), F.relu(out[:, hidden:])


LARGE = {"block": ResidualBlock, "features": (64, 64, 96, 128, 256), "context": (64, 64, 96, 128, 256),
         "context_norm": nn.BatchNorm2d, "radius": 4,
         "corr_layers": (256, 192), "flow_layers": (128, 64), "motion": 128, "hidden": 128,
         "kernel_size": ((1, 5), (5, 1)),
         "padding": ((0, 2), (2, 0)), "head": 256, "mask": True}
SMALL = {"block": BottleneckBlock, "features": (32, 32, 64, 96, 128), "context": (32, 32, 64, 96, 160),
         "context_norm": None, "radius": 3,
         "corr_layers": (96,), "flow_layers": (64, 32), "motion": 82, "hidden": 96, "kernel_size": (3,),
         "padding": (1,), "head": 128, "mask": False}


def _raft(size: dict[str, Any], **parts: Any) -> RAFT:
    """A network of one size; ``parts`` are given in the place of its own."""
    features = parts.pop("feature_encoder", None) or FeatureEncoder(block=size["block"], layers=size["features"],
                                                                    norm_layer=nn.InstanceNorm2d)
    context = parts.pop("context_encoder", None) or FeatureEncoder(block=size["block"], layers=size["context"],
                                                                   norm_layer=size["context_norm"])
    correlation = parts.pop("corr_block", None) or CorrBlock(num_levels=4, radius=size["radius"])
    update = parts.pop("update_block", None)
    hidden = size["hidden"]
    if update is None:
        motion = MotionEncoder(in_channels_corr=correlation.out_channels, corr_layers=size["corr_layers"],
                               flow_layers=size["flow_layers"], out_channels=size["motion"])
        recurrent = RecurrentBlock(input_size=size["motion"] + size["context"][-1] - hidden, hidden_size=hidden,
                                   kernel_size=size["kernel_size"], padding=size["padding"])
        update = UpdateBlock(motion_encoder=motion, recurrent_block=recurrent,
                             flow_head=FlowHead(in_channels=hidden, hidden_size=size["head"]))
    mask = parts.pop("mask_predictor", None)
    if mask is None and size["mask"]:
        mask = MaskPredictor(in_channels=hidden, hidden_size=256)
    return RAFT(feature_encoder=features, context_encoder=context, corr_block=correlation, update_block=update,
                mask_predictor=mask, **parts)


def _variant(name: str, enum: type[WeightsEnum], size: dict[str, Any], legacy: str) -> Callable[..., RAFT]:
    """A builder in the form of the classifiers' ones."""
    def build(*, weights: Any = None, progress: bool = True, **kwargs: Any) -> RAFT:
        weights = enum.verify(weights)
        model = _raft(size, **kwargs)
        if weights is not None:
            load_weights(model, weights, progress)
        return model

    build.__name__ = build.__qualname__ = name
    count = enum["DEFAULT"].meta["num_params"]
    build.__doc__ = f"""{name}: RAFT with {count:,} parameters, for two pictures of at least 128 × 128 pixels.

    Args:
        weights: a member of {enum.__name__} ({", ".join(enum.__members__)}), its name, or None for random weights.
        progress: show how far a download is.
        kwargs: parts in the place of its own: feature_encoder, context_encoder, corr_block, update_block,
            mask_predictor.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    build.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
        inspect.Parameter("weights", keyword, default=None, annotation=enum | None),
        inspect.Parameter("progress", keyword, default=True, annotation=bool),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, annotation=Any)], return_annotation=RAFT)
    return register_model()(handle_legacy_interface(weights=("pretrained", enum[legacy]))(build))


Raft_Large_Weights = weights_enum("Raft_Large_Weights", __name__)
Raft_Small_Weights = weights_enum("Raft_Small_Weights", __name__)

raft_large = _variant("raft_large", Raft_Large_Weights, LARGE, "C_T_SKHT_V2")
raft_small = _variant("raft_small", Raft_Small_Weights, SMALL, "C_T_V2")
