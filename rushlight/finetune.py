"""Transfer learning: freeze a trained network, give it a new head,
and unfreeze it in groups with learning rates of their own.

The order of work (Howard and Ruder, arXiv 1801.06146)::

    model = resnet18(weights=ResNet18_Weights.DEFAULT)          # or any trained network
    replace_head(model, outputs=5)
    groups = layer_groups(model, "layer3", "layer4", "fc")      # input side first
    for parameters in gradual_unfreezing(groups, lr=2e-3, decay=0.3, head_lr=1e-2):
        optimizer = torch.optim.AdamW(parameters)               # first the head alone, at last everything
        ...                                                     # an epoch or more of ordinary training

A fresh head has further to go than trained layers: with one rate for all of them, the head does not arrive in its
stage, or the layers lose what they know in theirs. In each stage let the rate fall to 0 (`torch.optim.lr_scheduler`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rushlight import nn
from rushlight.nn.modules.batchnorm import _BatchNorm

HEADS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class LayerGroup(NamedTuple):
    """Parameters that are frozen and unfrozen together, and the batch normalisations among their layers."""

    name: str
    parameters: list[nn.Parameter]
    norms: list[nn.Module]


def freeze(part: nn.Module | LayerGroup) -> None:
    """Exclude a module, or a group of layers, from training.

    Its parameters need no gradient, and its batch normalisations use and keep the statistics they have, though
    ``model.train()`` be called later: a frozen layer whose statistics drift is no longer the layer that was trained.

    >>> from rushlight import nn
    >>> body = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    >>> freeze(body)
    >>> is_frozen(body), [p.requires_grad for p in body.parameters()]
    (True, [False, False, False, False])
    """
    group = _as_group(part)
    for p in group.parameters:
        p.requires_grad_(False)
        p.grad = None
    for norm in group.norms:
        norm.eval()
        if _stay_in_evaluation not in norm._forward_pre_hooks.values():
            norm.register_forward_pre_hook(_stay_in_evaluation)


def unfreeze(part: nn.Module | LayerGroup) -> None:
    """Undo `freeze`: gradients again, and batch normalisations that follow ``train()`` and ``eval()``; they are in
    training mode now."""
    group = _as_group(part)
    for p in group.parameters:
        p.requires_grad_(True)
    for norm in group.norms:
        hooks = norm._forward_pre_hooks
        for key in [k for k, hook in hooks.items() if hook is _stay_in_evaluation]:
            del hooks[key]
        norm.train()


def is_frozen(part: nn.Module | LayerGroup) -> bool:
    """True where no parameter of the module or group asks for a gradient."""
    return not any(p.requires_grad for p in _as_group(part).parameters)


def head_name(model: nn.Module) -> str:
    """The dotted name of the layer that gives a classifier's answer: the last linear layer or convolution.

    ValueError where there is none.

    >>> from rushlight.vision.models import mobilenet_v3_small
    >>> head_name(mobilenet_v3_small())
    'classifier.3'
    """
    names = [name for name, module in model.named_modules() if isinstance(module, HEADS)]
    if not names:
        raise ValueError(f"{type(model).__name__} has no linear layer or convolution that could be its head")
    return names[-1]


def replace_head(model: nn.Module, outputs: int, name: str | None = None) -> nn.Module:
    """Put a fresh layer with ``outputs`` outputs in the place of the head, and return it.

    ``name`` is the head's dotted name; left out, `head_name` finds it. Networks with auxiliary heads (GoogLeNet,
    Inception, FCN) have several: name each, or build the network without. TypeError where the layer is neither linear
    nor a convolution.

    >>> from rushlight.vision.models import resnet18
    >>> replace_head(resnet18(), outputs=5)
    Linear(in_features=512, out_features=5, bias=True)
    """
    name = head_name(model) if name is None else name
    old = model.get_submodule(name)
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, outputs, bias=old.bias is not None, dtype=old.weight.dtype)
    elif isinstance(old, HEADS):
        new = type(old)(old.in_channels, outputs, old.kernel_size, old.stride, old.padding, old.dilation,
                        bias=old.bias is not None, padding_mode=old.padding_mode, dtype=old.weight.dtype)
    else:
        raise TypeError(f"replace_head(): {name} is a {type(old).__name__}, neither a linear layer nor a convolution")
    if not name:
        raise TypeError("replace_head(): the model is itself the head; nothing holds it in which it could be replaced")
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new.train(old.training))
    if name == head_name(model) and getattr(model, "num_classes", outputs) != outputs:
        model.num_classes = outputs  # SqueezeNet, ViT and others note it, and some reshape by it
    return new


def layer_groups(model: nn.Module, *starts: str) -> list[LayerGroup]:
    """The model's layers in groups, input side first; each name in ``starts`` begins a new group.

    Layers stand in the order in which the model registers them. Without names there are two groups: the body and the
    head. ValueError where a name is unknown or out of order.

    >>> from rushlight.vision.models import resnet18
    >>> [(g.name, len(g.parameters)) for g in layer_groups(resnet18(), "layer3", "layer4", "fc")]
    [('', 30), ('layer3', 15), ('layer4', 15), ('fc', 2)]
    """
    names = starts or (head_name(model),)
    groups = [LayerGroup("", [], [])]
    seen: set[int] = set()
    for name, module in model.named_modules():
        if len(groups) <= len(names) and name == names[len(groups) - 1]:
            groups.append(LayerGroup(name, [], []))
        fresh = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen.update(map(id, fresh))
        groups[-1].parameters.extend(fresh)
        if isinstance(module, _BatchNorm):
            groups[-1].norms.append(module)
    if len(groups) <= len(names):
        missing = names[len(groups) - 1]
        if missing in dict(model.named_modules()):
            raise ValueError(f"layer_groups(): {missing!r} comes earlier in the model than the name before it")
        raise ValueError(f"layer_groups(): {missing!r} is no layer of {type(model).__name__}; "
                         f"it has {', '.join(name for name, _ in model.named_children())}")
    return groups if groups[0].parameters else groups[1:]


def parameter_groups(groups: Sequence[LayerGroup], lr: float, decay: float = 1.0) -> list[dict[str, Any]]:
    """What an optimizer takes: each group with its learning rate, ``lr`` for the last, ``decay`` times less for each
    one before it.

    ``lr_i = lr · decay^(n - 1 - i)`` (discriminative fine-tuning, arXiv 1801.06146). Frozen parameters are left out.
    ValueError unless 0 < decay <= 1.

    >>> from rushlight import nn
    >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> [(g["name"], g["lr"]) for g in parameter_groups(layer_groups(model), lr=0.1, decay=0.5)]
    [('body', 0.05), ('2', 0.1)]
    """
    if not 0 < decay <= 1:
        raise ValueError(f"parameter_groups(): decay must be over 0 and at most 1, got {decay}")
    out = []
    for i, group in enumerate(groups):
        trained = [p for p in group.parameters if p.requires_grad]
        if trained:
            out.append({"params": trained, "lr": lr * decay ** (len(groups) - 1 - i), "name": group.name or "body"})
    return out


def gradual_unfreezing(groups: Sequence[LayerGroup], lr: float, decay: float = 1.0,
                       head_lr: float | None = None) -> Iterator[list[dict[str, Any]]]:
    """Freeze all but the last group; then unfreeze one group more each time the
    loop comes round, from the head to the input.

    Yields `parameter_groups` of what is trained, for a new optimizer; for one that goes on,
    ``optimizer.add_param_group`` takes the first of them, which is the group just unfrozen. ``head_lr`` is the rate of
    the last group while it learns alone, ``lr`` where it is left out.

    >>> from rushlight import nn
    >>> model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    >>> for stage in gradual_unfreezing(layer_groups(model, "1", "2"), lr=0.5, decay=0.5):
    ...     print([g["lr"] for g in stage])
    [0.5]
    [0.25, 0.5]
    [0.125, 0.25, 0.5]
    >>> [g["lr"] for g in next(gradual_unfreezing(layer_groups(model, "1", "2"), lr=0.5, decay=0.5, head_lr=2.0))]
    [2.0]
    """
    for group in groups[:-1]:
        freeze(group)
    for first in reversed(range(len(groups))):
        unfreeze(groups[first])
        alone = first == len(groups) - 1 and head_lr is not None
        yield parameter_groups(groups[first:], head_lr if alone else lr, decay)  # type: ignore[arg-type]


def _as_group(part: nn.Module | LayerGroup) -> LayerGroup:
    if isinstance(part, LayerGroup):
        return part
    return LayerGroup("", list(part.parameters()), [m for m in part.modules() if isinstance(m, _BatchNorm)])


def _stay_in_evaluation(module: nn.Module, args: Any) -> None:
    """A hook before a frozen normalisation's forward: whoever called train()
    on the whole model did not mean this layer."""
    if module.training:
        module.eval()
