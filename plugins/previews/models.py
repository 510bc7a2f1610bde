"""The tables of the plugin; the Tortoise app is called `previews`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from tortoise import fields
from tortoise.models import Model

from helvetia.kernel.models.base import Record, utcnow


class Forks(StrEnum):
    """Whose pull requests from forks get a preview."""

    NEVER = "never"
    MEMBERS = "members"


class PreviewState(StrEnum):
    """Whether there is a preview."""

    OPEN = "open"
    CLOSED = "closed"


class PreviewPolicy(Model):
    """That a service has previews, and which; without a row it has none.

    `hours` is how long a preview is kept after the last push to it.
    """

    service_id = fields.CharField(max_length=32, primary_key=True)
    forks = fields.CharEnumField(Forks, max_length=16, default=Forks.NEVER)
    limit = fields.IntField(default=5)
    hours = fields.IntField(default=168)
    created_at: datetime = fields.DatetimeField(default=utcnow)

    class Meta:
        """Table."""

        table = "preview_policy"


class Preview(Record):
    """The preview of a pull request: a service of its own, as long as it is open.

    `seen_at` is when the newest event about it came: an older one that is looked at later changes
    nothing any more.
    """

    parent_id = fields.CharField(max_length=32, db_index=True)
    number = fields.IntField()
    service_id = fields.CharField(max_length=32, default="", db_index=True)
    name = fields.CharField(max_length=63, default="")
    state = fields.CharEnumField(PreviewState, max_length=16, default=PreviewState.CLOSED)
    reason = fields.CharField(max_length=500, default="")
    sha = fields.CharField(max_length=64, default="")
    branch = fields.CharField(max_length=255, default="")
    title = fields.CharField(max_length=255, default="")
    author = fields.CharField(max_length=100, default="")
    is_fork = fields.BooleanField(default=False)
    url = fields.CharField(max_length=500, default="")
    expires_at: datetime = fields.DatetimeField(default=utcnow)
    seen_at: datetime = fields.DatetimeField(default=utcnow)

    class Meta:
        """Table."""

        table = "preview"
        unique_together = (("parent_id", "number"),)
