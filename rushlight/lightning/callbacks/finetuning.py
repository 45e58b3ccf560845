"""Trains parts of a module later than others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rushlight.lightning.callbacks.callback import Callback
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn
from rushlight.nn import Module


class BaseFinetuning(Callback):
    """Override freeze_before_training and finetune_function; the helpers freeze, unfreeze and find parameters."""

    @staticmethod
    def flatten_modules(modules: Any) -> list[Any]:
        """All modules within modules, those without parameters of their own left out."""
        if isinstance(modules, Iterable) and not isinstance(modules, Module):
            return [m for each in modules for m in BaseFinetuning.flatten_modules(each)]
        return [m for m in modules.modules() if not list(m.children()) or m._parameters]

    @staticmethod
    def filter_params(modules: Any, train_bn: bool = True, requires_grad: bool = True) -> Any:
        """The parameters that do, or do not, require gradients; those of batch norms only with train_bn."""
        from rushlight.nn.modules.batchnorm import _BatchNorm
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm) and not train_bn:
                continue
            yield from (p for p in module.parameters(recurse=False) if p.requires_grad == requires_grad)

    @staticmethod
    def make_trainable(modules: Any) -> None:
        """All parameters require gradients, and batch norms measure."""
        from rushlight.nn.modules.batchnorm import _BatchNorm
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm):
                module.track_running_stats = True
            for p in module.parameters(recurse=False):
                p.requires_grad = True

    @staticmethod
    def freeze_module(module: Any) -> None:
        """No parameter of this one module requires gradients, a batch norm does not measure."""
        from rushlight.nn.modules.batchnorm import _BatchNorm
        if isinstance(module, _BatchNorm):
            module.track_running_stats = False
        for p in module.parameters(recurse=False):
            p.requires_grad = False

    @staticmethod
    def freeze(modules: Any, train_bn: bool = True) -> None:
        """No parameter requires gradients, except those of batch norms with train_bn."""
        from rushlight.nn.modules.batchnorm import _BatchNorm
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm) and train_bn:
                BaseFinetuning.make_trainable(module)
            else:
                BaseFinetuning.freeze_module(module)

    @staticmethod
    def filter_on_optimizer(optimizer: Any, params: Iterable[Any]) -> list[Any]:
        """Those parameters that the optimizer does not have."""
        have = {id(p) for group in optimizer.param_groups for p in group["params"]}
        new: list[Any] = []
        old: list[Any] = []
        for p in params:
            (old if id(p) in have else new).append(p)
        if old:
            rank_zero_warn("The provided params to be frozen already exist within another group of this optimizer."
                           " Those parameters will be skipped.\nHINT: Did you init your optimizer in"
                           f" `configure_optimizer` as such:\n {type(optimizer)}(filter(lambda p: p.requires_grad,"
                           " self.parameters()), ...) ")
        return new

    @staticmethod
    def unfreeze_and_add_param_group(modules: Any, optimizer: Any, lr: float | None = None,
                                     initial_denom_lr: float = 10.0, train_bn: bool = True) -> None:
        """Give the parameters to the optimizer in a new group,
        with `lr` or the first group's rate / initial_denom_lr."""
        BaseFinetuning.make_trainable(modules)
        rate = optimizer.param_groups[0]["lr"] if lr is None else float(lr)
        params = BaseFinetuning.filter_params(modules, train_bn=train_bn, requires_grad=True)
        new = BaseFinetuning.filter_on_optimizer(optimizer, params)
        if new:
            optimizer.add_param_group({"params": new, "lr": rate / (1 if lr is not None else initial_denom_lr)})

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.freeze_before_training(pl_module)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        for optimizer in trainer.optimizers:
            self.finetune_function(pl_module, trainer.current_epoch, optimizer)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        restored = getattr(self, "_groups", None)
        if restored:  # give the optimizers the groups that the checkpoint's had
            named = dict(pl_module.named_parameters())
            for optimizer, groups in zip(trainer.optimizers, restored):
                for group in groups[len(optimizer.param_groups):]:
                    optimizer.add_param_group({"params": [named[n] for n in group["names"]], "lr": group["lr"]})
                    for n in group["names"]:
                        named[n].requires_grad = True
            self._groups = None

    def state_dict(self) -> dict[str, Any]:
        return {"internal_optimizer_metadata": getattr(self, "_saved", {})}

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        names = {id(p): n for n, p in pl_module.named_parameters()}
        groups = [[{"lr": g["lr"], "names": [names[id(p)] for p in g["params"]
                                             if id(p) in names]} for g in o.param_groups] for o in trainer.optimizers]
        checkpoint.setdefault("callbacks", {})[self.state_key] = {"internal_optimizer_metadata": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._groups = state_dict["internal_optimizer_metadata"]

    def freeze_before_training(self, pl_module: Any) -> None:
        """Freeze what is not trained at first."""
        raise NotImplementedError

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        """Called at the beginning of each epoch: unfreeze what is trained from now on."""
        raise NotImplementedError


class BackboneFinetuning(BaseFinetuning):
    """``pl_module.backbone`` is frozen until an epoch, then trained with a rate that grows to the head's."""

    def __init__(self, unfreeze_backbone_at_epoch: int = 10, lambda_func: Callable[[int], float] = lambda epoch: 2,
                 backbone_initial_ratio_lr: float = 10e-2, backbone_initial_lr: float | None = None,
                 should_align: bool = True, initial_denom_lr: float = 10.0, train_bn: bool = True,
                 verbose: bool = False, rounding: int = 12):
        self.unfreeze_backbone_at_epoch, self.lambda_func = unfreeze_backbone_at_epoch, lambda_func
        self.backbone_initial_ratio_lr, self.backbone_initial_lr = backbone_initial_ratio_lr, backbone_initial_lr
        self.should_align, self.initial_denom_lr, self.train_bn = should_align, initial_denom_lr, train_bn
        self.verbose, self.rounding = verbose, rounding
        self.previous_backbone_lr: float | None = None

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if not isinstance(getattr(pl_module, "backbone", None), Module):
            raise MisconfigurationException("The LightningModule should have a nn.Module `backbone` attribute")
        super().on_fit_start(trainer, pl_module)

    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.backbone)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        head = optimizer.param_groups[0]["lr"]
        if epoch == self.unfreeze_backbone_at_epoch:
            rate = (
                self.backbone_initial_lr
                if self.backbone_initial_lr is not None
                else head * self.backbone_initial_ratio_lr
            )
            self.previous_backbone_lr = rate
            self.unfreeze_and_add_param_group(pl_module.backbone, optimizer, rate, self.initial_denom_lr, self.train_bn)
        elif epoch > self.unfreeze_backbone_at_epoch and self.previous_backbone_lr is not None:
            rate = self.lambda_func(epoch + 1) * self.previous_backbone_lr
            rate = head if self.should_align and rate > head else rate
            optimizer.param_groups[-1]["lr"] = self.previous_backbone_lr = rate
        else:
            return
        if self.verbose:
            rank_zero_info(f"Current lr: {round(head, self.rounding)}, Backbone lr: {round(rate, self.rounding)}")
