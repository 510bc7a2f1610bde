"""The tokens that people have granted at GitHub: sealed, the newest of each person."""

from __future__ import annotations

from collections.abc import Collection

from helvetia import Kernel
from helvetia.kernel.models.base import utcnow

from .models import Grant


def _place(subject: str) -> str:
    return Grant.sealed_places["token"].format(subject=subject)


async def user_token(kernel: Kernel, user_id: str) -> str | None:
    """Return a user's own token for GitHub's API; None if they have not connected GitHub."""
    grant = await Grant.filter(user_id=user_id).order_by("-granted_at").first()
    return kernel.unseal(grant.token, place=_place(grant.subject)) if grant else None


async def keep(
    kernel: Kernel, user_id: str, *, subject: str, login: str, token: str, scopes: Collection[str]
) -> bool:
    """Keep the newest token of a person, in place of the one before.

    False: it was not kept, because the one before may do more. Who signs in asks for little;
    what somebody has granted to connect repositories stays.
    """
    present = await Grant.get_or_none(subject=subject, user_id=user_id)
    if present is not None and set(scopes) < set(present.scopes.split()):
        return False
    values = {
        "user_id": user_id,
        "login": login[:100],
        "token": kernel.seal(token, place=_place(subject)),
        "scopes": " ".join(scopes)[:500],
        "granted_at": utcnow(),
    }
    await Grant.update_or_create(subject=subject, defaults=values)
    return True


async def is_kept(kernel: Kernel, subject: str, token: str) -> bool:
    """Tell whether a token is the one that is kept of a person."""
    grant = await Grant.get_or_none(subject=subject)
    return grant is not None and kernel.unseal(grant.token, place=_place(subject)) == token


async def take(kernel: Kernel, subject: str) -> str | None:
    """Forget a person's token and return it, to be revoked; None if there is none."""
    grant = await Grant.get_or_none(subject=subject)
    if grant is None or not await Grant.filter(id=grant.id).delete():
        return None
    return kernel.unseal(grant.token, place=_place(subject))


async def forget(user_id: str) -> None:
    """Forget a user's tokens, which GitHub does not take any more."""
    await Grant.filter(user_id=user_id).delete()
