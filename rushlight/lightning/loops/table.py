"""The table of results that validate and test print."""

from __future__ import annotations

TITLES = {"validate": "Validate metric", "test": "Test metric"}


def show(results: list[dict[str, float]], stage: str) -> None:
    """Print values by loader, one column each; names that end in a loader's number stand in one row.

    >>> show([{"loss": 0.5}], "test")
    Test metric    DataLoader 0
    ---------------------------
    loss           0.5
    """
    columns = []
    for i, values in enumerate(results):
        columns.append({key.removesuffix(f"/dataloader_idx_{i}"): f"{value:.8g}" for key, value in values.items()})
    names = list(dict.fromkeys(name for column in columns for name in column))
    if not names:
        return
    rows = [[TITLES[stage], *(f"DataLoader {i}" for i in range(len(columns)))],
            *([n, *(c.get(n, "") for c in columns)] for n in names)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["    ".join(f"{cell:<{w}}" for cell, w in zip(row, widths)).rstrip() for row in rows]
    print("\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]]))
