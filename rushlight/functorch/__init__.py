"""functorch: the transforms under their first name, modules as functions,
and tensors with named dimensions (`functorch.dim`)."""

from __future__ import annotations

from rushlight.func import functionalize, grad, grad_and_value, hessian, jacfwd, jacrev, jvp, vjp, vmap
from rushlight.functorch.modules import (FunctionalModule, FunctionalModuleWithBuffers, combine_state_for_ensemble,
                                         make_functional, make_functional_with_buffers)
from rushlight.version import __version__

__all__ = ["FunctionalModule", "FunctionalModuleWithBuffers", "__version__", "combine_state_for_ensemble",
           "functionalize", "grad", "grad_and_value", "hessian",
           "jacfwd", "jacrev", "jvp", "make_functional", "make_functional_with_buffers", "vjp", "vmap"]
