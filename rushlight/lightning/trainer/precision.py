"""In which types a model computes: the values of Trainer(precision=...)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from rushlight.ir.dtype import DType, bfloat16, float16, float32, float64
from rushlight.lightning.utilities.data import apply_to_collection
from rushlight.lightning.utilities.exceptions import MisconfigurationException
from rushlight.lightning.utilities.rank_zero import rank_zero_warn
from rushlight.tensor.core import Tensor

# other spellings of the names
SAME = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}
TRUE: dict[str, DType] = {"32-true": float32, "64-true": float64, "16-true": float16, "bf16-true": bfloat16}
MIXED = ("16-mixed", "bf16-mixed")
ELSEWHERE = ("transformer-engine", "transformer-engine-float16")


class Precision:
    """Full precision, and what other precisions change of it."""

    precision: str = "32-true"
    dtype: DType = float32

    def convert_module(self, module: Any) -> Any:
        """The module in the precision's type."""
        return module

    def convert_input(self, data: Any) -> Any:
        """A batch in the precision's type."""
        return data

    def forward_context(self) -> AbstractContextManager[Any]:
        """Around each step of the module."""
        return nullcontext()

    train_step_context = val_step_context = test_step_context = predict_step_context = forward_context

    def backward(self, trainer: Any, loss: Any, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """The gradients of a loss, with the hooks before and after."""
        trainer.hooks.run("on_before_backward", loss)
        trainer.hooks.call("backward", loss, *args, **kwargs)
        trainer.hooks.run("on_after_backward")

    def optimizer_step(self, trainer: Any, optimizer: Any, closure: Callable[[], Any], **kwargs: Any) -> Any:
        """The step of an optimizer after its closure, with the hook and clipping in between."""
        model = trainer.lightning_module

        def with_hooks() -> Any:
            out = closure()
            trainer.hooks.run("on_before_optimizer_step", optimizer)
            if model.automatic_optimization and (trainer.gradient_clip_val is not None or trainer._own_clipping):
                trainer.hooks.call("configure_gradient_clipping", optimizer,
                                   gradient_clip_val=trainer.gradient_clip_val,
                                   gradient_clip_algorithm=trainer.gradient_clip_algorithm)
            return out
        return optimizer.step(closure=with_hooks, **kwargs)

    def clip_gradients(self, optimizer: Any, clip_val: float, algorithm: str = "norm") -> None:
        """Clip the gradients of an optimizer's parameters by their "norm" or "value"; 0 clips nothing."""
        if clip_val <= 0:
            return
        from rushlight.nn.utils.clip_grad import clip_grad_norm_, clip_grad_value_
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        clip = clip_grad_value_ if getattr(algorithm, "value", algorithm) == "value" else clip_grad_norm_
        clip(parameters, clip_val)

    def state_dict(self) -> dict[str, Any]:
        """What checkpoints keep."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""


class TruePrecision(Precision):
    """Parameters, inputs and new tensors all of one type."""

    def __init__(self, precision: str):
        self.precision, self.dtype = precision, TRUE[precision]

    def convert_module(self, module: Any) -> Any:
        return module.to(self.dtype)

    def convert_input(self, data: Any) -> Any:
        return apply_to_collection(data, Tensor, lambda t: t.to(self.dtype) if t.dtype.is_floating_point else t)

    @contextmanager
    def _new_tensors(self) -> Iterator[None]:
        from rushlight.tensor.settings import get_default_dtype, set_default_dtype
        before = get_default_dtype()
        set_default_dtype(self.dtype)
        try:
            yield
        finally:
            set_default_dtype(before)

    def forward_context(self) -> AbstractContextManager[Any]:
        return self._new_tensors()

    train_step_context = val_step_context = test_step_context = predict_step_context = forward_context


class MixedPrecision(Precision):
    """Parameters in float32, operations that allow it in a shorter type (autocast)."""

    def __init__(self, precision: str, device: str = "cpu", scaler: Any = None):
        if precision == "16-mixed" and device == "cpu":
            rank_zero_warn("You passed `Trainer(accelerator='cpu', precision='16-mixed')` but AMP with fp16 is not"
                           " supported on CPU. Using `precision='bf16-mixed'` instead.")
            precision = "bf16-mixed"
        self.precision, self.device, self.scaler, self.dtype = precision, device, scaler, bfloat16

    def forward_context(self) -> AbstractContextManager[Any]:
        from rushlight.amp.autocast_mode import autocast
        return autocast(self.device, dtype=self.dtype)

    train_step_context = val_step_context = test_step_context = predict_step_context = forward_context


class DoublePrecision(TruePrecision):
    """float64 throughout."""

    def __init__(self) -> None:
        super().__init__("64-true")


class HalfPrecision(TruePrecision):
    """float16 or bfloat16 throughout."""

    def __init__(self, precision: str = "16-true"):
        super().__init__(precision)


def precision_of(value: Any) -> Precision:
    """The precision that an argument names. ValueError for another name,
    MisconfigurationException for what needs a GPU."""
    if isinstance(value, Precision):
        return value
    if value is None:
        return Precision()
    name = SAME.get(str(value), str(value))
    if name in ELSEWHERE:
        raise MisconfigurationException(f"precision={value!r} needs NVIDIA's transformer_engine on a GPU; use"
                                        " 'bf16-mixed' or '32-true'")
    if name in MIXED:
        return MixedPrecision(name)
    if name not in TRUE:
        raise ValueError(f"Precision {value!r} is invalid. Allowed precision values:"
                         f" {(*ELSEWHERE, *TRUE, *MIXED, *SAME, 64, 32, 16)}")
    return Precision() if name == "32-true" else TruePrecision(name)
