"""Forward-mode differentiation with dual numbers: a directional derivative of a network, without a tape."""
import json

import torch
import torch.autograd.forward_ad as fwAD
from torch import nn

torch.manual_seed(0)
primal, tangent = torch.randn(5, 5), torch.randn(5, 5)
with fwAD.dual_level():
    dual_input = fwAD.make_dual(primal, tangent)
    dual_output = (dual_input ** 2 + dual_input.sin()).exp().mean(0)
    first, jvp = fwAD.unpack_dual(dual_output)
    plain = fwAD.unpack_dual(primal).tangent is None
model = nn.Linear(5, 3)
tangents = {name: torch.rand_like(p) for name, p in model.named_parameters()}
with fwAD.dual_level():
    for name, p in list(model.named_parameters()):
        delattr(model, name)
        setattr(model, name, fwAD.make_dual(p, tangents[name]))
    out = torch.tanh(model(primal))
    model_jvp = fwAD.unpack_dual(out).tangent
print(json.dumps({"first": first.tolist(), "jvp": jvp.tolist(), "plain": plain, "model": model_jvp.tolist()}))
