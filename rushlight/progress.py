"""A progress bar on a terminal, a few plain lines anywhere else."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

PLAIN_LINES = 4  # per bar, where there is no terminal


class Progress:
    """Shows how far a piece of work is.

    Args:
        title: what is being done.
        total: how much there is to do, None where that is unknown.
        unit: "bytes" prints sizes and speed; anything else is printed after the count.

    >>> with Progress("reading", 2, file=sys.stdout) as progress:
    ...     progress.update(1)
    ...     progress.update(2, "all well")
    reading 1/2
    reading 2/2 all well
    """

    def __init__(self, title: str, total: int | None, unit: str = "", file: Any = None):
        self.title, self.total, self.unit = title, total, unit
        self.file = sys.stderr if file is None else file
        self.bar: Any = None
        self.quarter = 0

    def __enter__(self) -> Self:
        if hasattr(self.file, "isatty") and self.file.isatty():
            self.bar = _rich_bar(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar[0].stop()

    def update(self, done: int, note: str = "") -> None:
        """Say that so much is done."""
        if self.bar is not None:
            self.bar[0].update(self.bar[1], completed=done, note=note)
            return
        quarter = PLAIN_LINES * done // self.total if self.total else 0
        if quarter > self.quarter:
            self.quarter = quarter
            print(f"{self.title} {self._amount(done)}{' ' + note if note else ''}", file=self.file, flush=True)

    def _amount(self, done: int) -> str:
        if self.unit == "bytes":
            return f"{done / 1e6:.1f}/{(self.total or 0) / 1e6:.1f} MB"
        return f"{done}/{self.total}{' ' + self.unit if self.unit else ''}"


def _rich_bar(progress: Progress) -> tuple[Any, Any] | None:
    try:
        from rich.console import Console
        from rich.progress import (BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn,
                                   TransferSpeedColumn)
        from rich.progress import Progress as Rich
    except ImportError:
        return None
    amounts = [DownloadColumn(),
               TransferSpeedColumn()] if progress.unit == "bytes" else [MofNCompleteColumn(), TimeElapsedColumn()]
    rich = Rich(TextColumn("{task.description}"), BarColumn(), *amounts, TextColumn("{task.fields[note]}"),
                console=Console(file=progress.file))
    rich.start()
    return rich, rich.add_task(progress.title, total=progress.total, note="")
