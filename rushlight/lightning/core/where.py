"""In which hooks ``self.log`` may be called, and what it does there unless told otherwise."""

from __future__ import annotations

from rushlight.lightning.utilities.exceptions import MisconfigurationException

# hook -> (on_step, on_epoch) by default, and whether on_step may be chosen
_STEP, _MEAN = (True, False), (False, True)
_DEFAULT: dict[str, tuple[tuple[bool, bool], bool]] = {
    **dict.fromkeys(("training_step", "on_train_batch_start", "on_train_batch_end", "on_before_backward", "backward",
                     "on_after_backward", "on_before_optimizer_step", "optimizer_step", "configure_gradient_clipping",
                     "clip_gradients", "on_before_zero_grad", "optimizer_zero_grad"), (_STEP, True)),
    **dict.fromkeys(("validation_step", "test_step", "on_validation_batch_start", "on_validation_batch_end",
                     "on_test_batch_start", "on_test_batch_end"), (_MEAN, True)),
    **dict.fromkeys(("on_train_start", "on_train_epoch_start", "on_train_epoch_end", "on_validation_start",
                     "on_validation_epoch_start", "on_validation_epoch_end", "on_test_start", "on_test_epoch_start",
                     "on_test_epoch_end"),
                    (_MEAN, False)),
}


def levels(hook: str, on_step: bool | None, on_epoch: bool | None) -> tuple[bool, bool]:
    """Whether a value logged in a hook is kept for its step and for the epoch;
    MisconfigurationException where that cannot be.

    >>> levels("training_step", None, None), levels("validation_step", None, None)
    ((True, False), (False, True))
    """
    if hook not in _DEFAULT:
        raise MisconfigurationException(f"You can't `self.log()` inside `{hook}`. HINT: You can still log directly"
                                        " to the logger by using `self.logger.experiment`.")
    (step, epoch), free = _DEFAULT[hook]
    step, epoch = step if on_step is None else on_step, epoch if on_epoch is None else on_epoch
    message = "You can't `self.log({}={})` inside `{}`, must be one of {}."
    if step and not free:
        raise MisconfigurationException(message.format("on_step", step, hook, (False,)))
    if not epoch and not free:
        raise MisconfigurationException(message.format("on_epoch", epoch, hook, (True,)))
    return step, epoch
