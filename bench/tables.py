"""Plain tables for terminals."""

from __future__ import annotations

from collections.abc import Sequence


def show(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: the first column to the left, numbers to the right."""
    cells = [list(headers), *([_text(value) for value in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(headers))]
    for row in cells:
        first, *others = (
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]), flush=True)


def _text(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
