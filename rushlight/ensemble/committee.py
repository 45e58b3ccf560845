"""Several networks that answer together; equal ones run as one network with stacked weights where that is faster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import rushlight as rl
from rushlight import nn
from rushlight.func import functional_call, stack_module_state, vmap
from rushlight.nn.functional import one_hot

# What becomes of the members' answers, one tensor (members, batch, ...), before the mean over members
COMBINE: dict[str, Callable[[Any], Any]] = {
    "mean": lambda y: y,
    "probability": lambda y: y.softmax(-1),
    "vote": lambda y: one_hot(y.argmax(-1), y.shape[-1]).to(y.dtype),
}
# What is faster as one stacked product. Convolutions are not: stacked, they are grouped, with few channels each.
STACKED = (nn.Linear, nn.LayerNorm, nn.Embedding)


class Committee(nn.Module):
    """Modules that take the same input; the answer is one for all, or with ``combine=None`` each member's.

    ``combine``: "mean" of the outputs (regression); mean "probability", the softmax of outputs as class scores; share
    of the "vote", each member's for its best class; None: the outputs as they are, in a tensor (members, batch, ...).
    ``weights``, one number a member, weigh the mean. ``stacked=None`` stacks the weights of equal networks of linear
    and normalisation layers, so that one plan with batched products trains or asks all members at once; True and
    False force it.

    The sum of the members' losses trains each as if it were alone, with every optimizer that works element by element
    (SGD, Adam and their kin; not LBFGS, Muon or clipping by the norm of all gradients).

    >>> import rushlight as rl
    >>> both = Committee([rl.nn.Linear(3, 2), rl.nn.Linear(3, 2)], combine="probability")
    >>> both(rl.randn(5, 3)).shape, Committee(both.members(), combine=None)(rl.randn(5, 3)).shape
    (torch.Size([5, 2]), torch.Size([2, 5, 2]))
    """

    def __init__(self, models: Iterable[nn.Module], combine: str | None = "mean",
                 weights: Sequence[float] | None = None, stacked: bool | None = None):
        super().__init__()
        models = list(models)
        if not models:
            raise ValueError("Committee: expected at least one model, got none")
        if combine is not None and combine not in COMBINE:
            raise ValueError(f"Committee: combine must be one of {list(COMBINE)} or None, got {combine!r}")
        if weights is not None and (len(weights) != len(models) or min(weights) < 0 or sum(weights) == 0):
            raise ValueError(f"Committee: weights must be {len(models)} numbers of at least 0, "
                             f"not all 0, got {list(weights)}")
        self.combine, self.size = combine, len(models)
        share = rl.tensor([float(w) for w in weights] if weights is not None else [1.0] * len(models))
        self.register_buffer("weights", share / share.sum())
        self.stacked = can_stack(models) if stacked is None else stacked
        if self.stacked:
            self._stack(models)
        else:
            self.models = nn.ModuleList(models)

    def _stack(self, models: list[nn.Module]) -> None:
        parameters, buffers = stack_module_state(models)
        # Held in a list, the pattern is no submodule: its own parameters are not the committee's
        self._pattern = [models[0]]
        self.parameter_names, self.buffer_names = list(parameters), list(buffers)
        self.stack = nn.ParameterList([nn.Parameter(p, requires_grad=p.requires_grad) for p in parameters.values()])
        for i, b in enumerate(buffers.values()):
            self.register_buffer(f"buffer_{i}", b)

    def forward(self, *args: Any) -> Any:
        """(batch, ...), or with combine=None (members, batch, ...), of the members' common input."""
        answers = self._stacked_answers(args) if self.stacked else rl.stack([m(*args) for m in self.models])
        if self.combine is None:
            return answers
        share = self.weights.to(answers.dtype).reshape((-1,) + (1,) * (answers.dim() - 1))
        return (COMBINE[self.combine](answers) * share).sum(0)

    def _stacked_answers(self, args: tuple[Any, ...]) -> Any:
        pattern = self._pattern[0]
        if pattern.training != self.training:
            pattern.train(self.training)

        def answer(*state: Any) -> Any:
            return functional_call(pattern, dict(zip(self.parameter_names + self.buffer_names, state)), args)
        state = [*self.stack, *(getattr(self, f"buffer_{i}") for i in range(len(self.buffer_names)))]
        return vmap(answer, randomness="different")(*state)

    def members(self) -> list[nn.Module]:
        """The members as modules of their own, with copies of the weights if these are stacked."""
        if not self.stacked:
            return list(self.models)
        from copy import deepcopy
        out = []
        for i in range(self.size):
            member = deepcopy(self._pattern[0]).train(self.training)
            state = {n: p.detach()[i].clone() for n, p in zip(self.parameter_names, self.stack)}
            state.update({n: getattr(self, f"buffer_{j}")[i].clone() for j, n in enumerate(self.buffer_names)})
            member.load_state_dict(state)
            out.append(member)
        return out


def can_stack(models: Sequence[nn.Module]) -> bool:
    """True where several models are equal but for their numbers, and faster stacked than one after the other."""
    first = models[0]
    kinds = [_kind(m) for m in models]
    parts = [m for m in first.modules() if list(m.parameters(recurse=False))]
    return (len(models) > 1 and all(kind == kinds[0] for kind in kinds) and bool(parts)
            and not list(first.buffers())  # running statistics would be written within vmap
            and all(isinstance(m, STACKED) for m in parts))


def _kind(model: nn.Module) -> Any:
    """What two models must share for one to stand for both."""
    return type(model), model.training, repr(model), [
        (name, p.shape, p.dtype, p.requires_grad) for name, p in model.named_parameters()]
