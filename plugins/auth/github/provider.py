"""Signs people in by their GitHub account, and keeps what they grant us there."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from helvetia import AuthProvider, Check, HelvetiaError, Identity, Kernel
from helvetia.kernel.http import cookies
from helvetia.kernel.http.origin import own_origin
from helvetia.plugins.auth.common import pages
from helvetia.plugins.github.errors import GitHubDown, GitHubError, GitHubRefused
from helvetia.plugins.github.settings import GitHubSettings

from . import grants, oauth, people
from .settings import GitHubSignInSettings

_FOLDER = Path(__file__).parent / "templates"
_COOKIE = "helvetia_github"
_PLACE = "auth-github/flow"
_LIFETIME = timedelta(minutes=10)
_SIGN_IN = {
    "read:user": "your name and your number at GitHub, by which you are known again",
    "user:email": "your e-mail address, if GitHub has verified it",
}
_MEMBERSHIP = {"read:org": "whether you are in an organisation that may come in"}
_TITLES = {
    "none": "Only to sign in",
    "public": "Also public repositories",
    "private": "Also private repositories",
}
_ACCESS: dict[str, dict[str, str]] = {
    "none": {},
    "public": {
        "public_repo": "your public repositories: tell them how deployments went",
        "admin:repo_hook": "webhooks of repositories that you connect, made and removed",
    },
    "private": {
        "repo": "your repositories, private ones too: read them to deploy, tell them how it went; "
        "GitHub has nothing smaller for private repositories",
    },
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubIdentity(Identity):
    """An identity, with what the person has granted."""

    login: str
    granted: oauth.Granted = field(repr=False)


class GitHubAuth(AuthProvider):
    """Sign-in by an OAuth app, or a GitHub App, of github.com or an Enterprise server."""

    name = "github"
    title = "GitHub"

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._settings = kernel.section(GitHubSettings)
        self._listed = kernel.section(GitHubSignInSettings)

    async def check(self) -> Check:
        """Say whether there is an OAuth app to sign in by."""
        if self._settings.client_id and self._settings.client_secret:
            return Check(ok=True, reason=f"signs in at {self._settings.url}")
        return Check(ok=False, reason="client_id and client_secret of [github] are not set")

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """Explain what GitHub will be asked for, and lead there.

        By POST somebody who is signed in connects GitHub, and chooses whether the platform may be
        at their repositories; `access` (`none`, `public` or `private`) says it beforehand.
        """
        if not (await self.check()).ok:
            return _problem("GitHub is not set up here", "Choose another way to sign in.", 404)
        is_connecting = request.method == "POST"
        access = str((await request.post()).get("access", "")) if is_connecting else ""
        scopes = dict(_SIGN_IN)
        if self._listed.organisation_names:
            scopes |= _MEMBERSHIP
        flow = oauth.begin(f"{own_origin(request)}/auth/{self.name}/complete")
        choices = [access] if access in _ACCESS else list(_ACCESS) if is_connecting else ["none"]
        ways = [
            (
                _TITLES[choice] if len(choices) > 1 else "Continue to GitHub",
                oauth.way_there(self._settings, flow, [*scopes, *_ACCESS[choice]]),
                _ACCESS[choice],
            )
            for choice in choices
        ]
        response = pages.render(
            _FOLDER,
            "begin.html",
            ways=ways,
            host=self._settings.url.partition("://")[2].rstrip("/"),
            scopes=scopes,
            connecting=is_connecting,
        )
        # A page with a link: the policy of our pages lets no form lead to another site.
        sealed = self._kernel.seal(flow.dump(), place=_PLACE)
        cookies.give(request, response, _COOKIE, sealed, _LIFETIME)
        return response

    async def complete(self, request: web.Request) -> Identity | web.StreamResponse:
        """Take the code that GitHub gave, and find out whose it is."""
        sealed = cookies.use_up(request, _COOKIE)
        try:
            flow = oauth.Flow.load(self._kernel.unseal(sealed, place=_PLACE))
            if request.query.get("error") == "access_denied":
                return _problem("You have not agreed", "Nothing was given to this platform.", 401)
            granted = await oauth.finish(self._settings, flow, request.query)
            person = await people.look_up(self._settings, self._listed, granted.token)
        except GitHubDown as error:
            _log.warning("signing in by GitHub: %s", error)
            return _problem("GitHub does not answer", "Try again in a few minutes.", 502)
        except GitHubRefused as error:
            _log.warning("signing in by GitHub: %s", error)
            return _problem("GitHub has refused", "Begin again; each attempt works once.", 401)
        except GitHubError as error:
            _log.warning("signing in by GitHub: %s", error)
            return _problem("GitHub answers oddly", "Try again in a few minutes.", 502)
        except (oauth.NotOurs, HelvetiaError):
            return _problem(
                "This is not a sign-in that you have begun here",
                "It was begun in another browser, or too long ago, or finished already.",
                400,
            )
        if not person.is_listed and self._has_list:
            await self._revoke(granted.token)
            return _problem(
                f"{person.login} may not come in here",
                "Whoever runs this installation lets in certain GitHub users only.",
                403,
            )
        return GitHubIdentity(
            subject=str(person.id),
            name=person.name,
            email=person.email,
            may_register=person.is_listed,
            may_found=person.is_named,
            login=person.login,
            granted=granted,
        )

    async def accepted(self, user_id: str, identity: Identity) -> None:
        """Keep the newest token: GitHub makes the oldest of many worthless."""
        assert isinstance(identity, GitHubIdentity)
        granted = identity.granted
        is_kept = await grants.keep(
            self._kernel,
            user_id,
            subject=identity.subject,
            login=identity.login,
            token=granted.token,
            scopes=granted.scopes,
        )
        if not is_kept:
            await self._revoke(granted.token)

    async def refused(self, identity: Identity) -> None:
        """Have GitHub forget a token that is of no use here."""
        assert isinstance(identity, GitHubIdentity)
        if not await grants.is_kept(self._kernel, identity.subject, identity.granted.token):
            await self._revoke(identity.granted.token)

    async def disconnected(self, user_id: str, subject: str) -> None:
        """Have GitHub forget the token, and forget it ourselves first."""
        if token := await grants.take(self._kernel, subject):
            await self._revoke(token)

    @property
    def _has_list(self) -> bool:
        return bool(self._listed.user_names or self._listed.organisation_names)

    async def _revoke(self, token: str) -> None:
        try:
            await oauth.revoke(self._settings, token)
        except GitHubError as error:
            _log.warning("a token could not be revoked at GitHub: %s", error)


def _problem(title: str, text: str, status: int, **values: Any) -> web.Response:
    return pages.render(_FOLDER, "problem.html", status=status, title=title, text=text, **values)
