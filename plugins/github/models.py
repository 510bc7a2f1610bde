"""The tables of the plugin; the Tortoise app is called `github`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tortoise import fields
from tortoise.models import Model

from helvetia.kernel.models.base import new_id, utcnow


class Connection(Model):
    """A service and its repository at GitHub, and by whose right it is read.

    `user_id` is the person who connected them: their grant, or the App's installation that they
    may use, reads the repository for the whole team. `repository_id` is GitHub's own number, which
    stays when the repository is renamed; `name` is what it is called now, `written` what it was
    called in the service's source. `cut_off` says why nothing is deployed by itself any more;
    what runs goes on. `hook_problem` says why there is no webhook.
    """

    id = fields.CharField(max_length=32, primary_key=True, default=new_id)
    service_id = fields.CharField(max_length=32, unique=True)
    team_id = fields.CharField(max_length=32)
    user_id = fields.CharField(max_length=32, db_index=True)
    repository_id = fields.CharField(max_length=64, db_index=True)
    name = fields.CharField(max_length=255)
    written = fields.CharField(max_length=255)
    private = fields.BooleanField(default=True)
    installation = fields.BigIntField(null=True, db_index=True)
    hook = fields.BigIntField(null=True)
    hook_url = fields.CharField(max_length=1000, default="")
    hook_problem = fields.CharField(max_length=500, default="")
    cut_off = fields.CharField(max_length=500, default="")
    created_at: datetime = fields.DatetimeField(default=utcnow)

    class Meta:
        """Table."""

        table = "github_connection"


class Task(Model):
    """Something to be done at GitHub, until it is done or no use any more.

    `key` is what it is about: asked for twice, it is done once. `data` is what it needs to know,
    `found` what it has found out on the way; no secrets. `wanted` counts how often it was asked
    for, so that what is asked while it is being done is not lost. Whoever does it has it until
    `claimed_until`; without `due_at` there is nothing to do.
    """

    id = fields.CharField(max_length=32, primary_key=True, default=new_id)
    kind = fields.CharField(max_length=32)
    key = fields.CharField(max_length=100, unique=True)
    data: dict[str, Any] = fields.JSONField(default=dict)
    found: dict[str, Any] = fields.JSONField(default=dict)
    attempts = fields.IntField(default=0)
    problem = fields.CharField(max_length=500, default="")
    wanted = fields.IntField(default=1)
    due_at: datetime | None = fields.DatetimeField(null=True, db_index=True)
    claimed_until: datetime | None = fields.DatetimeField(null=True)
    created_at: datetime = fields.DatetimeField(default=utcnow)

    class Meta:
        """Table."""

        table = "github_task"
