"""Where sessions are kept."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from tortoise import fields
from tortoise.models import Model


def new_id() -> str:
    """Return a random id of 16 hex digits."""
    return secrets.token_hex(8)


def utcnow() -> datetime:
    """Return the time in UTC; SQLite compares times as text."""
    return datetime.now(UTC)


class Session(Model):
    """A browser session. `generation` grows whenever its refresh token is used."""

    id = fields.CharField(max_length=32, primary_key=True, default=new_id)
    created_at = fields.DatetimeField(default=utcnow)
    user: fields.ForeignKeyRelation[Model] = fields.ForeignKeyField("kernel.User", "sessions")
    user_id: str
    csrf = fields.CharField(max_length=64)
    generation = fields.IntField(default=0)
    expires_at = fields.DatetimeField()
    rotated_at = fields.DatetimeField()
    last_seen_at = fields.DatetimeField()
    address = fields.CharField(max_length=64, default="")
    browser = fields.CharField(max_length=300, default="")

    class Meta:
        """Table."""

        table = "session"
