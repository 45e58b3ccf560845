"""What the networks for 8 bits share: stubs, fusing, quantizing after training, and their builders."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import rushlight as rl
from rushlight import Tensor, nn
from rushlight.ao import quantization as ao
from rushlight.backends import quantized as backends
from rushlight.vision.models._api import WeightsEnum, register_model
from rushlight.vision.models._utils import _ovewrite_named_param, handle_legacy_interface, load_weights

WEIGHT_OBSERVERS = {"fbgemm": "default_per_channel_weight_observer", "qnnpack": "default_weight_observer"}


class Stubs(nn.Module):
    """Mixed into a network: what goes in is quantized, what comes out is not;
    `fuse_model` fuses the parts that ``fuse`` knows."""

    def _add_stubs(self) -> None:
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        return self.dequant(super().forward(self.quant(x)))


def _replace_relu(module: nn.Module) -> None:
    """Every ReLU and ReLU6 becomes a ReLU that is not in place, which is what fuses."""
    for name, child in list(module.named_children()):
        _replace_relu(child)
        if type(child) in (nn.ReLU, nn.ReLU6):
            module._modules[name] = nn.ReLU(inplace=False)


def _fuse_modules(model: nn.Module, modules_to_fuse: Any, is_qat: bool | None, **kwargs: Any) -> nn.Module:
    """Fuse for training where ``is_qat`` (None: where the model trains), else for inference."""
    fuse = ao.fuse_modules_qat if (model.training if is_qat is None else is_qat) else ao.fuse_modules
    return fuse(model, modules_to_fuse, **kwargs)


def fuse_all(model: nn.Module, is_qat: bool | None, *kinds: type) -> None:
    """``fuse_model`` of every part of these very types."""
    for module in list(model.modules()):
        if type(module) in kinds:
            module.fuse_model(is_qat)


def quantize_model(model: nn.Module, backend: str) -> None:
    """Fuse, observe one random picture, and convert, in place; what is missing to be accurate is data.

    RuntimeError for a backend that is not one of ``backends.quantized.supported_engines``.
    """
    picture = rl.rand(1, 3, 299, 299)
    if backend not in backends.supported_engines:
        raise RuntimeError(f"Quantized backend not supported: {backend!r}; "
                           f"supported are {', '.join(backends.supported_engines)}")
    backends.engine = backend
    model.eval()
    if backend in WEIGHT_OBSERVERS:
        model.qconfig = ao.QConfig(activation=ao.default_observer, weight=getattr(ao, WEIGHT_OBSERVERS[backend]))
    model.fuse_model()
    ao.prepare(model, inplace=True)
    model(picture)
    ao.convert(model, inplace=True)


def quantizable(name: str, make: Callable[..., nn.Module], enum: type[WeightsEnum], floats: type[WeightsEnum],
                backend: str, *, legacy: str = "IMAGENET1K_V1",
                prepare: Callable[[WeightsEnum | None, dict[str, Any]], Any] | None = None,
                finish: Callable[[nn.Module, WeightsEnum | None, Any], None] | None = None,
                quantized: Callable[..., None] | None = None, **fixed: Any) -> Callable[..., Any]:
    """The function ``name(*, weights=None, progress=True, quantize=False, **kwargs)``,
    registered as ``quantized_name``.

    Args:
        make: builds the network that can be quantized.
        enum, floats: its weights when it is quantized, and when not;
            ``legacy`` is the member of ``floats`` for ``pretrained=True``.
        backend: for whose kernels it is quantized where weights do not say so.
        prepare, finish: change the arguments for weights before, and the network after;
            ``finish`` sees what ``prepare`` gave.
        quantized: loads weights and quantizes in an order of its own, and sees it too.
        fixed: arguments that make the variant.
    """

    def build(*, weights: Any = None, progress: bool = True, quantize: bool = False, **kwargs: Any) -> nn.Module:
        weights = (enum if quantize else floats).verify(weights)
        kept = prepare(weights, kwargs) if prepare is not None else None
        if weights is not None:
            _ovewrite_named_param(kwargs, "num_classes", len(weights.meta["categories"]))
            if "backend" in weights.meta:
                _ovewrite_named_param(kwargs, "backend", weights.meta["backend"])
        engine = kwargs.pop("backend", backend)
        model = make(**fixed, **kwargs)
        _replace_relu(model)
        if quantized is not None and quantize:
            quantized(model, engine, weights, progress, kept)
        else:
            if quantize:
                quantize_model(model, engine)
            if weights is not None:
                load_weights(model, weights, progress)
        if finish is not None:
            finish(model, weights, kept)
        return model

    _described(build, name, make.__module__, enum, floats)

    def pretrained(kwargs: dict[str, Any]) -> WeightsEnum:
        return next(iter(enum)) if kwargs.get("quantize", False) else floats[legacy]
    return register_model(f"quantized_{name}")(handle_legacy_interface(weights=("pretrained", pretrained))(build))


def _described(build: Callable[..., nn.Module], name: str, module: str, enum: type[WeightsEnum],
               floats: type[WeightsEnum]) -> None:
    """Give a builder its name, its text and the signature that torchvision's has."""
    build.__name__ = build.__qualname__ = name
    build.__module__ = module
    build.__doc__ = f"""{name} for 8 bits: with ``quantize`` already quantized, else ready to be.

    Args:
        weights: with ``quantize`` a member of {enum.__name__} ({", ".join(enum.__members__)}),
            else of {floats.__name__} ({", ".join(floats.__members__)}), its name, or None for random weights.
        progress: show how far a download is.
        quantize: give the network with integer weights, for inference alone.
        kwargs: further arguments of the network, and ``backend``.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    build.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
        inspect.Parameter("weights", keyword, default=None, annotation=enum | floats | None),
        inspect.Parameter("progress", keyword, default=True, annotation=bool),
        inspect.Parameter("quantize", keyword, default=False, annotation=bool),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD, annotation=Any)], return_annotation=nn.Module)
