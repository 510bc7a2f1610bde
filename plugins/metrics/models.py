"""The tables of the plugin; the Tortoise app is called `metrics`."""

from __future__ import annotations

from datetime import datetime

from tortoise import fields
from tortoise.models import Model


class Chunk(Model):
    """Points of one service in one resolution, packed. A ring of such rows is used again.

    `start` is the time of the first place, by which a row of an earlier round is known.
    """

    id = fields.CharField(max_length=64, primary_key=True)
    service_id = fields.CharField(max_length=32, db_index=True)
    start = fields.BigIntField()
    data = fields.BinaryField()

    class Meta:
        """Table."""

        table = "metric_chunk"


class Watch(Model):
    """Somebody looks at a service (the id) until then: what is measured is written at once."""

    id = fields.CharField(max_length=32, primary_key=True)
    until: datetime = fields.DatetimeField()

    class Meta:
        """Table."""

        table = "metric_watch"
