"""The workers of the installation, as they tell of themselves."""

from __future__ import annotations

from datetime import datetime

from tortoise import fields

from .base import Record


class Worker(Record):
    """A process that runs deployments. Gone when it stops, silent when it was killed."""

    name = fields.CharField(max_length=100, unique=True)
    host = fields.CharField(max_length=255)
    version = fields.CharField(max_length=64)
    labels = fields.CharField(max_length=1000, default="")
    concurrency = fields.IntField()
    seen_at: datetime = fields.DatetimeField()

    class Meta:
        """Table."""

        table = "worker"
