"""What happened, what was received, and who leads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tortoise import fields
from tortoise.indexes import Index

from .base import Record


class Event(Record):
    """One entry of the journal: an event for listeners and the audit log in one.

    Ids are not foreign keys: the journal outlives what it speaks of.
    """

    kind = fields.CharField(max_length=64)
    actor = fields.CharField(max_length=100, default="")
    address = fields.CharField(max_length=64, db_default="")
    request_id = fields.CharField(max_length=32, db_default="")
    team_id = fields.CharField(max_length=32, null=True)
    service_id = fields.CharField(max_length=32, null=True)
    deployment_id = fields.CharField(max_length=32, null=True)
    data: dict[str, Any] = fields.JSONField(default=dict)
    delivered = fields.BooleanField(default=False)

    class Meta:
        """Table."""

        table = "event"
        indexes = (
            Index(fields=("service_id", "created_at")), Index(fields=("delivered",)),
            Index(fields=("team_id", "created_at")), Index(fields=("created_at",)),
        )  # fmt: skip


class Delivery(Record):
    """One received webhook, raw, with what was decided and why."""

    source = fields.CharField(max_length=64)
    delivery_key = fields.CharField(max_length=200)
    event = fields.CharField(max_length=64)
    headers: dict[str, Any] = fields.JSONField()
    body = fields.BinaryField()
    verdict = fields.CharField(max_length=32, default="received")
    reason = fields.TextField(default="")
    service_id = fields.CharField(max_length=32, null=True)
    deployment_id = fields.CharField(max_length=32, null=True)

    class Meta:
        """Table."""

        table = "delivery"
        unique_together = (("source", "delivery_key"),)


class Lease(Record):
    """A named duty (the id is its name) that one process at a time has."""

    owner = fields.CharField(max_length=100)
    until: datetime = fields.DatetimeField()

    class Meta:
        """Table."""

        table = "lease"


class Fact(Record):
    """A value of the installation itself, by name (the id)."""

    value = fields.TextField()

    class Meta:
        """Table."""

        table = "fact"
