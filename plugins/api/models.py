"""The table of the plugin; the Tortoise app is called `api`."""

from __future__ import annotations

from tortoise import fields

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
