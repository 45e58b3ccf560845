"""Quantizing a network module by module: prepare it with observers, run data through it, convert it."""

from __future__ import annotations

import copy
from typing import Any

import rushlight as rl
from rushlight import nn
from rushlight.ao.nn import intrinsic as nni
from rushlight.ao.nn import quantized as nnq
from rushlight.ao.quantization import quantization_mappings as maps
from rushlight.ao.quantization.custom import refuse
from rushlight.ao.quantization.observer import _is_activation_post_process
from rushlight.ao.quantization.qconfig import (default_dynamic_qconfig, float16_dynamic_qconfig,
                                               float_qparams_weight_only_qconfig)
from rushlight.ao.quantization.stubs import DeQuantStub, QuantStub, QuantWrapper


# --- qconfigs -------------------------------------------------------------------------------------------------------
def propagate_qconfig_(module: Any, qconfig_dict: Any = None, prepare_custom_config_dict: Any = None) -> None:
    """Give every submodule a qconfig: its own, that of its name or type in
    ``qconfig_dict`` ("" for the whole), or its parent's."""
    refuse("propagate_qconfig_", prepare_custom_config_dict=prepare_custom_config_dict)
    _propagate(module, qconfig_dict or {}, None, "")


def _propagate(module: Any, given: Any, parent: Any, prefix: str) -> None:
    found = given.get(type(module), parent)
    found = given.get(prefix, found)
    own = getattr(module, "qconfig", None) if "qconfig" in module.__dict__ else found
    if prefix in given or type(module) in given:
        own = found
    module.qconfig = own
    for name, child in module.named_children():
        if not _is_activation_post_process(child):
            _propagate(child, given, own, f"{prefix}.{name}" if prefix else name)


def add_quant_dequant(module: Any) -> Any:
    """Every leaf with a qconfig wrapped in stubs; a leaf itself comes back wrapped."""
    if not list(module.children()) and getattr(module, "qconfig", None):
        return QuantWrapper(module)
    for name, child in module.named_children():
        module._modules[name] = add_quant_dequant(child)
    return module


# --- observers --------------------------------------------------------------------------------------------------------
def _observe(module: Any, inputs: Any, output: Any) -> Any:
    return module.activation_post_process(output)


def _add_observers(module: Any, kinds: set[Any], non_leaf: Any) -> None:
    for child in list(module.children()):
        config = getattr(child, "qconfig", None)
        if _is_activation_post_process(child) or isinstance(child, maps.NO_OBSERVER_AFTER):
            continue
        if type(child) is nnq.FloatFunctional:
            if config is not None:
                child.activation_post_process = config.activation()
        elif type(child) in kinds or isinstance(child, nni._FusedModule) or (non_leaf and type(child) in non_leaf):
            if config is not None and not hasattr(child, "activation_post_process"):
                _attach(child, config)
            if not isinstance(child, nni._FusedModule) and list(child.children()) and non_leaf:
                _add_observers(child, kinds, non_leaf)
        elif type(child) is not nn.Identity:
            _add_observers(child, kinds, non_leaf)


def _attach(module: Any, config: Any) -> None:
    made = config.activation()
    if getattr(made, "dtype", None) in (rl.float32, rl.float16):
        return
    module.add_module("activation_post_process", made)
    module._observing = module.register_forward_hook(_observe)


def prepare(model: Any, inplace: bool = False, allow_list: Any = None, observer_non_leaf_module_list: Any = None,
            prepare_custom_config_dict: Any = None) -> Any:
    """The model with observers behind its layers, by the ``qconfig`` attribute of the model and its submodules.

    Next: run representative data through it in eval mode, then `convert`. Warns where no module has a qconfig.
    """
    refuse("prepare", prepare_custom_config_dict=prepare_custom_config_dict)
    model = model if inplace else copy.deepcopy(model)
    propagate_qconfig_(model)
    kinds = maps.get_default_qconfig_propagation_list() if allow_list is None else set(allow_list)
    if not any(getattr(m, "qconfig", None) for m in model.modules()):
        import warnings
        warnings.warn("None of the submodule got qconfig applied. Make sure you passed correct configuration through "
                      "`qconfig_dict` or by assigning the `.qconfig` attribute directly on submodules", stacklevel=2)
    if type(model) in kinds and getattr(model, "qconfig", None) is not None and not isinstance(model, nn.Sequential):
        _attach(model, model.qconfig)
    _add_observers(model, kinds, observer_non_leaf_module_list)
    return model


def prepare_qat(model: Any, mapping: Any = None, inplace: bool = False) -> Any:
    """The model with fake quantization behind its layers and before their weights,
    for training. AssertionError in eval mode."""
    if not model.training:
        raise AssertionError("prepare_qat only works on models in training mode")
    mapping = maps.get_default_qat_module_mappings() if mapping is None else mapping
    model = model if inplace else copy.deepcopy(model)
    propagate_qconfig_(model)
    _swap_all(model, mapping)
    _add_observers(model, {*mapping.values(), QuantStub, nnq.FloatFunctional,
                           *maps.get_default_qconfig_propagation_list()}, None)
    return model


