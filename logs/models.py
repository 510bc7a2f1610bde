"""Where log records are kept."""

from __future__ import annotations

from datetime import UTC, datetime

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model


def _now() -> datetime:
    return datetime.now(UTC)


class LogSegment(Model):
    """A run of consecutive records of one log, written at once and never changed.

    `cursor` is how far a runtime's log was read when the segment was written; it stands in the
    same row so that neither can be without the other. `data` comes last: SQLite reads a long
    row from its beginning, and most queries need only the numbers.
    """

    id = fields.BigIntField(primary_key=True)
    log = fields.CharField(max_length=80)
    first_seq = fields.BigIntField()
    last_seq = fields.BigIntField()
    bytes = fields.IntField()
    cursor = fields.CharField(max_length=255, default="")
    created_at = fields.DatetimeField(default=_now)
    data = fields.TextField()

    class Meta:
        """Table. Two writers cannot both continue a log: the first number would be the same."""

        table = "log_segment"
        unique_together = (("log", "first_seq"),)
        indexes = (Index(fields=("log", "last_seq")),)
