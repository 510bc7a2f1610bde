"""The table of the plugin; the Tortoise app is called `webhooks`. Deliveries are the kernel's."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from tortoise import fields
from tortoise.models import Model

from helvetia.kernel.models.base import new_id, utcnow


class Webhook(Model):
    """How the Git host of a service reaches the platform.

    `secret` is encrypted: the host signs with it, so that it must be known in clear.
    `deploy_digest` is the hash of the secret part of the deploy-hook URL. `paths` are globs;
    a push that changes nothing they match is ignored. `repository_id` is the host's own number
    of the repository, by which it is known again after it was renamed.
    """

    id = fields.CharField(max_length=32, primary_key=True, default=new_id)
    service_id = fields.CharField(max_length=32, unique=True)
    secret = fields.TextField()
    deploy_digest = fields.CharField(max_length=64, unique=True)
    paths: list[str] = fields.JSONField(default=list)
    repository_id = fields.CharField(max_length=64, default="")
    created_at: datetime = fields.DatetimeField(default=utcnow)
    sealed_places: ClassVar[dict[str, str]] = {"secret": "webhook:{service_id}"}

    class Meta:
        """Table."""

        table = "webhook"
