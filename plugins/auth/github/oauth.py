"""OAuth's web flow with `state` and PKCE: authlib's core, which opens no connection itself."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from helvetia.plugins.github.addresses import api_url
from helvetia.plugins.github.client import GitHubClient
from helvetia.plugins.github.errors import GitHubDown, GitHubError, GitHubRefused
from helvetia.plugins.github.settings import GitHubSettings

_LIFETIME_SECONDS = 600
_EXCHANGE_SECONDS = 15.0
_MOST_BYTES = 64 * 1024


class NotOurs(Exception):
    """The answer belongs to no sign-in that this browser has begun."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What is remembered of a sign-in between the way there and the way back."""

    state: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect: str
    until: float

    def dump(self) -> str:
        """Write it down, to be sealed."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Flow:
        """Read it again.

        Raises:
            NotOurs: it is none.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError):
            raise NotOurs from None


@dataclass(frozen=True, slots=True)
class Granted:
    """A token, and the scopes that GitHub gave it, which may be fewer than asked for."""

    token: str = field(repr=False)
    scopes: tuple[str, ...]


def begin(redirect: str) -> Flow:
    """Return what to remember of a new sign-in, which comes back to an address."""
    from authlib.common.security import generate_token

    return Flow(generate_token(43), generate_token(64), redirect, time.time() + _LIFETIME_SECONDS)


def way_there(settings: GitHubSettings, flow: Flow, scopes: Iterable[str]) -> str:
    """Return where to send the browser, to be asked for these scopes."""
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    address: str = prepare_grant_uri(
        f"{settings.url.rstrip('/')}/login/oauth/authorize",
        client_id=settings.client_id,
        response_type="code",
        redirect_uri=flow.redirect,
        scope=" ".join(scopes),
        state=flow.state,
        code_challenge=create_s256_code_challenge(flow.verifier),
        code_challenge_method="S256",
    )
    return address


async def finish(settings: GitHubSettings, flow: Flow, query: Mapping[str, str]) -> Granted:
    """Exchange the code that the browser brought back.

    Raises:
        NotOurs: the state is another's, or too old.
        GitHubError: GitHub does not take the code, or does not answer.
    """
    from authlib.oauth2.rfc6749.parameters import prepare_token_request

    state = query.get("state", "")
    if not hmac.compare_digest(state.encode(errors="replace"), flow.state.encode()):
        raise NotOurs
    if flow.until < time.time() or not query.get("code"):
        raise NotOurs
    assert settings.client_secret is not None
    body: str = prepare_token_request(
        "authorization_code",
        code=query["code"],
        redirect_uri=flow.redirect,
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value(),
        code_verifier=flow.verifier,
    )
    told = await _post(f"{settings.url.rstrip('/')}/login/oauth/access_token", body)
    token, scopes = told.get("access_token"), told.get("scope")
    # GitHub says in a 200 that it has refused.
    if not isinstance(token, str) or not token or "error" in told:
        raise GitHubRefused(f"GitHub gave no token: {str(told.get('error', 'none'))[:100]}")
    names = scopes.replace(",", " ").split() if isinstance(scopes, str) else []
    return Granted(token, tuple(names))


async def revoke(settings: GitHubSettings, token: str) -> None:
    """Make a token worthless at GitHub; one that is so already is fine.

    Raises:
        GitHubError: GitHub does not answer.
    """
    import aiohttp

    assert settings.client_secret is not None
    secret = settings.client_secret.get_secret_value()
    basic = aiohttp.encode_basic_auth(settings.client_id or "", secret)

    async def authorize(_: bool) -> str:
        return basic

    async with GitHubClient(api_url(settings), "", authorize) as client:
        try:
            path = f"/applications/{settings.client_id}/token"
            await client.ask("DELETE", path, body={"access_token": token})
        except GitHubRefused as error:
            if error.answered not in (404, 422):
                raise


async def _post(url: str, body: str) -> dict[str, object]:
    import aiohttp

    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "Helvetia",
    }
    limit = aiohttp.ClientTimeout(total=_EXCHANGE_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, trust_env=True) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            raw = await response.content.read(_MOST_BYTES)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise GitHubDown("GitHub does not answer", hint="try again later") from error
    if status >= 500:
        raise GitHubDown(f"GitHub answers {status}", hint="try again later", answered=status)
    try:
        told = json.loads(raw)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise GitHubError(f"GitHub answers {status} with something that is no JSON object")
    return told
