"""What the tables have in common: short random ids and UTC times."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from tortoise import fields
from tortoise.models import Model


def new_id() -> str:
    """Return a random id of 16 hex digits: short enough to type, too long to guess."""
    return secrets.token_hex(8)


def utcnow() -> datetime:
    """Return the time in UTC; SQLite compares times as text, so no other zone is ever stored."""
    return datetime.now(UTC)


class Record(Model):
    """A row with an id of its own and the time it was made."""

    id = fields.CharField(max_length=32, primary_key=True, default=new_id)
    created_at = fields.DatetimeField(default=utcnow)

    class Meta:
        """No table of its own."""

        abstract = True
