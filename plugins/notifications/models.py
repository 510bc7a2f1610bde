"""The tables of the plugin; the Tortoise app is called `notifications`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from helvetia.kernel.models.base import Record


class Channel(Record):
    """Where a team wants to be told. `target` (and `secret`, of a webhook) are encrypted.

    `topics` are what it wants to hear of; `services` are ids, none is all.
    """

    sealed_places: ClassVar[dict[str, str]] = {
        "target": "notifications/{id}/target",
        "secret": "notifications/{id}/secret",
    }

    team_id = fields.CharField(max_length=32, db_index=True)
    name = fields.CharField(max_length=100)
    kind = fields.CharField(max_length=16)
    target = fields.TextField()
    secret: str | None = fields.TextField(null=True)
    topics: list[str] = fields.JSONField(default=list)
    services: list[str] = fields.JSONField(default=list)

    class Meta:
        """Table."""

        table = "notification_channel"


class Message(Record):
    """One message to one channel, until it is sent or given up; then what became of it."""

    channel_id = fields.CharField(max_length=32)
    title = fields.CharField(max_length=200)
    content: dict[str, Any] = fields.JSONField()
    status = fields.CharField(max_length=16, default="waiting")
    attempts = fields.IntField(default=0)
    problem = fields.CharField(max_length=400, default="")
    due_at: datetime = fields.DatetimeField()
    claimed_until: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        """Table."""

        table = "notification_message"
        indexes = (Index(fields=("status", "due_at")), Index(fields=("channel_id", "created_at")))


class Trouble(Model):
    """Something that was told and is not over: it is not told again, but its end is."""

    id = fields.CharField(max_length=200, primary_key=True)
    topic = fields.CharField(max_length=32)
    subject = fields.CharField(max_length=160)
    since: datetime = fields.DatetimeField()

    class Meta:
        """Table."""

        table = "notification_trouble"
