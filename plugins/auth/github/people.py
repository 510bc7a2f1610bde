"""Who a token belongs to, and whether that person is on the list."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from helvetia.plugins.github.addresses import api_url
from helvetia.plugins.github.client import GitHubClient, token_header
from helvetia.plugins.github.errors import GitHubError, GitHubRefused
from helvetia.plugins.github.settings import GitHubSettings

from .settings import GitHubSignInSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody as GitHub knows them.

    Attributes:
        id: the number that stays theirs; their name may be another's tomorrow.
        email: the primary address, if they have proven to GitHub that it is theirs.
        is_named: they are on the list of users.
        is_listed: they are on that list, or in an organisation that is listed.
    """

    id: int
    login: str
    name: str
    email: str | None
    is_named: bool
    is_listed: bool


async def look_up(settings: GitHubSettings, listed: GitHubSignInSettings, token: str) -> Person:
    """Ask GitHub whose a token is.

    Raises:
        GitHubError: it does not say.
    """

    async def authorize(_: bool) -> str:
        return token_header(token)

    # Answers are kept by identity: nobody is told what was said of somebody else.
    identity = f"sign-in:{hashlib.sha256(token.encode()).hexdigest()}"
    async with GitHubClient(api_url(settings), identity, authorize) as client:
        user = await client.get("/user")
        if not isinstance(user, dict) or not isinstance(user.get("id"), int):
            raise GitHubError("GitHub does not say whose token it is")
        login = str(user.get("login", ""))
        is_named = login.casefold() in listed.user_names
        return Person(
            id=user["id"],
            login=login,
            name=str(user.get("name") or login or user["id"])[:200],
            email=await _email(client),
            is_named=is_named,
            is_listed=is_named or await _is_member(client, listed.organisation_names),
        )


async def _email(client: GitHubClient) -> str | None:
    try:
        found = await client.get("/user/emails")
    except GitHubRefused:
        # The scope was not granted: one can sign in without.
        return None
    entries: list[Any] = found if isinstance(found, list) else []
    for entry in entries:
        if isinstance(entry, dict) and entry.get("primary") is True:
            is_theirs = entry.get("verified") is True and isinstance(entry.get("email"), str)
            return entry["email"][:320] if is_theirs else None
    return None


async def _is_member(client: GitHubClient, names: frozenset[str]) -> bool:
    if not names:
        return False
    async for page in client.pages("/user/orgs"):
        if any(str(one.get("login", "")).casefold() in names for one in page):
            return True
    return False
