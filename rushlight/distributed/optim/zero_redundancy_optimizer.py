"""ZeroRedundancyOptimizer: each rank updates some of the parameters, and holds the optimizer state of those only."""

from __future__ import annotations

from typing import Any

from rushlight.autograd.grad_mode import no_grad
from rushlight.distributed import exchange
from rushlight.distributed.collectives import all_gather_object
from rushlight.distributed.groups import get_group_rank, member
from rushlight.optim.optimizer import Optimizer


class ZeroRedundancyOptimizer(Optimizer):
    """``optimizer_class(**defaults)``, shared out: whole parameters go to ranks so that each has about as many numbers.

    For models that every rank has whole, with equal gradients (DistributedDataParallel). After a step each rank sends
    its parameters to the others. ``parameters_as_bucket_view`` changes nothing; ``overlap_with_ddp`` is an error.
    Call `consolidate_state_dict` on all ranks before `state_dict` on one.
    """

    def __init__(
        self,
        params: Any,
        optimizer_class: Any,
        process_group: Any = None,
        parameters_as_bucket_view: bool = False,
        overlap_with_ddp: bool = False,
        **defaults: Any,
    ):
        if overlap_with_ddp:
            raise NotImplementedError(
                "ZeroRedundancyOptimizer(overlap_with_ddp=True) is not there: gradients are averaged when backward ends"
            )
        self.process_group = member(process_group)
        self._kind, self._given = optimizer_class, defaults
        self.optim: Any = None
        self._whole: list[dict[str, Any]] | None = None
        super().__init__(params, {})
        self._share_out()

    def _share_out(self) -> None:
        """Largest parameters first, each to the rank with the least so far."""
        n, me = self.process_group.size(), self.process_group.rank()
        load, self._owner = [0] * n, {}
        for p in sorted((p for g in self.param_groups for p in g["params"]), key=lambda p: -p.numel()):
            rank = min(range(n), key=load.__getitem__)
            load[rank] += p.numel()
            self._owner[id(p)] = rank
        mine = [
            {
                **{k: v for k, v in g.items() if k != "params"},
                "params": [p for p in g["params"] if self._owner[id(p)] == me],
            }
            for g in self.param_groups
        ]
        self._mine = [k for k, g in enumerate(mine) if g["params"]]
        self.optim = self._kind([mine[k] for k in self._mine], **self._given) if self._mine else None
        for k, g in zip(self._mine, self.optim.param_groups if self.optim is not None else ()):
            self.param_groups[k].update({a: b for a, b in g.items() if a != "params"})
        for g in self.param_groups:  # ranks without parameters know the settings, too
            for a, b in self._given.items():
                g.setdefault(a, b)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """More parameters; they are shared out anew, and state begins anew."""
        super().add_param_group(param_group)
        if self.optim is not None:
            self._share_out()

    def step(self, closure: Any = None, **kwargs: Any) -> Any:
        """Update this rank's parameters, and take the others' from the ranks that have updated them."""
        for k, g in zip(self._mine, self.optim.param_groups if self.optim is not None else ()):
            g.update({a: b for a, b in self.param_groups[k].items() if a != "params"})  # schedulers change ours
        loss = None
        if self.optim is not None:
            loss = self.optim.step(closure, **kwargs) if closure is not None else self.optim.step(**kwargs)
        elif closure is not None:
            loss = closure()
        with no_grad():
            for g in self.param_groups:
                for p in g["params"]:
                    new = exchange.from_member(p.detach(), self.process_group, self._owner[id(p)])
                    if self._owner[id(p)] != self.process_group.rank():
                        p.copy_(new)
        return loss

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Bring the state of all ranks to rank ``to``. All ranks must call it."""
        numbers = {id(p): i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        mine = {numbers[id(p)]: dict(s) for p, s in (self.optim.state.items() if self.optim is not None else ())}
        said: list[Any] = [None] * self.process_group.size()
        all_gather_object(said, mine, group=self.process_group)
        self._whole = said if get_group_rank(self.process_group, to) == self.process_group.rank() else None

    def state_dict(self) -> dict[str, Any]:
        """The whole state, in PyTorch's layout. RuntimeError before `consolidate_state_dict` on this rank."""
        if self._whole is None:
            raise RuntimeError(
                "Optimizer state has not been consolidated on this rank. Please call "
                "`consolidate_state_dict(to=rank)` on all ranks beforehand "
                "if you meant to save the global state."
            )
        out = super().state_dict()
        return {"state": {k: v for part in self._whole for k, v in part.items()}, "param_groups": out["param_groups"]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take this rank's part of a whole state."""
        from rushlight.optim.optimizer import _adopted

        for g, saved in zip(self.param_groups, state_dict["param_groups"]):
            g.update({k: v for k, v in saved.items() if k != "params"})
        params = [p for g in self.param_groups for p in g["params"]]
        for i, s in state_dict["state"].items():
            if self.optim is not None and self._owner[id(params[i])] == self.process_group.rank():
                self.optim.state[params[i]] = {k: _adopted(k, v, params[i]) for k, v in s.items()}

    def _update(self, group: dict[str, Any], params: list[Any]) -> None:
        raise AssertionError("step() is the shared optimizer's")
