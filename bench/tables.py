"""Plain tables for terminals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a measurement should be: at most, or at least, so much of a unit."""

    what: str
    unit: str
    measured: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it is."""
        return (self.at_most is None or self.measured <= self.at_most) and (
            self.at_least is None or self.measured >= self.at_least
        )

    @property
    def row(self) -> list[object]:
        """The row of the table."""
        bounds = ((self.at_most, "at most"), (self.at_least, "at least"))
        wanted = " and ".join(f"{words} {bound:g}" for bound, words in bounds if bound is not None)
        return [self.what, self.unit, self.measured, wanted, "met" if self.is_met else "MISSED"]


def judge(targets: Sequence[Target]) -> int:
    """Print the targets beside what was measured; return the exit code, 1 if one is missed."""
    print()
    show(("target", "unit", "measured", "wanted", "verdict"), [target.row for target in targets])
    return int(not all(target.is_met for target in targets))


def _text(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
