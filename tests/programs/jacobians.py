"""Jacobians, Hessians, vector products: torch.func and torch.autograd.functional agree."""
import json

import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

torch.manual_seed(0)
weight, bias, x = torch.randn(4, 6), torch.randn(4), torch.randn(6)


def predict(weight, bias, x):
    return torch.nn.functional.linear(x, weight, bias).tanh()


J1 = jacrev(predict, argnums=2)(weight, bias, x)
J2 = jacfwd(predict, argnums=2)(weight, bias, x)
J3 = torch.autograd.functional.jacobian(lambda x: predict(weight, bias, x), x)
H1 = hessian(lambda x: predict(weight, bias, x).pow(3).sum())(x)
H2 = torch.autograd.functional.hessian(lambda x: predict(weight, bias, x).pow(3).sum(), x)
value, tangent = jvp(lambda x: predict(weight, bias, x), (x,), (torch.ones(6),))
_, pull = vjp(lambda x: predict(weight, bias, x), x)
batch = torch.randn(3, 6)
batched = vmap(jacrev(predict, argnums=2), in_dims=(None, None, 0))(weight, bias, batch)
laplacian = vmap(lambda v: torch.trace(hessian(lambda x: predict(weight, bias, x).sum())(v)))(batch)
third = grad(grad(grad(torch.sin)))(torch.tensor(0.3))
print(json.dumps({"agree": bool(torch.allclose(J1, J2, atol=1e-6) and torch.allclose(J1, J3, atol=1e-6)
                                and torch.allclose(H1, H2, atol=1e-5)), "J": J1.tolist(), "H": H1.diag().tolist(),
                  "value": value.tolist(), "tangent": tangent.tolist(), "pull": pull(torch.ones(4))[0].tolist(),
                  "batched": batched.sum((1, 2)).tolist(), "laplacian": laplacian.tolist(), "third": third.item()}))
