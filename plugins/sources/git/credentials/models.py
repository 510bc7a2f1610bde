"""The table of the plugin; the Tortoise app is called `git`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from tortoise import fields
from tortoise.models import Model

from helvetia.kernel.models.base import new_id, utcnow


class Credentials(Model):
    """What the repository of a service is read with.

    They are good for the repository at `address` alone, to which `secret` is sealed: whoever may
    change the source of a service must not have them sent elsewhere. `secret` is the password of
    `username`, or the private half of `public_key`.
    """

    id = fields.CharField(max_length=32, primary_key=True, default=new_id)
    service_id = fields.CharField(max_length=32, unique=True)
    kind = fields.CharField(max_length=16)
    address = fields.CharField(max_length=2048)
    username = fields.CharField(max_length=255, default="")
    secret = fields.TextField()
    public_key = fields.TextField(default="")
    created_at: datetime = fields.DatetimeField(default=utcnow)
    sealed_places: ClassVar[dict[str, str]] = {"secret": "git/{service_id}/{kind}/{address}"}

    class Meta:
        """Table."""

        table = "git_credentials"
