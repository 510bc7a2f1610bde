"""Values as people read them: pure functions from values to text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helvetia.plugins.api.schemas import Receipt, Stage

Cell = str | tuple[str, str]
"""A text, or a text with a style such as `green` or `bold red`."""

_STYLES = {
    "ACTIVE": "green", "LIVE": "green", "SUCCEEDED": "green", "active": "green",
    "running": "green", "DEPLOYING": "yellow", "QUEUED": "yellow", "RUNNING": "yellow",
    "restarting": "yellow", "FAILED": "red", "quarantined": "red", "crash-loop": "red",
    "exited": "red", "gone": "red", "alive": "green", "silent": "red",
}  # fmt: skip
# Escape sequences: CSI, strings such as titles and links (OSC, DCS, PM, APC), and short ones.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


def clean(text: str) -> str:
    """Take out what would steer the terminal; names and logs come from strangers."""
    return _ESCAPES.sub("", text).translate(_CONTROLS)


def one_line(text: str) -> str:
    """Return the first line, without what steers the terminal."""
    return clean(text.strip().partition("\n")[0])


def styled(status: str) -> tuple[str, str]:
    """Return a status with its colour."""
    return status, _STYLES.get(status, "dim")


def short(sha: str) -> str:
    """Return the first seven digits of a commit; the digest of an upload is shortened alike."""
    return sha[:7]


def source(address: str) -> str:
    """Return the address of a source; an upload is known well enough by its first digits."""
    scheme, colon, digest = address.partition(":")
    return f"{scheme}{colon}{digest[:12]}" if scheme == "upload" else address


def commit(sha: str, message: str) -> str:
    """Return a commit as `a1b2c3d Fix the title`."""
    return f"{short(sha)} {one_line(message)}".strip()


def duration(seconds: float) -> str:
    """Return a time span: `0.2 s`, `1 min 5 s`, `2 h 3 min`."""
    if seconds < 59.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def between(start: datetime | None, end: datetime | None) -> str:
    """Return the time from one moment to another; empty if one of them is not known."""
    return duration((end - start).total_seconds()) if start and end else ""


def age(moment: datetime, now: datetime | None = None) -> str:
    """Return how long ago a moment was: `now`, `5 min ago`, `3 days ago`."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = int(seconds // size)
            plural = "s" if unit == "day" and count > 1 else ""
            return f"{count} {unit}{plural} ago"
    return "now" if seconds < 1 else f"{int(seconds)} s ago"


def size(count: float) -> str:
    """Return a number of bytes: `812 B`, `3.4 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"


def receipt(measured: Receipt) -> str:
    """Return what a rollover measured, as one sentence; empty if it measured nothing."""
    parts = []
    if measured.requests is not None:
        word = "request" if measured.requests == 1 else "requests"
        parts.append(
            f"{measured.requests:,} {word} during the switch, {measured.failed or 0:,} failed"
        )
    spans = (
        ("probe", measured.probe_seconds),
        ("switch", measured.activation_seconds),
        ("drain", measured.drain_seconds),
    )
    if times := [f"{name} {duration(span)}" for name, span in spans if span is not None]:
        parts.append(", ".join(times))
    return "; ".join(parts)


def stage_line(stage: Stage) -> Cell | None:
    """Return the line of a stage that ended; None while it has not."""
    name = f"{one_line(stage.name):<8}"
    provider = one_line(stage.provider)
    took = f"{between(stage.started_at, stage.finished_at):>6}"
    if stage.status == "SUCCEEDED":
        return f"✓ {name} {took}  {provider}".rstrip(), "green"
    if stage.status == "FAILED":
        return f"✗ {name} {took}  {provider}".rstrip(), "red"
    if stage.status == "CANCELLED":
        return f"■ {name} {took}  {provider}  cancelled", "yellow"
    if stage.status == "SKIPPED":
        return f"- {name} skipped  {one_line(stage.reason)}".rstrip(), "dim"
    return None


def width(text: str) -> int:
    """Return how many columns a text takes in a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(bool(unicodedata.combining(character)) for character in text)


def columns(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
    """Return the rows of a table, headers first, padded so that the columns stand in line.

    The last cell of a row is not padded, so that nothing hangs at the ends of lines. A cell
    without a text shows `-`, one with a blank shows nothing.
    """
    table: list[list[tuple[str, str]]] = [[(header.upper(), "bold") for header in headers]]
    for row in rows:
        pairs = [(cell, "") if isinstance(cell, str) else cell for cell in row]
        table.append([(one_line(text) if text else "-", style) for text, style in pairs])
    widths = [max(width(row[column][0]) for row in table) for column in range(len(headers))]
    lines: list[list[Cell]] = []
    for row in table:
        while row and not row[-1][0]:
            row.pop()
        padded: list[Cell] = [
            (text + " " * (widths[column] - width(text) + 2), style)
            for column, (text, style) in enumerate(row[:-1])
        ]
        lines.append([*padded, *row[-1:]])
    return lines
