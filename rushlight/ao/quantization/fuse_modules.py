"""Fusing convolution, batch norm and relu into one layer before quantization."""

from __future__ import annotations

import copy
from typing import Any

from rushlight import nn
from rushlight.ao.nn import intrinsic as nni
from rushlight.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

_CONVS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}


def _kind(module: Any) -> str:
    for name in ("Conv1d", "Conv2d", "Conv3d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Linear", "ReLU"):
        if type(module) is getattr(nn, name):
            return name
    return type(module).__name__


def fuse_known_modules(mod_list: Any, is_qat: bool | None = None,
                       additional_fuser_method_mapping: Any = None) -> list[Any]:
    """As many modules as given: the fused one first, identities after it. NotImplementedError for a sequence that is
    none of conv [bn] [relu], linear [bn] [relu], bn relu; in eval mode the batch norm is folded into the weights."""
    kinds = tuple(_kind(m) for m in mod_list)
    qat = mod_list[0].training if is_qat is None else is_qat
    extra = (additional_fuser_method_mapping or {}).get(tuple(type(m) for m in mod_list))
    fused = extra(qat, *mod_list) if extra is not None else _fuse(kinds, mod_list, qat)
    for hook in list(mod_list[0]._forward_pre_hooks.values()):
        fused.register_forward_pre_hook(hook)
    mod_list[0]._forward_pre_hooks.clear()
    for hook in list(mod_list[-1]._forward_hooks.values()):
        fused.register_forward_hook(hook)
    mod_list[-1]._forward_hooks.clear()
    rest = []
    for _ in mod_list[1:]:
        identity = nn.Identity()
        identity.training = mod_list[0].training
        rest.append(identity)
    return [fused, *rest]


def _fuse(kinds: tuple[str, ...], parts: Any, qat: bool) -> Any:
    head, n = kinds[0], kinds[0][-2:-1]
    relu = kinds[-1] == "ReLU"
    if any(m.training != parts[0].training for m in parts):
        raise AssertionError("Conv and BN both must be in the same mode (train or eval).")
    middle = kinds[1:-1] if relu else kinds[1:]
    if head.startswith("Conv") and middle in ((), (f"BatchNorm{n}d",)) and len(kinds) > 1:
        if middle and parts[1].num_features != parts[0].out_channels:
            raise AssertionError("Output channel of Conv2d must match num_features of BatchNorm2d")
        if middle and qat:
            if not parts[1].affine or not parts[1].track_running_stats:
                raise AssertionError("Only support fusing BatchNorm with affine and tracking_running_stats set to True")
            return getattr(nni, f"ConvBn{'ReLU' if relu else ''}{n}d")(*parts)
        conv = fuse_conv_bn_eval(parts[0], parts[1]) if middle else parts[0]
        return getattr(nni, f"ConvReLU{n}d")(conv, parts[-1]).train(conv.training) if relu else conv
    if head == "Linear" and middle in ((), ("BatchNorm1d",)) and len(kinds) > 1:
        if middle and qat:
            raise NotImplementedError("fusing Linear and BatchNorm1d for training is not "
                                      "supported; fuse them in eval mode")
        linear = fuse_linear_bn_eval(parts[0], parts[1]) if middle else parts[0]
        return nni.LinearReLU(linear, parts[-1]).train(linear.training) if relu else linear
    if kinds in (("BatchNorm2d", "ReLU"), ("BatchNorm3d", "ReLU")):
        return getattr(nni, f"BNReLU{kinds[0][-2]}d")(*parts)
    raise NotImplementedError(f"Cannot fuse modules: {tuple(type(m) for m in parts)}. "
                              "Sequences that can: conv bn relu, conv bn, conv relu, linear relu, linear bn, bn relu.")


def _get(model: Any, path: str) -> Any:
    for part in path.split("."):
        model = getattr(model, part)
    return model


def _fuse_modules(model: Any, modules_to_fuse: Any, is_qat: bool | None, inplace: bool, fuser_func: Any,
                  config: Any) -> Any:
    model = model if inplace else copy.deepcopy(model)
    groups = [modules_to_fuse] if all(isinstance(m, str) for m in modules_to_fuse) else modules_to_fuse
    extra = (config or {}).get("additional_fuser_method_mapping", {})
    for names in groups:
        for name, new in zip(names, fuser_func([_get(model, n) for n in names], is_qat, extra)):
            parent, _, last = name.rpartition(".")
            setattr(_get(model, parent) if parent else model, last, new)
    return model


def fuse_modules(model: Any, modules_to_fuse: Any, inplace: bool = False, fuser_func: Any = fuse_known_modules,
                 fuse_custom_config_dict: Any = None) -> Any:
    """Fuses lists of modules, given by their names, into the first of each; identities take the places of the others.

    For inference: the model should be in eval mode, batch norms are folded
    into weights. AttributeError for unknown names.

    >>> import rushlight as rl
    >>> net = rl.nn.Sequential(rl.nn.Conv2d(1, 2, 3), rl.nn.BatchNorm2d(2), rl.nn.ReLU()).eval()
    >>> fuse_modules(net, ["0", "1", "2"])[1]
    Identity()
    """
    return _fuse_modules(model, modules_to_fuse, False, inplace, fuser_func, fuse_custom_config_dict)


def fuse_modules_qat(model: Any, modules_to_fuse: Any, inplace: bool = False, fuser_func: Any = fuse_known_modules,
                     fuse_custom_config_dict: Any = None) -> Any:
    """`fuse_modules` for training: batch norms stay, in a fused module that `prepare_qat` knows."""
    return _fuse_modules(model, modules_to_fuse, True, inplace, fuser_func, fuse_custom_config_dict)
