"""Who we are as a GitHub App: a signed claim, and tokens for its installations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from helvetia.kernel.errors import SettingsError

from .addresses import api_url
from .client import GitHubClient, token_header

if TYPE_CHECKING:
    from .settings import GitHubSettings

READ_CONTENTS: Mapping[str, str] = {"contents": "read"}
"""What a clone needs."""
# GitHub refuses claims of more than ten minutes, and clocks differ.
_CLAIM_SECONDS = 540
_EARLY_SECONDS = 60
_RENEWED_BEFORE_SECONDS = 300
_Key = tuple[str, str, str, tuple[int, ...], tuple[tuple[str, str], ...]]
_tokens: dict[_Key, tuple[str, float]] = {}


def is_app(settings: GitHubSettings) -> bool:
    """Tell whether this platform is a GitHub App."""
    return bool(settings.app_id and settings.private_key_file)


def app_client(settings: GitHubSettings) -> GitHubClient:
    """Return a client that speaks as the App itself."""

    async def authorize(_: bool) -> str:
        return token_header(await asyncio.to_thread(_claim, settings))

    return GitHubClient(api_url(settings), f"app:{settings.app_id}", authorize)


def installation_client(settings: GitHubSettings, installation: int) -> GitHubClient:
    """Return a client that speaks as an installation, whose token is renewed by itself."""

    async def authorize(renew: bool) -> str:
        return token_header(await installation_token(settings, installation, renew=renew))

    return GitHubClient(api_url(settings), f"installation:{installation}", authorize)


async def installation_token(
    settings: GitHubSettings,
    installation: int,
    *,
    repositories: tuple[int, ...] = (),
    permissions: Mapping[str, str] | None = None,
    renew: bool = False,
) -> str:
    """Return a token of an installation that is good for some minutes at least.

    Args:
        settings: which GitHub, and which App.
        installation: its number.
        repositories: numbers of the only repositories it is good for; none: all of them.
        permissions: the only things it may do; None: all that the App may.
        renew: the former one was refused.

    Raises:
        GitHubError: GitHub gives none.
        SettingsError: the private key cannot be read.
    """
    rights = tuple(sorted((permissions or {}).items()))
    key = (api_url(settings), str(settings.app_id), str(installation), repositories, rights)
    token, until = _tokens.get(key, ("", 0.0))
    if token and not renew and until - _RENEWED_BEFORE_SECONDS > time.time():
        return token
    body: dict[str, object] = {}
    if repositories:
        body["repository_ids"] = list(repositories)
    if permissions:
        body["permissions"] = dict(permissions)
    async with app_client(settings) as client:
        path = f"/app/installations/{installation}/access_tokens"
        made = (await client.ask("POST", path, body=body)).data
    _tokens[key] = made["token"], _timestamp(made["expires_at"])
    return str(made["token"])


def forget_tokens(installation: int) -> None:
    """Forget the tokens of an installation: it is gone, or may do other things now."""
    for key in [key for key in _tokens if key[2] == str(installation)]:
        del _tokens[key]


def _claim(settings: GitHubSettings) -> str:
    import jwt

    file = settings.private_key_file
    assert file is not None
    try:
        key = file.read_bytes()
        now = int(time.time())
        claims = {"iat": now - _EARLY_SECONDS, "exp": now + _CLAIM_SECONDS, "iss": settings.app_id}
        return jwt.encode(claims, key, algorithm="RS256")
    except (OSError, ValueError, TypeError, jwt.PyJWTError) as error:
        raise SettingsError(
            f"the private key of the GitHub App cannot be used: {type(error).__name__}",
            hint="let private_key_file of [github] name the PEM file that GitHub gave",
        ) from None


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
