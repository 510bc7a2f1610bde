"""Entries as lines of JSON and as rows of CSV."""

from __future__ import annotations

import csv
import io
import json

from .shapes import AuditEntry

JSON_LINES = "application/x-ndjson"
CSV = "text/csv"
_COLUMNS = tuple(AuditEntry.model_fields)
# A spreadsheet would run what begins so.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def json_line(entry: AuditEntry) -> bytes:
    """Write an entry as one line of JSON."""
    return entry.model_dump_json().encode() + b"\n"


def csv_header() -> bytes:
    """Write the names of the columns."""
    return _row(_COLUMNS)


def csv_row(entry: AuditEntry) -> bytes:
    """Write an entry as a row; what a spreadsheet would take for a formula gets a `'` before."""
    return _row(tuple(_cell(value) for value in entry.model_dump(mode="json").values()))


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else ""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _row(cells: tuple[str, ...]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue().encode()
