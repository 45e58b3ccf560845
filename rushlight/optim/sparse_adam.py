"""Adam for sparse gradients."""

from __future__ import annotations

from typing import Any

from rushlight.optim.optimizer import Optimizer, check, number, one_number
from rushlight.optim.sparse_rows import add_values, values_at
from rushlight.tensor.core import Tensor
from rushlight.tensor.creation import zeros_like


class SparseAdam(Optimizer):
    """Adam in which only the rows move that have gradients, moments included.

    m and v of these rows are m + (1 - β₁)(g - m) and v + (1 - β₂)(g² - v), the step -lr √(1 - β₂ᵗ) / (1 - β₁ᵗ)
    m / (√v + eps) with t the steps of the parameter. ValueError for settings out of range and sparse
    parameters, RuntimeError for dense gradients.

    >>> import rushlight as rl
    >>> e = rl.nn.Embedding(3, 2, sparse=True); before = e.weight.detach().clone()
    >>> o = SparseAdam(e.parameters()); e(rl.tensor([1])).sum().backward(); o.step()
    >>> (before == e.weight).all(1)
    tensor([ True, False,  True])
    """

    def __init__(self, params: Any, lr: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999),
                 eps: float = 1e-8, maximize: bool = False):
        check(0 < one_number(lr), "learning rate", lr)
        check(0 < eps, "epsilon value", eps)
        for i, beta in enumerate(betas):
            check(0 <= number(beta) < 1, f"beta parameter at index {i}", beta)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, maximize=maximize))
        wrong = [[g, i] for g, group in enumerate(self.param_groups)
                 for i, p in enumerate(group["params"]) if getattr(p, "is_sparse", False)]
        if wrong:
            raise ValueError(f"Sparse params at indices {wrong}: SparseAdam requires dense parameter tensors")

    def _update(self, group: dict[str, Any], params: list[Tensor]) -> None:
        raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")

    def _update_sparse(self, group: dict[str, Any], params: list[Tensor]) -> None:
        lr, eps = number(group["lr"]), group["eps"]
        beta1, beta2 = (number(b) for b in group["betas"])
        for p in params:
            state = self.state[p]
            if not state:
                state.update(step=0, exp_avg=zeros_like(p), exp_avg_sq=zeros_like(p))
            state["step"] += 1
            g = p.grad.coalesce()
            if not g._nnz():
                continue
            values = -g._vals if group["maximize"] else g._vals
            moments = []
            for name, beta, target in (("exp_avg", beta1, values), ("exp_avg_sq", beta2, values * values)):
                old = values_at(state[name], g)
                move = (target - old) * (1 - beta)
                add_values(state[name], g, move)
                moments.append(move + old)
            rate = lr * (1 - beta2 ** state["step"]) ** 0.5 / (1 - beta1 ** state["step"])
            add_values(p, g, moments[0] / (moments[1].sqrt() + eps) * -rate)
