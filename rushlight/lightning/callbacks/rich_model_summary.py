"""Shows a table of the module with colours."""

from __future__ import annotations

from rushlight.lightning.callbacks.model_summary import ModelSummary
from rushlight.lightning.utilities.model_summary import ModelSummary as Summary


class RichModelSummary(ModelSummary):
    """`ModelSummary` as a table of rich."""

    def show(self, summary: Summary) -> None:
        from rich import get_console
        from rich.table import Table
        titles, rows = summary.table()
        table = Table(header_style=self._summarize_kwargs.get("header_style", "bold magenta"))
        for title in titles:
            table.add_column(title, justify="right" if title == "Params" else "left")
        for row in rows:
            table.add_row(*row)
        console = get_console()
        console.print(table)
        console.print("\n".join(f"[bold]{what}[/bold]: {count}" for count, what in summary.totals()))
