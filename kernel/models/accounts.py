"""Who acts: users, their teams, sessions and tokens."""

from __future__ import annotations

from enum import StrEnum

from tortoise import fields

from .base import Record


class Role(StrEnum):
    """What a member of a team may do; each includes the ones below it."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


class TokenScope(StrEnum):
    """The most that an API token may do, of what its owner may."""

    READ = "read"
    DEPLOY = "deploy"
    ADMIN = "admin"


class User(Record):
    """A person. `is_operator` runs the installation: plugins, all teams, paths of the machine."""

    name = fields.CharField(max_length=200)
    email = fields.CharField(max_length=320, null=True)
    is_operator = fields.BooleanField(default=False)

    class Meta:
        """Table."""

        table = "user_account"


class Account(Record):
    """A user's identity at an auth provider."""

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("kernel.User", "accounts")
    user_id: str
    provider = fields.CharField(max_length=64)
    subject = fields.CharField(max_length=320)

    class Meta:
        """Table."""

        table = "account"
        unique_together = (("provider", "subject"),)


class Team(Record):
    """Owns services."""

    name = fields.CharField(max_length=64, unique=True)

    class Meta:
        """Table."""

        table = "team"


class Membership(Record):
    """A user's role in a team."""

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("kernel.User", "memberships")
    user_id: str
    team: fields.ForeignKeyRelation[Team] = fields.ForeignKeyField("kernel.Team", "memberships")
    team_id: str
    role = fields.CharEnumField(Role, max_length=16)

    class Meta:
        """Table."""

        table = "membership"
        unique_together = (("user", "team"),)


class Token(Record):
    """An API token, of which only the hash is kept."""

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("kernel.User", "tokens")
    user_id: str
    name = fields.CharField(max_length=100)
    digest = fields.CharField(max_length=64, unique=True)
    scope = fields.CharEnumField(
        TokenScope, max_length=16, default=TokenScope.ADMIN, db_default="admin"
    )
    expires_at = fields.DatetimeField(null=True)
    last_used_at = fields.DatetimeField(null=True)
    revoked_at = fields.DatetimeField(null=True)

    class Meta:
        """Table."""

        table = "api_token"
