"""The tables of the plugin; the Tortoise app is called `api`."""

from __future__ import annotations

from typing import ClassVar

from tortoise import fields

from helvetia.kernel.models import Service
from helvetia.kernel.models.accounts import Role, Team
from helvetia.kernel.models.base import Record


class Invitation(Record):
    """A link by which one person comes into a team. Only its hash is kept."""

    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("kernel.Team", "invitations")
    team_id: str
    role = fields.CharEnumField(Role, max_length=16)
    digest = fields.CharField(max_length=64, unique=True)
    expires_at = fields.DatetimeField()

    class Meta:
        """Table."""

        table = "invitation"


class SharedVariable(Record):
    """A variable that all services of a team get.

    `value` is encrypted, `scopes` are as those of a service.
    """

    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("kernel.Team", "shared")
    team_id: str
    name = fields.CharField(max_length=255)
    value = fields.TextField()
    scopes = fields.CharField(max_length=32)
    sealed_places: ClassVar[dict[str, str]] = {"value": "shared/{team_id}/{name}"}

    class Meta:
        """Table."""

        table = "shared_variable"
        unique_together = (("team", "name"),)


class SharedPlacement(Record):
    """A shared variable in a service, by the version of the service's variables that put it there.

    A newer version of it is the service's own.
    """

    service: fields.ForeignKeyRelation[Service] = fields.ForeignKeyField("kernel.Service", "shared")
    service_id: str
    name = fields.CharField(max_length=255)
    version = fields.IntField()

    class Meta:
        """Table."""

        table = "shared_placement"
        unique_together = (("service", "name"),)
