"""One-time links: issue, find and use up."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from tortoise.exceptions import IntegrityError
from tortoise.transactions import in_transaction

from .models import OneTimeLink, Password, Purpose, utcnow
from .passwords import fold

LIFETIME = timedelta(hours=1)
PATH = "/auth/local"


class LinkUsed(Exception):
    """The link was used or ran out between its form and its answer."""


class NameTaken(Exception):
    """Somebody else has this user name."""


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def issue(purpose: Purpose, *, subject: str | None = None) -> str:
    """Make a link and return its path. Unused ones for the same end are void from now on."""
    token = secrets.token_urlsafe(32)
    now = utcnow()
    async with in_transaction():
        if purpose is not Purpose.INVITE:
            await OneTimeLink.filter(purpose=purpose, subject=subject, used_at=None).delete()
        await OneTimeLink.filter(expires_at__lt=now - LIFETIME).delete()
        _ = await OneTimeLink.create(
            digest=_digest(token), purpose=purpose, subject=subject, expires_at=now + LIFETIME
        )
    return f"{PATH}?link={token}"


async def find(token: str) -> OneTimeLink | None:
    """Return the link of a token if it can still be used."""
    return await OneTimeLink.get_or_none(
        digest=_digest(token), used_at=None, expires_at__gt=utcnow()
    )


async def use(link: OneTimeLink, *, name: str, hashed: str) -> Password:
    """Use the link up and set the password, both or neither.

    Raises:
        LinkUsed: somebody was faster.
        NameTaken: the user name of an invited person is another's.
    """
    now = utcnow()
    try:
        async with in_transaction():
            unused = OneTimeLink.filter(id=link.id, used_at=None, expires_at__gt=now)
            if not await unused.update(used_at=now):
                raise LinkUsed
            # The name of the first account may stand here from a start that was cut short
            # before the platform knew the user.
            known = None
            if link.purpose is Purpose.FIRST_RUN:
                known = await Password.get_or_none(login=fold(name))
            elif link.purpose is Purpose.RESET:
                known = await Password.get_or_none(subject=link.subject)
                if known is None:
                    raise LinkUsed
            if known is None:
                return await Password.create(login=fold(name), name=name, hash=hashed)
            known.hash, known.changed_at = hashed, now
            await known.save(update_fields=["hash", "changed_at"])
            return known
    except IntegrityError as error:
        raise NameTaken from error
