"""The progress bar: drawn on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import sys
import time
from typing import Any

from rushlight.lightning.callbacks.progress.progress_bar import ProgressBar
from rushlight.lightning.utilities.rank_zero import rank_zero_warn
from rushlight.progress import Progress

DRAWN = 0.1  # seconds between two readings of the values beside a bar on a terminal
PRINTED = 10.0  # seconds between two plain lines amid an epoch
ENDED = 1.0  # seconds between two plain lines at epochs' ends


class TQDMProgressBar(ProgressBar):
    """A bar for each epoch and each evaluation, with the values that were logged with prog_bar=True.

    Args:
        refresh_rate: after how many batches the bar moves, 0 for no bar; it moves ten times a second at most,
            as what it shows has to be waited for.
        process_position: not used, as one bar is shown at a time.
        leave: keep the bars of all epochs on the screen.
    """

    def __init__(self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False):
        if not isinstance(refresh_rate, int) or refresh_rate < 0:
            raise ValueError(f"refresh_rate should be an int >= 0, got {refresh_rate!r}")
        self._refresh_rate, self._process_position, self._leave = refresh_rate, process_position, leave
        self._on = True
        self._progress: Progress | None = None
        self._last = 0.0

    refresh_rate = property(lambda self: self._refresh_rate)
    process_position = property(lambda self: self._process_position)
    is_enabled = property(lambda self: self._on and self._refresh_rate > 0)

    def disable(self) -> None:
        self._on = False

    def enable(self) -> None:
        self._on = True

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_progress": None, "_trainer": None}

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if not trainer.is_global_zero:
            self.disable()
        unused = [name for name in dir(type(self)) if name.startswith("init_") and name.endswith("_tqdm")]
        if unused:
            rank_zero_warn(f"`{type(self).__name__}.{unused[0]}` is not called: the bars are not tqdm's. Override"
                           " `get_metrics`, or derive from `ProgressBar`.")

    # --- drawing ---------------------------------------------------------------------------------------------------
    def _begin(self, title: str, total: float) -> None:
        size = None if total == float("inf") else int(total)
        if self._progress is not None and self._progress.bar is not None and self.is_enabled:  # the same bar again
            rich, task = self._progress.bar
            self._progress.title, self._progress.total = title, size
            rich.reset(task, description=title, total=size, note="")
            return
        self._finish()
        if self.is_enabled:
            self._progress = Progress(title, size, file=sys.stderr)
            self._progress.__enter__()
            self._show(0, "")

    def _show(self, done: int, note: str) -> None:
        if self._progress is None:
            return
        if self._progress.bar is not None:
            self._progress.update(done, note)
        elif note or done:
            total = self._progress.total
            print(f"{self._progress.title} {done}{f'/{total}' if total else ''} {note}".rstrip(),
                  file=self._progress.file, flush=True)

    def _finish(self) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None

    def _move(self, done: int, total: float) -> None:
        progress = self._progress
        if progress is None or (done % self._refresh_rate and done != total):
            return
        now = time.monotonic()
        on_screen = progress.bar is not None
        if now - self._last >= (DRAWN if on_screen else PRINTED) or (on_screen and done == total):
            self._last = now
            self._show(done, self._note())

    def _note(self) -> str:
        items = self.get_metrics(self.trainer, self.trainer.lightning_module)
        return ", ".join(f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name,
                         value in items.items())

    def print(self, *args: Any, sep: str = " ", **kwargs: Any) -> None:
        """`print` above the bar."""
        if self._progress is not None and self._progress.bar is not None and not kwargs.get("file"):
            self._progress.bar[0].console.print(sep.join(map(str, args)), markup=False, highlight=False,
                                                end=kwargs.get("end", "\n"))
        else:
            print(*args, sep=sep, **kwargs)

    # --- moments ---------------------------------------------------------------------------------------------------
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._last = time.monotonic()
        self._ended = -ENDED

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._begin(f"Epoch {trainer.current_epoch}", self.total_train_batches)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._progress is not None:
            self._move(batch_idx + 1, self.total_train_batches)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self._progress is None:
            return
        done, now = trainer.fit_loop.epoch_loop.batch_idx + 1, time.monotonic()
        last = trainer.max_epochs in (None, -1) or trainer.current_epoch + 1 >= trainer.max_epochs
        if self._progress.bar is not None or last or now - self._ended >= ENDED:
            self._ended = now
            self._show(done, self._note())
        if self._leave or self._progress.bar is None:
            self._finish()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._finish()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._evaluated = 0
        if trainer.state.fn == "fit":
            return  # the epoch's bar stays
        self._begin(self.validation_description, sum(trainer.num_val_batches))

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int,
                                dataloader_idx: int = 0) -> None:
        self._evaluated += 1
        if trainer.state.fn != "fit":
            self._move(self._evaluated, sum(trainer.num_val_batches))

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.state.fn != "fit":
            self._finish()

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self._evaluated = 0
        self._begin(self.test_description, sum(trainer.num_test_batches))

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int,
                          dataloader_idx: int = 0) -> None:
        self._evaluated += 1
        self._move(self._evaluated, sum(trainer.num_test_batches))

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        self._finish()

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        self._evaluated = 0
        self._begin(self.predict_description, sum(trainer.num_predict_batches))

    def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int,
                             dataloader_idx: int = 0) -> None:
        self._evaluated += 1
        self._move(self._evaluated, sum(trainer.num_predict_batches))

    def on_predict_end(self, trainer: Any, pl_module: Any) -> None:
        self._finish()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._finish()
