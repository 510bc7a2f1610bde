"""Tables of the password plugin; the Tortoise app is called `auth_local`."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from enum import StrEnum

from tortoise import fields
from tortoise.models import Model


def utcnow() -> datetime:
    """Return the time in UTC: SQLite compares times as text."""
    return datetime.now(UTC)


def new_subject() -> str:
    """Return a random id; unlike a user name it is never handed on to somebody else."""
    return secrets.token_hex(8)


class Purpose(StrEnum):
    """What a one-time link lets its bearer do."""

    FIRST_RUN = "first-run"
    INVITE = "invite"
    RESET = "reset"


class Password(Model):
    """A person's password, of which only the argon2 hash is kept.

    `login` is the user name as it is compared, `name` as it was written.
    """

    id = fields.IntField(primary_key=True)
    subject = fields.CharField(max_length=32, unique=True, default=new_subject)
    login = fields.CharField(max_length=64, unique=True)
    name = fields.CharField(max_length=64)
    hash = fields.CharField(max_length=255)
    changed_at = fields.DatetimeField(default=utcnow)

    class Meta:
        """Table."""

        table = "auth_local_password"


class OneTimeLink(Model):
    """A link that sets a password once. Only the digest of its token is kept."""

    id = fields.IntField(primary_key=True)
    digest = fields.CharField(max_length=64, unique=True)
    purpose = fields.CharEnumField(Purpose, max_length=16)
    subject = fields.CharField(max_length=32, null=True)
    expires_at = fields.DatetimeField()
    used_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        """Table."""

        table = "auth_local_one_time_link"
