"""Function transforms (torch.func): gradients, Jacobians and maps over samples, which compose."""

from __future__ import annotations

from rushlight.func.forward import jacfwd, jvp, linearize
from rushlight.func.modules import functional_call, functionalize, stack_module_state
from rushlight.func.reverse import grad, grad_and_value, hessian, jacrev, vjp
from rushlight.func.vectorize import vmap

__all__ = ["functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp",
           "linearize", "stack_module_state", "vjp", "vmap"]