# --- conversion
# ---------------------------------------------------------------------------------------------------------
def swap_module(mod: Any, mapping: Any, custom_module_class_mapping: Any = None,
                use_precomputed_fake_quant: bool = False) -> Any:
    """The module's stand-in by a mapping of classes, or the module itself where it has no qconfig or no entry."""
    target = mapping.get(type(mod))
    if getattr(mod, "qconfig", None) is None and not isinstance(mod, DeQuantStub) or target is None:
        return mod
    if type(mod) in (nn.BatchNorm2d, nn.BatchNorm3d) and not hasattr(mod, "activation_post_process"):
        return mod
    made = target.from_float(mod)
    made.train(mod.training)
    for hook in mod._forward_pre_hooks.values():
        made.register_forward_pre_hook(hook)
    for hook in mod._forward_hooks.values():
        if hook is not _observe:
            made.register_forward_hook(hook)
    return made


def _swap_all(module: Any, mapping: Any) -> None:
    for name, child in list(module.named_children()):
        if type(child) not in mapping:
            _swap_all(child, mapping)
        module._modules[name] = swap_module(child, mapping)


def _clean(module: Any) -> None:
    """Without what preparation has put in."""
    for m in module.modules():
        handle = m.__dict__.pop("_observing", None)
        if handle is not None:
            handle.remove()
        if not isinstance(m, (nnq.QFunctional, nnq.FloatFunctional)):
            m._modules.pop("activation_post_process", None)
        m._modules.pop("weight_fake_quant", None)


def convert(module: Any, mapping: Any = None, inplace: bool = False, remove_qconfig: bool = True,
            is_reference: bool = False, convert_custom_config_dict: Any = None,
            use_precomputed_fake_quant: bool = False) -> Any:
    """The quantized model of a prepared one that has seen data (or was trained with fake quantization)."""
    refuse("convert", convert_custom_config_dict=convert_custom_config_dict)
    if is_reference:
        raise NotImplementedError("convert(is_reference=True): rushlight has no reference layers; "
                                  "without it the layers run in int8")
    mapping = maps.get_default_static_quant_module_mappings() if mapping is None else mapping
    module = module if inplace else copy.deepcopy(module)
    _swap_all(module, mapping)
    module = swap_module(module, mapping)
    _clean(module)
    if remove_qconfig:
        for m in module.modules():
            m.__dict__.pop("qconfig", None)
    return module


# --- in one call
# ----------------------------------------------------------------------------------------------------------
def default_eval_fn(model: Any, calib_data: Any) -> None:
    """Runs (data, target) pairs through a model."""
    for data, *_ in calib_data:
        model(data)


def quantize(model: Any, run_fn: Any, run_args: Any, mapping: Any = None, inplace: bool = False) -> Any:
    """Static quantization: prepare, ``run_fn(model, *run_args)``, convert."""
    model = model if inplace else copy.deepcopy(model)
    model.eval()
    prepare(model, inplace=True)
    with rl.no_grad():
        run_fn(model, *run_args)
    return convert(model, mapping, inplace=True)


def quantize_qat(model: Any, run_fn: Any, run_args: Any, inplace: bool = False) -> Any:
    """Training with fake quantization: prepare_qat, ``run_fn(model, *run_args)``, convert."""
    model = model if inplace else copy.deepcopy(model)
    model.train()
    prepare_qat(model, inplace=True)
    run_fn(model, *run_args)
    return convert(model.eval(), inplace=True)


def quantize_dynamic(model: Any, qconfig_spec: Any = None, dtype: Any = rl.qint8, mapping: Any = None,
                     inplace: bool = False) -> Any:
    """Weights of Linear, LSTM and GRU layers in 8 bits (or half precision);
    inputs are quantized at each call, results stay float32.

    ``qconfig_spec`` is a set of classes or names, or a dictionary of them to qconfigs. RuntimeError for other dtypes.

    >>> small = quantize_dynamic(nn.Sequential(nn.Linear(4, 2)), {nn.Linear})
    >>> small
    Sequential(
      (0): DynamicQuantizedLinear(in_features=4, out_features=2, dtype=torch.qint8, qscheme=torch.per_tensor_affine)
    )
    """
    if dtype is rl.qint8:
        config, kinds = default_dynamic_qconfig, (nn.Linear, nn.LSTM, nn.GRU)
    elif dtype is rl.float16:
        config, kinds = float16_dynamic_qconfig, (nn.Linear, nn.LSTM, nn.GRU)
    elif dtype is rl.quint8:
        config, kinds = float_qparams_weight_only_qconfig, (nn.Embedding,)
    else:
        raise RuntimeError(f"Don't know how to quantize with default settings for {dtype}. Provide full qconfig please"
                           if qconfig_spec is None
                           else f"Unknown dtype specified for quantize_dynamic: {dtype}")
    if qconfig_spec is None:
        qconfig_spec = dict.fromkeys(kinds, config)
    elif isinstance(qconfig_spec, (set, list, tuple)):
        qconfig_spec = dict.fromkeys(qconfig_spec, config)
    model = model if inplace else copy.deepcopy(model)
    model.eval()
    _propagate(model, qconfig_spec, None, "")
    return convert(model,
                   maps.get_default_dynamic_quant_module_mappings() if mapping is None else mapping, inplace=True)
