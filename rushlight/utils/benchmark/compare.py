"""Compare: measurements as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rushlight.utils.benchmark.measurement import Measurement, select_unit, trim_sigfig, unit_to_english

BEST, GOOD, BAD, WORST, END = "\033[92m\033[1m", "\033[34m", "\033[2m\033[91m", "\033[31m\033[1m", "\033[0m\033[0m"


class Compare:
    """A table per label: rows are sub-labels (by environment and threads), columns are descriptions.

    >>> from rushlight.utils.benchmark import Timer
    >>> table = Compare([Timer("pass", sub_label="nothing", description=d).timeit(100) for d in ("a", "b")])
    >>> "Times are in" in str(table)
    True
    """

    def __init__(self, results: list[Measurement]):
        self._results: list[Measurement] = []
        self.extend_results(results)
        self._trim = self._colorize = self._rowwise = False
        self._highlight = False

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """More measurements; ValueError for anything else."""
        for r in results:
            if not isinstance(r, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(r)} instead.")
            self._results.append(r)

    def trim_significant_figures(self) -> None:
        """Write only figures that mean something."""
        self._trim = True

    def colorize(self, rowwise: bool = False) -> None:
        """Mark fast and slow cells, within columns or within rows."""
        self._colorize, self._rowwise = True, rowwise

    def highlight_warnings(self) -> None:
        """Mark measurements that scatter with an exclamation mark."""
        self._highlight = True

    def print(self) -> None:
        """Print the table."""
        print(self)

    def __str__(self) -> str:
        merged = Measurement.merge(self._results)
        labels = list(dict.fromkeys(m.task_spec.label for m in merged))
        return "\n".join(self._table(label, [m for m in merged if m.task_spec.label == label]) for label in labels)

    def _table(self, label: str | None, results: list[Measurement]) -> str:
        unit, scale = select_unit(min(m.median for m in results))
        columns = list(dict.fromkeys(m.task_spec.description or "" for m in results))
        many = len({m.task_spec.num_threads for m in results}) > 1 or results[0].task_spec.num_threads > 1
        rows = list(dict.fromkeys((m.task_spec.num_threads, m.task_spec.env or "", m.as_row_name) for m in results))
        found = {((m.task_spec.num_threads, m.task_spec.env or "", m.as_row_name),
                  m.task_spec.description or ""): m for m in results}
        cells: list[list[str]] = [["", *columns]]
        threads = None
        for row in rows:
            if many and row[0] != threads:
                threads = row[0]
                cells.append([f"{threads} threads: ---", *[""] * len(columns)])
            name = (f"({row[1]})  " if row[1] else "") + row[2]
            cells.append([("  " if many else "") + name, *[self._cell(found.get((row, c)), scale) for c in columns]])
        widths = [max(len(r[i]) for r in cells) for i in range(len(columns) + 1)]
        lines = ["  |  ".join(t.ljust(w) if i == 0 else t.center(w) if n == 0 else t.rjust(w)
                              for i, (t, w) in enumerate(zip(r, widths)))
                 for n, r in enumerate(cells)]
        if self._colorize:
            lines = [lines[0], *self._coloured(cells, widths, rows, columns, found)]
        width = max(len(line) for line in lines[:1])
        side = "-" * max(1, (width - len(label or "") - 4) // 2)
        title = f"[{side} {label or ''} {side}]"
        units = f"Times are in {unit_to_english(unit)}s ({unit})."
        return "\n".join([title, lines[0], "-" * len(title), *lines[1:], "", units]) + "\n"

    def _cell(self, m: Measurement | None, scale: float) -> str:
        if m is None:
            return ""
        value = m.median / scale
        text = f"{trim_sigfig(value, m.significant_figures):g}" if self._trim else f"{value:.1f}"
        return text + (" (! XX%)".replace("XX", f"{100 * m.iqr / m.median:.0f}")
                       if self._highlight and m.has_warnings else "")

    def _coloured(self, cells: list[list[str]], widths: list[int], rows: Any, columns: list[str],
                  found: Any) -> list[str]:
        order = iter(rows)
        out = []
        for r in cells[1:]:
            row = next(order) if not r[0].endswith("threads: ---") else None
            parts = [r[0].ljust(widths[0])]
            for c, text, w in zip(columns, r[1:], widths[1:]):
                m = found.get((row, c))
                group = [x.median for (k, d), x in found.items() if (k == row if self._rowwise else d == c)]
                parts.append(_colour(text.rjust(w), m.median, min(group)) if m is not None else text.rjust(w))
            out.append("  |  ".join(parts))
        return out


def _colour(text: str, value: float, best: float) -> str:
    ratio = value / best
    mark = BEST if ratio <= 1.04 else GOOD if ratio <= 1.2 else "" if ratio <= 1.5 else BAD if ratio <= 2 else WORST
    return f"{mark}{text}{END}" if mark else text
