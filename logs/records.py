"""One record of a log, and how a run of them is written down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PLATFORM = "platform"
"""The stream of the lines that the platform says."""

_OVERHEAD = 40
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One line of a log.

    Attributes:
        seq: its number in the log, from 1, without gaps; a reader resumes behind it.
        time: seconds since the epoch, UTC.
        stream: `stdout`, `stderr`, or `platform` for what the platform says.
        stage: the stage of the pipeline it belongs to, or release and instance, as `r3.4f2a`;
            "" outside of these.
        text: the line, secrets masked, ANSI sequences and all.
    """

    seq: int
    time: float
    stream: str
    stage: str
    text: str

    def json(self) -> dict[str, Any]:
        """Return the record as the API shows it."""
        return {
            "seq": self.seq,
            "time": self.time,
            "stream": self.stream,
            "stage": self.stage,
            "text": self.text,
        }

    @property
    def size(self) -> int:
        """Roughly the bytes it takes in the store."""
        text = len(self.text) if self.text.isascii() else len(self.text.encode("utf-8", "replace"))
        return text + _OVERHEAD


def encode(records: Sequence[LogRecord]) -> str:
    """Write records down as lines of JSON, without the numbers: they follow each other."""
    return "\n".join(
        _encode((round(record.time, 3), record.stream, record.stage, record.text))
        for record in records
    )


def decode(data: str, first_seq: int) -> list[LogRecord]:
    """Read what `encode` wrote."""
    rows = json.loads(f"[{data.replace(chr(10), ',')}]")
    return [LogRecord(seq, *row) for seq, row in enumerate(rows, first_seq)]
