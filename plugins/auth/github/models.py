"""The table of the plugin; the Tortoise app is called `auth_github`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from tortoise import fields
from tortoise.models import Model

from helvetia.kernel.models.base import new_id, utcnow


class Grant(Model):
    """What a person has granted us at GitHub: the newest token, sealed, and what it may do.

    `subject` is the person's number at GitHub, which never becomes somebody else's; `login` is
    their name there today. `scopes` are those that GitHub gave, which may be fewer than asked.
    """

    id = fields.CharField(max_length=32, primary_key=True, default=new_id)
    subject = fields.CharField(max_length=64, unique=True)
    user_id = fields.CharField(max_length=32, db_index=True)
    login = fields.CharField(max_length=100)
    token = fields.TextField()
    scopes = fields.CharField(max_length=500, default="")
    granted_at: datetime = fields.DatetimeField(default=utcnow)
    sealed_places: ClassVar[dict[str, str]] = {"token": "auth-github/{subject}"}

    class Meta:
        """Table."""

        table = "auth_github_grant"
